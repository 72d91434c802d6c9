//! Two versions of a parser over the same frames: where their values differ, and whether the other
//! one may take over.
//!
//! # Invariants
//!
//! - Each version goes on from its own state, as it would have if it had been there all the time.
//! - A version that fails where the present one did not is refused, unless it is forced; one that
//!   does not load cannot be forced.

use std::collections::BTreeMap;
use std::time::Duration;

use fieldgate_script::{DeviceState, Executor, Reading, ScriptError};
use tokio::sync::oneshot;

use super::backstop::Backstop;
use super::kept::{Kept, Moment};
use crate::clock::Clock;
use crate::drivers::DeviceIndex;

/// Differences that are told; a change of scale makes as many as there are frames.
const DIFFERENCES_MAX: usize = 50;
/// Failures that are told.
const FAILURES_MAX: usize = 10;
/// Processor time of a whole comparison. No frame is parsed meanwhile, and their queue holds for ten
/// seconds of an ordinary device.
const COMPARE_MAX: Duration = Duration::from_secs(2);

/// Asks a parser to become another.
#[derive(Debug)]
pub(crate) struct Swap {
    /// The other source.
    pub(crate) source: String,
    /// Take it even if it fails on frames.
    pub(crate) force: bool,
    /// Told when it is decided.
    pub(crate) reply: oneshot::Sender<Comparison>,
}

/// How the other version compares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Comparison {
    /// Whether it has taken over.
    pub(crate) swapped: bool,
    /// Frames that are kept.
    pub(crate) frames: usize,
    /// Frames that both were run over; fewer if time was up or the first failure decided.
    pub(crate) compared: usize,
    /// Frames with the same outcome.
    pub(crate) same: usize,
    /// Values that differ, the first of them.
    pub(crate) differences: Vec<Difference>,
    /// Frames that the other fails on and the present does not, the first of them.
    pub(crate) failures: Vec<String>,
}

/// A signal that the versions disagree about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Device and time.
    pub(crate) frame: String,
    pub(crate) signal: String,
    /// Value and quality by the present version; empty if it gives none.
    pub(crate) old: String,
    /// By the other.
    pub(crate) new: String,
}

/// A version that is run.
pub(super) struct Side<'a> {
    pub(super) parser: &'a mut dyn Executor,
    pub(super) backstop: &'a Backstop,
}

impl Side<'_> {
    fn run(
        &mut self,
        moment: &Moment,
        state: &mut DeviceState,
    ) -> Result<Vec<Reading>, ScriptError> {
        self.backstop.begin();
        self.parser.run(&moment.frame(), state)
    }
}

/// Runs both over what is kept. `old` is `None` if it is disabled: then nothing is expected of it.
/// Gives the states that the other version would have by now.
pub(super) fn compare(
    kept: &Kept,
    mut old: Option<Side<'_>>,
    mut new: Side<'_>,
    force: bool,
) -> (Comparison, BTreeMap<DeviceIndex, DeviceState>) {
    let mut found = Comparison { frames: kept.recent().count(), ..Comparison::default() };
    let mut states: BTreeMap<DeviceIndex, DeviceState> = BTreeMap::new();
    let started = Clock::of_thread();
    for moment in kept.recent() {
        let is_decided = !found.failures.is_empty() && !force;
        if is_decided || Clock::of_thread().saturating_sub(started) > COMPARE_MAX {
            break;
        }
        let by_old = old.as_mut().map(|old| old.run(moment, &mut moment.state.clone()));
        let state = states.entry(moment.device).or_insert_with(|| moment.state.clone());
        let by_new = new.run(moment, state);
        found.compared += 1;
        match (by_old, by_new) {
            (Some(Ok(old)), Ok(new)) => {
                let differences = compare_readings(&moment.label(), &old, &new);
                found.same += usize::from(differences.is_empty());
                found.differences.extend(differences);
                found.differences.truncate(DIFFERENCES_MAX);
            }
            (Some(Err(_)), Err(_)) => found.same += 1,
            (Some(Err(_)) | None, Ok(_)) => {}
            (Some(Ok(_)) | None, Err(error)) => {
                if found.failures.len() < FAILURES_MAX {
                    found.failures.push(format!("{}: {error}", moment.label()));
                }
            }
        }
    }
    found.swapped = found.failures.is_empty() || force;
    (found, states)
}

/// The signals about which two answers disagree.
fn compare_readings(frame: &str, old: &[Reading], new: &[Reading]) -> Vec<Difference> {
    let shown = |readings: &[Reading]| -> BTreeMap<String, String> {
        readings.iter().map(|reading| (reading.name.to_string(), shown(reading))).collect()
    };
    let (old, new) = (shown(old), shown(new));
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    names
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| Difference {
            frame: frame.to_owned(),
            signal: name.clone(),
            old: old.get(name).cloned().unwrap_or_default(),
            new: new.get(name).cloned().unwrap_or_default(),
        })
        .collect()
}

fn shown(reading: &Reading) -> String {
    let value = reading.value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let at = reading.at.map(|at| format!(", taken at {} ms", at.0)).unwrap_or_default();
    format!("{value} ({}{at})", reading.quality)
}
