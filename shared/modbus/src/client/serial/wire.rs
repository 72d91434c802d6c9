//! What comes over a serial line, whichever of its two framings it has.

use super::Asked;
use crate::fault::Fault;
use crate::frame::rtu::{Awaited, Patience, Side};
use crate::frame::{Framing, ascii, rtu};
use crate::pdu;
use crate::register::UnitId;

/// One thing that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// A frame with a right checksum: who and what.
    Frame(UnitId, Vec<u8>),
    /// A frame with a wrong one.
    Garbled(UnitId, Vec<u8>),
}

#[derive(Debug)]
pub(super) enum Wire {
    Rtu(rtu::Deframer),
    Ascii { deframer: ascii::Deframer, garbled: bool },
}

impl Heard {
    pub(super) fn is_frame(&self) -> bool {
        match self {
            Self::Frame(..) => true,
            Self::Garbled(..) => false,
        }
    }

    pub(super) fn is_reply_from(&self, asked: UnitId) -> bool {
        match self {
            Self::Frame(unit, pdu) => *unit == asked && super::is_reply(pdu),
            Self::Garbled(..) => false,
        }
    }

    pub(super) fn is(&self, asked: UnitId, sent: &[u8]) -> bool {
        match self {
            Self::Frame(unit, pdu) => *unit == asked && pdu == sent,
            Self::Garbled(..) => false,
        }
    }
}

impl Wire {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Ascii => Self::Ascii { deframer: ascii::Deframer::default(), garbled: false },
            Framing::Rtu | Framing::Tcp => Self::Rtu(rtu::Deframer::new(Side::Both)),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Rtu(deframer) => deframer.push(bytes),
            Self::Ascii { deframer, .. } => deframer.push(bytes),
        }
    }

    /// The next thing heard; on RTU with [`Patience::Answer`], only what answers `asked`.
    pub(super) fn next(&mut self, patience: Patience, asked: Option<&Asked>) -> Option<Heard> {
        match self {
            Self::Rtu(deframer) => {
                let awaited = asked
                    .map(|asked| Awaited { unit: asked.unit, function: asked.request.function() });
                let answers = |pdu: &[u8]| {
                    asked.is_some_and(|asked| {
                        pdu::decode_reply(&asked.request, pdu) != Err(Fault::Malformed)
                    })
                };
                let frame = deframer.poll_frame(patience, awaited, answers)?;
                Some(Heard::Frame(frame.unit, frame.pdu.to_vec()))
            }
            Self::Ascii { deframer, garbled } => {
                if let Some(heard) = deframer.poll_frame() {
                    return match heard {
                        ascii::Heard::Frame(frame) => {
                            Some(Heard::Frame(frame.unit, frame.pdu.to_vec()))
                        }
                        ascii::Heard::Garbled(bytes) => garbled_frame(bytes),
                    };
                }
                if patience == Patience::None {
                    let begun = garbled_frame(deframer.begun());
                    *garbled |= begun.is_some_and(|begun| match begun {
                        Heard::Frame(unit, pdu) | Heard::Garbled(unit, pdu) => {
                            asked.is_some_and(|asked| asked.begins(unit, &pdu))
                        }
                    });
                    deframer.give_up();
                }
                None
            }
        }
    }

    /// Another answer is awaited.
    pub(super) fn expect(&mut self) {
        match self {
            Self::Rtu(deframer) => deframer.expect(),
            Self::Ascii { garbled, .. } => *garbled = false,
        }
    }

    /// Whether a piece of the awaited answer came.
    pub(super) fn take_garbled(&mut self) -> bool {
        match self {
            Self::Rtu(deframer) => deframer.take_garbled(),
            Self::Ascii { garbled, .. } => core::mem::take(garbled),
        }
    }

    /// Bytes that belonged to no frame, ever.
    pub(super) fn noise(&self) -> u64 {
        match self {
            Self::Rtu(deframer) => deframer.noise(),
            Self::Ascii { deframer, .. } => deframer.noise(),
        }
    }
}

fn garbled_frame(bytes: &[u8]) -> Option<Heard> {
    let (unit, pdu) = bytes.split_first()?;
    Some(Heard::Garbled(UnitId(*unit), pdu.to_vec()))
}
