//! Which transaction goes next on one bus: a schedule that a dead or lying device cannot spoil.
//!
//! Polls have their own grid; jobs (what people and commands want) wait here, too, by class. The
//! shell carries out each [`PollEffect::Transact`] and [`PollEffect::RunJob`] it finds, reports
//! with [`Schedule::handle_answer`], and then calls [`Schedule::handle_timeout`] as soon as
//! [`Schedule::poll_timeout`] says.
//!
//! # Invariants
//!
//! - At most [`ScheduleOptions::in_flight_max`] transactions are in flight, and to one unit at most
//!   [`ScheduleOptions::per_unit_in_flight`], or one as long as the unit is not known to be well.
//! - While an exclusive job runs, from its first step to its last, nothing else is in flight to its
//!   unit. The steps of other jobs take turns with everybody.
//! - A job ends exactly once: done, expired or refused. One that expires has not touched the wire.
//! - A job that comes alone to a unit that answers waits for a free place in flight and for nothing
//!   else. No class starves (see `turns`), and within a class the longest waiting goes first.
//! - A device starts on the grid `first + n × every`. Slots that passed are counted and left out,
//!   never made up for in a bunch.
//! - A slot that was lost for want of a link is tried again before the next one, if that is far.
//! - A unit that was silent gets one transaction at a time, first after a second and at last every
//!   half minute, and is well with its first answer.
//! - Polls of units that are silent, were never heard of, or have just wasted time, and jobs for
//!   silent units, together lose at most a share of every minute (see `budget`). Free of that are
//!   safety writes, first tries as long as nobody answers, and the first loss of a unit that was
//!   well for ten times as long.
//! - A request that brings silence does not hide those behind it: the next attempt starts there.
//! - A hold ends what is in flight and the exclusive jobs that have begun, and starts nothing.

mod budget;
mod device;
mod jobs;
mod known;
mod link;
mod load;
mod ready;
mod settle;
mod turns;
mod unit;
mod work;

use std::collections::{BTreeMap, VecDeque};

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::UnitId;
use fieldgate_model::Millis;
use thiserror::Error;

pub use self::known::{BreakerState, PollSnapshot};
pub use self::load::{BusLoad, Permille};
pub use self::work::{
    Class, Flight, Jitter, JobId, JobSpec, PollDevice, PollEffect, PollSlot, ScheduleOptions,
};

use self::budget::Budget;
use self::device::{Device, Ending};
use self::jobs::{Job, JobState};
use self::link::Link;
use self::load::Minute;
use self::ready::{Candidate, Source};
use self::turns::Turns;
use self::unit::{Mark, Unit};

/// Devices start spread over at most this long, so that a bus of slow polls still shows its first
/// values soon.
const SPREAD_MAX: Millis = Millis(1_000);
/// Jobs that have not ended. Each is a question that somebody waits at; 64 of them at 50 ms are
/// three seconds of a slow line.
pub const JOBS_MAX: usize = 64;

/// A job that was refused: as many as can wait are waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the bus has {JOBS_MAX} jobs waiting")]
pub struct Full;

/// The schedule of one bus.
#[derive(Debug)]
pub struct Schedule {
    in_flight_max: usize,
    per_unit_in_flight: usize,
    devices: Vec<Device>,
    units: Vec<Unit>,
    unit_by_id: BTreeMap<UnitId, usize>,
    /// Units whose breaker is closed.
    answering: usize,
    jobs: Vec<Job>,
    flights: BTreeMap<Flight, InFlight>,
    next_flight: Flight,
    link: Link,
    budget: Budget,
    turns: Turns,
    hold: Hold,
    minute: Minute,
    effects: VecDeque<PollEffect>,
}

#[derive(Debug)]
struct InFlight {
    errand: Errand,
    unit: usize,
    class: Class,
    timeout: Millis,
    since: Millis,
    is_on_budget: bool,
    mark: Mark,
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy)]
enum Errand {
    Poll { place: usize, index: usize },
    Job(JobId),
}

