//! What a tap heard, put together to frames: a read of the line may bring part of an answer, or
//! several.

use std::collections::BTreeMap;

use fieldgate_modbus::crc::crc16;
use fieldgate_modbus::describe::{Direction, describe};
use fieldgate_modbus::frame::Framing;
use fieldgate_modbus::pdu::{EXCEPTION_BIT, decode_request};
use fieldgate_modbus::request::Request;

use super::coap_words as coap;
use crate::socket::live::{FramingName, TracedFrame};

/// Longest that an answer can be that is put together (ASCII: 513 characters); more is shown as it
/// came.
const PENDING_MAX: usize = 600;
/// Length of the header of Modbus TCP, the unit id included.
const HEADER: usize = 7;
/// Requests whose time is remembered; more are never under way.
const OPEN_MAX: usize = 256;
/// How far the clock of gaps may be from the clock of the day before it is set anew: some frames
/// were not seen.
const DRIFT_MAX_US: i64 = 20_000;

/// A whole frame, or what came instead of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) bus: String,
    /// Whom from or to, where one socket serves all.
    pub(super) peer: Option<String>,
    pub(super) framing: FramingName,
    /// When its last byte was seen; RFC 3339, UTC.
    pub(super) at: String,
    pub(super) utc_ms: i64,
    /// Microseconds beyond `utc_ms`, as far as the gaps between frames tell.
    pub(super) utc_us: u32,
    pub(super) is_sent: bool,
    pub(super) unit: Option<u8>,
    pub(super) words: String,
    pub(super) is_fault: bool,
    /// Of an answer: since its request was sent.
    pub(super) since_request_us: Option<u64>,
    pub(super) bytes: Vec<u8>,
}

/// What one bus said so far.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    /// Microseconds by the gaps, and the time of day at 0.
    clock_us: u64,
    base_us: Option<i64>,
    /// Received and not whole yet.
    pending: Vec<u8>,
    last: Option<TracedFrame>,
    /// The request that a serial line is busy with.
    request: Option<(u64, Vec<u8>)>,
    /// Requests of Modbus TCP that are under way, by transaction id.
    requests_by_id: BTreeMap<u16, (u64, Vec<u8>)>,
    /// When requests of `CoAP` were sent, by peer and token.
    datagrams: BTreeMap<(Option<String>, Vec<u8>), u64>,
}

impl Transcript {
    /// Takes what was seen next; gives the frames that are whole with it.
    pub(super) fn take(&mut self, frame: &TracedFrame) -> Vec<Seen> {
        self.tick(frame);
        let bytes = unhex(&frame.hex);
        if frame.framing == FramingName::Coap {
            return vec![self.datagram(frame, bytes)];
        }
        if frame.is_sent {
            let mut seen = Vec::from_iter(self.finish());
            self.remember(frame.framing, &bytes);
            seen.push(self.seen(frame, bytes, None));
            self.last = Some(frame.clone());
            return seen;
        }
        self.last = Some(frame.clone());
        self.pending.extend(bytes);
        let mut seen = Vec::new();
        while let Some(length) = self.whole(frame.framing) {
            let bytes: Vec<u8> = self.pending.drain(..length).collect();
            let request = self.answered(frame.framing, &bytes);
            seen.push(self.seen(frame, bytes, request));
        }
        if self.pending.len() > PENDING_MAX {
            seen.extend(self.finish());
        }
        seen
    }

    /// A datagram is whole as it is; its answer is told by its token, or else by its message id.
    fn datagram(&mut self, frame: &TracedFrame, bytes: Vec<u8>) -> Seen {
        let told = coap::describe(&bytes);
        let mut seen = self.seen(frame, bytes, None);
        let key = (frame.peer.clone(), told.key);
        if frame.is_sent && told.is_request {
            if self.datagrams.len() >= OPEN_MAX {
                self.datagrams.clear();
            }
            self.datagrams.insert(key, self.clock_us);
        } else if !frame.is_sent && told.is_response {
            seen.since_request_us =
                self.datagrams.remove(&key).map(|sent| self.clock_us.saturating_sub(sent));
        }
        seen.words = told.words;
        seen.is_fault = told.is_fault;
        seen
    }

