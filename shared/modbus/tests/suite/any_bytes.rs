//! What holds for any bytes at all, one target for each thing that reads them.
//!
//! No panic, no more held than frames are long, a right frame behind them is found, and what was
//! understood is written again alike. `corpus.rs` runs these on files and their mutations;
//! `tests/fuzz/` includes this file and searches for bytes that break them.

use fieldgate_modbus::describe::{Direction, describe};
use fieldgate_modbus::frame::rtu::{Awaited, Patience, Side};
use fieldgate_modbus::frame::{self, Frame, Framing, ascii, rtu, tcp};
use fieldgate_modbus::pdu;
use fieldgate_modbus::register::{ReadRequest, Table, UnitId, WriteRequest};
use fieldgate_modbus::request::Request;

/// What [`marker`] answers, an id that no file of the corpus has.
const MARKER_ID: u16 = 0x7A7A;
/// As far as a header does not depend on what follows.
const MARKER_HEAD: &[u8] = &[0x7A, 0x7A, 0, 0, 0];
const MARKER_PDU: &[u8] = &[3, 4, 0x7A, 0x7B, 0x7C, 0x7D];
const MARKER_UNIT: UnitId = UnitId(0x7A);

/// How long each piece is in which a port hands bytes over; at least 1.
pub(crate) type Pieces<'a> = &'a mut dyn FnMut() -> usize;

/// A TCP stream is come back to, and holds less than a frame. Bytes that say they are the awaited
/// frame are waited for: nothing in them tells that they are not, and the deadline ends that.
pub(crate) fn tcp(bytes: &[u8], pieces: Pieces<'_>) {
    let mut deframer = tcp::Deframer::default();
    let (mut found, mut longest) = (false, 0);
    let awaited = |id: u16| id == MARKER_ID;
    let answers = |frame: Frame<'_>| frame.unit == MARKER_UNIT && frame.pdu == MARKER_PDU;
    // Twice: TCP frames have no checksum, so one that was cut short takes what it lacks from
    // the next.
    let whole = [bytes, &marker(Framing::Tcp), &marker(Framing::Tcp)].concat();
    in_pieces(&whole, pieces, |piece| {
        deframer.push(piece);
        while let Some(frame) = deframer.poll_frame(awaited, answers) {
            longest = longest.max(frame.pdu.len());
            found |= frame.id == MARKER_ID && answers(frame);
        }
        assert!(deframer.held() < tcp::ADU_MAX, "{}", deframer.held());
    });
    assert!(longest <= pdu::PDU_MAX);
    let pretends = bytes.windows(MARKER_HEAD.len()).any(|window| window == MARKER_HEAD);
    assert!(found || pretends, "the marker is lost behind {bytes:02X?}");
    put_into_words(Framing::Tcp, bytes);
}

/// An RTU line is come back to, and holds no more than its window.
pub(crate) fn rtu(bytes: &[u8], pieces: Pieces<'_>) {
    let whole = [bytes, &marker(Framing::Rtu)].concat();
    let awaited = Some(Awaited { unit: MARKER_UNIT, function: 3 });
    let mut deframer = rtu::Deframer::new(Side::Both);
    let mut found = false;
    in_pieces(&whole, pieces, |piece| {
        deframer.push(piece);
        while let Some(frame) =
            deframer.poll_frame(Patience::Answer, awaited, |pdu| pdu == MARKER_PDU)
        {
            assert!(frame.pdu.len() <= pdu::PDU_MAX);
            found |= frame.unit == MARKER_UNIT && frame.pdu == MARKER_PDU;
        }
        assert!(deframer.held() <= rtu::WINDOW);
    });
    assert!(found, "the marker is lost behind {bytes:02X?}");

    for side in [Side::Requests, Side::Both] {
        let mut deframer = rtu::Deframer::new(side);
        in_pieces(&whole, pieces, |piece| {
            deframer.push(piece);
            while deframer.poll_frame(Patience::Whole, None, |_| false).is_some() {}
            assert!(deframer.held() < rtu::ADU_MAX, "{}", deframer.held());
        });
        while deframer.poll_frame(Patience::None, None, |_| false).is_some() {}
        assert_eq!(deframer.held(), 0);
    }
    put_into_words(Framing::Rtu, bytes);
}

