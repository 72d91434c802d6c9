//! Commands: a request to act on a device, and what became of it.

use alloc::string::String;

use crate::{CommandId, DeviceName, SignalName, UtcMillis, Value};

/// A request to act.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// It starts at most once under this id.
    pub id: CommandId,
    /// What to do.
    pub action: Action,
    /// It must not reach the wire at or after this time. At most seven days ahead.
    pub not_after: UtcMillis,
    /// Doing it twice does no more than doing it once, so it may run again after a crash.
    pub retry_safe: bool,
    /// Check everything, write nothing.
    pub dry_run: bool,
    /// Who asked, for the audit.
    pub by: String,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Write an engineering value to a signal.
    Write {
        /// The device.
        device: DeviceName,
        /// Its signal.
        signal: SignalName,
        /// In the signal's unit.
        value: Value,
        /// Read back and compare.
        verify: bool,
    },
}

/// How a command ended. Every accepted one ends in exactly one of these.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The device took it; `read_back` is what it showed afterwards, if that was asked for.
    Done {
        /// Engineering value.
        read_back: Option<Value>,
    },
    /// It was tried, or could not be.
    Failed {
        /// Which kind of failure.
        kind: FailureKind,
        /// For a person.
        reason: String,
    },
    /// Its time had passed before it could be written.
    Expired,
    /// Withdrawn before it was sent.
    Cancelled,
    /// The daemon died between starting and finishing it; whether the device took it is unknown.
    Interrupted,
}

/// Why a command failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// There is no such device or signal, or it cannot be written, or not with this value.
    Refused,
    /// The device answered with an exception.
    Exception,
    /// The device or its bus gave no answer; it may have acted all the same.
    NoAnswer,
    /// The device took it and showed another value afterwards.
    VerifyMismatch,
}

impl Outcome {
    /// The word for it in the API and on screens.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}
