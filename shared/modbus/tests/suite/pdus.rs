//! Each function's example of the specification, byte for byte and both ways; then its limits.
//!
//! Source: MODBUS Application Protocol Specification V1.1b3, section 6.

use fieldgate_modbus::exception::Exception;
use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::pdu::{
    EncodeError, Length, RequestError, decode_reply, decode_request, encode_exception,
    encode_reply, encode_request, reply_length, request_length,
};
use fieldgate_modbus::register::{ReadReply, ReadRequest, Table, WriteRequest};
use fieldgate_modbus::request::{DeviceId, Reply, Request};

fn check(section: &str, request: &Request, asked: &[u8], reply: &Reply, answered: &[u8]) {
    let mut bytes = Vec::new();
    assert_eq!(encode_request(request, &mut bytes), Ok(()), "{section}");
    assert_eq!(bytes, asked, "{section}");
    assert_eq!(decode_request(asked).as_ref(), Ok(request), "{section}");
    assert_eq!(request_length(asked), Length::Bytes(asked.len()), "{section}");

    bytes.clear();
    encode_reply(request, reply, &mut bytes);
    assert_eq!(bytes, answered, "{section}");
    assert_eq!(decode_reply(request, answered).as_ref(), Ok(reply), "{section}");
    assert_eq!(reply_length(answered), Length::Bytes(answered.len()), "{section}");

    // One byte less or more, or another function, is no answer.
    for at in 0..answered.len() {
        assert_eq!(decode_reply(request, &answered[..at]), Err(Fault::Malformed), "{section}");
    }
    let longer = [answered, &[0]].concat();
    assert_eq!(decode_reply(request, &longer), Err(Fault::Malformed), "{section}");
    let mut other = answered.to_vec();
    other[0] = 7;
    assert_eq!(decode_reply(request, &other), Err(Fault::Malformed), "{section}");

    bytes.clear();
    encode_exception(request.function(), 6, &mut bytes);
    assert_eq!(bytes, [asked[0] | 0x80, 6], "{section}");
    assert_eq!(decode_reply(request, &bytes), Err(Fault::Exception(6)), "{section}");
    bytes.push(0);
    assert_eq!(decode_reply(request, &bytes), Err(Fault::Malformed), "{section}");
}

fn read(table: Table, start: u16, count: u16) -> Request {
    Request::Read(ReadRequest { table, start, count })
}

/// The first `count` bits of `bytes`, the lowest first.
fn bits(bytes: &[u8], count: usize) -> Reply {
    let bit = |at: usize| bytes[at / 8] >> (at % 8) & 1 == 1;
    Reply::Read(ReadReply::Bits((0..count).map(bit).collect()))
}

fn registers(words: &[u16]) -> Reply {
    Reply::Read(ReadReply::Registers(words.to_vec()))
}

#[test]
fn a_read_is_as_in_the_specification() {
    check(
        "6.1",
        &read(Table::Coil, 0x13, 19),
        b"\x01\x00\x13\x00\x13",
        &bits(&[0xCD, 0x6B, 0x05], 19),
        b"\x01\x03\xCD\x6B\x05",
    );
    check(
        "6.2",
        &read(Table::DiscreteInput, 0xC4, 22),
        b"\x02\x00\xC4\x00\x16",
        &bits(&[0xAC, 0xDB, 0x35], 22),
        b"\x02\x03\xAC\xDB\x35",
    );
    check(
        "6.3",
        &read(Table::HoldingRegister, 0x6B, 3),
        b"\x03\x00\x6B\x00\x03",
        &registers(&[0x022B, 0, 0x64]),
        b"\x03\x06\x02\x2B\x00\x00\x00\x64",
    );
    check(
        "6.4",
        &read(Table::InputRegister, 8, 1),
        b"\x04\x00\x08\x00\x01",
        &registers(&[0x0A]),
        b"\x04\x02\x00\x0A",
    );
}

