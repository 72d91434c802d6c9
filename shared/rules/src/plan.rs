//! What to read in which transactions, and where in the answers a value lies.
//!
//! # Invariants
//!
//! - A value of several registers always lies in one answer, so that it is of one moment.
//! - No request is larger than the protocol allows, and none reads a register that nobody wants:
//!   only adjacent or overlapping ranges are merged.

use fieldgate_model::Cause;

use crate::signal::SignalSpec;
use fieldgate_modbus::register::{ReadReply, ReadRequest, Table};

/// The requests that bring every declared signal and everything the parser reads, ordered by table
/// and address.
pub fn plan(signals: &[SignalSpec], parser_reads: &[ReadRequest]) -> Vec<ReadRequest> {
    let declared = signals.iter().flat_map(SignalSpec::reads);
    let mut wanted: Vec<ReadRequest> = declared.chain(parser_reads.iter().copied()).collect();
    wanted.sort_unstable();
    let mut requests: Vec<ReadRequest> = Vec::new();
    for want in wanted {
        match requests.last_mut().and_then(|last| Some((merged(*last, want)?, last))) {
            Some((both, last)) => *last = both,
            None => requests.push(want),
        }
    }
    requests
}

/// One request for both, if they touch and the protocol can carry it; `want` starts no earlier.
fn merged(last: ReadRequest, want: ReadRequest) -> Option<ReadRequest> {
    if last.table != want.table || u32::from(want.start) > end(last) {
        return None;
    }
    let count = end(want).max(end(last)) - u32::from(last.start);
    let count = u16::try_from(count).ok().filter(|count| *count <= last.table.read_max())?;
    Some(ReadRequest { count, ..last })
}

/// The place after the last item.
fn end(request: ReadRequest) -> u32 {
    u32::from(request.start) + u32::from(request.count)
}

/// What one poll of one device brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image {
    replies: Vec<(ReadRequest, Result<ReadReply, Cause>)>,
}

impl Image {
    /// The image of these answers.
    pub const fn new(replies: Vec<(ReadRequest, Result<ReadReply, Cause>)>) -> Self {
        Self { replies }
    }

    /// Requests and answers, as given.
    pub fn replies(&self) -> &[(ReadRequest, Result<ReadReply, Cause>)] {
        &self.replies
    }

    /// `count` registers from `start` on, or why they are missing.
    ///
    /// Where several requests cover them, one that succeeded is taken. What nobody asked for is a
    /// [`Cause::ConfigError`]; a short answer is [`Cause::Malformed`].
    pub fn registers(&self, table: Table, start: u16, count: u16) -> Result<&[u16], Cause> {
        self.find(ReadRequest { table, start, count }, |reply, range| match reply {
            ReadReply::Registers(words) => words.get(range),
            ReadReply::Bits(_) => None,
        })
    }

    /// `count` coils or discrete inputs from `start` on, or why they are missing.
    pub fn bits(&self, table: Table, start: u16, count: u16) -> Result<&[bool], Cause> {
        self.find(ReadRequest { table, start, count }, |reply, range| match reply {
            ReadReply::Bits(bits) => bits.get(range),
            ReadReply::Registers(_) => None,
        })
    }

    /// One coil or discrete input, or why it is missing.
    pub fn bit(&self, table: Table, offset: u16) -> Result<bool, Cause> {
        self.bits(table, offset, 1)?.first().copied().ok_or(Cause::Malformed)
    }

    fn find<'a, T>(
        &'a self,
        want: ReadRequest,
        get: impl Fn(&'a ReadReply, core::ops::Range<usize>) -> Option<&'a [T]>,
    ) -> Result<&'a [T], Cause> {
        let mut cause = Cause::ConfigError;
        for (request, reply) in &self.replies {
            if request.table != want.table
                || request.start > want.start
                || end(*request) < end(want)
            {
                continue;
            }
            let first = usize::from(want.start - request.start);
            match reply {
                Ok(reply) => match get(reply, first..first + usize::from(want.count)) {
                    Some(items) => return Ok(items),
                    None => cause = Cause::Malformed,
                },
                Err(why) => cause = *why,
            }
        }
        Err(cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(table: Table, start: u16, count: u16) -> ReadRequest {
        ReadRequest { table, start, count }
    }

    fn check(table: Table, wanted: &[(u16, u16)], expected: &[(u16, u16)]) {
        let reads: Vec<_> =
            wanted.iter().map(|(start, count)| read(table, *start, *count)).collect();
        let planned = plan(&[], &reads);
        assert!(planned.iter().all(|request| request.table == table));
        let planned: Vec<_> =
            planned.iter().map(|request| (request.start, request.count)).collect();
        assert_eq!(planned, expected, "{wanted:?}");
    }

    #[test]
    fn what_touches_is_one_request_and_a_gap_is_never_read() {
        let table = Table::HoldingRegister;
        check(table, &[], &[]);
        check(table, &[(0, 2), (2, 1), (3, 4)], &[(0, 7)]);
        check(table, &[(3, 4), (0, 2), (2, 1)], &[(0, 7)]);
        check(table, &[(0, 2), (3, 1)], &[(0, 2), (3, 1)]);
        check(table, &[(0, 4), (1, 2)], &[(0, 4)]);
        check(table, &[(0, 4), (2, 4), (2, 4)], &[(0, 6)]);
        check(table, &[(65_535, 1), (65_533, 2)], &[(65_533, 3)]);
    }

    #[test]
    fn a_request_ends_at_the_limit_of_the_protocol_and_splits_no_value() {
        let one_by_one: Vec<(u16, u16)> = (0..300).map(|start| (start, 1)).collect();
        check(Table::InputRegister, &one_by_one, &[(0, 125), (125, 125), (250, 50)]);
        let pairs: Vec<(u16, u16)> = (0..100).map(|pair| (2 * pair, 2)).collect();
        check(Table::HoldingRegister, &pairs, &[(0, 124), (124, 76)]);
        let bits: Vec<(u16, u16)> = (0..2001).map(|start| (start, 1)).collect();
        check(Table::Coil, &bits, &[(0, 2000), (2000, 1)]);
        check(Table::HoldingRegister, &[(0, 125), (100, 125)], &[(0, 125), (100, 125)]);
    }

    #[test]
    fn tables_are_never_mixed() {
        let reads = [
            read(Table::HoldingRegister, 0, 1),
            read(Table::InputRegister, 1, 1),
            read(Table::Coil, 0, 1),
            read(Table::DiscreteInput, 1, 1),
        ];
        assert_eq!(plan(&[], &reads).len(), 4);
    }
}
