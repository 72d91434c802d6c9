//! How a verb ends: with an exit status, or with an error, its causes and a hint.

use std::error::Error;
use std::process::ExitCode;

/// Exit status of a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Everything is well.
    Good,
    /// Something was found, or refused.
    Findings,
    /// The verb was used wrongly, or its configuration cannot be used.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Good => Self::SUCCESS,
            Exit::Findings => Self::from(1),
            Exit::Usage => Self::from(2),
        }
    }
}

/// A verb that could not do what it was asked.
#[derive(Debug)]
pub(super) struct Failure {
    error: anyhow::Error,
    hint: Option<String>,
    exit: Exit,
}

impl Failure {
    /// It was refused, or did not work out.
    pub(super) fn refused(what: impl Into<String>) -> Self {
        Self { error: anyhow::Error::msg(what.into()), hint: None, exit: Exit::Findings }
    }

    /// It was asked wrongly.
    pub(super) fn usage(what: impl Into<String>) -> Self {
        Self { error: anyhow::Error::msg(what.into()), hint: None, exit: Exit::Usage }
    }

    /// It did not work out, for this reason.
    pub(super) fn from_error(error: impl Error + Send + Sync + 'static) -> Self {
        Self { error: error.into(), hint: None, exit: Exit::Findings }
    }

    /// This failed, for the reason that `self` has.
    pub(super) fn while_doing(self, what: impl Into<String>) -> Self {
        Self { error: self.error.context(what.into()), ..self }
    }

    /// What to do about it.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same, ending with this status.
    pub(super) fn exiting(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// The status to end with.
    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// What failed, and its causes.
    pub(super) fn causes(&self) -> impl Iterator<Item = String> {
        self.error.chain().map(ToString::to_string)
    }

    /// What to do about it, if anything is known.
    pub(super) fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whoever read our output has had enough, as `head` does; that is no error.
    pub(super) fn is_closed_pipe(&self) -> bool {
        let io = self.error.downcast_ref::<std::io::Error>();
        io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::from_error(error)
    }
}
