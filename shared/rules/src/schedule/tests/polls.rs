//! Polls under a fake clock: the grid, the breaker, the budget, the link.

use std::collections::BTreeMap;

use super::bus::{Bus, HEALTHY, SILENT, TIMEOUT, device, devices, requests};
use super::*;

#[test]
fn devices_start_apart_and_keep_to_their_own_grid() {
    let mut bus = Bus::new(devices(4, Millis(1_000)), |_, _, _| HEALTHY);
    bus.run(Millis(2_999));
    assert_eq!(bus.starts_of(0), [1_000, 2_000, 3_000]);
    assert_eq!(bus.starts_of(1), [1_250, 2_250, 3_250]);
    assert_eq!(bus.starts_of(3), [1_750, 2_750, 3_750]);
    assert_eq!(bus.snapshot(3).polls, 3);
    assert_eq!(bus.snapshot(3).good, 3);
    assert_eq!(bus.snapshot(3).last_duration, Millis(5));
}

#[test]
fn a_slow_poll_is_asked_within_the_first_second() {
    let mut bus = Bus::new(devices(2, Millis::from_secs(3_600)), |_, _, _| HEALTHY);
    bus.run(Millis(1_000));
    assert_eq!((bus.starts_of(0), bus.starts_of(1)), (vec![1_000], vec![1_500]));
}

#[test]
fn slots_that_passed_are_counted_and_not_made_up_for() {
    let mut slow = true;
    let mut bus = Bus::new(devices(1, Millis(1_000)), |_, _, _| {
        (Ok(()), if std::mem::take(&mut slow) { Millis(3_400) } else { Millis(5) })
    });
    bus.run(Millis(6_000));
    // Started at 1,000 and held the bus until 4,400: the slots of 2,000 and 3,000 are gone, the
    // one of 4,000 is running, and from there on the grid is the old one.
    assert_eq!(bus.starts_of(0), [1_000, 4_400, 5_000, 6_000, 7_000]);
    assert_eq!(bus.snapshot(0).missed, 2);
}

#[test]
fn a_cycle_asks_all_requests_in_order_and_then_is_done() {
    let mut bus = Bus::new(vec![device(Millis(1_000), 3)], |_, index, _| {
        if index == 1 { (Err(Fault::Exception(2)), Millis(5)) } else { HEALTHY }
    });
    bus.run(Millis(999));
    assert_eq!(bus.asked, [(0, 0, Millis(1_000)), (0, 1, Millis(1_005)), (0, 2, Millis(1_010))]);
    assert_eq!(bus.done, [(0, None, Millis(1_015))]);
    assert_eq!(bus.snapshot(0).exceptions, BTreeMap::from([(2, 1)]));
    assert_eq!(bus.snapshot(0).breaker, BreakerState::Closed);
}

#[test]
fn the_rest_of_a_silent_cycle_is_not_asked() {
    let mut bus = Bus::new(vec![device(Millis(1_000), 3)], |_, _, _| SILENT);
    bus.run(Millis(999));
    assert_eq!(bus.asked.len(), 1);
    assert_eq!(bus.done, [(0, Some(Fault::NoAnswer), Millis(1_500))]);
    assert_eq!(bus.snapshot(0).breaker, BreakerState::Open);
}

#[test]
fn a_silent_unit_is_probed_ever_more_rarely_and_up_to_every_half_minute() {
    let mut bus = Bus::new(vec![device(Millis(1_000), 1)], |_, _, _| SILENT);
    bus.run(Millis::from_secs(200));
    let starts = bus.starts_of(0);
    let gaps: Vec<u64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // The first try is free where nobody answers. Then 9 × 500 ms rule while the doubling pause is
    // shorter than that.
    assert_eq!(gaps.get(..6), Some([1_500, 5_000, 5_000, 8_500, 16_500, 30_500].as_slice()));
    assert_eq!(gaps.last(), Some(&30_500));
    assert_eq!(bus.snapshot(0).probes + 1, starts.len() as u64);
    assert!(bus.snapshot(0).withheld > 150);
    assert_eq!(bus.snapshot(0).missed, 0);
}

#[test]
fn one_answer_closes_the_breaker_and_the_cycle_goes_on_at_once() {
    let mut bus = Bus::new(vec![device(Millis(1_000), 2)], |_, _, now| {
        if now < Millis(1_100) { SILENT } else { HEALTHY }
    });
    bus.run(Millis(3_500));
    // The probe starts at the request behind the silent one, on the grid or as soon as it may.
    assert_eq!(
        bus.asked.get(1..3),
        Some([(0, 1, Millis(2_500)), (0, 0, Millis(2_505))].as_slice())
    );
    assert_eq!(bus.starts_of(0).get(3..), Some([3_000, 3_005, 4_000, 4_005].as_slice()));
    assert_eq!(bus.snapshot(0).breaker, BreakerState::Closed);
}

