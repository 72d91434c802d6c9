//! What a transaction takes on a serial line, so that a slow line is not mistaken for a silent unit.

use fieldgate_modbus::client::Framing;
use fieldgate_modbus::line::LineSettings;
use fieldgate_modbus::register::{ReadRequest, WriteRequest};
use fieldgate_modbus::request::Request;
use fieldgate_model::Millis;

/// Address and checksum around a PDU (RTU).
const FRAME: u64 = 3;
/// Function code, start and count.
const HEAD: u64 = 5;
/// Answers whose length nobody knows: as long as one can be.
const ANSWER_MAX: u64 = 253;

/// How long both frames of a transaction are on the line, rounded up; nothing on TCP.
pub(super) fn line_time(line: Option<LineSettings>, framing: Framing, request: &Request) -> Millis {
    let Some(line) = line else { return Millis(0) };
    let bytes = sent(request) + answered(request) + 2 * FRAME;
    let characters = match framing {
        Framing::Tcp | Framing::Rtu => bytes,
        // Two digits a byte, and a colon, CR and LF around them; the checksum is a byte shorter.
        Framing::Ascii => 2 * (bytes - 2) + 6,
    };
    Millis(line.time_us(characters).div_ceil(1_000))
}

/// The silence that a line needs before a request.
pub(super) fn quiet_time(line: Option<LineSettings>, framing: Framing, pause: Millis) -> Millis {
    match (line, framing) {
        (Some(line), Framing::Rtu) => Millis(line.frame_gap_us().div_ceil(1_000)).max(pause),
        (Some(_), Framing::Tcp | Framing::Ascii) | (None, _) => pause,
    }
}

/// Bytes of the request's PDU.
fn sent(request: &Request) -> u64 {
    match request {
        Request::Read(_) => HEAD,
        Request::Write(write) => match write {
            WriteRequest::Coil { .. } | WriteRequest::Register { .. } => HEAD,
            WriteRequest::MaskRegister { .. } => HEAD + 2,
            WriteRequest::Coils { states, .. } => HEAD + 1 + (states.len() as u64).div_ceil(8),
            WriteRequest::Registers { words, .. } => HEAD + 1 + 2 * words.len() as u64,
        },
        Request::ReadWrite { words, .. } => HEAD + 5 + 2 * words.len() as u64,
        Request::ReportServerId => 1,
        Request::DeviceId { .. } => 4,
    }
}

/// Bytes of the answer's PDU, at most.
fn answered(request: &Request) -> u64 {
    let read = |read: &ReadRequest| {
        let items = u64::from(read.count);
        2 + if read.table.is_bits() { items.div_ceil(8) } else { 2 * items }
    };
    match request {
        Request::Read(request) | Request::ReadWrite { read: request, .. } => read(request),
        Request::Write(WriteRequest::MaskRegister { .. }) => HEAD + 2,
        Request::Write(
            WriteRequest::Coil { .. }
            | WriteRequest::Register { .. }
            | WriteRequest::Coils { .. }
            | WriteRequest::Registers { .. },
        ) => HEAD,
        Request::ReportServerId | Request::DeviceId { .. } => ANSWER_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldgate_modbus::register::Table;

    #[test]
    fn a_transaction_takes_what_its_characters_take() {
        let read =
            |count| Request::Read(ReadRequest { table: Table::HoldingRegister, start: 0, count });
        let write = Request::Write(WriteRequest::Registers { start: 0, words: vec![0; 2] });
        for (line, framing, request, millis) in [
            // 8 bytes out and 5 + 20 back, of 10 bits each.
            ("9600-8N1", Framing::Rtu, read(10), 35),
            ("1200-8N1", Framing::Rtu, read(125), 2_192),
            ("9600-8N1", Framing::Rtu, write.clone(), 23),
            // 17 and 2 × 23 + 5 characters of 10 bits: `:` 01 03 0000 000A LRC, CR, LF.
            ("9600-7E1", Framing::Ascii, read(10), 69),
            ("115200-8E1", Framing::Rtu, read(10), 4),
        ] {
            let parsed = line.parse().expect("a line");
            let time = line_time(Some(parsed), framing, &request);
            assert_eq!(time, Millis(millis), "{line} {request:?}");
        }
        assert_eq!(line_time(None, Framing::Tcp, &write), Millis(0));
    }

    #[test]
    fn a_line_is_quiet_for_as_long_as_it_or_the_device_wants() {
        let line = |text: &str| Some(text.parse().expect("a line"));
        for (line, framing, pause, millis) in [
            (line("9600-8N1"), Framing::Rtu, 0, 4),
            (line("115200-8N1"), Framing::Rtu, 0, 2),
            (line("9600-8N1"), Framing::Rtu, 50, 50),
            (line("9600-8N1"), Framing::Ascii, 0, 0),
            (None, Framing::Tcp, 20, 20),
        ] {
            assert_eq!(quiet_time(line, framing, Millis(pause)), Millis(millis), "{line:?}");
        }
    }
}
