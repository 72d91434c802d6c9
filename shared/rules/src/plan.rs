//! What to read in which transactions, and where in the answers a value lies.
//!
//! # Invariants
//!
//! - A value of several registers always lies in one answer, so that it is of one moment.
//! - No request is larger than the protocol allows, and none reads a register that nobody wants:
//!   only adjacent or overlapping ranges are merged.

use fieldgate_model::Cause;

use crate::register::{ReadReply, ReadRequest, Table};
use crate::signal::SignalSpec;

/// The requests that bring every declared signal and everything the parser reads, ordered by table
/// and address.
pub fn plan(signals: &[SignalSpec], parser_reads: &[ReadRequest]) -> Vec<ReadRequest> {
    let declared = signals.iter().filter_map(|signal| signal.source.read());
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
