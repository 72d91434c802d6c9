//! Modbus TCP: the MBAP header, and a way back to it when bytes came that belong to none.
//!
//! Cheap gateways append a CRC or padding to their frames. A header is therefore taken for one only
//! if it is plausible, and one with an id that nobody waits for only if the rest of its frame is in
//! order too.
//!
//! # Invariants
//!
//! - What is held after [`Deframer::poll_frame`] has returned `None` is shorter than one frame.
//!
//! Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, section 3.1.3.

use super::Frame;
use crate::pdu::{self, Length};
use crate::register::UnitId;

/// Most bytes of a frame: a header and a PDU.
pub const ADU_MAX: usize = HEADER + pdu::PDU_MAX;
const HEADER: usize = 7;
/// The length field counts the unit id and the PDU.
const LENGTH_MIN: usize = 2;
const LENGTH_MAX: usize = 1 + pdu::PDU_MAX;
/// Bytes before those that the length field counts.
const BEFORE_LENGTH: usize = 6;

/// Finds frames in a stream.
#[derive(Debug, Default)]
pub struct Deframer {
    buffer: Vec<u8>,
    /// What lies before has been handed out or skipped.
    at: usize,
    /// Bytes skipped since the last frame.
    garbage: usize,
    stray: u64,
    resyncs: u64,
}

/// What stands at one place of the stream.
enum Head {
    /// A header cannot start here.
    No,
    /// A header may start here; more bytes will tell.
    Partial,
    /// A plausible header of a frame of so many bytes, of which not all need be there.
    Header { id: u16, total: usize },
}

enum Step {
    Frame { total: usize },
    Skip(usize),
    Wait,
}

impl Deframer {
    /// Bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.at == self.buffer.len() {
            self.buffer.clear();
        } else if self.at > 0 {
            self.buffer.drain(..self.at);
        }
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame. `awaited` knows the ids that somebody waits for; `answers` is asked about a
    /// whole frame of such an id behind a header that nobody waits for, and says whether it is
    /// what is waited for. A server lets both say yes.
    pub fn poll_frame(
        &mut self,
        awaited: impl Fn(u16) -> bool,
        answers: impl Fn(Frame<'_>) -> bool,
    ) -> Option<Frame<'_>> {
        loop {
            match self.step(&awaited, &answers) {
                Step::Wait => return None,
                Step::Skip(count) => {
                    self.at += count;
                    self.garbage += count;
                    self.stray += u64::try_from(count).unwrap_or(u64::MAX);
                }
                Step::Frame { total } => {
                    self.resyncs += u64::from(self.garbage > 0);
                    self.garbage = 0;
                    let from = self.at;
                    self.at += total;
                    return frame(self.buffer.get(from..self.at)?);
                }
            }
        }
    }

    /// Forgets everything: another connection begins.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.at = 0;
        self.garbage = 0;
    }

    /// Bytes that are kept.
    pub fn held(&self) -> usize {
        self.buffer.len() - self.at
    }

    /// Bytes skipped since the last frame.
    pub fn garbage(&self) -> usize {
        self.garbage
    }

    /// Bytes that belonged to no frame, ever.
    pub fn stray(&self) -> u64 {
        self.stray
    }

    /// How often a frame was found again after such bytes.
    pub fn resyncs(&self) -> u64 {
        self.resyncs
    }

    fn step(&self, awaited: &impl Fn(u16) -> bool, answers: &impl Fn(Frame<'_>) -> bool) -> Step {
        let left = self.buffer.get(self.at..).unwrap_or_default();
        let (id, total) = match head(left) {
            Head::No => return Step::Skip(1),
            Head::Partial => return Step::Wait,
            Head::Header { id, total } => (id, total),
        };
        let whole = left.get(..total).and_then(frame);
        if awaited(id) {
            return if whole.is_some() { Step::Frame { total } } else { Step::Wait };
        }
        let answer_behind = (1..left.len()).find(|from| {
            let rest = left.get(*from..).unwrap_or_default();
            match head(rest) {
                Head::Header { id, total } if awaited(id) => {
                    rest.get(..total).and_then(frame).is_some_and(answers)
                }
                Head::Header { .. } | Head::No | Head::Partial => false,
            }
        });
        match (answer_behind, whole) {
            (Some(from), Some(_)) if from >= total => Step::Frame { total },
            (Some(from), _) => Step::Skip(from),
            (None, Some(frame))
                if pdu::reply_length(frame.pdu) == Length::Bytes(frame.pdu.len()) =>
            {
                Step::Frame { total }
            }
            (None, Some(_)) => Step::Skip(1),
            (None, None) => Step::Wait,
        }
    }
}

/// The frame with which `bytes` begin, and its size; nothing unless it is whole.
pub fn first_frame(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    match head(bytes) {
        Head::Header { total, .. } => {
            bytes.get(..total).and_then(frame).map(|frame| (frame, total))
        }
        Head::Partial | Head::No => None,
    }
}

/// Starts a frame whose length [`close`] fills in.
pub(super) fn open(id: u16, unit: UnitId, out: &mut Vec<u8>) {
    let [high, low] = id.to_be_bytes();
    out.extend([high, low, 0, 0, 0, 0, unit.0]);
}

/// Ends the frame that starts at `from`.
pub(super) fn close(from: usize, out: &mut [u8]) {
    let length = u16::try_from(out.len() - from - BEFORE_LENGTH).unwrap_or(u16::MAX);
    if let Some(field) = out.get_mut(from + 4..from + 6) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

fn head(bytes: &[u8]) -> Head {
    if bytes.iter().skip(2).take(2).any(|protocol| *protocol != 0) {
        return Head::No;
    }
    let &[id_high, id_low, _, _, high, low, ..] = bytes else {
        return if bytes.get(4).is_some_and(|high| *high != 0) { Head::No } else { Head::Partial };
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if !(LENGTH_MIN..=LENGTH_MAX).contains(&length) {
        return Head::No;
    }
    Head::Header { id: u16::from_be_bytes([id_high, id_low]), total: BEFORE_LENGTH + length }
}

/// A whole frame, its header already seen to be plausible.
fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let [id_high, id_low, _, _, _, _, unit, pdu @ ..] = bytes else { return None };
    Some(Frame { id: u16::from_be_bytes([*id_high, *id_low]), unit: UnitId(*unit), pdu })
}
