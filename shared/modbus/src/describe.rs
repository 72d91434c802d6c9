//! Frames in words, as `fieldgate trace` and a dry run show them.
//!
//! ```text
//! unit 1: read holding registers (FC 3) hr:0 (4x0001) to hr:9 (4x0010), 10 registers
//! unit 1: exception 2 (illegal data address) to read holding registers (FC 3)
//! ```

use core::fmt::Write as _;

use crate::crc::{crc16, lrc};
use crate::exception::Exception;
use crate::frame::rtu::Side;
use crate::frame::{Frame, Framing, ascii, rtu, tcp};
use crate::pdu::{self, EXCEPTION_BIT};
use crate::register::{Address, ReadReply, ReadRequest, Table, UnitId, WriteRequest};
use crate::request::{Reply, Request};

/// Which way the bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client: requests.
    Sent,
    /// To the client: replies, and on a serial line whatever else is there.
    Received,
}

/// `bytes` in words, a line for each frame and for each run of bytes that is none. `asked` is the
/// request before them, if it is known: it gives a reply its addresses.
pub fn describe(
    framing: Framing,
    direction: Direction,
    bytes: &[u8],
    asked: Option<&Request>,
) -> Vec<String> {
    match framing {
        Framing::Tcp => in_pieces(bytes, tcp::first_frame, |frame| {
            format!("id {}, {}", frame.id, frame_words(direction, frame, asked))
        }),
        Framing::Rtu => {
            let side = match direction {
                Direction::Sent => Side::Requests,
                Direction::Received => Side::Both,
            };
            let first = |bytes| rtu::first_frame(side, bytes);
            in_pieces(bytes, first, |frame| frame_words(direction, frame, asked))
        }
        Framing::Ascii => ascii_words(direction, bytes, asked),
    }
}

/// `request` in words: function, addresses in both notations, values.
pub fn request_words(request: &Request) -> String {
    let mut out = function_words(request.function());
    match request {
        Request::Read(read) => {
            let _infallible = write!(out, " {}, {}", range(*read), items(*read));
        }
        Request::Write(write) => write_words(write, &mut out),
        Request::ReadWrite { read, start, words } => {
            let _infallible = write!(
                out,
                " {}, {}, after writing {} = {}",
                range(*read),
                items(*read),
                range(written(*start, words.len())),
                hex_words(words)
            );
        }
        Request::ReportServerId => {}
        Request::DeviceId { level, object } => {
            let name = match level {
                1 => "basic",
                2 => "regular",
                3 => "extended",
                _ => "one object",
            };
            let _infallible = write!(out, " {name}, from object {object}");
        }
    }
    out
}

/// The name of a function and its code: `read coils (FC 1)`.
pub fn function_words(function: u8) -> String {
    let name = match function {
        1 => "read coils",
        2 => "read discrete inputs",
        3 => "read holding registers",
        4 => "read input registers",
        5 => "write single coil",
        6 => "write single register",
        7 => "read exception status",
        8 => "diagnostics",
        11 => "get comm event counter",
        12 => "get comm event log",
        15 => "write multiple coils",
        16 => "write multiple registers",
        17 => "report server id",
        20 => "read file record",
        21 => "write file record",
        22 => "mask write register",
        23 => "read/write multiple registers",
        24 => "read fifo queue",
        43 => "read device identification",
        _ => "function",
    };
    format!("{name} (FC {function})")
}

/// Cuts `bytes` into frames and what lies between them.
fn in_pieces<'a>(
    bytes: &'a [u8],
    first: impl Fn(&'a [u8]) -> Option<(Frame<'a>, usize)>,
    words: impl Fn(Frame<'a>) -> String,
) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut at, mut no_frame_from) = (0, 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let Some((frame, total)) = first(rest) else {
            at += 1;
            continue;
        };
        lines.extend(no_frame(bytes.get(no_frame_from..at)));
        lines.push(words(frame));
        at += total;
        no_frame_from = at;
    }
    lines.extend(no_frame(bytes.get(no_frame_from..)));
    lines
}

fn no_frame(bytes: Option<&[u8]>) -> Option<String> {
    let bytes = bytes.filter(|bytes| !bytes.is_empty())?;
    let mut line = format!("{} outside any frame", plural(bytes.len(), "byte"));
    if let Some((body, crc)) = bytes.split_last_chunk::<2>().filter(|(body, _)| body.len() > 1) {
        let _infallible = write!(
            line,
            " (as RTU from unit {}: CRC 0x{:04X} where 0x{:04X} would be right)",
            body[0],
            u16::from_le_bytes(*crc),
            crc16(body)
        );
    }
    Some(line)
}

