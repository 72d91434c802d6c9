//! `kill -9` of edge, cloud and broker, again and again under load, with exact accounting.
//!
//! # Invariants
//!
//! - The device counts: each answer that it gave is in the cloud once, or was younger than the
//!   loss window when its edge died. Each command is followed alone, so that a write too many shows.
//! - Kill number n of a seed is the same kill in every run: a long run can be gone on with.

mod aim;
mod command;
mod rig;

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::{Value, json};

use self::aim::Aim;
use self::rig::Rig;
use crate::harness::{Tally, duration};

/// Kills between two looks at everything that has arrived.
const CHECK_EVERY: u64 = 25;
/// From the kill until the killed program is ready again.
const RESTART_AT_MOST: Duration = Duration::from_secs(2);

/// `kill -9` of edge, cloud and broker under load: what was flushed is lost or doubled 0 times.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "tests/kills",
    after_help = "Examples:\n  tests/kills\n  tests/kills --kills 10000 --for 2h\n  \
                  tests/kills --seed 7 --from 1250 --for 15m"
)]
pub struct Options {
    /// Ends after so long, whatever has been done.
    #[arg(long = "for", value_name = "TIME", value_parser = duration, default_value = "60s")]
    pub length: Duration,
    /// Ends after so many kills.
    #[arg(long, default_value_t = 10_000)]
    pub kills: u64,
    /// Decides who is killed and when.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The number of the first kill: goes on where a run has ended.
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    pub json: bool,
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    Edge,
    Cloud,
    Broker,
}

impl Party {
    const ALL: [Self; 3] = [Self::Edge, Self::Cloud, Self::Broker];

    const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Cloud => "cloud",
            Self::Broker => "broker",
        }
    }
}

/// What came out.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Kills of each party, in the order edge, cloud, broker.
    kills: [u64; 3],
    /// Of them, while a thread that commits was writing or syncing.
    inside: [u64; 3],
    restarts_ms: Vec<u64>,
    commands: command::Count,
    /// The accounting of all samples.
    pub tally: Tally,
    next: u64,
}

impl Outcome {
    /// How many processes were killed.
    pub fn killed(&self) -> u64 {
        self.kills.iter().sum()
    }

    fn figures(&self, seed: u64) -> Value {
        let per_party = |counts: &[u64; 3]| {
            let pairs = Party::ALL.iter().zip(counts);
            pairs.map(|(party, count)| (party.name().to_owned(), json!(count))).collect::<Value>()
        };
        let mut sorted = self.restarts_ms.clone();
        sorted.sort_unstable();
        let at = |percent: usize| {
            sorted.get((sorted.len() * percent / 100).min(sorted.len().max(1) - 1))
        };
        json!({
            "kills": per_party(&self.kills),
            "inside_a_commit": per_party(&self.inside),
            "restart_ms": { "p50": at(50), "p99": at(99), "max": sorted.last() },
            "samples": {
                "served": self.tally.served, "in_cloud": self.tally.in_cloud,
                "unflushed": self.tally.unflushed, "lost": self.tally.lost,
                "doubled": self.tally.duplicated, "out_of_order": self.tally.disordered,
            },
            "commands": {
                "closed": self.commands.closed, "done": self.commands.done,
                "expired": self.commands.expired, "interrupted": self.commands.interrupted,
                "executed_twice": self.commands.twice,
            },
            "seed": seed, "next": self.next,
        })
    }
}

/// Kills until time or number is up, then checks what has come of everything.
pub fn run(options: &Options) -> Result<Outcome> {
    let mut rig = Rig::start()?;
    let mut outcome = Outcome { next: options.from, ..Outcome::default() };
    let begun = Instant::now();
    let last = options.from.saturating_add(options.kills);
    while outcome.next < last && begun.elapsed() < options.length {
        kill_once(&mut rig, &mut outcome, options.seed)
            .with_context(|| format!("kill {} of seed {}", outcome.next, options.seed))?;
        outcome.next += 1;
        if outcome.killed().is_multiple_of(CHECK_EVERY) {
            rig.arrives()?;
            rig.check().with_context(|| format!("before kill {}", outcome.next))?;
            progress(&outcome, options)?;
        }
    }
    outcome.commands = rig.commands.settle(&rig.api, &rig.simulator)?;
    outcome.tally = rig.settle()?;
    print(&outcome, options)?;
    Ok(outcome)
}

fn kill_once(rig: &mut Rig, outcome: &mut Outcome, seed: u64) -> Result<()> {
    let aim = Aim::draw(seed, outcome.next);
    rig.commands.follow(&rig.api, &rig.simulator, &rig.gateway)?;
    let index = aim.party as usize;
    let inside = aim.wait(rig.process_id(aim.party));
    rig.kill(aim.party)?;
    outcome.kills[index] += 1;
    outcome.inside[index] += u64::from(inside);
    let restarting = Instant::now();
    rig.restart(aim.party)?;
    let took = restarting.elapsed();
    ensure!(
        took <= RESTART_AT_MOST || is_loaded()?,
        "the {} took {took:?} to be ready, at most {RESTART_AT_MOST:?}",
        aim.party.name()
    );
    outcome.restarts_ms.push(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    rig.note()
}

/// Whether others keep this machine busy: then nobody's start says anything of the program.
fn is_loaded() -> Result<bool> {
    let text = std::fs::read_to_string("/proc/loadavg").context("no load to be read")?;
    let load: f64 = text.split(' ').next().unwrap_or_default().parse().unwrap_or(0.0);
    let cores = std::thread::available_parallelism()
        .map_or(1.0, |cores| f64::from(u32::try_from(cores.get()).unwrap_or(u32::MAX)));
    Ok(load > cores)
}

fn progress(outcome: &Outcome, options: &Options) -> Result<()> {
    let [edge, cloud, broker] = outcome.kills;
    let inside: u64 = outcome.inside.iter().sum();
    let mut out = std::io::stderr().lock();
    writeln!(
        out,
        "{} kills (edge {edge}, cloud {cloud}, broker {broker}), {inside} inside a commit; go on \
         with --seed {} --from {}",
        outcome.killed(),
        options.seed,
        outcome.next
    )
    .context("nobody reads the progress")
}

fn print(outcome: &Outcome, options: &Options) -> Result<()> {
    let figures = outcome.figures(options.seed);
    let mut out = std::io::stdout().lock();
    if options.json {
        return writeln!(out, "{figures}").context("nobody reads the figures");
    }
    for (name, value) in figures.as_object().into_iter().flatten() {
        writeln!(out, "{name:<16} {value}").context("nobody reads the figures")?;
    }
    Ok(())
}
