//! A sample: one signal at one time, with its value and how far it can be trusted.

use core::fmt;

use crate::{Millis, SignalIndex, Value};

/// One signal at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Which signal, by its place in the catalogue in force.
    pub signal: SignalIndex,
    /// When the answer arrived, on the monotonic clock of the gateway's boot.
    pub at: Millis,
    /// The raw value; `None` exactly when the quality is bad.
    pub value: Option<Value>,
    /// How far the value can be trusted.
    pub quality: Quality,
}

/// How far a value can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quality {
    /// As the device gave it.
    Good,
    /// There is a value, but its source doubts it.
    Uncertain,
    /// There is no value, for this cause.
    Bad(Cause),
}

/// Why there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The device did not answer within its timeout.
    NoAnswer,
    /// The bus could not be reached.
    LinkDown,
    /// The answer broke the protocol: short, foreign, or of another function.
    Malformed,
    /// The raw bits are those that the profile declares to mean "no value".
    Null,
    /// The value is not a number, or outside what its type or limits allow.
    OutOfRange,
    /// The parser failed.
    Script,
    /// The parser used up its fuel, memory or output and was cut off.
    ScriptLimit,
    /// The device's part of the configuration is wrong.
    ConfigError,
    /// The device refused with this Modbus exception code.
    Exception(u8),
    /// The device refused with this `CoAP` response code: class in the upper three bits, detail in
    /// the lower five.
    Refused(u8),
}

impl Quality {
    /// A code that never changes its meaning: 0 good, 1 uncertain, 2 to 255 causes, 256 + n the
    /// Modbus exception n, 512 + n the `CoAP` response code n.
    pub const fn code(self) -> u16 {
        match self {
            Self::Good => 0,
            Self::Uncertain => 1,
            Self::Bad(cause) => match cause {
                Cause::NoAnswer => 2,
                Cause::LinkDown => 3,
                Cause::Malformed => 4,
                Cause::Null => 5,
                Cause::OutOfRange => 6,
                Cause::Script => 7,
                Cause::ScriptLimit => 8,
                Cause::ConfigError => 9,
                Cause::Exception(code) => 256 + code as u16,
                Cause::Refused(code) => 512 + code as u16,
            },
        }
    }

    /// The quality with this code, if there is one.
    pub fn from_code(code: u16) -> Option<Self> {
        let cause = match code {
            0 => return Some(Self::Good),
            1 => return Some(Self::Uncertain),
            2 => Cause::NoAnswer,
            3 => Cause::LinkDown,
            4 => Cause::Malformed,
            5 => Cause::Null,
            6 => Cause::OutOfRange,
            7 => Cause::Script,
            8 => Cause::ScriptLimit,
            9 => Cause::ConfigError,
            256..=511 => Cause::Exception(u8::try_from(code - 256).ok()?),
            512..=767 => Cause::Refused(u8::try_from(code - 512).ok()?),
            _ => return None,
        };
        Some(Self::Bad(cause))
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("good"),
            Self::Uncertain => f.write_str("uncertain"),
            Self::Bad(cause) => cause.fmt(f),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("no_answer"),
            Self::LinkDown => f.write_str("link_down"),
            Self::Malformed => f.write_str("malformed"),
            Self::Null => f.write_str("null"),
            Self::OutOfRange => f.write_str("out_of_range"),
            Self::Script => f.write_str("script"),
            Self::ScriptLimit => f.write_str("script_limit"),
            Self::ConfigError => f.write_str("config_error"),
            Self::Exception(code) => write!(f, "exception_{code}"),
            Self::Refused(code) => write!(f, "coap_{}.{:02}", code >> 5, code & 0x1F),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_and_its_quality_are_one() {
        let known: alloc::vec::Vec<u16> =
            (0..=u16::MAX).filter(|code| Quality::from_code(*code).is_some()).collect();
        assert_eq!(known.len(), 10 + 256 + 256);
        for code in known {
            assert_eq!(Quality::from_code(code).map(Quality::code), Some(code));
        }
    }
}
