//! Jobs: their order, their ends, what they may not do to the polls, and a bus that is taken.

use super::bus::{Answer, Bus, HEALTHY, SILENT, TIMEOUT, device, devices, requests};
use super::*;

fn spec(class: Class, unit: u8) -> JobSpec {
    JobSpec {
        class,
        unit: UnitId(unit),
        transactions: 1,
        timeout: TIMEOUT,
        not_after: None,
        exclusive: false,
    }
}

fn healthy(_: u8, _: usize, _: Millis) -> Answer {
    HEALTHY
}

fn done(job: u64, rest: Option<Fault>) -> PollEffect {
    PollEffect::JobDone { job: JobId(job), rest }
}

#[test]
fn a_command_waits_for_the_transaction_in_flight_and_no_more() {
    // Twenty devices, ten of them always late: the bus is never free.
    let mut bus = Bus::new(devices(20, Millis(100)), |_, _, _| (Ok(()), Millis(50)));
    bus.run(Millis(5_020));
    for job in 0..50 {
        let asked_at = bus.now;
        bus.job(job, spec(Class::Command, 3));
        bus.run(Millis(137));
        let (_, _, started) = *bus.ran.last().expect("it ran");
        assert!(started.since(asked_at) <= Millis(50), "job {job} waited until {started:?}");
    }
}

#[test]
fn the_more_urgent_class_goes_first_and_within_a_class_the_first_comes_first() {
    let mut bus = Bus::new(Vec::new(), healthy);
    let classes =
        [Class::Backfill, Class::Poll, Class::Command, Class::SafetyWrite, Class::Command];
    for (job, class) in (0..).zip(classes) {
        bus.job(job, spec(class, 1));
    }
    bus.run(Millis(100));
    let order: Vec<u64> = bus.ran.iter().map(|(job, _, _)| *job).collect();
    assert_eq!(order, [3, 2, 4, 1, 0]);
}

#[test]
fn a_flood_of_jobs_leaves_one_turn_of_five_to_the_polls() {
    let mut bus = Bus::new(devices(10, Millis(10)), |_, _, _| (Ok(()), Millis(10)));
    for job in 0..10 {
        bus.job(job, JobSpec { transactions: 50, ..spec(Class::Command, 1) });
    }
    bus.run(Millis(5_000));
    let load = bus.schedule.load(bus.now);
    assert_eq!(load.busy, Permille(1000));
    let (polls, commands) = (load.of(Class::Poll), load.of(Class::Command));
    assert!((190..=210).contains(&polls.0), "{polls:?} {commands:?}");
    assert!((0..10).all(|device| bus.snapshot(device).good >= 9));
}

#[test]
fn the_steps_of_a_long_job_take_turns_and_those_of_an_exclusive_one_keep_the_unit() {
    let mut bus = Bus::new(devices(2, Millis(20)), |_, _, _| (Ok(()), Millis(10)));
    bus.run(Millis(100));
    bus.asked.clear();
    bus.job(7, JobSpec { transactions: 8, exclusive: true, ..spec(Class::Command, 0) });
    bus.run(Millis(300));
    let (first, last) = (bus.ran[0].2, bus.ran[7].2);
    let during = bus.asked.iter().filter(|(_, _, at)| *at > first && *at < last);
    let of: Vec<usize> = during.map(|(device, _, _)| *device).collect();
    assert_eq!(of, [1], "the other unit has its turn, and the locked one waits");
    assert_eq!(bus.end_of(7).map(|(end, _)| end), Some(done(7, None)));
}

#[test]
fn a_job_that_runs_out_has_not_touched_the_wire() {
    let mut bus = Bus::new(devices(1, Millis(1_000)), |_, _, _| (Ok(()), Millis(400)));
    bus.run(Millis(100));
    let not_after = Some(Millis(1_200));
    bus.job(1, JobSpec { not_after, ..spec(Class::Command, 0) });
    bus.run(Millis(1_000));
    // It is told when its time is over, not when the bus is free again.
    let expired = PollEffect::JobExpired { job: JobId(1) };
    assert_eq!((bus.end_of(1), bus.ran.len()), (Some((expired, Millis(1_200))), 0));
}

