//! The jobs of a bus, from the moment they are taken on to their one end.

use fieldgate_modbus::exception::Policy;
use fieldgate_modbus::fault::Fault;
use fieldgate_model::Millis;

use super::device::{BUSY_PAUSE, BUSY_RETRIES_MAX};
use super::unit::is_silence;
use super::work::{JobId, JobSpec};

#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: JobId,
    pub(super) spec: JobSpec,
    /// Index of its unit.
    pub(super) unit: usize,
    pub(super) taken_at: Millis,
    pub(super) step: usize,
    pub(super) state: JobState,
    retries: u8,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobState {
    /// It has not touched the wire.
    Fresh,
    /// Between two steps, or before one that found the device busy: not before that time.
    Between(Millis),
    /// A step is in flight.
    InFlight {
        /// Whether nobody wants what follows.
        is_last: bool,
    },
}

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Step,
    Done { rest: Option<Fault> },
}

impl Job {
    pub(super) fn new(id: JobId, spec: JobSpec, unit: usize, now: Millis) -> Self {
        let timeout = spec.timeout.max(Millis(1));
        let spec = JobSpec { transactions: spec.transactions.max(1), timeout, ..spec };
        Self { id, spec, unit, taken_at: now, step: 0, state: JobState::Fresh, retries: 0 }
    }

    /// When it runs out, if it has not begun.
    pub(super) fn expires_at(&self) -> Option<Millis> {
        match self.state {
            JobState::Fresh => self.spec.not_after,
            JobState::Between(_) | JobState::InFlight { .. } => None,
        }
    }

    /// Whether it has touched the wire, not counting the step in flight.
    pub(super) fn was_sent(&self) -> bool {
        self.step > 0 || self.retries > 0
    }

    pub(super) fn is_in_flight(&self) -> bool {
        matches!(self.state, JobState::InFlight { .. })
    }

    /// Whether it must come to its end before the bus can be held.
    pub(super) fn has_begun(&self) -> bool {
        match self.state {
            JobState::Fresh => false,
            JobState::Between(_) => self.spec.exclusive,
            JobState::InFlight { .. } => true,
        }
    }

    /// Books the end of a step.
    pub(super) fn book(&mut self, outcome: Result<(), Fault>, now: Millis) -> Next {
        let is_last = matches!(self.state, JobState::InFlight { is_last: true });
        let again_at = now + BUSY_PAUSE;
        // Busy says that nothing was done; acknowledged is being done, so that it is not repeated.
        let is_busy = outcome.is_err_and(|fault| fault.policy() == Some(Policy::RetryLater));
        let is_in_time = self.spec.not_after.is_none_or(|not_after| again_at < not_after);
        if is_busy && is_in_time && !is_last && self.retries < BUSY_RETRIES_MAX {
            self.retries += 1;
            self.state = JobState::Between(again_at);
            return Next::Step;
        }
        self.step += 1;
        self.state = JobState::Between(now);
        match outcome {
            _ if self.step >= self.spec.transactions || is_last => Next::Done { rest: None },
            Err(fault) if self.spec.exclusive || is_silence(fault) || fault == Fault::NoLink => {
                Next::Done { rest: Some(fault) }
            }
            Ok(()) | Err(_) => Next::Step,
        }
    }
}
