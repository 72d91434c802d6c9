//! Every way in which a transaction can fail, as counters and qualities know them.

use fieldgate_model::Cause;

use crate::exception::{Exception, Policy};

/// How a transaction failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The link is open, and the unit said nothing in time.
    NoAnswer,
    /// The link or port could not be opened.
    NoLink,
    /// The link broke before the answer came.
    LinkLost,
    /// Something came in time, but nothing in it had a right checksum (CRC or LRC).
    Checksum,
    /// The answer broke the protocol: of another length, function or echo than asked for.
    Malformed,
    /// The device refused with this Modbus exception code.
    Exception(u8),
}

impl Fault {
    /// What a refusal asks for; `None` if it is none.
    pub const fn policy(self) -> Option<Policy> {
        match self {
            Self::Exception(code) => Some(Exception::from_code(code).policy()),
            Self::NoAnswer | Self::NoLink | Self::LinkLost | Self::Checksum | Self::Malformed => {
                None
            }
        }
    }
}

impl From<Fault> for Cause {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NoAnswer => Self::NoAnswer,
            Fault::NoLink | Fault::LinkLost => Self::LinkDown,
            Fault::Checksum | Fault::Malformed => Self::Malformed,
            Fault::Exception(code) => Self::Exception(code),
        }
    }
}
