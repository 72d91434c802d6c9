//! Own requests that come back: RS-485 adapters that leave their receiver on hear themselves.
//!
//! The echo of a small write is, byte for byte, the answer that a device would give. Which of the
//! two it is can only be told on a line whose echo is known, so a line's echo is learned from
//! requests whose echo cannot be an answer.

use super::Echo;

/// What is known about a line's echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing; to be found out.
    Unknown,
    /// Found: it echoes.
    Heard,
    /// Found: it does not.
    NotHeard,
    /// Said to echo.
    Told,
    /// Said not to.
    ToldNot,
}

/// What the first copy of the request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copy {
    /// The echo.
    Echo,
    /// An answer that reads like the request.
    Answer,
    /// Either: another frame before the deadline will tell.
    Either,
}

impl From<Echo> for Known {
    fn from(echo: Echo) -> Self {
        match echo {
            Echo::Auto => Self::Unknown,
            Echo::Expect => Self::Told,
            Echo::None => Self::ToldNot,
        }
    }
}

impl Known {
    /// What a copy of the request is, which `could_answer` it or not.
    pub(super) fn judge(self, could_answer: bool) -> Copy {
        match (self, could_answer) {
            (Self::Heard | Self::Told, _) | (Self::Unknown | Self::NotHeard, false) => Copy::Echo,
            (Self::Unknown, true) => Copy::Either,
            (Self::NotHeard | Self::ToldNot, _) => Copy::Answer,
        }
    }

    /// An echo was there for certain.
    pub(super) fn learn_heard(&mut self) {
        match self {
            Self::Unknown | Self::NotHeard | Self::Heard => *self = Self::Heard,
            Self::Told | Self::ToldNot => {}
        }
    }

    /// An answer came without an echo that could not have been missed.
    pub(super) fn learn_not_heard(&mut self) {
        match self {
            Self::Unknown | Self::NotHeard => *self = Self::NotHeard,
            // One echo can be lost in noise; the next request tells.
            Self::Heard => *self = Self::Unknown,
            Self::Told | Self::ToldNot => {}
        }
    }

    /// Another adapter may be on the line.
    pub(super) fn forget(&mut self) {
        match self {
            Self::Unknown | Self::Heard | Self::NotHeard => *self = Self::Unknown,
            Self::Told | Self::ToldNot => {}
        }
    }
}
