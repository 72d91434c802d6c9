//! Bytes that nobody meant: each file of `corpus/`, and a bounded number of mutations of each.
//!
//! Every target holds for any bytes at all: no panic, no more held than frames are long, and a
//! right frame behind them is found. A file that ever broke one of these is added here.

use fieldgate_modbus::frame::rtu::{Awaited, Patience, Side};
use fieldgate_modbus::frame::{Frame, Framing, ascii, rtu, tcp};
use fieldgate_modbus::pdu;
use fieldgate_modbus::register::{ReadRequest, Table, UnitId, WriteRequest};
use fieldgate_modbus::request::Request;

use crate::kit::framed;
use crate::rng::Rng;

/// Of each file: enough to meet each length field in seconds' time on two slow cores.
const MUTATIONS: usize = 2_000;
/// No input grows beyond what a shell reads at once.
const INPUT_MAX: usize = 4_096;
/// What [`marker`] answers, an id that no file of the corpus has.
const MARKER_ID: u16 = 0x7A7A;
const MARKER_PDU: &[u8] = &[3, 4, 0x7A, 0x7B, 0x7C, 0x7D];
const MARKER_UNIT: UnitId = UnitId(0x7A);

/// The frame that must be found behind whatever came before it.
fn marker(framing: Framing) -> Vec<u8> {
    framed(framing, MARKER_ID, MARKER_UNIT.0, MARKER_PDU)
}