#[test]
fn a_write_is_as_in_the_specification() {
    let check = |section, write, asked, answered| {
        check(section, &Request::Write(write), asked, &Reply::Written, answered);
    };
    let coil = WriteRequest::Coil { offset: 0xAC, on: true };
    check("6.5", coil, b"\x05\x00\xAC\xFF\x00", b"\x05\x00\xAC\xFF\x00");
    let coil = WriteRequest::Coil { offset: 0xAC, on: false };
    check("6.5", coil, b"\x05\x00\xAC\x00\x00", b"\x05\x00\xAC\x00\x00");
    let register = WriteRequest::Register { offset: 1, word: 3 };
    check("6.6", register, b"\x06\x00\x01\x00\x03", b"\x06\x00\x01\x00\x03");
    let states = [1, 0, 1, 1, 0, 0, 1, 1, 1, 0].map(|bit| bit == 1).to_vec();
    let coils = WriteRequest::Coils { start: 0x13, states };
    check("6.11", coils, b"\x0F\x00\x13\x00\x0A\x02\xCD\x01", b"\x0F\x00\x13\x00\x0A");
    let words = WriteRequest::Registers { start: 1, words: vec![0x0A, 0x0102] };
    let asked = b"\x10\x00\x01\x00\x02\x04\x00\x0A\x01\x02";
    check("6.12", words, asked, b"\x10\x00\x01\x00\x02");
    let mask = WriteRequest::MaskRegister { offset: 4, and: 0xF2, or: 0x25 };
    let echo = b"\x16\x00\x04\x00\xF2\x00\x25";
    check("6.16", mask, echo, echo);
}

#[test]
fn what_reads_and_writes_or_names_the_device_is_as_in_the_specification() {
    check(
        "6.17",
        &Request::ReadWrite {
            read: ReadRequest { table: Table::HoldingRegister, start: 3, count: 6 },
            start: 0x0E,
            words: vec![0xFF; 3],
        },
        b"\x17\x00\x03\x00\x06\x00\x0E\x00\x03\x06\x00\xFF\x00\xFF\x00\xFF",
        &registers(&[0xFE, 0x0ACD, 1, 3, 0x0D, 0xFF]),
        b"\x17\x0C\x00\xFE\x0A\xCD\x00\x01\x00\x03\x00\x0D\x00\xFF",
    );
    check(
        "6.13",
        &Request::ReportServerId,
        b"\x11",
        &Reply::ServerId(b"\x2A\xFFgate".to_vec()),
        b"\x11\x06\x2A\xFFgate",
    );
    let objects = vec![
        (0, b"Company identification".to_vec()),
        (1, b"Product code XX".to_vec()),
        (2, b"V2.11".to_vec()),
    ];
    check(
        "6.21",
        &Request::DeviceId { level: 1, object: 0 },
        b"\x2B\x0E\x01\x00",
        &Reply::DeviceId(DeviceId { conformity: 1, next: None, objects }),
        b"\x2B\x0E\x01\x01\x00\x00\x03\x00\x16Company identification\x01\x0FProduct code XX\
          \x02\x05V2.11",
    );
    check(
        "6.21",
        &Request::DeviceId { level: 2, object: 2 },
        b"\x2B\x0E\x02\x02",
        &Reply::DeviceId(DeviceId {
            conformity: 0x82,
            next: Some(3),
            objects: vec![(2, b"V1".to_vec())],
        }),
        b"\x2B\x0E\x02\x82\xFF\x03\x01\x02\x02V1",
    );
}

#[test]
fn an_echo_that_differs_in_one_bit_is_no_confirmation() {
    for write in [
        WriteRequest::Coil { offset: 1, on: true },
        WriteRequest::Register { offset: 1, word: 3 },
        WriteRequest::Coils { start: 1, states: vec![true; 9] },
        WriteRequest::Registers { start: 1, words: vec![7; 3] },
        WriteRequest::MaskRegister { offset: 4, and: 2, or: 5 },
    ] {
        let request = Request::Write(write);
        let mut right = Vec::new();
        encode_reply(&request, &Reply::Written, &mut right);
        for bit in 8..8 * right.len() {
            let mut wrong = right.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_reply(&request, &wrong), Err(Fault::Malformed), "{request:?}");
        }
    }
}

#[test]
fn an_answer_beyond_the_longest_pdu_is_no_answer_even_if_its_own_lengths_add_up() {
    let device_id = Request::DeviceId { level: 1, object: 0 };
    let two_objects = |second: u8| {
        let mut pdu = b"\x2B\x0E\x01\x01\x00\x00\x02\x00\x79".to_vec();
        pdu.extend([b'a'; 121]);
        pdu.extend([1, second]);
        pdu.extend(vec![b'b'; usize::from(second)]);
        pdu
    };
    let server_id = |count: u8| [&[17, count][..], &vec![b'c'; usize::from(count)]].concat();
    for (request, longest, too_long) in [
        (device_id, two_objects(121), two_objects(122)),
        (Request::ReportServerId, server_id(251), server_id(252)),
    ] {
        assert!(decode_reply(&request, &longest).is_ok(), "{request:?}");
        assert_eq!(decode_reply(&request, &too_long), Err(Fault::Malformed), "{request:?}");
    }
}

