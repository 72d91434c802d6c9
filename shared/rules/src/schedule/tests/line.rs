//! A serial line at 9600 Bd with dead units: what they cost those that answer.

use std::io::Write as _;

use super::bus::{Answer, Bus, devices};
use super::*;

/// A read of ten registers at 9600 Bd: 33 bytes on the line, the gaps and the device's own time.
const TOOK: Millis = Millis(50);
const LINE_TIMEOUT: Millis = Millis(1_000);

fn line(count: u8, every: Millis) -> Vec<PollDevice> {
    let mut all = devices(count, every);
    for device in &mut all {
        device.timeout = LINE_TIMEOUT;
    }
    all
}

fn with_dead(dead: impl Fn(u8) -> bool) -> impl FnMut(u8, usize, Millis) -> Answer {
    move |unit, _, _| {
        if dead(unit) { (Err(Fault::NoAnswer), LINE_TIMEOUT) } else { (Ok(()), TOOK) }
    }
}

#[test]
fn one_dead_unit_among_twenty_at_9600_baud_costs_the_others_at_most_the_budget() {
    const TIME: Millis = Millis(1_200_000);
    // From more than the line can carry to a line that is half idle.
    for every in [500, 1_000, 2_000] {
        let cycle_us = |has_dead: bool| {
            let mut bus = Bus::new(line(20, Millis(every)), with_dead(|unit| unit == 7));
            if !has_dead {
                bus.schedule.handle_requests(PollSlot(7), Vec::new(), bus.now);
            }
            bus.run(TIME);
            let good: u64 = (0..20).map(|place| bus.snapshot(place).good).sum();
            TIME.0 * 1_000 * 19 / good
        };
        let (before, after) = (cycle_us(false), cycle_us(true));
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "every {every} ms: a cycle of the others took {before} us, with a dead unit {after} us"
        )
        .expect("stdout is open");
        assert!(after * 100 <= before * 110, "every {every}: {before} us grew to {after} us");
    }
}

#[test]
fn many_units_that_are_dead_from_the_start_keep_to_the_budget_from_the_first_minute() {
    for share in [5, 10, 20] {
        let options = ScheduleOptions { dead_share: share, ..ScheduleOptions::default() };
        // The living come first and in the middle, so that the dead are never alone.
        let is_dead = |unit: u8| !unit.is_multiple_of(5);
        let mut bus = Bus::with(line(30, Millis(1_000)), options, with_dead(is_dead));
        bus.run(Millis::from_secs(1_200));
        let dead_at: Vec<u64> = bus
            .asked
            .iter()
            .filter(|(place, _, _)| is_dead(u8::try_from(*place).expect("small")))
            .map(|(_, _, at)| at.0)
            .collect();
        for (place, from) in dead_at.iter().enumerate() {
            let in_minute = dead_at[place..].iter().take_while(|at| **at < from + 60_000).count();
            let limit = usize::from(share) * 60 / 100;
            assert!(in_minute <= limit, "{in_minute} s of the minute from {from}, at {share} %");
        }
        for place in (0..30).filter(|place| is_dead(u8::try_from(*place).expect("small"))) {
            assert!(!bus.starts_of(place).is_empty(), "device {place} was never tried");
        }
        let least = 1_200 * u64::from(100 - share) / 100;
        assert!(bus.snapshot(0).good >= least, "{}", bus.snapshot(0).good);
    }
}
