//! What the answers of one poll hold, and where in them a value lies.

use fieldgate_modbus::register::{ReadReply, ReadRequest, Table};
use fieldgate_model::Cause;

use super::end;

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

    /// Why this read is missing; `None` if it is here.
    pub fn missing(&self, want: ReadRequest) -> Option<Cause> {
        let ReadRequest { table, start, count } = want;
        if table.is_bits() {
            self.bits(table, start, count).err()
        } else {
            self.registers(table, start, count).err()
        }
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