#[test]
fn a_request_that_brings_silence_does_not_hide_those_behind_it() {
    let mut bus =
        Bus::new(
            vec![device(Millis(1_000), 4)],
            |_, index, _| {
                if index == 0 { SILENT } else { HEALTHY }
            },
        );
    bus.run(Millis::from_secs(60));
    for index in 1..4 {
        let count = bus.asked.iter().filter(|(_, asked, _)| *asked == index).count();
        assert!(count > 8, "request {index} was asked {count} times");
    }
}

#[test]
fn one_dead_unit_of_twenty_costs_the_others_at_most_its_budget() {
    for every in [200, 500, 1_000, 5_000] {
        let behave = |unit, _, _| if unit == 7 { SILENT } else { HEALTHY };
        let mut bus = Bus::new(devices(20, Millis(every)), behave);
        bus.run(Millis::from_secs(120));
        let dead = bus.starts_of(7).len() as u64 * TIMEOUT.0;
        assert!(dead <= 120_000 / 10, "every {every}: dead time {dead}");
        for device in (0..20).filter(|device| *device != 7) {
            let snapshot = bus.snapshot(device);
            let ideal = 120_000 / every;
            assert!(snapshot.good * 10 >= ideal * 9, "every {every}: {} of {ideal}", snapshot.good);
            let starts = bus.starts_of(device);
            let gap = starts.windows(2).map(|pair| pair[1] - pair[0]).max();
            assert!(gap <= Some(every + TIMEOUT.0 + 100), "every {every}: gap {gap:?}");
        }
    }
}

#[test]
fn many_dead_units_together_take_a_tenth_of_the_bus() {
    let behave = |unit, _, _| if unit >= 5 { SILENT } else { HEALTHY };
    let mut bus = Bus::new(devices(55, Millis(1_000)), behave);
    bus.run(Millis::from_secs(120));
    let before = bus.asked.len();
    bus.run(Millis::from_secs(1_000));
    let probes = bus.asked.iter().skip(before).filter(|(device, _, _)| *device >= 5).count();
    assert!(probes as u64 * TIMEOUT.0 <= 1_000_000 / 10, "{probes} probes");
    // None of them is forgotten.
    for device in 5..55 {
        assert!(bus.snapshot(device).probes > 0, "device {device} was never probed");
    }
    assert!(bus.snapshot(0).good >= 1_000, "{}", bus.snapshot(0).good);
}

#[test]
fn a_unit_that_lies_slowly_pays_for_its_time_like_a_silent_one() {
    for fault in [Fault::Malformed, Fault::Exception(0x0B), Fault::LinkLost] {
        let mut devices = devices(2, Millis(1_000));
        devices[1].requests = requests(8);
        let mut bus =
            Bus::new(
                devices,
                |unit, _, _| {
                    if unit == 1 { (Err(fault), Millis(400)) } else { HEALTHY }
                },
            );
        bus.run(Millis::from_secs(300));
        let lied = bus.starts_of(1).len() * 400;
        assert!(lied <= 300_000 / 10 + 800, "{fault:?} took {lied} ms");
        assert!(bus.snapshot(0).good >= 270, "{fault:?}: {}", bus.snapshot(0).good);
    }
}

#[test]
fn an_exception_of_the_device_itself_never_opens_the_breaker() {
    for code in [0, 1, 2, 3, 4, 7, 8, 255] {
        let answer = (Err(Fault::Exception(code)), Millis(5));
        let mut bus = Bus::new(devices(1, Millis(1_000)), |_, _, _| answer);
        bus.run(Millis(9_999));
        assert_eq!(bus.asked.len(), 10, "exception {code}");
        assert_eq!(bus.snapshot(0).exceptions, BTreeMap::from([(code, 10)]));
        assert!(bus.done.iter().all(|(_, rest, _)| rest.is_none()));
    }
}

#[test]
fn a_gateway_that_speaks_for_a_silent_unit_counts_as_its_silence() {
    for code in [0x0A, 0x0B] {
        let answer = (Err(Fault::Exception(code)), Millis(5));
        let mut all = devices(1, Millis(1_000));
        all[0].requests = requests(3);
        let mut bus = Bus::new(all, |_, _, _| answer);
        bus.run(Millis(999));
        assert_eq!(bus.done, [(0, Some(Fault::Exception(code)), Millis(1_005))]);
        assert_eq!(bus.snapshot(0).breaker, BreakerState::Open);
        bus.run(Millis::from_secs(60));
        let gaps: Vec<u64> = bus.starts_of(0).windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps.get(..3), Some([1_005, 2_005, 4_005].as_slice()), "exception {code}");
    }
}

