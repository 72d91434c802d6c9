//! Whole-system simulation: the real machines and the real bytes, in worlds that chance makes.
//!
//! `FIELDGATE_SEED=n` tells the story of one seed, `FIELDGATE_LONG=1` runs twenty times as many.

mod cloud;
mod disk;
mod edge;
mod fuse;
mod happening;
mod invariants;
mod link;
mod reference;
mod rng;
mod table;
mod tail;
mod world;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use invariants::{Broken, Promise};
use table::Table;
use world::World;

/// Worlds of one run: some ten seconds on one core.
const SEEDS: u64 = 8_000;
/// Broken worlds after which a run ends.
const BROKEN_MAX: u64 = 30;
/// How many times as many a long run has.
const LONG: u64 = 20;

#[test]
fn every_promise_holds_whatever_the_link_the_disks_and_the_power_do() {
    if let Some(seed) = number("FIELDGATE_SEED") {
        let mut world = World::new(seed, true);
        let result = run(&mut world);
        tell(&world.story().join("\n"));
        result.unwrap_or_else(|broken| panic!("seed {seed}: promise {broken}"));
        return;
    }
    let seeds = if number("FIELDGATE_LONG").is_some() { SEEDS * LONG } else { SEEDS };
    let seeds = number("FIELDGATE_SEEDS").unwrap_or(seeds);
    let mut table = Table::default();
    let mut broken_by_promise: BTreeMap<Promise, (u64, String, u64)> = BTreeMap::new();
    for seed in 0..seeds {
        let mut world = World::new(seed, false);
        if let Err(Broken { promise, how }) = run(&mut world) {
            broken_by_promise.entry(promise).or_insert((seed, how, 0)).2 += 1;
            // What is broken in so many worlds is not explained better by more of them.
            if broken_by_promise.values().map(|(.., count)| count).sum::<u64>() >= BROKEN_MAX {
                break;
            }
        }
        table.add(world.table());
    }
    let line = |(promise, (seed, how, count)): (&Promise, &(u64, String, u64))| {
        format!("seed {seed}: promise {promise:?} ({count} times): {how}")
    };
    let broken: Vec<String> = broken_by_promise.iter().map(line).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    tell(&table.print());
    if SEEDS <= seeds {
        let empty = table.empty();
        assert!(empty.is_empty(), "faults that never met a state: {empty:?}");
    }
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    for seed in [1, 2, 3] {
        let [one, two] = [World::new(seed, true), World::new(seed, true)].map(|mut world| {
            run(&mut world).unwrap_or_else(|broken| panic!("seed {seed}: promise {broken}"));
            world.story().join("\n")
        });
        assert!(one == two, "seed {seed} tells two stories");
        assert!(one.lines().count() > 100, "seed {seed} tells nothing");
    }
}

#[test]
fn every_promise_has_a_name_of_its_own() {
    let mut names: Vec<String> = Promise::ALL.map(|promise| format!("{promise:?}")).to_vec();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), Promise::ALL.len());
}

/// Runs a world to its end; an assertion inside a machine is a broken promise too.
fn run(world: &mut World) -> Result<(), Broken> {
    catch_unwind(AssertUnwindSafe(|| world.run())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let how = text.unwrap_or_default();
        Err(Broken { promise: Promise::Assertions, how })
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn tell(text: &str) {
    writeln!(std::io::stdout().lock(), "{text}").expect("the test's output is open");
}
