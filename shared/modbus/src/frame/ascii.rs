//! ASCII: hexadecimal digits and an LRC between `:` and CR LF.
//!
//! # Invariants
//!
//! - At most one frame's bytes are held; every `:` begins anew.
//!
//! Source: MODBUS over Serial Line Specification and Implementation Guide V1.02, section 2.5.2.

use super::Frame;
use crate::crc::lrc;
use crate::pdu;
use crate::register::UnitId;

/// Most characters of a frame.
pub const ADU_MAX: usize = 1 + 2 * BODY_MAX + 2;
/// Most bytes that its digits stand for: unit id, PDU, LRC.
const BODY_MAX: usize = 1 + pdu::PDU_MAX + 1;

/// What the digits between `:` and CR LF turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard<'a> {
    /// A frame with a right LRC.
    Frame(Frame<'a>),
    /// All of a frame but a right LRC; its bytes without the LRC.
    Garbled(&'a [u8]),
}

/// Finds frames in a stream.
#[derive(Debug, Default)]
pub struct Deframer {
    incoming: Vec<u8>,
    at: usize,
    /// What the digits since `:` stand for.
    body: Vec<u8>,
    state: State,
    noise: u64,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    /// Waiting for `:`.
    #[default]
    Outside,
    /// A pair of digits may begin.
    Pair,
    /// The second digit of a pair is due.
    Half(u8),
    /// CR has come.
    Ending,
}

impl Deframer {
    /// Bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.incoming.drain(..self.at);
        self.at = 0;
        self.incoming.extend_from_slice(bytes);
    }

    /// The next frame, right or garbled.
    pub fn poll_frame(&mut self) -> Option<Heard<'_>> {
        loop {
            let byte = *self.incoming.get(self.at)?;
            self.at += 1;
            if self.ends_with(byte) {
                break;
            }
        }
        let (sum, bytes) = self.body.split_last()?;
        let (unit, pdu) = bytes.split_first()?;
        if lrc(bytes) != *sum {
            return Some(Heard::Garbled(bytes));
        }
        Some(Heard::Frame(Frame { id: 0, unit: UnitId(*unit), pdu }))
    }

    /// The bytes of a frame that has begun and not ended.
    pub fn begun(&self) -> &[u8] {
        match self.state {
            State::Outside => &[],
            State::Pair | State::Half(_) | State::Ending => &self.body,
        }
    }

    /// Forgets a frame that has begun: its rest will not come.
    pub fn give_up(&mut self) {
        self.fail();
    }

    /// Bytes that are kept.
    pub fn held(&self) -> usize {
        self.incoming.len() - self.at + self.body.len()
    }

    /// Characters that belonged to no frame, ever.
    pub fn noise(&self) -> u64 {
        self.noise
    }

    /// Takes one character; whether it completes a frame of at least unit id, function and LRC.
    fn ends_with(&mut self, byte: u8) -> bool {
        match (byte, self.state) {
            (b':', _) => {
                self.fail();
                self.state = State::Pair;
            }
            (_, State::Outside) => self.noise += 1,
            (b'\r', State::Pair) => self.state = State::Ending,
            // Some devices leave the CR out.
            (b'\n', State::Pair | State::Ending) if self.body.len() > 2 => {
                self.state = State::Outside;
                return true;
            }
            (digit, State::Pair) if self.body.len() < BODY_MAX => match value(digit) {
                Some(high) => self.state = State::Half(high),
                None => self.fail(),
            },
            (digit, State::Half(high)) => match value(digit) {
                Some(low) => {
                    self.body.push(high << 4 | low);
                    self.state = State::Pair;
                }
                None => self.fail(),
            },
            (_, State::Pair | State::Ending) => self.fail(),
        }
        false
    }

    /// What has begun is noise, with its `:` or with the character that broke it.
    fn fail(&mut self) {
        self.noise += match self.state {
            State::Outside => 0,
            State::Pair | State::Half(_) | State::Ending => {
                1 + 2 * u64::try_from(self.body.len()).unwrap_or(u64::MAX)
            }
        };
        self.body.clear();
        self.state = State::Outside;
    }
}

/// Ends the frame that starts at `from`: its bytes become digits.
pub(super) fn close(from: usize, out: &mut Vec<u8>) {
    out.push(lrc(out.get(from..).unwrap_or_default()));
    let bytes = out.split_off(from);
    out.push(b':');
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0F)]));
    out.extend(*b"\r\n");
}

/// Lower case is taken too, though the specification has none.
fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'A' + value - 10 }
}
