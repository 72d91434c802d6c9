//! Why a signal was not written, for a technician and for a command's outcome.

use fieldgate_model::{Cause, DeviceName, FailureKind, SignalName};
use fieldgate_rules::encode::EncodeError;
use thiserror::Error;

/// Why a signal was not written.
#[derive(Debug, Error, PartialEq)]
pub enum WriteError {
    /// There is no such device, or it is not running.
    #[error("there is no running device `{device}`")]
    NoDevice {
        /// As it was named.
        device: DeviceName,
    },
    /// The device has no such signal.
    #[error("device `{device}` has no signal `{signal}`")]
    NoSignal {
        /// The device.
        device: DeviceName,
        /// As it was named.
        signal: SignalName,
    },
    /// The value cannot be written there.
    #[error("the value cannot be written")]
    Encode(#[source] EncodeError),
    /// A power of ten or the rest of a register could not be read, so nothing was written.
    #[error("what must be read before the write could not be read: {0}")]
    Unread(Cause),
    /// Its deadline had passed when its turn on the bus came.
    #[error("its time had passed before its turn on the bus came")]
    Expired,
    /// The device or the bus said no, or nothing.
    #[error("the device did not take it: {0}")]
    Device(Cause),
    /// The device took it and shows something else.
    #[error("the device took it and shows {shows} instead")]
    Mismatch {
        /// Engineering value read back, or why there is none.
        shows: String,
    },
    /// The bus has stopped.
    #[error("the bus has stopped")]
    Stopped,
}

impl WriteError {
    /// What a command's outcome says of it.
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            Self::NoDevice { .. } | Self::NoSignal { .. } | Self::Encode(_) => FailureKind::Refused,
            Self::Device(Cause::Exception(_)) | Self::Unread(Cause::Exception(_)) => {
                FailureKind::Exception
            }
            Self::Device(_) | Self::Unread(_) | Self::Stopped | Self::Expired => {
                FailureKind::NoAnswer
            }
            Self::Mismatch { .. } => FailureKind::VerifyMismatch,
        }
    }

    /// The same in words, without what stands around an encoding's own.
    pub(super) fn reason(&self) -> String {
        if let Self::Encode(source) = self { source.to_string() } else { self.to_string() }
    }
}

impl From<EncodeError> for WriteError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Unread { cause } => Self::Unread(cause),
            EncodeError::NotWritable { .. }
            | EncodeError::NoTarget
            | EncodeError::Kind { .. }
            | EncodeError::Word { .. }
            | EncodeError::Limits { .. }
            | EncodeError::Range { .. }
            | EncodeError::Null { .. }
            | EncodeError::Function { .. } => Self::Encode(error),
        }
    }
}
