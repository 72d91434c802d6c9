//! Messages as literal bytes.

use fieldgate_coap::code::Code;
use fieldgate_coap::message::{DATAGRAM_MAX, DecodeError, FormatFault, Kind, Message, MessageId};
use fieldgate_coap::option::{OPTIONS_MAX, OptionNumber};

#[test]
fn a_request_is_read_as_the_standard_writes_it() {
    // RFC 7252, figure 16, with a token: GET /temperature.
    let bytes = b"\x41\x01\x7D\x35\x20\xBB\x0Btemperature".map(|byte| byte);
    let mut bytes = bytes.to_vec();
    // The path has 11 bytes: delta 11, length 11.
    bytes[5] = 0xBB;
    bytes.remove(6);
    let message = Message::decode(&bytes).expect("a message");
    assert_eq!((message.kind, message.code, message.id.0), (Kind::Confirmable, Code(1), 0x7D35));
    assert_eq!(message.token.to_string(), "20");
    assert_eq!(message.options.first(OptionNumber::URI_PATH), Some(&b"temperature"[..]));
    assert_eq!(message.encode().expect("short"), bytes);
}

#[test]
fn every_extended_form_of_an_option_is_read_and_written() {
    let mut message = Message::empty(Kind::NonConfirmable, MessageId(1));
    message.code = Code(2);
    for (number, length) in [(1, 0), (14, 12), (27, 13), (296, 268), (600, 269), (65_535, 300)] {
        message.options.add(OptionNumber(number), vec![0x5A; length]);
    }
    message.payload = b"x".to_vec();
    let bytes = message.encode().expect("short enough");
    assert_eq!(Message::decode(&bytes), Ok(message));
}

#[test]
fn what_is_no_message_is_refused_with_what_is_wrong() {
    let bomb = [&b"\x40\x01\x00\x01"[..], &[0x00; OPTIONS_MAX + 1]].concat();
    for (bytes, fault) in [
        (&b"\x49\x01\x00\x01123456789"[..], FormatFault::TokenLength(9)),
        (b"\x4F\x01\x00\x01", FormatFault::TokenLength(15)),
        (b"\x44\x01\x00\x01123", FormatFault::Truncated),
        (b"\x40\x01\x00\x01\xF0", FormatFault::OptionHeader),
        (b"\x40\x01\x00\x01\x0F", FormatFault::OptionHeader),
        (b"\x40\x01\x00\x01\xBF\xFF", FormatFault::OptionHeader),
        (b"\x40\x01\x00\x01\xD0", FormatFault::Truncated),
        (b"\x40\x01\x00\x01\xE0\xFF", FormatFault::Truncated),
        (b"\x40\x01\x00\x01\x0D", FormatFault::Truncated),
        (b"\x40\x01\x00\x01\xB5abcd", FormatFault::Truncated),
        (b"\x40\x01\x00\x01\xE0\xFF\xFF", FormatFault::OptionNumber),
        (b"\x40\x01\x00\x01\xE0\xFE\xF2\x10", FormatFault::OptionNumber),
        (b"\x40\x01\x00\x01\xFF", FormatFault::EmptyPayload),
        (b"\x40\x00\x00\x01x", FormatFault::NotEmpty),
        (b"\x41\x00\x00\x01x", FormatFault::NotEmpty),
        (b"\x40\x20\x00\x01", FormatFault::Code(Code(0x20))),
        (b"\x40\xE1\x00\x01", FormatFault::Code(Code(0xE1))),
        (bomb.as_slice(), FormatFault::TooManyOptions),
    ] {
        let expected = DecodeError::Format { kind: Kind::Confirmable, id: MessageId(1), fault };
        assert_eq!(Message::decode(bytes), Err(expected), "{bytes:02x?}");
    }
    for short in [&b""[..], b"\x40", b"\x40\x01", b"\x40\x01\x00", b"\x6e\x8d"] {
        assert_eq!(Message::decode(short), Err(DecodeError::Short));
    }
    for first in [0x00, 0x80, 0xC0] {
        assert_eq!(Message::decode(&[first, 1, 0, 1]), Err(DecodeError::Version));
    }
    assert_eq!(Message::decode(&vec![0x40; DATAGRAM_MAX + 1]), Err(DecodeError::Long));
}

#[test]
fn what_is_too_long_for_a_datagram_is_not_written() {
    let mut message = Message::empty(Kind::Confirmable, MessageId(1));
    message.code = Code(2);
    message.payload = vec![0; 1_227];
    assert!(message.encode().is_ok());
    message.payload.push(0);
    message.payload.push(0);
    assert!(message.encode().is_err());
}
