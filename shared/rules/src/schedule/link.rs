//! Whether the line can be reached, and when to try again.
//!
//! # Invariants
//!
//! - What was in flight when a link broke tells of that one break, however many there were.
//! - While the link is down one transaction at a time tries it.

use fieldgate_modbus::fault::Fault;
use fieldgate_model::Millis;

use super::work::{Flight, Jitter};

/// First pause after a link could not be opened; jobs wait no longer than this.
pub(super) const RECONNECT_AFTER_MIN: Millis = Millis(200);
/// Longest pause between attempts to open a link: a switch that restarts is found soon, and a
/// refusing host sees six attempts a minute.
const RECONNECT_AFTER_MAX: Millis = Millis(10_000);
/// Links in a row that broke without one answer before this counts as having no link. One may
/// be the fault of one unit; two are the host's.
const BARREN_LINKS_MAX: u8 = 2;

#[derive(Debug)]
pub(super) struct Link {
    state: State,
    /// Flights before this one were on a link that is known to be gone.
    first_flight: Flight,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Open, or as far as known it can be opened.
    Usable { barren: u8 },
    /// It could not be opened.
    Down { since: Millis, retry_at: Millis, retry_after: Millis },
}

impl Link {
    pub(super) fn new() -> Self {
        Self { state: State::Usable { barren: 0 }, first_flight: Flight(0) }
    }

    pub(super) fn is_usable(&self) -> bool {
        match self.state {
            State::Usable { .. } => true,
            State::Down { .. } => false,
        }
    }

    /// When polls may try it again, if it is down.
    pub(super) fn retry_at(&self) -> Option<Millis> {
        match self.state {
            State::Usable { .. } => None,
            State::Down { retry_at, .. } => Some(retry_at),
        }
    }

    /// When a job may try it: somebody waits at it, so it waits less than a poll.
    pub(super) fn job_at(&self) -> Millis {
        match self.state {
            State::Usable { .. } => Millis(0),
            State::Down { since, retry_at, .. } => retry_at.min(since + RECONNECT_AFTER_MIN),
        }
    }

    pub(super) fn is_down(&self, now: Millis) -> bool {
        self.retry_at().is_some_and(|retry_at| now < retry_at)
    }

    /// What the end of `flight` says of the link; `next` is the flight that follows the last one.
    pub(super) fn judge(
        &mut self,
        flight: Flight,
        outcome: Result<(), Fault>,
        next: Flight,
        now: Millis,
        jitter: Jitter,
    ) {
        if flight < self.first_flight {
            return;
        }
        self.state = match (outcome.err(), self.state) {
            (None | Some(Fault::Exception(_) | Fault::Malformed | Fault::Checksum), _)
            | (Some(Fault::NoAnswer), State::Down { .. }) => State::Usable { barren: 0 },
            (Some(Fault::NoAnswer), State::Usable { .. }) => return,
            (Some(Fault::LinkLost), State::Usable { barren }) if barren + 1 < BARREN_LINKS_MAX => {
                State::Usable { barren: barren + 1 }
            }
            (Some(Fault::NoLink | Fault::LinkLost), State::Usable { .. }) => {
                State::down(RECONNECT_AFTER_MIN, now, jitter)
            }
            (Some(Fault::NoLink | Fault::LinkLost), State::Down { retry_after, .. }) => {
                let after = Millis(retry_after.0 * 2).min(RECONNECT_AFTER_MAX);
                State::down(after, now, jitter)
            }
        };
        if let Err(Fault::NoLink | Fault::LinkLost) = outcome {
            self.first_flight = next;
        }
    }
}

impl State {
    /// Half of the pause is certain and half is chance, so that gateways that lost the same host
    /// do not all come back in the same moment.
    fn down(retry_after: Millis, now: Millis, jitter: Jitter) -> Self {
        let half = retry_after.0 / 2;
        let pause = half + half * u64::from(jitter.0) / u64::from(u8::MAX);
        Self::Down { since: now, retry_at: now + Millis(pause), retry_after }
    }
}