#[test]
fn a_job_whose_time_passed_while_the_link_was_opened_has_run_out() {
    let mut bus = Bus::new(Vec::new(), healthy);
    let now = bus.now;
    for (job, transactions) in [(1, 1), (2, 2)] {
        let spec = JobSpec { transactions, ..spec(Class::Command, 0) };
        bus.schedule.handle_job(JobId(job), spec, now).expect("there is room");
    }
    let mut ends = Vec::new();
    for _ in 0..4 {
        bus.schedule.handle_timeout(now);
        while let Some(effect) = bus.schedule.poll_effect() {
            match effect {
                PollEffect::RunJob { flight, job: JobId(2), step: 0 } => {
                    bus.schedule.handle_answer(flight, Ok(()), now, Jitter(0));
                }
                PollEffect::RunJob { flight, .. } => bus.schedule.handle_unsent(flight, now),
                PollEffect::JobDone { .. } | PollEffect::JobExpired { .. } => ends.push(effect),
                PollEffect::Transact { .. }
                | PollEffect::CycleDone { .. }
                | PollEffect::CycleDropped { .. }
                | PollEffect::Replanned { .. }
                | PollEffect::Held => panic!("{effect:?}"),
            }
        }
    }
    assert_eq!(ends, [PollEffect::JobExpired { job: JobId(1) }, done(2, None)]);
}

#[test]
fn more_jobs_than_can_wait_are_refused() {
    let mut bus = Bus::new(Vec::new(), healthy);
    for job in 0..JOBS_MAX as u64 {
        bus.job(job, spec(Class::Command, 0));
    }
    let one_more = spec(Class::SafetyWrite, 0);
    assert_eq!(bus.schedule.handle_job(JobId(99), one_more, bus.now), Err(Full));
    bus.run(Millis(5));
    assert_eq!(bus.schedule.handle_job(JobId(99), one_more, bus.now), Ok(()));
}

#[test]
fn a_fault_ends_a_job_whose_other_steps_would_fail_too() {
    for (exclusive, fault, steps, rest) in [
        (false, Fault::Exception(2), 3, None),
        (false, Fault::Malformed, 3, None),
        (false, Fault::NoAnswer, 1, Some(Fault::NoAnswer)),
        (false, Fault::Exception(11), 1, Some(Fault::Exception(11))),
        (false, Fault::NoLink, 1, Some(Fault::NoLink)),
        (true, Fault::Exception(2), 1, Some(Fault::Exception(2))),
    ] {
        let mut bus = Bus::new(Vec::new(), |_, _, _| (Err(fault), Millis(5)));
        bus.job(1, JobSpec { transactions: 3, exclusive, ..spec(Class::Command, 0) });
        bus.run(Millis(2_000));
        assert_eq!(bus.ran.len(), steps, "{fault:?}");
        assert_eq!(bus.end_of(1).map(|(end, _)| end), Some(done(1, rest)), "{fault:?}");
    }
}

#[test]
fn a_write_is_repeated_if_the_device_was_busy_and_not_if_it_is_at_work_on_it() {
    for (code, starts) in [(6, vec![1_000, 1_505, 2_010, 2_515]), (5, vec![1_000])] {
        let mut bus = Bus::new(Vec::new(), |_, _, _| (Err(Fault::Exception(code)), Millis(5)));
        bus.job(1, JobSpec { exclusive: true, ..spec(Class::Command, 0) });
        bus.run(Millis(9_000));
        let at: Vec<u64> = bus.ran.iter().map(|(_, _, at)| at.0).collect();
        assert_eq!(at, starts, "exception {code}");
        assert_eq!(bus.end_of(1).map(|(end, _)| end), Some(done(1, None)));
    }
    let mut bus = Bus::new(Vec::new(), |_, _, _| (Err(Fault::Exception(6)), Millis(5)));
    bus.job(1, JobSpec { not_after: Some(Millis(1_800)), ..spec(Class::Command, 0) });
    bus.run(Millis(9_000));
    assert_eq!(bus.ran.len(), 2, "not beyond its time");
}

