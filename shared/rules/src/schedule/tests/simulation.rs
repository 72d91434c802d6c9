//! Random buses with all that happens in the field, each from one seed, under the watch.

use super::bus::requests;
use super::watch::Watch;
use super::*;

/// What a unit is like.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Healthy {
        took: u64,
    },
    /// It answers at the last moment.
    Slow,
    Dead,
    /// It answers for some time and is silent for some time.
    Flapping {
        period: u64,
    },
    /// Garbage, slowly.
    Lying,
    Busy,
    /// A gateway speaks for it.
    Gatewayed,
    /// A share of its frames is lost.
    Noisy {
        lost_in_100: u64,
    },
    BreaksLink,
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        let count = items.len() as u64;
        items[usize::try_from(self.below(count)).expect("small")]
    }
}

struct World {
    random: Random,
    schedule: Schedule,
    watch: Watch,
    now: Millis,
    manner_by_unit: BTreeMap<u8, Manner>,
    landings: BTreeMap<(Millis, Flight), Result<(), Fault>>,
    has_faults: bool,
    outage: Option<(Millis, Millis)>,
    next_job: u64,
    release_at: Option<Millis>,
    plan_by_slot: BTreeMap<PollSlot, usize>,
    devices: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            random.below(2);
        }
        let has_faults = !seed.is_multiple_of(4);
        let in_flight_max = random.of(&[1, 1, 2, 4, 8]);
        let per_unit = usize::try_from(random.below(in_flight_max) + 1).expect("small");
        let options = ScheduleOptions {
            dead_share: random.of(&[10, 10, 5, 20]),
            in_flight_max: usize::try_from(in_flight_max).expect("small"),
            per_unit_in_flight: per_unit,
        };
        let count = 1 + random.below(12);
        let mut devices = Vec::new();
        let mut manner_by_unit = BTreeMap::new();
        for place in 0..count {
            // Now and then two devices have one unit.
            let unit =
                u8::try_from(place - u64::from(place > 0 && random.one_in(8))).expect("small");
            let mut requests = requests(u16::try_from(1 + random.below(6)).expect("small"));
            for request in &mut requests {
                *request = random.of(&[Class::Poll, Class::Poll, Class::AlarmSignal]);
            }
            let every = Millis(random.of(&[50, 200, 1_000, 5_000]));
            let timeout = Millis(random.of(&[200, 500, 1_000]));
            devices.push(PollDevice { unit: UnitId(unit), every, requests, timeout });
            manner_by_unit.insert(unit, manner(&mut random, has_faults));
        }
        let now = Millis(random.below(100_000));
        let outage = (has_faults && random.one_in(3)).then(|| {
            let from = now + Millis(random.below(200_000));
            (from, from + Millis(random.below(60_000)))
        });
        Self {
            random,
            watch: Watch::new(&devices, options, now),
            schedule: Schedule::resume(devices, options, now),
            now,
            manner_by_unit,
            landings: BTreeMap::new(),
            has_faults,
            outage,
            next_job: 0,
            release_at: None,
            plan_by_slot: BTreeMap::new(),
            devices: count,
        }
    }

    fn run(&mut self, time: Millis, is_eventful: bool) {
        let end = self.now + time;
        let mut next_event = self.now;
        for step in 0.. {
            assert!(step < 2_000_000, "the schedule spins");
            let landing = self.landings.first_key_value().map(|((at, _), _)| *at);
            let due = self.schedule.poll_timeout().map(|at| at.max(self.now));
            let event = is_eventful.then_some(next_event);
            let all = [landing, due, event, self.release_at];
            let Some(at) = all.into_iter().flatten().min().filter(|at| *at < end) else {
                break;
            };
            self.now = at;
            if landing == Some(at) {
                self.land();
            } else if self.release_at == Some(at) {
                self.release_at = None;
                self.schedule.handle_release();
                self.watch.released();
            } else if due == Some(at) {
                self.schedule.handle_timeout(at);
                let next = self.schedule.poll_timeout();
                assert!(next.is_none_or(|next| next > at), "due at {at:?} and still is");
            } else {
                self.happen();
                next_event = at + Millis(1 + self.random.below(3_000));
            }
            self.carry_out();
            self.watch.rest(&self.schedule);
        }
        self.now = end;
    }

    fn land(&mut self) {
        let ((_, flight), outcome) = self.landings.pop_first().expect("it is landing");
        let is_job = self.watch.flying[&flight].is_job();
        let jitter = Jitter(u8::try_from(self.random.below(256)).expect("a byte"));
        if is_job && self.has_faults && self.random.one_in(20) {
            self.schedule.handle_unsent(flight, self.now);
            self.watch.landed(flight, None, &self.schedule, self.now);
        } else {
            self.schedule.handle_answer(flight, outcome, self.now, jitter);
            self.watch.landed(flight, Some(outcome), &self.schedule, self.now);
        }
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.schedule.poll_effect() {
            self.watch.effect(effect, &self.schedule, self.now);
            match effect {
                PollEffect::Transact { flight, .. } | PollEffect::RunJob { flight, .. } => {
                    let started = self.watch.flying[&flight];
                    let (outcome, took) = self.answer(started.unit, started.timeout);
                    self.landings.insert((self.now + took, flight), outcome);
                }
                PollEffect::Replanned { device } => {
                    self.watch.replanned(device, self.plan_by_slot[&device]);
                }
                PollEffect::Held => {
                    self.release_at = Some(self.now + Millis(self.random.below(5_000)));
                }
                PollEffect::CycleDone { .. }
                | PollEffect::CycleDropped { .. }
                | PollEffect::JobDone { .. }
                | PollEffect::JobExpired { .. } => {}
            }
        }
    }

    fn answer(&mut self, unit: u8, timeout: Millis) -> (Result<(), Fault>, Millis) {
        let is_out = |(from, to): (Millis, Millis)| from <= self.now && self.now < to;
        if self.outage.is_some_and(is_out) {
            return (Err(Fault::NoLink), Millis(self.random.below(timeout.0)));
        }
        let silent = (Err(Fault::NoAnswer), timeout);
        let random = &mut self.random;
        let healthy = (Ok(()), Millis(5 + random.below(40)));
        match self.manner_by_unit[&unit] {
            Manner::Healthy { took } => (Ok(()), Millis(took)),
            Manner::Slow => (Ok(()), Millis(timeout.0 - 1 - random.below(20))),
            Manner::Dead => silent,
            Manner::Flapping { period } if (self.now.0 / period) % 2 == 1 => silent,
            Manner::Noisy { lost_in_100 } if random.below(100) < lost_in_100 => silent,
            Manner::Flapping { .. } | Manner::Noisy { .. } => healthy,
            Manner::Lying => (
                Err(random.of(&[Fault::Malformed, Fault::Checksum])),
                Millis(random.below(timeout.0)),
            ),
            Manner::Busy => {
                let outcome = [Ok(()), Err(Fault::Exception(5)), Err(Fault::Exception(6))];
                (random.of(&outcome), Millis(10))
            }
            Manner::Gatewayed => (Err(Fault::Exception(0x0B)), Millis(random.below(timeout.0))),
            Manner::BreaksLink => (Err(Fault::LinkLost), Millis(random.below(50))),
        }
    }

    /// Something that people, commands or the planner do.
    fn happen(&mut self) {
        match self.random.below(20) {
            0 => self.schedule.handle_hold(self.now),
            1 | 2 => {
                let slot =
                    PollSlot(usize::try_from(self.random.below(self.devices)).expect("small"));
                let plan = 1 + self.random.below(6);
                self.plan_by_slot.insert(slot, usize::try_from(plan).expect("small"));
                let plan = requests(u16::try_from(plan).expect("small"));
                self.schedule.handle_requests(slot, plan, self.now);
            }
            3 => {
                if let Some(job) = self.watch.jobs().last() {
                    self.schedule.handle_job_end(job);
                }
            }
            _ => self.ask(),
        }
    }

    fn ask(&mut self) {
        for _ in 0..self.random.of(&[1, 1, 1, 5, 30]) {
            let units: Vec<u8> = self.manner_by_unit.keys().copied().collect();
            let random = &mut self.random;
            let spec = JobSpec {
                class: random.of(&[
                    Class::SafetyWrite,
                    Class::Command,
                    Class::Command,
                    Class::Backfill,
                ]),
                unit: UnitId(random.of(&units)),
                transactions: random.of(&[1, 1, 2, 3]),
                timeout: Millis(random.of(&[200, 500, 1_000])),
                not_after: random.one_in(2).then(|| self.now + Millis(random.below(5_000))),
                exclusive: random.one_in(2),
            };
            let job = JobId(self.next_job);
            self.next_job += 1;
            if self.schedule.handle_job(job, spec, self.now).is_ok() {
                self.watch.job(job, spec);
            }
        }
    }
}

