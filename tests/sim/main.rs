//! Whole-system simulation: the real machines and the real bytes, in worlds that chance makes.
//!
//! `FIELDGATE_SEED=n` tells the story of one seed, `FIELDGATE_LONG=1` runs twenty times as many,
//! `FIELDGATE_SEEDS=n` so many. `FIELDGATE_BREAKS=PROMISE` ends at the first seed that breaks that
//! promise.

mod cloud;
mod disk;
mod edge;
mod fault;
mod happening;
mod invariants;
mod link;
mod reference;
mod rng;
mod step;
mod table;
mod tail;
mod world;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use invariants::{Broken, Promise};
use step::Crashes;
use table::Table;
use world::World;

/// Worlds of one run: some ten seconds on one core.
const SEEDS: u64 = 8_000;
/// Broken worlds after which a run ends.
const BROKEN_MAX: u64 = 30;
/// How many times as many a long run has.
const LONG: u64 = 20;
/// One world in so many is made twice, to see that it is the same world.
const TWICE_EVERY: u64 = 97;

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
    let Found { table, crashes, broken_by_promise, worlds, twice } = search(seeds);
    let line = |(promise, (seed, how, count)): (&Promise, &(u64, String, u64))| {
        format!("seed {seed}: promise {promise:?} ({count} times): {how}")
    };
    let broken: Vec<String> = broken_by_promise.iter().map(line).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    let made = format!("{worlds} worlds, no promise broken; {twice} of them made twice and alike");
    tell(&format!("{}\n{}\n{made}", table.print(), crashes.print()));
    if SEEDS <= seeds {
        let (empty, missing) = (table.empty(), crashes.missing());
        assert!(empty.is_empty(), "faults that never met a state: {empty:?}");
        assert!(missing.is_empty(), "places where no process has died: {missing:?}");
    }
}

/// What many worlds have shown.
#[derive(Default)]
struct Found {
    table: Table,
    crashes: Crashes,
    /// The lowest seed, how, and how often.
    broken_by_promise: BTreeMap<Promise, (u64, String, u64)>,
    worlds: u64,
    twice: u64,
}

impl Found {
    fn add(&mut self, other: Self) {
        self.table.add(&other.table);
        self.crashes.add(&other.crashes);
        (self.worlds, self.twice) = (self.worlds + other.worlds, self.twice + other.twice);
        for (promise, (seed, how, count)) in other.broken_by_promise {
            let known = self.broken_by_promise.entry(promise).or_insert((u64::MAX, how.clone(), 0));
            if seed < known.0 {
                (known.0, known.1) = (seed, how);
            }
            known.2 += count;
        }
    }
}

/// Makes the worlds of `0..seeds`, on as many threads as there are cores: a world is one thread's.
fn search(seeds: u64) -> Found {
    let threads = thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let broken = AtomicU64::new(0);
    let mut all = Found::default();
    thread::scope(|scope| {
        let share = |first| (first..seeds).step_by(usize::try_from(threads).expect("few threads"));
        let start = |first| {
            scope.spawn({
                let broken = &broken;
                move || search_some(share(first), broken)
            })
        };
        let workers: Vec<_> = (0..threads).map(start).collect();
        for worker in workers {
            all.add(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    all
}

/// `broken`: how many worlds were broken, over all threads.
fn search_some(seeds: impl Iterator<Item = u64>, broken: &AtomicU64) -> Found {
    let awaited = std::env::var("FIELDGATE_BREAKS").ok();
    let mut found = Found::default();
    for seed in seeds {
        // What is broken in so many worlds is not explained better by more of them.
        if broken.load(Ordering::Relaxed) >= BROKEN_MAX {
            break;
        }
        let mut world = World::new(seed, false);
        found.worlds += 1;
        if let Err(Broken { promise, how }) = run(&mut world) {
            found.broken_by_promise.entry(promise).or_insert((seed, how, 0)).2 += 1;
            let is_it = |name: &String| format!("{promise:?}") == *name;
            let counts = match &awaited {
                Some(name) if is_it(name) => BROKEN_MAX,
                Some(_) => 0,
                None => 1,
            };
            broken.fetch_add(counts, Ordering::Relaxed);
        } else if seed.is_multiple_of(TWICE_EVERY) {
            let mut again = World::new(seed, false);
            run(&mut again).unwrap_or_else(|broken| panic!("seed {seed}, again: {broken}"));
            assert_eq!(world.trace(), again.trace(), "seed {seed} makes two worlds");
            found.twice += 1;
        }
        found.table.add(world.table());
        found.crashes.add(world.crashes());
    }
    found
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