#[test]
fn a_job_that_nobody_wants_ends_once_and_after_its_step_in_flight() {
    let mut bus = Bus::new(Vec::new(), |_, _, _| (Ok(()), Millis(50)));
    for job in [1, 2] {
        bus.job(job, JobSpec { transactions: 5, exclusive: true, ..spec(Class::Command, 0) });
    }
    bus.run(Millis(10));
    for job in [1, 2, 3] {
        bus.schedule.handle_job_end(JobId(job));
        bus.carry_out();
    }
    bus.run(Millis(500));
    assert_eq!(bus.told, [(done(2, None), Millis(1_010)), (done(1, None), Millis(1_050))]);
}

#[test]
fn a_job_finds_out_whether_a_silent_unit_is_back_but_a_flood_of_them_has_a_budget() {
    let behave = |unit, _, now| if unit == 1 && now < Millis(60_000) { SILENT } else { HEALTHY };
    let mut bus = Bus::new(devices(2, Millis(1_000)), behave);
    bus.run(Millis(3_000));
    assert_eq!(bus.snapshot(1).breaker, BreakerState::Open);
    for job in 0..30 {
        bus.job(job, spec(Class::Command, 1));
    }
    bus.run(Millis(55_000));
    assert!((4..=7).contains(&bus.ran.len()), "{} jobs tried a silent unit", bus.ran.len());
    assert!(bus.schedule.load(bus.now).dead <= Permille(100));
    assert!(bus.snapshot(0).good >= 55, "{}", bus.snapshot(0).good);
    // Its first answer lets the rest through.
    bus.run(Millis(30_000));
    assert_eq!(bus.ran.len(), 30);
    assert_eq!(bus.snapshot(1).breaker, BreakerState::Closed);
}

#[test]
fn nothing_holds_back_a_safety_write() {
    let behave = |unit, _, _| if unit == 1 { SILENT } else { HEALTHY };
    let mut bus = Bus::new(devices(2, Millis(1_000)), behave);
    bus.run(Millis(20_000));
    for job in 0..20 {
        let asked_at = bus.now;
        bus.job(job, JobSpec { exclusive: true, ..spec(Class::SafetyWrite, 1) });
        bus.run(Millis(1_500));
        let (_, _, started) = *bus.ran.last().expect("it ran");
        assert!(started.since(asked_at) <= TIMEOUT, "{started:?}");
    }
}

#[test]
fn a_job_tries_a_link_that_is_down_without_hammering_it() {
    let mut bus = Bus::new(Vec::new(), |_, _, _| (Err(Fault::NoLink), Millis(1)));
    for job in 0..20 {
        bus.job(job, spec(Class::Command, 1));
    }
    bus.run(Millis(1_000));
    assert!((4..=6).contains(&bus.ran.len()), "{} attempts in a second", bus.ran.len());
}

#[test]
fn a_bus_is_taken_when_its_transaction_has_ended_and_given_back_whole() {
    let mut all = devices(1, Millis(1_000));
    all[0].requests = requests(3);
    let mut bus = Bus::new(all, |_, _, _| (Ok(()), Millis(50)));
    bus.run(Millis(60));
    bus.schedule.handle_hold(bus.now);
    bus.schedule.handle_hold(bus.now);
    bus.job(1, spec(Class::SafetyWrite, 0));
    bus.run(Millis(10_000));
    let dropped = PollEffect::CycleDropped { device: PollSlot(0) };
    assert_eq!(bus.told, [(dropped, Millis(1_100)), (PollEffect::Held, Millis(1_100))]);
    assert_eq!((bus.asked.len(), bus.ran.len()), (2, 0));
    bus.schedule.handle_release();
    bus.run(Millis(2_000));
    assert_eq!(bus.ran, [(1, 0, Millis(11_060))]);
    assert_eq!(bus.starts_of(0).get(2..6), Some([11_110, 11_160, 11_210, 12_000].as_slice()));
    assert_eq!(bus.snapshot(0).missed, 9);
}

