//! Every timer of an endpoint, in one table.

use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};

use fieldgate_model::Millis;

use super::{ExchangeId, ObservationId};
use crate::message::MessageId;

/// What is to happen at a time; of what is due together, the first here first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Nobody waits for the answer any more. First, so that nothing is sent at its deadline.
    Deadline(ExchangeId),
    /// A message has not been acknowledged.
    Retransmit(SocketAddr, MessageId),
    /// Message ids of a peer are free again.
    Resume(SocketAddr),
    /// An observation must be refreshed.
    Refresh(ObservationId),
    /// A request of a peer must be acknowledged, since its answer takes longer.
    Acknowledge(SocketAddr, MessageId),
    /// A request of a peer can no longer come again.
    Forget(SocketAddr, MessageId),
    /// The blocks of a peer have taken too long.
    Abandon(SocketAddr),
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Millis, Timer)>,
    at_by_timer: BTreeMap<Timer, Millis>,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Millis) {
        self.clear(timer);
        self.by_time.insert((at, timer));
        self.at_by_timer.insert(timer, at);
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.at_by_timer.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    pub(super) fn next(&self) -> Option<Millis> {
        self.by_time.first().map(|(at, _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Millis) -> Option<Timer> {
        let (at, timer) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }
}
