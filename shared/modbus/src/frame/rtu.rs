//! RTU: frames told apart by their own length and CRC, since the silence between them does not
//! survive USB adapters and TCP converters.
//!
//! # Invariants
//!
//! - At most [`WINDOW`] bytes are kept while an answer is awaited.
//! - An awaited answer is found wherever in the window it stands: what seems to be another frame
//!   before it takes nothing of it away.
//!
//! Source: MODBUS over Serial Line Specification and Implementation Guide V1.02, section 2.5.1.

use super::Frame;
use crate::crc::crc16;
use crate::pdu::{self, Length};
use crate::register::UnitId;

/// Most bytes of a frame: unit id, PDU, CRC.
pub const ADU_MAX: usize = 1 + pdu::PDU_MAX + CRC;
/// Room for an answer behind its echo or as much noise.
pub const WINDOW: usize = 2 * ADU_MAX;
const CRC: usize = 2;

/// What is listened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A server hears requests.
    Requests,
    /// A client hears replies, its own echo, and other clients.
    Both,
}

/// How long to wait for the rest of what may be a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Nothing but the awaited answer is handed out as long as the window has room.
    Answer,
    /// Whatever is whole is handed out; a piece of a frame stays.
    Whole,
    /// No more will come: pieces are noise.
    None,
}

/// The answer that is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited {
    /// From whom.
    pub unit: UnitId,
    /// To which function.
    pub function: u8,
}

/// Finds frames in a stream.
#[derive(Debug)]
pub struct Deframer {
    side: Side,
    buffer: Vec<u8>,
    at: usize,
    /// No awaited answer starts before this.
    searched: usize,
    noise: u64,
    garbled: bool,
}

enum Probe {
    /// A frame of so many bytes with a right CRC.
    Whole(usize),
    /// It may become one.
    Partial,
    No,
}

impl Deframer {
    /// With nothing heard yet.
    pub fn new(side: Side) -> Self {
        Self { side, buffer: Vec::new(), at: 0, searched: 0, noise: 0, garbled: false }
    }

    /// Bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        self.searched = self.searched.saturating_sub(self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame. `answers` is asked about frames of `awaited`'s unit and function.
    pub fn poll_frame(
        &mut self,
        patience: Patience,
        awaited: Option<Awaited>,
        answers: impl Fn(&[u8]) -> bool,
    ) -> Option<Frame<'_>> {
        let answer = awaited.and_then(|awaited| self.search(awaited, answers));
        loop {
            let left = self.buffer.get(self.at..)?;
            let whole = match answer {
                Some((from, total)) if from == self.at => Some(total),
                // What stands before the answer takes nothing of it away.
                Some((from, _)) => match probe(self.side, left) {
                    Probe::Whole(total) if total <= from - self.at => Some(total),
                    Probe::Whole(_) | Probe::Partial | Probe::No => None,
                },
                None if left.is_empty() => return None,
                None if patience == Patience::Answer && left.len() <= WINDOW => return None,
                None => match probe(self.side, left) {
                    Probe::Whole(total) => Some(total),
                    Probe::Partial if patience == Patience::Whole => {
                        self.whole_behind()?;
                        None
                    }
                    Probe::Partial | Probe::No => None,
                },
            };
            let from = self.at;
            match whole {
                Some(total) => {
                    self.at += total;
                    self.searched = self.searched.max(self.at);
                    return frame(self.buffer.get(from..self.at)?);
                }
                None => self.skip(awaited),
            }
        }
    }

    /// Bytes that are kept.
    pub fn held(&self) -> usize {
        self.buffer.len() - self.at
    }

    /// Bytes that belonged to no frame, ever.
    pub fn noise(&self) -> u64 {
        self.noise
    }

    /// Whether something that began like the awaited answer had no right CRC. Asking clears it.
    pub fn take_garbled(&mut self) -> bool {
        core::mem::take(&mut self.garbled)
    }

    /// Another answer is awaited: what was searched for the last one is searched again.
    pub fn expect(&mut self) {
        self.searched = self.at;
        self.garbled = false;
    }

    /// Where the awaited answer starts, and its size.
    fn search(
        &mut self,
        awaited: Awaited,
        answers: impl Fn(&[u8]) -> bool,
    ) -> Option<(usize, usize)> {
        let from = self.searched.max(self.at);
        let mut undecided = None;
        for at in from..self.buffer.len() {
            let rest = self.buffer.get(at..)?;
            if !begins_like(rest, awaited) {
                if rest.len() == 1 && rest.first() == Some(&awaited.unit.0) {
                    undecided = undecided.or(Some(at));
                }
                continue;
            }
            match probe_length(rest, pdu::reply_length(rest.get(1..)?)) {
                Probe::Whole(total) => {
                    if answers(rest.get(1..total - CRC)?) {
                        return Some((at, total));
                    }
                }
                Probe::Partial => undecided = undecided.or(Some(at)),
                Probe::No => {}
            }
        }
        self.searched = undecided.unwrap_or(self.buffer.len());
        None
    }

    /// A whole frame behind a piece of one.
    fn whole_behind(&self) -> Option<usize> {
        (self.at + 1..self.buffer.len()).find(|from| {
            let rest = self.buffer.get(*from..).unwrap_or_default();
            matches!(probe(self.side, rest), Probe::Whole(_))
        })
    }

    fn skip(&mut self, awaited: Option<Awaited>) {
        let left = self.buffer.get(self.at..).unwrap_or_default();
        self.garbled |= awaited.is_some_and(|awaited| begins_like(left, awaited));
        self.at += 1;
        self.noise += 1;
    }
}

