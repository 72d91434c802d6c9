//! What must hold on any bus at any time, watched from outside.

use std::collections::BTreeSet;

use super::turns::IN_A_ROW_MAX;
use super::*;

/// What the watch knows of one device.
struct Seen {
    unit: u8,
    timeout: Millis,
    every: Millis,
    /// Where its grid begins.
    first_due: Millis,
    plan: usize,
    in_flight: usize,
    /// The indices that the open cycle has asked.
    cycle: Option<BTreeSet<usize>>,
    last_slot: Option<u64>,
}

/// What the watch knows of a job that has not ended.
struct Asked {
    spec: JobSpec,
    /// Steps that were made.
    landed: usize,
    /// A step was made, be it that the device was busy.
    touched: bool,
    in_flight: bool,
    begun: bool,
}

/// A transaction that the watch has seen start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Started {
    pub(super) unit: u8,
    pub(super) timeout: Millis,
    since: Millis,
    class: Class,
    job: Option<JobId>,
    slot: Option<(PollSlot, usize)>,
    is_on_budget: bool,
}

impl Started {
    pub(super) fn is_job(&self) -> bool {
        self.job.is_some()
    }
}

pub(super) struct Watch {
    options: ScheduleOptions,
    seen: Vec<Seen>,
    jobs: BTreeMap<JobId, Asked>,
    pub(super) flying: BTreeMap<Flight, Started>,
    next_flight: Flight,
    /// Ends of silences by unit, with nothing heard since.
    silent_since: BTreeMap<u8, Millis>,
    /// Losses on the budget: end and time.
    losses: Vec<(Millis, u64)>,
    recent: VecDeque<Class>,
    is_held: bool,
    /// Whether the link failed, so that a slot may be tried twice.
    pub(super) has_link_faults: bool,
}

impl Watch {
    pub(super) fn new(devices: &[PollDevice], options: ScheduleOptions, now: Millis) -> Self {
        let count = devices.len() as u64;
        let seen = |(place, device): (u64, &PollDevice)| Seen {
            unit: device.unit.0,
            timeout: device.timeout,
            every: device.every,
            first_due: now + Millis(device.every.0.min(1_000) * place / count),
            plan: device.requests.len(),
            in_flight: 0,
            cycle: None,
            last_slot: None,
        };
        Self {
            options,
            seen: (0..).zip(devices).map(seen).collect(),
            jobs: BTreeMap::new(),
            flying: BTreeMap::new(),
            next_flight: Flight(0),
            silent_since: BTreeMap::new(),
            losses: Vec::new(),
            recent: VecDeque::new(),
            is_held: false,
            has_link_faults: false,
        }
    }

    pub(super) fn job(&mut self, id: JobId, spec: JobSpec) {
        let asked = Asked { spec, landed: 0, touched: false, in_flight: false, begun: false };
        assert!(self.jobs.insert(id, asked).is_none(), "the simulation numbers its jobs");
    }

    pub(super) fn released(&mut self) {
        self.is_held = false;
    }