#[test]
fn a_busy_device_is_left_alone_for_a_while_and_its_neighbours_are_not() {
    for code in [5, 6] {
        let mut all = devices(2, Millis(5_000));
        all[0].requests = requests(2);
        let behave = |unit, index, now: Millis| {
            let is_busy = unit == 0 && index == 0 && now < Millis(1_800);
            if is_busy { (Err(Fault::Exception(code)), Millis(5)) } else { HEALTHY }
        };
        let mut bus = Bus::new(all, behave);
        bus.run(Millis(3_999));
        assert_eq!(bus.starts_of(0), [1_000, 1_505, 2_010, 2_015]);
        assert_eq!(bus.starts_of(1), [1_500]);
        assert_eq!(bus.done.last(), Some(&(0, None, Millis(2_020))));
        assert_eq!(bus.snapshot(0).breaker, BreakerState::Closed);
    }
}

#[test]
fn a_device_that_is_always_busy_has_that_for_an_answer() {
    let behave = |_, _, _| (Err(Fault::Exception(6)), Millis(5));
    let mut bus = Bus::new(devices(1, Millis(10_000)), behave);
    bus.run(Millis(9_999));
    assert_eq!(bus.starts_of(0), [1_000, 1_505, 2_010, 2_515]);
    assert_eq!(bus.done, [(0, None, Millis(2_520))]);
}

#[test]
fn without_a_link_every_device_learns_it_at_its_own_rate_and_the_host_is_left_in_peace() {
    let mut all = devices(2, Millis(100));
    all.push(device(Millis(1_000), 1));
    let behave = |_, _, _| (Err(Fault::NoLink), Millis(1));
    let mut bus = Bus::new(all, behave);
    bus.run(Millis::from_secs(60));
    for (place, at_least) in [(0, 590), (1, 590), (2, 58)] {
        let told = bus.done.iter().filter(|(device, _, _)| *device == place);
        let told: Vec<_> = told.map(|(_, rest, _)| *rest).collect();
        assert!(told.len() >= at_least, "device {place} was told {} times", told.len());
        assert!(told.iter().all(|rest| *rest == Some(Fault::NoLink)));
    }
    // 200, 400, … 10,000 ms apart.
    assert!((8..=12).contains(&bus.asked.len()), "{} attempts", bus.asked.len());
    assert!(!bus.schedule.link_is_usable());
    assert_eq!(bus.snapshot(0).breaker, BreakerState::Untried);
}

#[test]
fn the_first_answer_after_an_outage_brings_everything_back() {
    let behave = |_, _, now| {
        if now < Millis(10_000) { (Err(Fault::NoLink), Millis(1)) } else { HEALTHY }
    };
    let mut bus = Bus::new(devices(3, Millis(500)), behave);
    bus.run(Millis::from_secs(30));
    assert!(bus.schedule.link_is_usable());
    for device in 0..3 {
        assert!(bus.snapshot(device).good >= 24, "{}", bus.snapshot(device).good);
    }
}

#[test]
fn a_slow_poll_that_the_link_failed_does_not_wait_for_its_next_slot() {
    let behave = |_, _, now| {
        if now < Millis(25_000) { (Err(Fault::NoLink), Millis(1)) } else { HEALTHY }
    };
    let mut bus = Bus::new(vec![device(Millis::from_secs(3_600), 2)], behave);
    bus.run(Millis::from_secs(3_700));
    // At the start, ten and twenty seconds later in vain, then whole, then in the next slot.
    assert_eq!(bus.starts_of(0), [1_000, 11_001, 21_002, 31_003, 31_008, 3_601_000, 3_601_005]);
    assert_eq!(bus.snapshot(0).good, 2);
    assert_eq!(bus.snapshot(0).missed, 0);
}

#[test]
fn one_unit_that_breaks_the_link_does_not_take_it_from_the_others() {
    let behave = |unit, _, _| if unit == 1 { (Err(Fault::LinkLost), Millis(1)) } else { HEALTHY };
    let mut bus = Bus::new(devices(4, Millis(1_000)), behave);
    bus.run(Millis(9_999));
    for device in [0, 2, 3] {
        assert_eq!(bus.snapshot(device).good, 10, "device {device}");
    }
    assert_eq!(bus.snapshot(1).link, 10);
}

#[test]
fn a_host_that_accepts_and_hangs_up_is_left_in_peace() {
    let behave = |_, _, _| (Err(Fault::LinkLost), Millis(1));
    let mut bus = Bus::new(devices(10, Millis(100)), behave);
    bus.run(Millis::from_secs(60));
    assert!(bus.asked.len() <= 15, "{} connections", bus.asked.len());
}

#[test]
fn a_device_without_requests_is_never_due() {
    let mut bus = Bus::new(vec![device(Millis(1_000), 0)], |_, _, _| HEALTHY);
    assert_eq!(bus.schedule.poll_timeout(), None);
    bus.schedule.handle_timeout(bus.now);
    assert_eq!(bus.schedule.poll_effect(), None);
}