    /// What came and never became a frame.
    pub(super) fn finish(&mut self) -> Option<Seen> {
        if self.pending.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.pending);
        let last = self.last.clone()?;
        let mut seen = self.seen(&TracedFrame { is_sent: false, ..last }, bytes, None);
        seen.is_fault = true;
        seen.words = format!("{} bytes that are no frame", seen.bytes.len());
        Some(seen)
    }

    /// Lets the clock of the gaps go on, or sets it anew after what was missed.
    fn tick(&mut self, frame: &TracedFrame) {
        let now = frame.utc_ms * 1_000;
        let next = self.clock_us + frame.gap_us;
        let of_day = |base: i64| base + i64::try_from(next).unwrap_or(i64::MAX / 2);
        match self.base_us {
            Some(base) if (of_day(base) - now).abs() <= DRIFT_MAX_US => self.clock_us = next,
            Some(_) | None => {
                self.clock_us = 0;
                self.base_us = Some(now);
                self.request = None;
                self.requests_by_id.clear();
            }
        }
    }

    fn remember(&mut self, framing: FramingName, bytes: &[u8]) {
        let request = (self.clock_us, bytes.to_vec());
        match (framing, bytes) {
            (FramingName::Tcp, [high, low, ..]) => {
                if self.requests_by_id.len() >= OPEN_MAX {
                    self.requests_by_id.clear();
                }
                self.requests_by_id.insert(u16::from_be_bytes([*high, *low]), request);
            }
            (FramingName::Tcp | FramingName::Rtu | FramingName::Ascii | FramingName::Coap, _) => {
                self.request = Some(request);
            }
        }
    }

    /// The request that these bytes answer, with its time.
    fn answered(&mut self, framing: FramingName, bytes: &[u8]) -> Option<(u64, Vec<u8>)> {
        match (framing, bytes) {
            (FramingName::Tcp, [high, low, ..]) => {
                self.requests_by_id.remove(&u16::from_be_bytes([*high, *low]))
            }
            (FramingName::Tcp | FramingName::Rtu | FramingName::Ascii | FramingName::Coap, _) => {
                self.request.clone()
            }
        }
    }

    /// Length of the whole frame at the start of what is pending.
    fn whole(&self, framing: FramingName) -> Option<usize> {
        let pending = &self.pending;
        match framing {
            FramingName::Tcp => {
                let [_, _, _, _, high, low, ..] = pending.as_slice() else { return None };
                let length = 6 + usize::from(u16::from_be_bytes([*high, *low]));
                (HEADER..=pending.len()).contains(&length).then_some(length)
            }
            FramingName::Rtu => self.echo().or_else(|| {
                // From the shortest on: after it the next may have begun.
                (4..=pending.len()).find(|length| is_whole_rtu(&pending[..*length]))
            }),
            FramingName::Ascii => pending.iter().position(|byte| *byte == b'\n').map(|end| end + 1),
            FramingName::Coap => (!pending.is_empty()).then_some(pending.len()),
        }
    }

    /// Length of the request that the transceiver has heard itself say, if more follows it; alone it
    /// may be the answer to a write, which is the same.
    fn echo(&self) -> Option<usize> {
        let (_, request) = self.request.as_ref()?;
        let is_echo = self.pending.len() > request.len() && self.pending.starts_with(request);
        is_echo.then_some(request.len())
    }

    fn seen(&self, frame: &TracedFrame, bytes: Vec<u8>, request: Option<(u64, Vec<u8>)>) -> Seen {
        let base = self.base_us.unwrap_or_default();
        let now = base + i64::try_from(self.clock_us).unwrap_or(i64::MAX / 2);
        let asked = request.as_ref().map(|(_, asked)| asked.as_slice());
        let Described { words, is_fault } =
            describe_frame(frame.framing, frame.is_sent, &bytes, asked);
        Seen {
            bus: frame.bus.clone(),
            peer: frame.peer.clone(),
            framing: frame.framing,
            at: frame.at.clone(),
            utc_ms: now.div_euclid(1_000),
            utc_us: u32::try_from(now.rem_euclid(1_000)).unwrap_or(0),
            is_sent: frame.is_sent,
            unit: unit(frame.framing, &bytes),
            words,
            is_fault,
            since_request_us: request.map(|(sent, _)| self.clock_us.saturating_sub(sent)),
            bytes,
        }
    }
}

fn is_whole_rtu(bytes: &[u8]) -> bool {
    let [body @ .., low, high] = bytes else { return false };
    crc16(body) == u16::from_le_bytes([*low, *high])
}

