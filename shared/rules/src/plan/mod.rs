//! What to read in which transactions, what a device has taught about that, and where in the
//! answers a value lies.
//!
//! # Invariants
//!
//! - A value of several registers always lies in one answer, so that it is of one moment.
//! - No request is larger than the protocol and the device allow, save one value that is; none
//!   goes across a boundary or holds a hole.
//! - A gap of registers that nobody wants is read only where that is cheaper on this line than a
//!   request of its own behind it: no plan costs more than the one that reads no gap.

mod cost;
mod holes;
mod image;
mod learned;
#[cfg(test)]
mod learned_tests;
mod search;
mod stored;
#[cfg(test)]
mod tests;

use fieldgate_modbus::register::{Address, READ_BITS_MAX, READ_REGISTERS_MAX, ReadRequest, Table};

use crate::signal::SignalSpec;

pub use cost::{Cost, LinkCost};
pub use holes::HoleMap;
pub use image::Image;
pub use learned::{LearnedPlan, LearnedSnapshot, LearnedTimes};
pub use stored::HoleMapError;

/// How a device wants to be read, as its profile says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRules {
    /// The most registers that one request may ask for.
    pub registers_max: u16,
    /// The most coils or discrete inputs that one request may ask for.
    pub bits_max: u16,
    /// The longest gap to read across; `None` where it pays.
    pub gap_max: Option<u16>,
    /// No request goes across one of these: it may start there, or end before.
    pub boundaries: Vec<Address>,
    /// Whether several values share a request at all.
    pub merge: bool,
}

/// What a plan must keep to.
#[derive(Debug, Clone, Copy)]
pub struct PlanOptions<'a> {
    /// The line, which says what a request and a gap cost.
    pub link: LinkCost,
    /// What the profile says.
    pub rules: &'a ReadRules,
    /// What the device has taught.
    pub holes: &'a HoleMap,
}

impl Default for ReadRules {
    /// As the protocol has it.
    fn default() -> Self {
        Self {
            registers_max: READ_REGISTERS_MAX,
            bits_max: READ_BITS_MAX,
            gap_max: None,
            boundaries: Vec::new(),
            merge: true,
        }
    }
}

/// What must be read for the declared signals and for the parser: each element in one answer.
pub fn wanted(signals: &[SignalSpec], parser_reads: &[ReadRequest]) -> Vec<ReadRequest> {
    let declared = signals.iter().flat_map(SignalSpec::reads);
    declared.chain(parser_reads.iter().copied()).collect()
}

/// The cheapest requests that bring everything wanted, ordered by table and address.
///
/// What holds a hole is left out: [`HoleMap::refused`] says why it has no answer.
pub fn plan(wanted: &[ReadRequest], options: &PlanOptions<'_>) -> Vec<ReadRequest> {
    let values = outermost(wanted, options.holes);
    let count = values.len();
    // By place: what it costs to bring everything from there on, and where the next request starts.
    let mut best = vec![(Cost::default(), 0, count); count + 1];
    for first in (0..count).rev() {
        best[first] = (first..count)
            .map_while(|last| Some((last, options.block(&values[first..=last])?)))
            .map(|(last, block)| {
                let (cost, requests, _) = best[last + 1];
                (options.link.of(block) + cost, requests + 1, last + 1)
            })
            .min()
            .expect("one value by itself is always allowed");
    }
    let mut requests = Vec::new();
    let mut first = 0;
    while first < count {
        let next = best[first].2;
        requests.push(span(&values[first..next]));
        first = next;
    }
    requests
}

/// Sorted, without what holds a hole, and without what lies within another one: so both starts and
/// ends grow.
fn outermost(wanted: &[ReadRequest], holes: &HoleMap) -> Vec<ReadRequest> {
    let mut sorted: Vec<ReadRequest> =
        wanted.iter().copied().filter(|want| holes.within(*want).is_none()).collect();
    sorted.sort_unstable_by_key(|want| (want.table, want.start, u16::MAX - want.count));
    let mut values: Vec<ReadRequest> = Vec::with_capacity(sorted.len());
    for want in sorted {
        if !values.last().is_some_and(|last| holds(*last, want)) {
            values.push(want);
        }
    }
    values
}

impl PlanOptions<'_> {
    /// The request that brings all of `values`; `None` if it may not be made, nor any longer one.
    fn block(&self, values: &[ReadRequest]) -> Option<ReadRequest> {
        let [.., before, last] = values else { return Some(span(values)) };
        let first = values[0];
        let gap = u32::from(last.start).saturating_sub(end(*before));
        let is_cut = |cut: &Address| {
            cut.table == first.table
                && first.start < cut.offset
                && u32::from(cut.offset) < end(*last)
        };
        let apart = !self.rules.merge
            || last.table != first.table
            || end(*last) - u32::from(first.start) > u32::from(self.items_max(first.table))
            || self.rules.gap_max.is_some_and(|max| gap > u32::from(max))
            || self.rules.boundaries.iter().any(is_cut)
            || self.holes.cuts.iter().any(is_cut);
        if apart {
            return None;
        }
        let block = span(values);
        self.holes.within(block).is_none().then_some(block)
    }

    /// The most items that one request may ask for.
    fn items_max(&self, table: Table) -> u16 {
        if table.is_bits() {
            return self.rules.bits_max.min(READ_BITS_MAX);
        }
        let learned = self.holes.registers_max.unwrap_or(READ_REGISTERS_MAX);
        self.rules.registers_max.min(learned).min(READ_REGISTERS_MAX)
    }
}

/// The request from the start of the first to the end of the last; there is at least one.
fn span(values: &[ReadRequest]) -> ReadRequest {
    let (first, last) = (values[0], values[values.len() - 1]);
    let count = end(last) - u32::from(first.start);
    // Blocks beyond the limit are refused before they are asked for; a value keeps its own count.
    ReadRequest { count: u16::try_from(count).unwrap_or(u16::MAX), ..first }
}

/// The place after the last item.
fn end(request: ReadRequest) -> u32 {
    u32::from(request.start) + u32::from(request.count)
}

/// Whether all of `inner` lies in `outer`.
pub(crate) fn holds(outer: ReadRequest, inner: ReadRequest) -> bool {
    outer.table == inner.table && outer.start <= inner.start && end(inner) <= end(outer)
}