fn ascii_words(direction: Direction, bytes: &[u8], asked: Option<&Request>) -> Vec<String> {
    let mut deframer = ascii::Deframer::default();
    deframer.push(bytes);
    let mut lines = Vec::new();
    while let Some(heard) = deframer.poll_frame() {
        lines.push(match heard {
            ascii::Heard::Frame(frame) => frame_words(direction, frame, asked),
            ascii::Heard::Garbled(body) => {
                format!("{} with a wrong LRC (0x{:02X} would be right)", hex(body), lrc(body))
            }
        });
    }
    deframer.give_up();
    let noise = usize::try_from(deframer.noise()).unwrap_or(usize::MAX);
    if noise > 0 {
        lines.push(format!("{} outside any frame", plural(noise, "character")));
    }
    lines
}

fn frame_words(direction: Direction, frame: Frame<'_>, asked: Option<&Request>) -> String {
    let UnitId(unit) = frame.unit;
    let words = match direction {
        Direction::Sent => sent_words(frame.pdu),
        Direction::Received => received_words(frame.pdu, asked),
    };
    format!("unit {unit}: {words}")
}

fn sent_words(pdu: &[u8]) -> String {
    match pdu::decode_request(pdu) {
        Ok(request) => request_words(&request),
        Err(error) => format!("{}; {error}", raw_words(pdu)),
    }
}

fn received_words(pdu: &[u8], asked: Option<&Request>) -> String {
    let function = pdu.first().copied().unwrap_or(0);
    if let (code, [_, exception]) = (function & !EXCEPTION_BIT, pdu)
        && function & EXCEPTION_BIT != 0
    {
        let exception = Exception::from_code(*exception);
        return format!("exception {exception} to {}", function_words(code));
    }
    if let Some(asked) = asked {
        if let Ok(reply) = pdu::decode_reply(asked, pdu) {
            return reply_words(asked, &reply);
        }
        let mut own = Vec::new();
        if pdu::encode_request(asked, &mut own).is_ok() && own == pdu {
            return format!("echo of {}", request_words(asked));
        }
    }
    match (function, pdu::decode_request(pdu)) {
        // Small writes are confirmed in their own words.
        (5 | 6 | 22, Ok(write)) => request_words(&write),
        (_, Ok(request)) if pdu::reply_length(pdu) != pdu::Length::Bytes(pdu.len()) => {
            format!("request of another client: {}", request_words(&request))
        }
        (_, Ok(_) | Err(_)) => raw_words(pdu),
    }
}

fn reply_words(asked: &Request, reply: &Reply) -> String {
    let function = function_words(asked.function());
    match (reply, asked) {
        (Reply::Read(values), Request::Read(read) | Request::ReadWrite { read, .. }) => {
            let values = match values {
                ReadReply::Bits(bits) => bit_words(bits),
                ReadReply::Registers(words) => hex_words(words),
            };
            format!("{function} {} = {values}", range(*read))
        }
        (Reply::Written, _) => format!("done: {}", request_words(asked)),
        (Reply::ServerId(data), _) => format!("{function}: {}", text(data)),
        (Reply::DeviceId(id), _) => {
            let mut out = format!("{function}: conformity 0x{:02X}", id.conformity);
            for (object, data) in &id.objects {
                let _infallible = write!(out, ", object {object} {}", text(data));
            }
            if let Some(next) = id.next {
                let _infallible = write!(out, ", more from object {next}");
            }
            out
        }
        (
            Reply::Read(_),
            Request::Write(_) | Request::ReportServerId | Request::DeviceId { .. },
        ) => function,
    }
}

fn write_words(write: &WriteRequest, out: &mut String) {
    let holding = |offset| Address { table: Table::HoldingRegister, offset };
    let coil = |offset| Address { table: Table::Coil, offset };
    let _infallible = match write {
        WriteRequest::Coil { offset, on } => {
            write!(out, " {} = {}", coil(*offset), if *on { "on" } else { "off" })
        }
        WriteRequest::Register { offset, word } => {
            write!(out, " {} = {word} (0x{word:04X})", holding(*offset))
        }
        WriteRequest::Coils { start, states } => {
            let count = u16::try_from(states.len()).unwrap_or(u16::MAX);
            let read = ReadRequest { table: Table::Coil, start: *start, count };
            write!(out, " {} = {}", range(read), bit_words(states))
        }
        WriteRequest::Registers { start, words } => {
            write!(out, " {} = {}", range(written(*start, words.len())), hex_words(words))
        }
        WriteRequest::MaskRegister { offset, and, or } => {
            write!(out, " {} and 0x{and:04X} or 0x{or:04X}", holding(*offset))
        }
    };
}

fn written(start: u16, count: usize) -> ReadRequest {
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    ReadRequest { table: Table::HoldingRegister, start, count }
}

/// `hr:0 (4x0001) to hr:9 (4x0010)`.
fn range(read: ReadRequest) -> String {
    let first = Address { table: read.table, offset: read.start };
    if read.count == 1 {
        return first.to_string();
    }
    let offset = read.start.saturating_add(read.count.saturating_sub(1));
    format!("{first} to {}", Address { table: read.table, offset })
}