#[test]
fn a_request_beyond_a_limit_is_never_sent() {
    let write = Request::Write;
    let coils = |count| write(WriteRequest::Coils { start: 0, states: vec![true; count] });
    let words = |count| write(WriteRequest::Registers { start: 0, words: vec![7; count] });
    let both = |count, words| Request::ReadWrite {
        read: ReadRequest { table: Table::HoldingRegister, start: 0, count },
        start: 0,
        words: vec![7; words],
    };
    let hr = Table::HoldingRegister;
    for (request, longest) in [
        (read(Table::Coil, 0, 2000), 5),
        (read(Table::DiscreteInput, 0, 2000), 5),
        (read(hr, 0, 125), 5),
        (read(Table::InputRegister, 65_411, 125), 5),
        (coils(1968), 252),
        (words(123), 252),
        (both(125, 121), 252),
    ] {
        let mut bytes = Vec::new();
        assert_eq!(encode_request(&request, &mut bytes), Ok(()));
        assert_eq!((bytes.len(), decode_request(&bytes)), (longest, Ok(request)));
    }
    let count = |function, count, max| EncodeError::Count { function, count, max };
    for (request, why) in [
        (read(Table::Coil, 0, 2001), count(1, 2001, 2000)),
        (read(Table::DiscreteInput, 0, 0), count(2, 0, 2000)),
        (read(hr, 0, 126), count(3, 126, 125)),
        (read(Table::InputRegister, 0, 0), count(4, 0, 125)),
        (read(hr, 65_412, 125), EncodeError::BeyondTable { start: 65_412, count: 125 }),
        (coils(1969), count(15, 1969, 1968)),
        (coils(0), count(15, 0, 1968)),
        (words(124), count(16, 124, 123)),
        (words(0), count(16, 0, 123)),
        (both(126, 1), count(23, 126, 125)),
        (both(1, 122), count(23, 122, 121)),
        (both(0, 1), count(23, 0, 125)),
        (Request::DeviceId { level: 0, object: 0 }, EncodeError::Level(0)),
        (Request::DeviceId { level: 5, object: 0 }, EncodeError::Level(5)),
    ] {
        let mut bytes = Vec::new();
        assert_eq!((encode_request(&request, &mut bytes), bytes.len()), (Err(why), 0));
    }
}

#[test]
fn a_request_that_cannot_be_served_is_refused_with_the_right_exception() {
    use Exception::{IllegalDataAddress, IllegalDataValue, IllegalFunction};
    for (pdu, why, exception) in [
        (&b""[..], RequestError::Size(0), IllegalDataValue),
        (b"\x07", RequestError::Function(7), IllegalFunction),
        (b"\x83\x00", RequestError::Function(0x83), IllegalFunction),
        (b"\x2B\x0D\x00\x00", RequestError::Function(43), IllegalFunction),
        (b"\x03\x00\x00\x00", RequestError::Size(4), IllegalDataValue),
        (b"\x03\x00\x00\x00\x01\x00", RequestError::Size(6), IllegalDataValue),
        (b"\x03\x00\x00\x00\x00", RequestError::Value, IllegalDataValue),
        (b"\x03\x00\x00\x00\x7E", RequestError::Value, IllegalDataValue),
        (b"\x03\xFF\xFF\x00\x02", RequestError::BeyondTable, IllegalDataAddress),
        (b"\x05\x00\x00\x12\x34", RequestError::Value, IllegalDataValue),
        (b"\x0F\x00\x00\x00\x09\x01\xFF", RequestError::Value, IllegalDataValue),
        (b"\x10\x00\x00\x00\x02\x02\x00\x01", RequestError::Value, IllegalDataValue),
        (b"\x10\x00\x00\x00\x01\xFF\x00\x01", RequestError::Size(8), IllegalDataValue),
        (b"\x2B\x0E\x07\x00", RequestError::Value, IllegalDataValue),
    ] {
        assert_eq!(decode_request(pdu), Err(why), "{pdu:02X?}");
        assert_eq!(why.exception(), exception, "{pdu:02X?}");
    }
}
