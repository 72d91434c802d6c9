//! Whether somebody has a bus's line for himself.

use std::future::pending;

use fieldgate_model::Millis;
use tokio::sync::oneshot;

use super::job::Taker;

/// Longest that somebody may have the line for himself: a scan of all units at one speed takes
/// less, and a forgotten terminal stops the polls no longer than this.
const HOLD_MAX: Millis = Millis::from_secs(600);

/// Whether somebody has the line for himself.
pub(super) enum Taking {
    No,
    /// What is in flight comes first.
    Asked(Taker),
    Taken {
        released: oneshot::Receiver<()>,
        since: Millis,
    },
    /// The bus ends when nothing is in flight any more.
    Ending,
    Ended,
}

impl Taking {
    pub(super) fn since(&self) -> Option<Millis> {
        match self {
            Self::Taken { since, .. } => Some(*since),
            Self::No | Self::Asked(_) | Self::Ending | Self::Ended => None,
        }
    }

    /// When the line is taken back.
    pub(super) fn ends(&self) -> Option<Millis> {
        self.since().map(|since| since + HOLD_MAX)
    }

    /// Whether nobody can ask for anything any more.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Ending | Self::Ended)
    }

    /// Resolves when the line is given back, in whatever way.
    pub(super) async fn released(&mut self) {
        match self {
            // Who has gone without a word has given it back as well.
            Self::Taken { released, .. } => drop(released.await),
            Self::No | Self::Asked(_) | Self::Ending | Self::Ended => pending().await,
        }
    }
}