fn manner(random: &mut Random, has_faults: bool) -> Manner {
    let took = 5 + random.below(60);
    if !has_faults || random.one_in(2) {
        return Manner::Healthy { took };
    }
    match random.below(8) {
        0 => Manner::Slow,
        1 => Manner::Dead,
        2 => Manner::Flapping { period: 1_000 + random.below(60_000) },
        3 => Manner::Lying,
        4 => Manner::Busy,
        5 => Manner::Gatewayed,
        6 => Manner::Noisy { lost_in_100: 1 + random.below(20) },
        _ => Manner::BreaksLink,
    }
}

#[test]
fn any_bus_keeps_what_the_schedule_promises() {
    for seed in 0..40 {
        let mut world = World::new(seed);
        world.run(Millis::from_secs(240), true);
        if world.has_faults {
            // All are well again: whoever waited gets what it waited for.
            let units: Vec<u8> = world.manner_by_unit.keys().copied().collect();
            let healthy = |unit| (unit, Manner::Healthy { took: 10 });
            world.manner_by_unit = units.into_iter().map(healthy).collect();
            world.outage = None;
        }
        let calm_at = world.now;
        world.run(Millis::from_secs(300), false);
        assert!(world.watch.all_jobs_ended(), "seed {seed}: jobs are left");
        for place in 0..usize::try_from(world.devices).expect("small") {
            let known = world.schedule.snapshot(PollSlot(place)).expect("a device");
            assert!(known.last_good_at > Some(calm_at), "seed {seed}: device {place} starves");
            assert_eq!(known.breaker, BreakerState::Closed, "seed {seed}: device {place}");
        }
    }
}
