//! Which fault met which state, counted over all seeds.
//!
//! # Invariants
//!
//! - A pair of fault and state that never met was not tested: it is an error unless it is listed
//!   here with the reason why it cannot be.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::happening::{FAULTS, Happening};

/// The states that a fault can meet.
pub(crate) const STATES: [&str; 19] = [
    "sender down",
    "sender greeting",
    "sender live",
    "sender paused",
    "receiver fresh",
    "receiver welcomed",
    "receiver storing",
    "executor idle",
    "executor received",
    "executor started",
    "executor closed",
    "issuer idle",
    "issuer accepted",
    "issuer sent",
    "issuer unconfirmed",
    "fence free",
    "fence owned",
    "buffer open",
    "buffer refused",
];

/// Counts of fault and state.
#[derive(Debug, Default)]
pub(crate) struct Table(BTreeMap<(Happening, &'static str), u64>);

impl Table {
    pub(crate) fn count(&mut self, fault: Happening, state: &'static str) {
        *self.0.entry((fault, state)).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (cell, count) in &other.0 {
            *self.0.entry(*cell).or_default() += count;
        }
    }

    /// The cells that could have been met and were not.
    pub(crate) fn empty(&self) -> Vec<(Happening, &'static str)> {
        let cells = FAULTS.iter().flat_map(|fault| STATES.map(|state| (*fault, state)));
        cells
            .filter(|(fault, state)| why_unreachable(*fault, state).is_none())
            .filter(|cell| !self.0.contains_key(cell))
            .collect()
    }

    /// Two lines of heading (machine, state), then a line a fault.
    pub(crate) fn print(&self) -> String {
        let mut text = String::new();
        for part in [0, 1] {
            write!(text, "{:24}", ["", "fault"][part]).expect("a string takes every text");
            for state in STATES {
                let word = state.split(' ').nth(part).unwrap_or(state);
                write!(text, "{word:>12}").expect("a string takes every text");
            }
            text.push('\n');
        }
        for fault in FAULTS {
            write!(text, "{:24}", format!("{fault:?}")).expect("a string takes every text");
            for state in STATES {
                let cell = self.0.get(&(fault, state)).map_or_else(
                    || why_unreachable(fault, state).map_or("EMPTY", |_| "-").to_owned(),
                    ToString::to_string,
                );
                write!(text, "{cell:>12}").expect("a string takes every text");
            }
            text.push('\n');
        }
        for (fault, state, why) in unreachable_cells() {
            writeln!(text, "- {fault:?} at {state}: {why}").expect("a string takes every text");
        }
        text
    }
}

fn unreachable_cells() -> impl Iterator<Item = (Happening, &'static str, &'static str)> {
    let cells = FAULTS.iter().flat_map(|fault| STATES.map(|state| (*fault, state)));
    cells.filter_map(|(fault, state)| Some((fault, state, why_unreachable(fault, state)?)))
}

/// Why a fault cannot meet a state.
pub(crate) fn why_unreachable(fault: Happening, state: &str) -> Option<&'static str> {
    let needs_connection = [
        Happening::Partition,
        Happening::Cut,
        Happening::CutBehindBroker,
        Happening::CrashCloudBehindBroker,
        Happening::Foreign,
        Happening::BrokenOwner,
    ];
    let needs_owner = [Happening::Foreign, Happening::BrokenOwner];
    match state {
        "sender down" if needs_connection.contains(&fault) => {
            Some("a sender that is down has no connection that could fail, stall or bring a word")
        }
        "fence free" if needs_owner.contains(&fault) => {
            Some("where nobody is obeyed, nobody else can be told from the owner")
        }
        _ => None,
    }
}