/// The frame with which `bytes` begin, and its size; nothing unless it is whole and its CRC right.
/// What could be either is taken for the side that is named.
pub fn first_frame(side: Side, bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    match probe(side, bytes) {
        Probe::Whole(total) => bytes.get(..total).and_then(frame).map(|frame| (frame, total)),
        Probe::Partial | Probe::No => None,
    }
}

/// Ends the frame that starts at `from`.
pub(super) fn close(from: usize, out: &mut Vec<u8>) {
    let crc = crc16(out.get(from..).unwrap_or_default());
    out.extend(crc.to_le_bytes());
}

fn begins_like(bytes: &[u8], awaited: Awaited) -> bool {
    matches!(bytes, [unit, function, ..]
        if *unit == awaited.unit.0 && function & !pdu::EXCEPTION_BIT == awaited.function)
}

fn probe(side: Side, bytes: &[u8]) -> Probe {
    let Some(start) = bytes.get(1..) else { return Probe::No };
    let request = || probe_length(bytes, pdu::request_length(start));
    if side == Side::Requests {
        return request();
    }
    match probe_length(bytes, pdu::reply_length(start)) {
        Probe::Whole(total) => Probe::Whole(total),
        Probe::No => request(),
        Probe::Partial => match request() {
            Probe::Whole(total) => Probe::Whole(total),
            Probe::Partial | Probe::No => Probe::Partial,
        },
    }
}

fn probe_length(bytes: &[u8], pdu: Length) -> Probe {
    let total = match pdu {
        Length::Bytes(length) => 1 + length + CRC,
        Length::More => return Probe::Partial,
        Length::Impossible => return Probe::No,
    };
    match bytes.get(..total).and_then(<[u8]>::split_last_chunk::<CRC>) {
        Some((body, crc)) if crc16(body) == u16::from_le_bytes(*crc) => Probe::Whole(total),
        Some(_) => Probe::No,
        None => Probe::Partial,
    }
}

fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let (body, _) = bytes.split_last_chunk::<CRC>()?;
    let (unit, pdu) = body.split_first()?;
    Some(Frame { id: 0, unit: UnitId(*unit), pdu })
}