    pub(super) fn all_jobs_ended(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = JobId> {
        self.jobs.keys().copied()
    }

    /// Sees an effect, before it is carried out.
    pub(super) fn effect(&mut self, effect: PollEffect, schedule: &Schedule, now: Millis) {
        match effect {
            PollEffect::Transact { flight, device, index } => {
                self.poll(flight, device, index, schedule, now);
            }
            PollEffect::RunJob { flight, job, step } => self.step(flight, job, step, schedule, now),
            PollEffect::CycleDone { device, rest } => {
                let asked = self.end_cycle(device);
                let plan = self.seen[device.0].plan;
                assert!(rest.is_some() || asked == Some(plan), "{device:?} left requests out");
            }
            PollEffect::CycleDropped { device } => {
                assert!(self.end_cycle(device).is_some(), "{device:?} had no cycle to drop");
            }
            PollEffect::Replanned { device } => {
                assert!(self.seen[device.0].cycle.is_none(), "{device:?} replanned in a cycle");
            }
            PollEffect::JobDone { job, .. } => self.end_job(job),
            PollEffect::JobExpired { job } => {
                assert!(!self.jobs[&job].touched, "{job:?} touched the wire and ran out");
                self.end_job(job);
            }
            PollEffect::Held => {
                assert!(self.flying.is_empty(), "held with something in flight");
                self.is_held = true;
            }
        }
    }

    pub(super) fn replanned(&mut self, device: PollSlot, plan: usize) {
        self.seen[device.0].plan = plan;
    }

    fn poll(
        &mut self,
        flight: Flight,
        slot: PollSlot,
        index: usize,
        schedule: &Schedule,
        now: Millis,
    ) {
        let breaker = schedule.snapshot(slot).expect("a device").breaker;
        let seen = &mut self.seen[slot.0];
        let (unit, timeout) = (seen.unit, seen.timeout);
        assert!(index < seen.plan, "{slot:?} asked index {index} of {}", seen.plan);
        if seen.cycle.is_none() {
            let number = now.since(seen.first_due).0 / seen.every.0;
            let is_fresh = seen.last_slot.is_none_or(|last| last < number);
            assert!(now >= seen.first_due && (is_fresh || self.has_link_faults), "{slot:?}");
            seen.last_slot = Some(number);
        }
        seen.cycle.get_or_insert_default().insert(index);
        seen.in_flight += 1;
        // Of several questions into one silence the first that ends opens the breaker.
        let is_exact = self.options.per_unit_in_flight == 1 && breaker == BreakerState::Open;
        if let (true, Some(since)) = (is_exact, self.silent_since.get(&unit)) {
            assert!(now.since(*since) >= Millis(1_000), "unit {unit} was probed without a pause");
        }
        self.assert_that_no_command_waits(schedule);
        let is_silent = breaker == BreakerState::Open
            || (breaker == BreakerState::Untried && schedule.answering > 0);
        let class = Class::Poll;
        let slot = Some((slot, index));
        self.start(
            flight,
            Started { unit, timeout, since: now, class, job: None, slot, is_on_budget: is_silent },
            schedule,
        );
    }

    fn step(&mut self, flight: Flight, id: JobId, step: usize, schedule: &Schedule, now: Millis) {
        let job = self.jobs.get_mut(&id).expect("a job that was taken on");
        assert!(!job.in_flight && step == job.landed, "{id:?} step {step}");
        assert!(job.begun || job.spec.not_after.is_none_or(|at| now < at), "{id:?} began too late");
        (job.begun, job.in_flight) = (true, true);
        let JobSpec { class, unit: UnitId(unit), timeout, exclusive, .. } = job.spec;
        if exclusive {
            let others = self.flying.values().filter(|flying| flying.unit == unit).count();
            assert_eq!(others, 0, "{id:?} is not alone with unit {unit}");
        }
        let breaker = schedule.units[schedule.unit_by_id[&UnitId(unit)]].breaker;
        let is_on_budget = breaker == BreakerState::Open && class != Class::SafetyWrite;
        let job = Some(id);
        self.start(
            flight,
            Started { unit, timeout, since: now, class, job, slot: None, is_on_budget },
            schedule,
        );
    }

    fn start(&mut self, flight: Flight, started: Started, schedule: &Schedule) {
        assert!(!self.is_held, "{started:?} while the bus was held");
        assert_eq!(flight, self.next_flight, "flights are numbered");
        self.next_flight = Flight(flight.0 + 1);
        let exclusive = self
            .jobs
            .iter()
            .filter(|(_, job)| job.begun && job.spec.exclusive && job.spec.unit.0 == started.unit);
        for (id, _) in exclusive {
            assert_eq!(started.job, Some(*id), "unit {} is locked", started.unit);
        }
        let of_unit = self.flying.values().filter(|other| other.unit == started.unit).count();
        assert!(of_unit < self.options.per_unit_in_flight, "unit {}: {of_unit}", started.unit);
        let is_well = schedule.units[schedule.unit_by_id[&UnitId(started.unit)]].breaker
            == BreakerState::Closed;
        assert!(of_unit == 0 || is_well, "two questions to unit {}, not known well", started.unit);
        self.flying.insert(flight, started);
        assert!(self.flying.len() <= self.options.in_flight_max);
        self.recent.push_front(started.class);
        self.recent.truncate(usize::from(IN_A_ROW_MAX));
    }

    /// A poll may go before a command that could go only if enough commands went before it.
    fn assert_that_no_command_waits(&self, schedule: &Schedule) {
        let could_go = |job: &&Asked| {
            let unit = job.spec.unit;
            let is_well =
                schedule.units[schedule.unit_by_id[&unit]].breaker == BreakerState::Closed;
            let is_busy = self.flying.values().any(|flying| flying.unit == unit.0);
            let is_locked = self
                .jobs
                .values()
                .any(|other| other.begun && other.spec.exclusive && other.spec.unit == unit);
            let is_urgent = job.spec.class <= Class::Command;
            is_urgent && is_well && !is_busy && !is_locked && !job.begun
        };
        let waiting = self.jobs.values().find(could_go);
        let urgent = self.recent.iter().filter(|class| **class <= Class::Command).count();
        let may = waiting.is_none() || urgent == usize::from(IN_A_ROW_MAX);
        assert!(
            may || !schedule.link_is_usable(),
            "a poll went before {:?}",
            waiting.map(|j| j.spec)
        );
    }

    /// Sees a landing, after the schedule was told of it and before its effects are seen.
    pub(super) fn landed(
        &mut self,
        flight: Flight,
        outcome: Option<Result<(), Fault>>,
        schedule: &Schedule,
        now: Millis,
    ) {
        let started = self.flying.remove(&flight).expect("it was in flight");
        if let Some((slot, _)) = started.slot {
            self.seen[slot.0].in_flight -= 1;
        }
        if let Some(job) = started.job.and_then(|id| self.jobs.get_mut(&id)) {
            job.in_flight = false;
            job.touched |= outcome.is_some();
            let is_again = outcome == Some(Err(Fault::Exception(6)));
            let index = schedule.jobs.iter().find(|known| Some(known.id) == started.job);
            let is_repeated = is_again && index.is_some_and(|known| known.step == job.landed);
            job.landed += usize::from(!is_repeated);
        }
        let Some(outcome) = outcome else { return };
        self.has_link_faults |= matches!(outcome, Err(Fault::NoLink | Fault::LinkLost));
        let spent = now.since(started.since);
        let is_silence = matches!(outcome, Err(Fault::NoAnswer | Fault::Exception(10 | 11)));
        if is_silence {
            self.silent_since.insert(started.unit, now);
            let unit = &schedule.units[schedule.unit_by_id[&UnitId(started.unit)]];
            let is_serial = self.options.in_flight_max == 1;
            assert!(!is_serial || unit.breaker == BreakerState::Open);
        } else if !matches!(outcome, Err(Fault::NoLink | Fault::LinkLost)) {
            self.silent_since.remove(&started.unit);
        }
        if started.is_on_budget && is_silence {
            let lost = if outcome == Err(Fault::NoAnswer) { started.timeout.0 } else { spent.0 };
            self.lose(lost, now);
        }
    }

    fn lose(&mut self, lost: u64, now: Millis) {
        self.losses.retain(|(at, _)| *at + Millis(60_000) > now);
        self.losses.push((now, lost));
        let sum: u64 = self.losses.iter().map(|(_, lost)| lost).sum();
        let share = u64::from(self.options.dead_share) * self.options.in_flight_max as u64;
        let limit = 600 * share;
        assert!(
            sum <= limit || self.losses.len() == 1,
            "{sum} ms of {limit} lost: {:?}",
            self.losses
        );
    }

    /// Sees the bus at rest, all effects being carried out.
    pub(super) fn rest(&self, schedule: &Schedule) {
        for (place, seen) in self.seen.iter().enumerate() {
            let breaker = schedule.snapshot(PollSlot(place)).expect("a device").breaker;
            let is_stuck = seen.cycle.is_some() && seen.in_flight == 0;
            assert!(
                breaker != BreakerState::Open || !is_stuck,
                "device {place} goes on after silence"
            );
        }
        assert_eq!(schedule.flights.len(), self.flying.len());
        assert!(schedule.jobs.len() <= JOBS_MAX);
        let waiting = self.jobs.len();
        assert_eq!(schedule.jobs.len(), waiting, "a job was lost");
    }

    fn end_cycle(&mut self, device: PollSlot) -> Option<usize> {
        let seen = &mut self.seen[device.0];
        assert_eq!(seen.in_flight, 0, "{device:?} ended with something in flight");
        seen.cycle.take().map(|asked| asked.len())
    }

    fn end_job(&mut self, id: JobId) {
        let job = self.jobs.remove(&id).expect("a job that has not ended");
        assert!(!job.in_flight, "{id:?} ended in flight");
    }
}