/// Runs `target` on every file of `corpus/<name>` and on mutations of it.
fn run(name: &str, target: fn(&[u8], &mut Rng)) {
    let folder = format!("{}/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(&folder).expect("the corpus is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    assert!(paths.len() >= 4, "{folder} is nearly empty");
    for (seed, path) in (1..).zip(paths) {
        let file = read(&path);
        let mut rng = Rng::new(seed);
        target(&file, &mut rng);
        for _ in 0..MUTATIONS {
            target(&mutated(&file, &mut rng), &mut rng);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the corpus of a test is files")]
fn read(path: &std::path::Path) -> Vec<u8> {
    std::fs::read(path).expect("the file can be read")
}

/// One to four changes: a bit, a byte, a piece cut out, doubled or put in.
fn mutated(file: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len() + 1);
        let to = (at + rng.below(9)).min(bytes.len());
        match rng.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            1 if at < bytes.len() => bytes[at] = rng.byte(),
            2 if at < bytes.len() => bytes[at] = [0, 1, 0x7F, 0x80, 0xFE, 0xFF][rng.below(6)],
            3 => drop(bytes.drain(at..to)),
            4 => {
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => drop(bytes.splice(at..at, rng.bytes(24))),
        }
    }
    bytes.truncate(INPUT_MAX);
    bytes
}

/// Calls `each` with pieces of `bytes`, as a port might hand them over.
fn in_pieces(bytes: &[u8], rng: &mut Rng, mut each: impl FnMut(&[u8])) {
    let most = [1, 3, 64, 700][rng.below(4)];
    let mut left = bytes;
    while !left.is_empty() {
        let (piece, rest) = left.split_at((1 + rng.below(most)).min(left.len()));
        each(piece);
        left = rest;
    }
}

#[test]
fn a_tcp_stream_of_any_bytes_holds_little_and_comes_back_to_its_frames() {
    run("tcp", |bytes, rng| {
        let mut deframer = tcp::Deframer::default();
        let (mut found, mut longest) = (false, 0);
        let awaited = |id: u16| id == MARKER_ID;
        let answers = |frame: Frame<'_>| frame.unit == MARKER_UNIT && frame.pdu == MARKER_PDU;
        // Twice: TCP frames have no checksum, so one that was cut short takes what it lacks from
        // the next.
        let whole = [bytes, &marker(Framing::Tcp), &marker(Framing::Tcp)].concat();
        in_pieces(&whole, rng, |piece| {
            deframer.push(piece);
            while let Some(frame) = deframer.poll_frame(awaited, answers) {
                longest = longest.max(frame.pdu.len());
                found |= frame.id == MARKER_ID && answers(frame);
            }
            assert!(deframer.held() < tcp::ADU_MAX, "{}", deframer.held());
        });
        assert!(longest <= pdu::PDU_MAX);
        assert!(found, "the marker is lost behind {bytes:02X?}");
    });
}

#[test]
fn an_rtu_line_of_any_bytes_holds_little_and_comes_back_to_its_frames() {
    run("rtu", |bytes, rng| {
        let whole = [bytes, &marker(Framing::Rtu)].concat();
        let awaited = Some(Awaited { unit: MARKER_UNIT, function: 3 });
        let mut deframer = rtu::Deframer::new(Side::Both);
        let mut found = false;
        in_pieces(&whole, rng, |piece| {
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
            in_pieces(&whole, rng, |piece| {
                deframer.push(piece);
                while deframer.poll_frame(Patience::Whole, None, |_| false).is_some() {}
                assert!(deframer.held() < rtu::ADU_MAX, "{}", deframer.held());
            });
            while deframer.poll_frame(Patience::None, None, |_| false).is_some() {}
            assert_eq!(deframer.held(), 0);
        }
    });
}

#[test]
fn an_ascii_line_of_any_bytes_holds_little_and_comes_back_to_its_frames() {
    run("ascii", |bytes, rng| {
        let mut deframer = ascii::Deframer::default();
        let mut found = false;
        let whole = [bytes, &marker(Framing::Ascii)].concat();
        in_pieces(&whole, rng, |piece| {
            deframer.push(piece);
            while let Some(heard) = deframer.poll_frame() {
                let (ascii::Heard::Frame(Frame { pdu, .. }) | ascii::Heard::Garbled(pdu)) = heard;
                assert!(pdu.len() <= 1 + pdu::PDU_MAX);
                found |= pdu == MARKER_PDU;
            }
            assert!(deframer.held() <= 2 + pdu::PDU_MAX);
        });
        assert!(found, "the marker is lost behind {bytes:02X?}");
    });
}

#[test]
fn a_reply_of_any_bytes_is_read_as_what_it_says_or_refused() {
    run("reply", |bytes, _| {
        let length = pdu::reply_length(bytes);
        for request in questions() {
            let Ok(reply) = pdu::decode_reply(&request, bytes) else { continue };
            assert_eq!(length, pdu::Length::Bytes(bytes.len()), "{bytes:02X?}");
            let mut again = Vec::new();
            pdu::encode_reply(&request, &reply, &mut again);
            assert_eq!(pdu::decode_reply(&request, &again), Ok(reply), "{bytes:02X?}");
        }
    });
}

/// One of each form of answer.
fn questions() -> [Request; 8] {
    let read = |table, count| Request::Read(ReadRequest { table, start: 0, count });
    [
        read(Table::Coil, 19),
        read(Table::DiscreteInput, 8),
        read(Table::HoldingRegister, 3),
        read(Table::InputRegister, 1),
        Request::Write(WriteRequest::Coil { offset: 0xAC, on: true }),
        Request::Write(WriteRequest::Coils { start: 0x13, states: vec![true; 10] }),
        Request::ReportServerId,
        Request::DeviceId { level: 1, object: 0 },
    ]
}

#[test]
fn a_request_of_any_bytes_is_read_as_what_it_says_or_refused() {
    run("request", |bytes, _| {
        let Ok(request) = pdu::decode_request(bytes) else { return };
        assert_eq!(pdu::request_length(bytes), pdu::Length::Bytes(bytes.len()), "{bytes:02X?}");
        let mut again = Vec::new();
        assert_eq!(pdu::encode_request(&request, &mut again), Ok(()), "{bytes:02X?}");
        assert_eq!(pdu::decode_request(&again), Ok(request), "{bytes:02X?}");
    });
}