/// Whether somebody has the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Free,
    /// Somebody waits for what is in flight.
    Wanted,
    Held,
}

impl Schedule {
    /// The schedule of a bus whose daemon starts at `now`.
    pub fn resume(devices: Vec<PollDevice>, options: ScheduleOptions, now: Millis) -> Self {
        let mut schedule = Self {
            in_flight_max: options.in_flight_max.max(1),
            per_unit_in_flight: options.per_unit_in_flight.max(1),
            devices: Vec::with_capacity(devices.len()),
            units: Vec::new(),
            unit_by_id: BTreeMap::new(),
            answering: 0,
            jobs: Vec::new(),
            flights: BTreeMap::new(),
            next_flight: Flight(0),
            link: Link::new(),
            budget: Budget::new(options),
            turns: Turns::default(),
            hold: Hold::Free,
            minute: Minute::new(now),
            effects: VecDeque::new(),
        };
        let count = devices.len().max(1) as u64;
        for (place, spec) in (0..).zip(devices) {
            let unit = schedule.unit(spec.unit);
            let spread = spec.every.min(SPREAD_MAX);
            let due = now + Millis(spread.0 * place / count);
            schedule.devices.push(Device::new(spec, unit, due));
        }
        schedule
    }

    /// Somebody wants something done. It ends once: by [`PollEffect::JobDone`], by
    /// [`PollEffect::JobExpired`], or refused here.
    pub fn handle_job(&mut self, job: JobId, spec: JobSpec, now: Millis) -> Result<(), Full> {
        if self.jobs.len() >= JOBS_MAX {
            return Err(Full);
        }
        let unit = self.unit(spec.unit);
        self.jobs.push(Job::new(job, spec, unit, now));
        Ok(())
    }

    /// The rest of a job is of no use to anyone: it ends, if need be after its step in flight.
    pub fn handle_job_end(&mut self, job: JobId) {
        let Some(place) = self.jobs.iter().position(|known| known.id == job) else {
            return;
        };
        match &mut self.jobs[place].state {
            JobState::InFlight { is_last } => *is_last = true,
            JobState::Fresh | JobState::Between(_) => {
                self.end_job(place, PollEffect::JobDone { job, rest: None });
                self.tell_if_held();
            }
        }
    }

    /// The transaction in flight ended.
    pub fn handle_answer(
        &mut self,
        flight: Flight,
        outcome: Result<(), Fault>,
        now: Millis,
        jitter: Jitter,
    ) {
        let was_alone = self.flights.len() == 1;
        let Some(landed) = self.land(flight) else {
            return;
        };
        self.link.judge(flight, outcome, self.next_flight, now, jitter);
        let wasted = self.judge_unit(&landed, outcome, was_alone, now);
        self.minute.add(landed.class, now.since(landed.since), wasted, now);
        match landed.errand {
            Errand::Poll { place, index } => {
                self.devices[place].book(outcome, index, wasted, now);
                self.cut_if_unaffordable(place, outcome, wasted, now);
            }
            Errand::Job(job) => self.book_job(job, outcome, now),
        }
        self.settle(&landed, outcome, now);
    }

    /// The transaction did not touch the wire: its time had passed when the link was open at last,
    /// or nobody wants it any more. A job ends by that.
    pub fn handle_unsent(&mut self, flight: Flight, now: Millis) {
        let Some(landed) = self.land(flight) else {
            return;
        };
        match landed.errand {
            Errand::Poll { place, index } => {
                let device = &mut self.devices[place];
                device.book(Err(Fault::NoLink), index, Millis(0), now);
                device.cut(Ending::Cut(Fault::NoLink));
                self.close_if_ended(place, now);
            }
            Errand::Job(job) => self.end_unsent_job(job),
        }
        self.tell_if_held();
    }

    /// Somebody takes the whole bus: what is in flight ends, and then [`PollEffect::Held`] follows.
    pub fn handle_hold(&mut self, now: Millis) {
        if self.hold != Hold::Free {
            return;
        }
        self.hold = Hold::Wanted;
        self.cut_cycles(Ending::Dropped, now, |_| true);
        self.tell_if_held();
    }

