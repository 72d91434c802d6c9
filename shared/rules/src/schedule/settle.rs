//! What the end of a transaction changes: the unit, its cycles, the job, the hold.

use fieldgate_modbus::fault::Fault;
use fieldgate_model::Millis;

use super::device::Ending;
use super::jobs::{Job, Next};
use super::known::BreakerState;
use super::unit::Ended;
use super::work::{Flight, JobId, PollEffect, PollSlot};
use super::{Errand, Hold, InFlight, Schedule};

impl Schedule {
    /// Takes a transaction out of flight; `None` if there is no such one.
    pub(super) fn land(&mut self, flight: Flight) -> Option<InFlight> {
        let landed = self.flights.remove(&flight)?;
        self.units[landed.unit].in_flight -= 1;
        if landed.is_on_budget {
            self.budget.is_out = false;
        }
        Some(landed)
    }

    /// Books the outcome on the unit and gives the time that it wasted.
    pub(super) fn judge_unit(
        &mut self,
        landed: &InFlight,
        outcome: Result<(), Fault>,
        was_alone: bool,
        now: Millis,
    ) -> Millis {
        let InFlight { timeout, mark, .. } = *landed;
        let spent = now.since(landed.since);
        let unit = &mut self.units[landed.unit];
        let before = unit.breaker;
        let ended = Ended { outcome, spent, timeout, was_alone, mark };
        let wasted = unit.judge(ended, |lost| self.budget.probation(lost), now);
        let after = unit.breaker;
        if landed.is_on_budget && wasted > Millis(0) {
            let is_job = matches!(landed.errand, Errand::Job(_));
            self.budget.lose(wasted, is_job, now);
        }
        if before != after {
            let is_closed = |breaker| usize::from(breaker == BreakerState::Closed);
            self.answering = self.answering + is_closed(after) - is_closed(before);
            let of_unit = self.devices.iter_mut().filter(|device| device.unit == landed.unit);
            of_unit.for_each(|device| device.known.breaker = after);
        }
        wasted
    }

    /// A cycle that wasted time goes on if the budget can bear it soon, or else leaves the rest
    /// for the next one: its good values are not to wait.
    pub(super) fn cut_if_unaffordable(
        &mut self,
        place: usize,
        outcome: Result<(), Fault>,
        wasted: Millis,
        now: Millis,
    ) {
        let device = &mut self.devices[place];
        let unit = &self.units[device.unit];
        let soon = now + device.timeout;
        let again_at = self.budget.again_at(device.timeout).unwrap_or(now).min(unit.trusted_at);
        if let Err(fault) = outcome
            && wasted > Millis(0)
            && unit.breaker == BreakerState::Closed
            && device.wish().is_some()
            && again_at > soon
        {
            device.cut(Ending::Cut(fault));
        }
    }

    pub(super) fn book_job(&mut self, id: JobId, outcome: Result<(), Fault>, now: Millis) {
        let Some(place) = self.jobs.iter().position(|job| job.id == id) else {
            return;
        };
        match self.jobs[place].book(outcome, now) {
            Next::Step => {}
            Next::Done { rest } => self.end_job(place, PollEffect::JobDone { job: id, rest }),
        }
    }

    pub(super) fn end_unsent_job(&mut self, id: JobId) {
        let Some(place) = self.jobs.iter().position(|job| job.id == id) else {
            return;
        };
        let effect = if self.jobs[place].was_sent() {
            PollEffect::JobDone { job: id, rest: None }
        } else {
            PollEffect::JobExpired { job: id }
        };
        self.end_job(place, effect);
    }

    pub(super) fn end_job(&mut self, place: usize, effect: PollEffect) {
        let job = self.jobs.remove(place);
        let lock = &mut self.units[job.unit].locked_by;
        lock.take_if(|holder| *holder == job.id);
        self.effects.push_back(effect);
    }

    pub(super) fn expire_jobs(&mut self, now: Millis) {
        for place in (0..self.jobs.len()).rev() {
            let job = &self.jobs[place];
            if job.expires_at().is_some_and(|at| at <= now) {
                let effect = PollEffect::JobExpired { job: job.id };
                self.end_job(place, effect);
            }
        }
    }

    /// Ends what cannot go on after this transaction.
    pub(super) fn settle(&mut self, landed: &InFlight, outcome: Result<(), Fault>, now: Millis) {
        if self.link.is_down(now) {
            self.cut_cycles(Ending::Cut(Fault::NoLink), now, |_| true);
        } else if self.units[landed.unit].breaker == BreakerState::Open
            && let Err(fault) = outcome
        {
            self.cut_cycles(Ending::Cut(fault), now, |unit| unit == landed.unit);
        }
        if let Errand::Poll { place, .. } = landed.errand {
            self.close_if_ended(place, now);
        }
        self.tell_if_held();
    }

    /// Cuts the open cycles of the units chosen.
    pub(super) fn cut_cycles(
        &mut self,
        ending: Ending,
        now: Millis,
        is_chosen: impl Fn(usize) -> bool,
    ) {
        for place in 0..self.devices.len() {
            let device = &mut self.devices[place];
            if device.cycle.is_some() && is_chosen(device.unit) {
                device.cut(ending);
                self.close_if_ended(place, now);
            }
        }
    }

    pub(super) fn close_if_ended(&mut self, place: usize, now: Millis) {
        if let Some(ending) = self.devices[place].ended() {
            self.close_cycle(place, ending, now);
        }
    }

    fn close_cycle(&mut self, place: usize, ending: Ending, now: Millis) {
        let is_replanned = self.devices[place].close_cycle(ending, now);
        let device = PollSlot(place);
        self.effects.push_back(match ending {
            Ending::Whole => PollEffect::CycleDone { device, rest: None },
            Ending::Cut(fault) => PollEffect::CycleDone { device, rest: Some(fault) },
            Ending::Dropped => PollEffect::CycleDropped { device },
        });
        if is_replanned {
            self.effects.push_back(PollEffect::Replanned { device });
        }
    }

    /// Slots that fall into the time without a link end at once, each at its own rate, so that
    /// everyone learns of it.
    pub(super) fn skip_slots_without_link(&mut self, now: Millis) {
        if self.link.is_usable() {
            return;
        }
        for place in 0..self.devices.len() {
            if self.slot_without_link(place).is_some_and(|at| at <= now) {
                let device = &mut self.devices[place];
                device.skip_slots(now);
                device.known.link += 1;
                self.close_cycle(place, Ending::Cut(Fault::NoLink), now);
            }
        }
    }

    /// When the next slot ends for want of a link.
    pub(super) fn slot_without_link_at(&self) -> Option<Millis> {
        self.link.retry_at()?;
        (0..self.devices.len()).filter_map(|place| self.slot_without_link(place)).min()
    }

    fn slot_without_link(&self, place: usize) -> Option<Millis> {
        let device = &self.devices[place];
        let retry_at = self.link.retry_at()?;
        let is_idle = device.cycle.is_none() && device.is_polled() && self.hold == Hold::Free;
        (is_idle && device.due < retry_at).then_some(device.due)
    }

    pub(super) fn tell_if_held(&mut self) {
        let is_busy = !self.flights.is_empty() || self.jobs.iter().any(Job::has_begun);
        if self.hold == Hold::Wanted && !is_busy {
            self.hold = Hold::Held;
            self.effects.push_back(PollEffect::Held);
        }
    }
}