#[test]
fn an_idle_bus_is_taken_at_once() {
    let mut bus = Bus::new(Vec::new(), healthy);
    bus.schedule.handle_hold(bus.now);
    bus.carry_out();
    assert_eq!(bus.told, [(PollEffect::Held, Millis(1_000))]);
    assert_eq!(bus.schedule.poll_timeout(), None);
}

#[test]
fn a_write_that_has_begun_is_read_back_before_the_bus_is_taken() {
    let mut bus = Bus::new(Vec::new(), |_, _, _| (Ok(()), Millis(50)));
    bus.job(1, JobSpec { transactions: 2, exclusive: true, ..spec(Class::Command, 0) });
    bus.job(2, JobSpec { transactions: 2, exclusive: true, ..spec(Class::Command, 0) });
    bus.run(Millis(10));
    bus.schedule.handle_hold(bus.now);
    bus.run(Millis(1_000));
    let at = Millis(1_100);
    assert_eq!(bus.told, [(done(1, None), at), (PollEffect::Held, at)]);
    assert_eq!(bus.ran.len(), 2);
}

#[test]
fn a_plan_changes_between_two_cycles() {
    let mut bus = Bus::new(vec![device(Millis(1_000), 3)], |_, _, _| (Ok(()), Millis(50)));
    bus.run(Millis(60));
    bus.schedule.handle_requests(PollSlot(0), requests(1), bus.now);
    bus.schedule.handle_requests(PollSlot(0), requests(2), bus.now);
    bus.carry_out();
    assert_eq!(bus.told, []);
    bus.run(Millis(1_500));
    let replanned = PollEffect::Replanned { device: PollSlot(0) };
    assert_eq!(bus.told, [(replanned, Millis(1_150))]);
    let indices: Vec<usize> = bus.asked.iter().map(|(_, index, _)| *index).collect();
    assert_eq!(indices, [0, 1, 2, 0, 1]);
    bus.schedule.handle_requests(PollSlot(0), Vec::new(), bus.now);
    bus.carry_out();
    bus.run(Millis(5_000));
    assert_eq!((bus.asked.len(), bus.told.len()), (5, 2));
    bus.schedule.handle_requests(PollSlot(0), requests(1), bus.now);
    bus.run(Millis(1_000));
    assert_eq!(bus.snapshot(0).missed, 0);
    assert_eq!(bus.asked.len(), 7);
}

#[test]
fn a_job_for_a_silent_unit_comes_to_its_end_however_many_units_are_dead() {
    // Probes of the dead use the whole budget by themselves, or one timeout is half of it.
    for (dead, timeout) in [(1, 2_000), (1, 5_000), (4, 1_000), (12, 500), (1, 20_000)] {
        let timeout = Millis(timeout);
        let mut all = devices(20, Millis(1_000));
        for device in &mut all {
            device.timeout = timeout;
        }
        let mut bus =
            Bus::new(
                all,
                |unit, _, _| {
                    if unit < dead { (Err(Fault::NoAnswer), timeout) } else { HEALTHY }
                },
            );
        bus.run(Millis::from_secs(600));
        bus.job(1, JobSpec { timeout, ..spec(Class::Command, 0) });
        let asked_at = bus.now;
        bus.run(Millis::from_secs(600));
        let (end, at) = bus.end_of(1).expect("it ends");
        assert_eq!(end, done(1, None), "{dead} dead, {timeout:?}");
        let waited = at.since(asked_at);
        assert!(waited.0 <= 12 * timeout.0.max(6_000), "{dead} dead, {timeout:?}: {waited:?}");
    }
}