fn items(read: ReadRequest) -> String {
    let item = match read.table {
        Table::Coil => "coil",
        Table::DiscreteInput => "discrete input",
        Table::InputRegister | Table::HoldingRegister => "register",
    };
    plural(usize::from(read.count), item)
}

/// What is known without the request: the function and the bytes.
fn raw_words(pdu: &[u8]) -> String {
    let (function, data) = pdu.split_first().map_or((0, pdu), |(code, data)| (*code, data));
    format!(
        "{}: {}",
        function_words(function),
        if data.is_empty() { "no data".into() } else { hex(data) }
    )
}

/// Maker's text if it is text, else the bytes.
fn text(data: &[u8]) -> String {
    match core::str::from_utf8(data) {
        Ok(text) if text.chars().all(|c| !c.is_control()) => format!("`{text}`"),
        Ok(_) | Err(_) => hex(data),
    }
}

fn hex_words(words: &[u16]) -> String {
    words.iter().map(|word| format!("{word:04X}")).collect::<Vec<_>>().join(" ")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
}

fn bit_words(bits: &[bool]) -> String {
    bits.iter().map(|on| if *on { '1' } else { '0' }).collect()
}

fn plural(count: usize, item: &str) -> String {
    if count == 1 { format!("1 {item}") } else { format!("{count} {item}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(framing: Framing, direction: Direction, bytes: &[u8], lines: &[&str]) {
        let asked = ReadRequest { table: Table::HoldingRegister, start: 0x6B, count: 3 };
        let asked = Request::Read(asked);
        assert_eq!(describe(framing, direction, bytes, Some(&asked)), lines);
    }

    #[test]
    fn a_request_says_whom_it_asks_for_what() {
        use Direction::Sent;
        check(
            Framing::Rtu,
            Sent,
            b"\x11\x03\x00\x6B\x00\x03\x76\x87",
            &[
                "unit 17: read holding registers (FC 3) hr:107 (4x0108) to hr:109 (4x0110), 3 registers",
            ],
        );
        check(
            Framing::Tcp,
            Sent,
            b"\x00\x11\x00\x00\x00\x06\x01\x05\x00\xAC\xFF\x00",
            &["id 17, unit 1: write single coil (FC 5) co:172 (0x0173) = on"],
        );
        check(
            Framing::Tcp,
            Sent,
            b"\x00\x12\x00\x00\x00\x08\x01\x16\x00\x04\x00\xF2\x00\x25",
            &["id 18, unit 1: mask write register (FC 22) hr:4 (4x0005) and 0x00F2 or 0x0025"],
        );
        check(
            Framing::Ascii,
            Sent,
            b":F70313890001690D\r\n:1103006B00037E\r\n",
            &[
                "F7 03 13 89 00 01 69 with a wrong LRC (0x00 would be right)",
                "unit 17: read holding registers (FC 3) hr:107 (4x0108) to hr:109 (4x0110), 3 registers",
            ],
        );
    }

    #[test]
    fn a_reply_is_read_with_the_request_before_it() {
        use Direction::Received;
        check(
            Framing::Rtu,
            Received,
            b"\x11\x03\x06\xAE\x41\x56\x52\x43\x40\x49\xAD",
            &[
                "unit 17: read holding registers (FC 3) hr:107 (4x0108) to hr:109 (4x0110) = AE41 5652 4340",
            ],
        );
        check(
            Framing::Tcp,
            Received,
            b"\x00\x11\x00\x00\x00\x03\x01\x83\x02\x55\xAA",
            &[
                "id 17, unit 1: exception 2 (illegal data address) to read holding registers (FC 3)",
                "2 bytes outside any frame",
            ],
        );
    }

    #[test]
    fn an_echo_a_stranger_and_noise_are_told_apart() {
        let mut bytes = b"\x11\x03\x00\x6B\x00\x03\x76\x87\xFF".to_vec();
        bytes.extend(b"\x11\x03\x06\xAE\x41\x56\x52\x43\x40\x49\xAD");
        bytes.extend(b"\x11\x03\x06\xAE\x41\x56\x52\x43\x41\x49\xAD");
        check(
            Framing::Rtu,
            Direction::Received,
            &bytes,
            &[
                "unit 17: echo of read holding registers (FC 3) hr:107 (4x0108) to hr:109 (4x0110), 3 registers",
                "1 byte outside any frame",
                "unit 17: read holding registers (FC 3) hr:107 (4x0108) to hr:109 (4x0110) = AE41 5652 4340",
                "11 bytes outside any frame (as RTU from unit 17: CRC 0xAD49 where 0x6D88 would be right)",
            ],
        );
    }
}