/// An ASCII line is come back to, and holds one frame at most.
pub(crate) fn ascii(bytes: &[u8], pieces: Pieces<'_>) {
    let mut deframer = ascii::Deframer::default();
    let mut found = false;
    let whole = [bytes, &marker(Framing::Ascii)].concat();
    in_pieces(&whole, pieces, |piece| {
        deframer.push(piece);
        while let Some(heard) = deframer.poll_frame() {
            let (ascii::Heard::Frame(Frame { pdu, .. }) | ascii::Heard::Garbled(pdu)) = heard;
            assert!(pdu.len() <= 1 + pdu::PDU_MAX);
            found |= pdu == MARKER_PDU;
        }
        assert!(deframer.held() <= 2 + pdu::PDU_MAX);
    });
    assert!(found, "the marker is lost behind {bytes:02X?}");
    put_into_words(Framing::Ascii, bytes);
}

/// A reply is read as what it says, or refused.
pub(crate) fn reply(bytes: &[u8], _: Pieces<'_>) {
    let length = pdu::reply_length(bytes);
    for request in questions() {
        let Ok(reply) = pdu::decode_reply(&request, bytes) else { continue };
        assert_eq!(length, pdu::Length::Bytes(bytes.len()), "{bytes:02X?}");
        let mut again = Vec::new();
        pdu::encode_reply(&request, &reply, &mut again);
        assert_eq!(pdu::decode_reply(&request, &again), Ok(reply), "{bytes:02X?}");
    }
}

/// A request is read as what it says, or refused.
pub(crate) fn request(bytes: &[u8], _: Pieces<'_>) {
    let Ok(request) = pdu::decode_request(bytes) else { return };
    assert_eq!(pdu::request_length(bytes), pdu::Length::Bytes(bytes.len()), "{bytes:02X?}");
    let mut again = Vec::new();
    assert_eq!(pdu::encode_request(&request, &mut again), Ok(()), "{bytes:02X?}");
    assert_eq!(pdu::decode_request(&again), Ok(request), "{bytes:02X?}");
}

/// One of each form of answer.
fn questions() -> [Request; 10] {
    let read = |table, start, count| Request::Read(ReadRequest { table, start, count });
    [
        read(Table::Coil, 0, 19),
        read(Table::DiscreteInput, 0, 8),
        read(Table::HoldingRegister, 0, 3),
        read(Table::InputRegister, 0, 1),
        Request::Write(WriteRequest::Coil { offset: 0xAC, on: true }),
        Request::Write(WriteRequest::Coils { start: 0x13, states: vec![true; 10] }),
        Request::Write(WriteRequest::MaskRegister { offset: 4, and: 0xF2, or: 0x25 }),
        Request::ReadWrite {
            read: ReadRequest { table: Table::HoldingRegister, start: 3, count: 6 },
            start: 0x0E,
            words: vec![0xFF; 3],
        },
        Request::ReportServerId,
        Request::DeviceId { level: 1, object: 0 },
    ]
}

/// The frame that must be found behind whatever came before it.
fn marker(framing: Framing) -> Vec<u8> {
    let mut out = Vec::new();
    let done = frame::encode(framing, MARKER_ID, MARKER_UNIT, &mut out, |out| {
        out.extend_from_slice(MARKER_PDU);
        Ok::<(), pdu::EncodeError>(())
    });
    done.map(|()| out).expect("nothing fails")
}

/// Calls `each` with pieces of `bytes`, as a port might hand them over.
fn in_pieces(bytes: &[u8], pieces: Pieces<'_>, mut each: impl FnMut(&[u8])) {
    let mut left = bytes;
    while !left.is_empty() {
        let (piece, rest) = left.split_at(pieces().clamp(1, left.len()));
        each(piece);
        left = rest;
    }
}

/// The trace shows whatever came, each byte once: so it has a line for any bytes but none.
fn put_into_words(framing: Framing, bytes: &[u8]) {
    let [_, _, asked, ..] = questions();
    for direction in [Direction::Sent, Direction::Received] {
        let lines = describe(framing, direction, bytes, Some(&asked));
        assert_eq!(lines.is_empty(), bytes.is_empty(), "{lines:?} of {bytes:02X?}");
    }
}
