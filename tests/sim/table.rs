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
pub(crate) const STATES: [&str; 11] = [
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

    pub(crate) fn print(&self) -> String {
        let mut text = format!("{:24}", "fault");
        for state in STATES {
            let short = state.split(' ').next_back().unwrap_or(state);
            write!(text, "{short:>10}").expect("a string takes every text");
        }
        for fault in FAULTS {
            write!(text, "\n{:24}", format!("{fault:?}")).expect("a string takes every text");
            for state in STATES {
                let cell = self.0.get(&(fault, state)).map_or_else(
                    || why_unreachable(fault, state).map_or("EMPTY", |_| "-").to_owned(),
                    ToString::to_string,
                );
                write!(text, "{cell:>10}").expect("a string takes every text");
            }
        }
        text
    }
}

/// Why a fault cannot meet a state.
pub(crate) fn why_unreachable(fault: Happening, state: &str) -> Option<&'static str> {
    let needs_connection = [
        Happening::Lose,
        Happening::Double,
        Happening::Overtake,
        Happening::Partition,
        Happening::Cut,
        Happening::CrashCloudBehindBroker,
        Happening::Foreign,
    ];
    match state {
        "sender down" if needs_connection.contains(&fault) => {
            Some("a sender that is down has no connection that could fail, stall or bring a word")
        }
        "receiver fresh" if fault == Happening::CloudFull => {
            Some("a cloud that was never greeted has nothing to store")
        }
        "receiver fresh" | "receiver welcomed" if fault == Happening::CloudFull => {
            Some("only a commit can be refused")
        }
        _ => None,
    }
}