    /// The bus is given back.
    pub fn handle_release(&mut self) {
        self.hold = Hold::Free;
    }

    /// A device has another plan. A cycle that is open ends by the plan it began with;
    /// [`PollEffect::Replanned`] says from when on the new one holds.
    pub fn handle_requests(&mut self, slot: PollSlot, requests: Vec<Class>, now: Millis) {
        let is_in_force =
            self.devices.get_mut(slot.0).is_some_and(|device| device.plan(requests, now));
        if is_in_force {
            self.effects.push_back(PollEffect::Replanned { device: slot });
        }
    }

    /// Starts what is due, as far as there is room.
    pub fn handle_timeout(&mut self, now: Millis) {
        self.expire_jobs(now);
        self.skip_slots_without_link(now);
        while let Some(candidate) = self.pick(now) {
            self.start(&candidate, now);
        }
    }

    /// When to call [`Schedule::handle_timeout`] next; to be asked again after every other call.
    pub fn poll_timeout(&self) -> Option<Millis> {
        let expiry = self.jobs.iter().filter_map(Job::expires_at).min();
        let slot = self.slot_without_link_at();
        [self.ready_at(), expiry, slot].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<PollEffect> {
        self.effects.pop_front()
    }

    /// What is known of one device; `None` if there is no such device.
    pub fn snapshot(&self, device: PollSlot) -> Option<&PollSnapshot> {
        self.devices.get(device.0).map(|device| &device.known)
    }

    /// How full the bus has been over the last minute.
    pub fn load(&self, now: Millis) -> BusLoad {
        self.minute.load(self.in_flight_max, now)
    }

    /// Whether the link is in use, or is going to be tried at the next poll.
    pub fn link_is_usable(&self) -> bool {
        self.link.is_usable()
    }

    fn unit(&mut self, id: UnitId) -> usize {
        *self.unit_by_id.entry(id).or_insert_with(|| {
            self.units.push(Unit::new());
            self.units.len() - 1
        })
    }

    fn start(&mut self, candidate: &Candidate, now: Millis) {
        let flight = self.next_flight;
        self.next_flight = Flight(flight.0 + 1);
        let is_on_budget = now < candidate.trusted_at;
        let (errand, unit, timeout) = match candidate.source {
            Source::Device(place) => {
                if self.devices[place].cycle.is_none() {
                    self.open_cycle(place, is_on_budget, now);
                }
                let device = &mut self.devices[place];
                let index = device.ask();
                let slot = PollSlot(place);
                self.effects.push_back(PollEffect::Transact { flight, device: slot, index });
                (Errand::Poll { place, index }, device.unit, device.timeout)
            }
            Source::Job(place) => {
                let job = &mut self.jobs[place];
                job.state = JobState::InFlight { is_last: false };
                if job.spec.exclusive {
                    self.units[job.unit].locked_by = Some(job.id);
                }
                let effect = PollEffect::RunJob { flight, job: job.id, step: job.step };
                self.effects.push_back(effect);
                (Errand::Job(job.id), job.unit, job.spec.timeout)
            }
        };
        self.budget.is_out |= is_on_budget;
        let known = &mut self.units[unit];
        known.in_flight += 1;
        let (class, mark) = (candidate.class, known.mark());
        let in_flight = InFlight { errand, unit, class, timeout, since: now, is_on_budget, mark };
        self.flights.insert(flight, in_flight);
    }

    fn open_cycle(&mut self, place: usize, is_on_budget: bool, now: Millis) {
        let device = &mut self.devices[place];
        let unit = &mut self.units[device.unit];
        unit.wipe();
        let passed = device.skip_slots(now);
        if is_on_budget || unit.breaker != BreakerState::Closed {
            device.known.withheld += passed;
        } else {
            device.known.missed += passed;
            self.minute.add_missed(passed, now);
        }
        if unit.breaker == BreakerState::Open {
            device.known.probes += 1;
        }
        device.open_cycle(now);
    }
}

#[cfg(test)]
mod tests;
