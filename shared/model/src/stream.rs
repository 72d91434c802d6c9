//! A stream and a position in it.

use core::ops::Sub;

/// The three conversations that a gateway's history consists of, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// What became of commands.
    Outcomes,
    /// Alarms, audit, time anchors, restarts.
    Events,
    /// Values of signals.
    Samples,
}

impl Stream {
    /// Every stream, in the order of precedence.
    pub const ALL: [Self; 3] = [Self::Outcomes, Self::Events, Self::Samples];

    /// A code that never changes its meaning.
    pub const fn code(self) -> u8 {
        match self {
            Self::Outcomes => 0,
            Self::Events => 1,
            Self::Samples => 2,
        }
    }

    /// The stream with this code, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| stream.code() == code)
    }

    /// The word for it on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outcomes => "outcomes",
            Self::Events => "events",
            Self::Samples => "samples",
        }
    }
}

/// Place in a stream of one incarnation: how many records stand before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Position(pub u64);

impl Sub for Position {
    type Output = u64;

    fn sub(self, rhs: Self) -> u64 {
        self.0.saturating_sub(rhs.0)
    }
}
