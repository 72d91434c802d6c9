//! Several transactions at once.

use super::bus::{Bus, HEALTHY, SILENT, TIMEOUT, device, devices, pipelined, requests};
use super::*;

#[test]
fn units_are_asked_at_once_and_each_of_them_one_question_at_a_time() {
    let mut all = devices(4, Millis(1_000));
    for device in &mut all {
        device.requests = requests(7);
    }
    let mut bus = Bus::with(all, pipelined(3, 1), |_, _, _| (Ok(()), Millis(100)));
    bus.run(Millis::from_secs(10));
    assert_eq!(bus.flying_max, 3);
    for place in 0..4 {
        let starts = bus.starts_of(place);
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= 100), "device {place}");
    }
    let load = bus.schedule.load(bus.now);
    assert!((900..=960).contains(&load.busy.0), "{load:?}");
}

#[test]
fn one_device_with_many_requests_is_faster_with_several_in_flight() {
    let time_of_a_cycle = |options| {
        let mut bus =
            Bus::with(vec![device(Millis(5_000), 40)], options, |_, _, _| (Ok(()), Millis(20)));
        bus.run(Millis(9_000));
        assert_eq!((bus.snapshot(0).good, bus.flying_max), (2, options.per_unit_in_flight));
        bus.snapshot(0).last_duration
    };
    assert_eq!(time_of_a_cycle(pipelined(1, 1)), Millis(800));
    assert_eq!(time_of_a_cycle(pipelined(4, 4)), Millis(200));
}

#[test]
fn a_unit_that_dies_with_several_questions_in_flight_dies_once() {
    let behave = |_, _, now| if now >= Millis(2_000) { SILENT } else { HEALTHY };
    let mut bus = Bus::with(vec![device(Millis(1_000), 8)], pipelined(4, 4), behave);
    bus.run(Millis(1_600));
    assert_eq!(bus.done.last(), Some(&(0, Some(Fault::NoAnswer), Millis(2_500))));
    assert_eq!(bus.starts_of(0).iter().filter(|at| **at >= 2_000).count(), 4);
    // One probe, after the first and shortest pause.
    bus.run(Millis(1_000));
    assert_eq!(bus.starts_of(0).last(), Some(&3_500));
    assert_eq!(bus.flying_max, 4);
}

#[test]
fn one_silent_question_among_others_that_are_answered_does_not_make_the_unit_silent() {
    let behave = |_, index, _| if index == 2 { SILENT } else { (Ok(()), Millis(20)) };
    let mut bus = Bus::with(vec![device(Millis(1_000), 8)], pipelined(4, 4), behave);
    bus.run(Millis::from_secs(300));
    for index in [0, 1, 3, 4, 5, 6, 7] {
        let count = bus.asked.iter().filter(|(_, asked, _)| *asked == index).count();
        assert!(count > 50, "request {index} was asked {count} times");
    }
}

#[test]
fn a_dead_unit_never_takes_more_than_one_place_in_flight() {
    let behave = |unit, _, _| if unit < 30 { SILENT } else { (Ok(()), Millis(20)) };
    let mut bus = Bus::with(devices(40, Millis(100)), pipelined(2, 1), behave);
    bus.run(Millis::from_secs(30));
    bus.asked.clear();
    bus.run(Millis::from_secs(60));
    for place in 30..40 {
        let starts = bus.starts_of(place);
        let gap = starts.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(gap <= Some(320), "device {place}: {gap:?}");
    }
}

#[test]
fn a_link_that_breaks_under_several_questions_has_broken_once() {
    let mut all = devices(8, Millis(1_000));
    for device in &mut all {
        device.timeout = Millis(1_000);
    }
    let behave = |_, _, now: Millis| {
        if now.0 / 1_000 == 5 { (Err(Fault::LinkLost), Millis(5_999 - now.0)) } else { HEALTHY }
    };
    let mut bus = Bus::with(all, pipelined(8, 1), behave);
    bus.run(Millis(4_990));
    bus.run(Millis(8));
    assert!(bus.schedule.link_is_usable());
    bus.run(Millis(5_000));
    assert!(bus.schedule.link_is_usable());
    for place in 0..8 {
        assert_eq!(bus.snapshot(place).breaker, BreakerState::Closed, "device {place}");
    }
}

#[test]
fn a_host_that_is_away_is_tried_by_one_question_at_a_time() {
    let behave = |_, _, _| (Err(Fault::NoLink), Millis(300));
    let mut bus = Bus::with(devices(8, Millis(1_000)), pipelined(4, 4), behave);
    bus.run(Millis(1_200));
    bus.flying_max = 0;
    bus.run(Millis::from_secs(60));
    assert_eq!(bus.flying_max, 1);
    assert!(bus.asked.len() <= 16, "{} attempts", bus.asked.len());
}

#[test]
fn a_write_has_its_unit_for_itself() {
    let mut all = devices(2, Millis(100));
    all[0].requests = requests(8);
    let mut bus = Bus::with(all, pipelined(4, 4), |_, _, _| (Ok(()), Millis(30)));
    bus.run(Millis(520));
    for job in 0..20 {
        let spec = JobSpec {
            class: Class::Command,
            unit: UnitId(0),
            transactions: 2,
            timeout: TIMEOUT,
            not_after: None,
            exclusive: true,
        };
        let asked_at = bus.now;
        bus.job(job, spec);
        bus.run(Millis(117));
        let (first, last) = (bus.ran[bus.ran.len() - 2].2, bus.ran[bus.ran.len() - 1].2);
        assert!(first.since(asked_at) <= Millis(30), "job {job} waited until {first:?}");
        let near = |start: &&u64| **start + 30 > first.0 && **start < last.0 + 30;
        assert_eq!(bus.starts_of(0).iter().filter(near).count(), 0, "job {job}");
        assert_eq!(last.since(first), Millis(30));
    }
    assert!(bus.snapshot(1).good > 20, "the other unit goes on");
}
