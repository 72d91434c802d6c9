//! Literal frames of each framing, and deframers among bytes that belong to none.

use fieldgate_modbus::frame::rtu::{Awaited, Patience, Side};
use fieldgate_modbus::frame::{Framing, ascii, rtu, tcp};
use fieldgate_modbus::register::UnitId;

use crate::kit::framed;

const REQUEST: &[u8] = b"\x03\x00\x6B\x00\x03";

#[test]
fn a_frame_is_as_in_the_specification() {
    for (framing, bytes) in [
        // Messaging on TCP/IP V1.0b, section 3.1.3.
        (Framing::Tcp, &b"\x15\x01\x00\x00\x00\x06\xFF\x03\x00\x6B\x00\x03"[..]),
        // Serial Line V1.02, section 2.5.1: the CRC's low byte first.
        (Framing::Rtu, b"\xFF\x03\x00\x6B\x00\x03\x61\xC9"),
        // Section 2.5.2.
        (Framing::Ascii, b":FF03006B000390\r\n"),
    ] {
        assert_eq!(framed(framing, 0x1501, 0xFF, REQUEST), bytes, "{framing:?}");
    }
}

#[test]
fn the_longest_frame_has_the_size_that_the_specification_gives() {
    let longest = vec![0; 253];
    for (framing, size, max) in [
        (Framing::Tcp, 260, tcp::ADU_MAX),
        (Framing::Rtu, 256, rtu::ADU_MAX),
        (Framing::Ascii, 513, ascii::ADU_MAX),
    ] {
        assert_eq!((framed(framing, 1, 1, &longest).len(), max), (size, size), "{framing:?}");
    }
}

#[test]
fn a_server_hears_requests_on_a_serial_line_among_noise() {
    let mut deframer = rtu::Deframer::new(Side::Requests);
    let mut bytes = vec![0x01, 0x10, 0x00];
    bytes.extend(framed(Framing::Rtu, 0, 1, REQUEST));
    bytes.extend([0x55; 3]);
    bytes.extend(framed(Framing::Rtu, 0, 2, b"\x11"));
    let mut heard = Vec::new();
    for byte in bytes {
        deframer.push(&[byte]);
        while let Some(frame) = deframer.poll_frame(Patience::Whole, None, |_| false) {
            heard.push((frame.unit.0, frame.pdu.to_vec()));
        }
    }
    assert_eq!(heard, [(1, REQUEST.to_vec()), (2, vec![0x11])]);
    assert_eq!(deframer.noise(), 6);
}

#[test]
fn an_awaited_answer_is_found_behind_the_beginning_of_another_frame() {
    let mut deframer = rtu::Deframer::new(Side::Both);
    // Unit 9 begins an answer of 250 bytes and falls silent.
    deframer.push(&[9, 3, 250, 1, 2, 3]);
    deframer.push(&framed(Framing::Rtu, 0, 1, &[3, 2, 0, 7]));
    let awaited = Some(Awaited { unit: UnitId(1), function: 3 });
    let frame = deframer.poll_frame(Patience::Answer, awaited, |_| true).expect("it is there");
    assert_eq!((frame.unit, frame.pdu), (UnitId(1), &[3, 2, 0, 7][..]));
    assert_eq!(deframer.noise(), 6);
}

#[test]
fn every_colon_begins_an_ascii_frame_anew() {
    let mut deframer = ascii::Deframer::default();
    deframer.push(b"\xFF:0103:zz:01:1103006B00037e\r\n:1103006B00037F\r\n:110300\n");
    let mut heard = Vec::new();
    while let Some(found) = deframer.poll_frame() {
        heard.push(match found {
            ascii::Heard::Frame(frame) => (true, frame.unit.0, frame.pdu.len()),
            ascii::Heard::Garbled(bytes) => (false, bytes[0], bytes.len() - 1),
        });
    }
    assert_eq!(heard, [(true, 0x11, 5), (false, 0x11, 5), (false, 0x11, 1)]);
}

#[test]
fn a_line_end_without_carriage_return_ends_an_ascii_frame_too() {
    let mut deframer = ascii::Deframer::default();
    deframer.push(b":1103006B00037E\n");
    assert!(matches!(deframer.poll_frame(), Some(ascii::Heard::Frame(_))));
    assert_eq!(deframer.poll_frame(), None);
    assert_eq!(deframer.noise(), 0);
}