fn unit(framing: FramingName, bytes: &[u8]) -> Option<u8> {
    match framing {
        FramingName::Tcp => bytes.get(HEADER - 1).copied(),
        FramingName::Rtu => bytes.first().copied(),
        FramingName::Ascii => {
            let digits = std::str::from_utf8(bytes.get(1..3)?).ok()?;
            u8::from_str_radix(digits, 16).ok()
        }
        FramingName::Coap => None,
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = hex.as_bytes().chunks_exact(2);
    pairs.filter_map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

struct Described {
    words: String,
    is_fault: bool,
}

/// A frame in words; an answer with the addresses of its request.
fn describe_frame(
    name: FramingName,
    is_sent: bool,
    bytes: &[u8],
    asked: Option<&[u8]>,
) -> Described {
    let (framing, at) = match name {
        FramingName::Tcp => (Framing::Tcp, HEADER),
        FramingName::Rtu => (Framing::Rtu, 1),
        FramingName::Ascii => (Framing::Ascii, 1),
        FramingName::Coap => {
            return Described { words: coap::describe(bytes).words, is_fault: false };
        }
    };
    let direction = if is_sent { Direction::Sent } else { Direction::Received };
    let asked = asked.and_then(|asked| request(name, asked));
    let words = describe(framing, direction, bytes, asked.as_ref());
    let plain = in_bytes(name, bytes);
    let is_exception = plain.get(at).is_some_and(|function| function & EXCEPTION_BIT != 0);
    Described { words: words.join("; "), is_fault: !is_sent && is_exception }
}

/// The request that a frame carries.
fn request(framing: FramingName, bytes: &[u8]) -> Option<Request> {
    let plain = in_bytes(framing, bytes);
    let pdu = match framing {
        FramingName::Tcp => plain.get(HEADER..)?,
        FramingName::Rtu => plain.get(1..plain.len().checked_sub(2)?)?,
        FramingName::Ascii => plain.get(1..plain.len().checked_sub(1)?)?,
        FramingName::Coap => return None,
    };
    decode_request(pdu).ok()
}

/// The bytes of a frame: of ASCII those that its digits stand for.
fn in_bytes(framing: FramingName, bytes: &[u8]) -> Vec<u8> {
    match framing {
        FramingName::Tcp | FramingName::Rtu | FramingName::Coap => bytes.to_vec(),
        FramingName::Ascii => {
            let digits = bytes.iter().filter(|byte| byte.is_ascii_hexdigit());
            unhex(&digits.map(|byte| char::from(*byte)).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(framing: FramingName, is_sent: bool, gap_us: u64, hex: &str) -> TracedFrame {
        TracedFrame {
            peer: None,
            bus: "line".to_owned(),
            framing,
            is_sent,
            at: String::new(),
            utc_ms: 1_000,
            gap_us,
            hex: hex.to_owned(),
        }
    }

    #[test]
    fn an_answer_in_two_pieces_is_one_frame_with_its_time_since_the_request() {
        let mut transcript = Transcript::default();
        let sent = transcript.take(&frame(FramingName::Rtu, true, 0, "010300000001840A"));
        assert_eq!((sent.len(), sent[0].unit, sent[0].is_sent), (1, Some(1), true));
        assert!(sent[0].words.contains("read holding registers (FC 3) hr:0 (4x0001)"), "{sent:?}");
        assert!(transcript.take(&frame(FramingName::Rtu, false, 700, "010302")).is_empty());
        let seen = transcript.take(&frame(FramingName::Rtu, false, 300, "0007F986"));
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(seen[0].since_request_us, Some(1_000));
        assert_eq!(seen[0].bytes, [1, 3, 2, 0, 7, 0xF9, 0x86]);
    }

    #[test]
    fn an_echo_is_told_from_the_answer_after_it() {
        let mut transcript = Transcript::default();
        transcript.take(&frame(FramingName::Rtu, true, 0, "010300000001840A"));
        let heard = frame(FramingName::Rtu, false, 900, "010300000001840A0103020007F986");
        let seen = transcript.take(&heard);
        let lengths: Vec<usize> = seen.iter().map(|seen| seen.bytes.len()).collect();
        assert_eq!(lengths, [8, 7]);
    }

    #[test]
    fn what_never_becomes_a_frame_is_shown_when_the_next_request_goes_out() {
        let mut transcript = Transcript::default();
        transcript.take(&frame(FramingName::Rtu, true, 0, "010300000001840A"));
        assert!(transcript.take(&frame(FramingName::Rtu, false, 900, "0103FF")).is_empty());
        let seen = transcript.take(&frame(FramingName::Rtu, true, 900, "010300000001840A"));
        assert_eq!(seen[0].words, "3 bytes that are no frame");
        assert!(seen[0].is_fault && !seen[0].is_sent && seen[1].is_sent);
    }

    #[test]
    fn answers_of_tcp_find_their_requests_in_any_order() {
        let mut transcript = Transcript::default();
        transcript.take(&frame(FramingName::Tcp, true, 0, "000100000006010300000001"));
        transcript.take(&frame(FramingName::Tcp, true, 100, "000200000006010300000001"));
        let both = "0002000000050103020007".to_owned() + "0001000000050103020008";
        let seen = transcript.take(&frame(FramingName::Tcp, false, 400, &both));
        let times: Vec<Option<u64>> = seen.iter().map(|seen| seen.since_request_us).collect();
        assert_eq!(times, [Some(400), Some(500)]);
    }

    #[test]
    fn an_ascii_frame_ends_with_its_line() {
        let mut transcript = Transcript::default();
        let line = ":010300000001FB\r\n";
        let hex = crate::socket::value::hex(line.as_bytes());
        let (first, rest) = hex.split_at(10);
        assert!(transcript.take(&frame(FramingName::Ascii, false, 0, first)).is_empty());
        let seen = transcript.take(&frame(FramingName::Ascii, false, 10, rest));
        assert_eq!((seen.len(), seen[0].unit), (1, Some(1)));
    }
}
