//! A bus whose answers are told by a function, and what was seen on it.

use super::*;

pub(super) type Answer = (Result<(), Fault>, Millis);

pub(super) const HEALTHY: Answer = (Ok(()), Millis(5));
pub(super) const TIMEOUT: Millis = Millis(500);
pub(super) const SILENT: Answer = (Err(Fault::NoAnswer), TIMEOUT);

/// A bus whose answers are told by `behave(unit, index or step, now)`. Units are numbered as the
/// devices are.
pub(super) struct Bus<F> {
    pub(super) schedule: Schedule,
    pub(super) now: Millis,
    behave: F,
    units: Vec<u8>,
    unit_by_job: BTreeMap<JobId, u8>,
    /// By their end.
    flying: BTreeMap<(Millis, Flight), Result<(), Fault>>,
    /// Every transaction of a poll: device, index, start.
    pub(super) asked: Vec<(usize, usize, Millis)>,
    /// Every cycle's end: device, rest, time.
    pub(super) done: Vec<(usize, Option<Fault>, Millis)>,
    /// Every transaction of a job: job, step, start.
    pub(super) ran: Vec<(u64, usize, Millis)>,
    /// Every other effect, and when.
    pub(super) told: Vec<(PollEffect, Millis)>,
    pub(super) flying_max: usize,
}

impl<F: FnMut(u8, usize, Millis) -> Answer> Bus<F> {
    pub(super) fn new(devices: Vec<PollDevice>, behave: F) -> Self {
        Self::with(devices, ScheduleOptions::default(), behave)
    }

    pub(super) fn with(devices: Vec<PollDevice>, options: ScheduleOptions, behave: F) -> Self {
        let now = Millis(1_000);
        Self {
            units: devices.iter().map(|device| device.unit.0).collect(),
            schedule: Schedule::resume(devices, options, now),
            now,
            behave,
            unit_by_job: BTreeMap::new(),
            flying: BTreeMap::new(),
            asked: Vec::new(),
            done: Vec::new(),
            ran: Vec::new(),
            told: Vec::new(),
            flying_max: 0,
        }
    }

    pub(super) fn run(&mut self, time: Millis) {
        let end = self.now + time;
        let mut steps = 0;
        loop {
            let landing = self.flying.first_key_value().map(|((at, _), _)| *at);
            let due = self.schedule.poll_timeout().map(|at| at.max(self.now));
            let Some(at) = [landing, due].into_iter().flatten().min().filter(|at| *at <= end)
            else {
                break;
            };
            self.now = at;
            if landing == Some(at) {
                let ((_, flight), outcome) = self.flying.pop_first().expect("it is landing");
                self.schedule.handle_answer(flight, outcome, at, Jitter(255));
            } else {
                self.schedule.handle_timeout(at);
            }
            self.carry_out();
            steps += 1;
            assert!(steps < 4_000_000, "the schedule spins");
        }
        self.now = end;
    }

    pub(super) fn job(&mut self, job: u64, spec: JobSpec) {
        self.unit_by_job.insert(JobId(job), spec.unit.0);
        self.schedule.handle_job(JobId(job), spec, self.now).expect("there is room");
    }

    pub(super) fn carry_out(&mut self) {
        while let Some(effect) = self.schedule.poll_effect() {
            match effect {
                PollEffect::Transact { flight, device, index } => {
                    self.asked.push((device.0, index, self.now));
                    self.fly(flight, self.units[device.0], index);
                }
                PollEffect::RunJob { flight, job, step } => {
                    self.ran.push((job.0, step, self.now));
                    self.fly(flight, self.unit_by_job[&job], step);
                }
                PollEffect::CycleDone { device, rest } => {
                    self.done.push((device.0, rest, self.now));
                }
                PollEffect::CycleDropped { .. }
                | PollEffect::Replanned { .. }
                | PollEffect::JobDone { .. }
                | PollEffect::JobExpired { .. }
                | PollEffect::Held => self.told.push((effect, self.now)),
            }
        }
    }

    fn fly(&mut self, flight: Flight, unit: u8, index: usize) {
        let (answer, took) = (self.behave)(unit, index, self.now);
        self.flying.insert((self.now + took, flight), answer);
        self.flying_max = self.flying_max.max(self.flying.len());
    }

    pub(super) fn snapshot(&self, device: usize) -> &PollSnapshot {
        self.schedule.snapshot(PollSlot(device)).expect("a device of this bus")
    }

    pub(super) fn starts_of(&self, device: usize) -> Vec<u64> {
        let of = |(who, _, at): &(usize, usize, Millis)| (*who == device).then_some(at.0);
        self.asked.iter().filter_map(of).collect()
    }

    /// The end of a job, and when it came.
    pub(super) fn end_of(&self, job: u64) -> Option<(PollEffect, Millis)> {
        let of = |(effect, _): &&(PollEffect, Millis)| match effect {
            PollEffect::JobDone { job: id, .. } | PollEffect::JobExpired { job: id } => id.0 == job,
            PollEffect::Transact { .. }
            | PollEffect::RunJob { .. }
            | PollEffect::CycleDone { .. }
            | PollEffect::CycleDropped { .. }
            | PollEffect::Replanned { .. }
            | PollEffect::Held => false,
        };
        let mut ends = self.told.iter().filter(of);
        let end = ends.next().copied();
        assert!(ends.next().is_none(), "job {job} ended twice");
        end
    }
}

pub(super) fn requests(count: u16) -> Vec<Class> {
    vec![Class::Poll; usize::from(count)]
}

/// One device, of unit 0.
pub(super) fn device(every: Millis, count: u16) -> PollDevice {
    PollDevice { unit: UnitId(0), every, requests: requests(count), timeout: TIMEOUT }
}

/// Devices of units 0, 1, 2…
pub(super) fn devices(count: u8, every: Millis) -> Vec<PollDevice> {
    (0..count).map(|unit| PollDevice { unit: UnitId(unit), ..device(every, 1) }).collect()
}

pub(super) fn pipelined(in_flight_max: usize, per_unit_in_flight: usize) -> ScheduleOptions {
    ScheduleOptions { dead_share: 10, in_flight_max, per_unit_in_flight }
}
