//! Signals whose registers overlap without being the same: mostly a type that is too wide, or an
//! address that is off by one.
//!
//! Bits of a register lie within it as a matter of course. Where a device really has two readings
//! of one place, such as a number and its high word, one of the signals says `overlap = true`.

use std::collections::BTreeMap;

use fieldgate_modbus::register::Table;
use fieldgate_rules::signal::{DataType, SignalSource, SignalSpec};

use super::fields::Wrong;

/// The places that signals have taken.
#[derive(Debug, Default)]
pub(super) struct Overlaps {
    /// First and last register, and whose they are.
    spans_by_table: BTreeMap<Table, Vec<(u16, u16, String)>>,
}

impl Overlaps {
    /// Takes the place of a signal; what is wrong if it overlaps one that has another extent.
    pub(super) fn add(&mut self, signal: &SignalSpec, is_meant: bool) -> Option<Wrong> {
        let SignalSource::Registers { address, data, .. } = signal.source else { return None };
        let (first, last) = (address.offset, last(address.offset, data));
        if is_meant {
            return None;
        }
        let spans = self.spans_by_table.entry(address.table).or_default();
        let other = spans.iter().find(|(other_first, other_last, _)| {
            first <= *other_last
                && *other_first <= last
                && (first, last) != (*other_first, *other_last)
        });
        let wrong = other.map(|(other_first, other_last, other)| {
            let what = format!(
                "`{}` takes the registers {first} to {last}, and `{other}` takes {other_first} to \
                 {other_last}",
                signal.name
            );
            Wrong::new(what).hint(
                "correct the address or the type of one of them; say `overlap = true` in one if the \
                 device means both",
            )
        });
        spans.push((first, last, signal.name.to_string()));
        wrong
    }
}

fn last(first: u16, data: DataType) -> u16 {
    first.saturating_add(data.registers().saturating_sub(1))
}
