//! Who could go next, and who does.
//!
//! # Invariants
//!
//! - What is ready at some time can be started then, so that the schedule never spins.
//! - Among the polls on the budget only the one that waits longest is ready, whatever its class.

use fieldgate_model::Millis;

use super::jobs::{Job, JobState};
use super::known::BreakerState;
use super::unit::Unit;
use super::work::Class;
use super::{Hold, Schedule};

/// A transaction that could go next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    /// It can start from then on.
    pub(super) at: Millis,
    /// Before that time it is on the budget.
    pub(super) trusted_at: Millis,
    pub(super) class: Class,
    pub(super) source: Source,
    /// What it waits for since.
    since: Millis,
}

/// Where a transaction comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// The job at this place of the queue.
    Job(usize),
    /// The device at this place.
    Device(usize),
}

const ALWAYS: Millis = Millis(u64::MAX);

impl Candidate {
    fn is_on_budget(&self) -> bool {
        self.at < self.trusted_at
    }

    /// The same without the budget, if there is a time from which on it needs none.
    fn once_trusted(self) -> Option<Self> {
        let at = self.at.max(self.trusted_at);
        (self.trusted_at != ALWAYS).then_some(Self { at, ..self })
    }
}

impl Schedule {
    /// When the next transaction can start.
    pub(super) fn ready_at(&self) -> Option<Millis> {
        let mut first: Option<Millis> = None;
        self.each_candidate(|candidate| {
            first = Some(first.map_or(candidate.at, |at| at.min(candidate.at)));
        });
        first
    }

    /// The transaction to start at `now`.
    pub(super) fn pick(&mut self, now: Millis) -> Option<Candidate> {
        let mut best: [Option<Candidate>; 5] = [None; 5];
        self.each_candidate(|candidate| {
            let best = &mut best[candidate.class.rank()];
            let is_first = best
                .is_none_or(|best| (candidate.since, candidate.source) < (best.since, best.source));
            if candidate.at <= now && is_first {
                *best = Some(candidate);
            }
        });
        let mut waits = [false; 5];
        for job in self.jobs.iter().filter(|job| !job.is_in_flight()) {
            waits[job.spec.class.rank()] = true;
        }
        let class = self.turns.take(best.map(|candidate| candidate.is_some()), waits)?;
        best[class.rank()]
    }

    fn each_candidate(&self, mut give: impl FnMut(Candidate)) {
        let slots = if self.link.is_usable() { self.in_flight_max } else { 1 };
        if self.flights.len() >= slots {
            return;
        }
        for place in 0..self.jobs.len() {
            self.job_candidate(place).into_iter().for_each(&mut give);
        }
        if self.hold != Hold::Free {
            return;
        }
        let mut head: Option<Candidate> = None;
        for place in 0..self.devices.len() {
            let Some(candidate) = self.device_candidate(place) else { continue };
            if !candidate.is_on_budget() {
                give(candidate);
            } else if head.is_none_or(|head| candidate.since < head.since) {
                head.replace(candidate)
                    .and_then(Candidate::once_trusted)
                    .into_iter()
                    .for_each(&mut give);
            } else {
                candidate.once_trusted().into_iter().for_each(&mut give);
            }
        }
        head.into_iter().for_each(give);
    }

    fn device_candidate(&self, place: usize) -> Option<Candidate> {
        let device = &self.devices[place];
        let wish = device.wish()?;
        let unit = &self.units[device.unit];
        if unit.locked_by.is_some() || self.is_draining(device.unit) {
            return None;
        }
        let is_open = device.cycle.is_some();
        let own = if is_open { wish.at } else { wish.at.max(unit.pause_until) };
        let (gate, trusted_at) = self.gate(unit, device.timeout)?;
        let retry_at = self.link.retry_at().unwrap_or_default();
        if !is_open && device.due < retry_at {
            // The slot ends without a link, see `Schedule::skip_slots_without_link`.
            return None;
        }
        Some(Candidate {
            at: own.max(gate).max(retry_at),
            trusted_at,
            class: wish.class,
            source: Source::Device(place),
            since: if is_open { wish.since } else { own },
        })
    }

    /// From when on a unit may be polled, and from when on without the budget; `None` while what
    /// is in flight forbids it.
    fn gate(&self, unit: &Unit, timeout: Millis) -> Option<(Millis, Millis)> {
        let is_alone = unit.in_flight == 0;
        match unit.breaker {
            // The usual case, which is asked for with every transaction: it has wasted nothing.
            BreakerState::Closed
                if unit.trusted_at == Millis(0) && unit.in_flight < self.per_unit_in_flight =>
            {
                Some((Millis(0), Millis(0)))
            }
            BreakerState::Closed if unit.in_flight < self.per_unit_in_flight => {
                let on_budget = is_alone.then(|| self.budget.again_at(timeout)).flatten();
                let gate = on_budget.map_or(unit.trusted_at, |at| at.min(unit.trusted_at));
                Some((gate, unit.trusted_at))
            }
            // Where nobody answers, nobody is kept waiting by a first try.
            BreakerState::Untried if is_alone && self.answering == 0 => {
                Some((Millis(0), Millis(0)))
            }
            BreakerState::Untried if is_alone => Some((self.budget.first_try_at(timeout)?, ALWAYS)),
            BreakerState::Open if is_alone => Some((self.budget.again_at(timeout)?, ALWAYS)),
            BreakerState::Untried | BreakerState::Closed | BreakerState::Open => None,
        }
    }

    fn job_candidate(&self, place: usize) -> Option<Candidate> {
        let job = &self.jobs[place];
        let unit = &self.units[job.unit];
        let own = match job.state {
            JobState::Fresh => job.taken_at,
            JobState::Between(at) => at,
            JobState::InFlight { .. } => return None,
        };
        let is_mine = unit.locked_by == Some(job.id);
        let is_waiting_for_hold = self.hold != Hold::Free && !job.has_begun();
        let is_foreign = unit.locked_by.is_some() && !is_mine;
        let is_behind = !job.spec.exclusive && self.is_draining(job.unit);
        if is_waiting_for_hold || is_foreign || is_behind {
            return None;
        }
        let is_known = unit.breaker == BreakerState::Closed;
        let room = if is_known && !job.spec.exclusive { self.per_unit_in_flight } else { 1 };
        if unit.in_flight >= room {
            return None;
        }
        let is_on_budget =
            unit.breaker == BreakerState::Open && job.spec.class != Class::SafetyWrite;
        let (gate, trusted_at) = if is_on_budget {
            (self.budget.job_at(job.spec.timeout)?, ALWAYS)
        } else {
            (Millis(0), Millis(0))
        };
        Some(Candidate {
            at: own.max(gate).max(self.link.job_at()),
            trusted_at,
            class: job.spec.class,
            source: Source::Job(place),
            since: job.taken_at,
        })
    }

    /// Whether an exclusive job waits for what is in flight to its unit, so that nothing may follow.
    fn is_draining(&self, unit: usize) -> bool {
        let waits =
            |job: &Job| job.unit == unit && job.spec.exclusive && job.state == JobState::Fresh;
        self.units[unit].in_flight > 0 && self.jobs.iter().any(waits)
    }
}
