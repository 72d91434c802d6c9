//! Names the batches and blocks that may hold samples of a range, in the order of their start.

use std::collections::VecDeque;

use fieldgate_model::{GatewayId, Stream, UtcMillis};
use rusqlite::{Connection, params};

use super::query::QueryError;

/// Names fetched at once: small beside one batch's body, large beside one statement's cost.
const REFERENCES_MAX: usize = 2048;

/// Batches that span more stand in the index `batch_long`.
const BATCH_SPAN_MS: i64 = 60 * 60 * 1000;

/// Blocks that span more stand in the index `block_long`.
const BLOCK_SPAN_MS: i64 = 24 * BATCH_SPAN_MS;

/// Where samples are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A row of `block`.
    Block(i64),
    /// A row of `batch`.
    Batch(i64),
}

/// A batch or a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference {
    pub(super) place: Place,
    /// UTC milliseconds of its earliest record.
    pub(super) from_at: i64,
}

/// The batches and blocks that may hold samples of a range, in the order of their start.
pub(super) struct Sweep<'c> {
    blocks: Run<'c>,
    batches: Run<'c>,
}

impl<'c> Sweep<'c> {
    /// From `from` on, up to before `to`.
    pub(super) fn new(
        connection: &'c Connection,
        gateway: &'c GatewayId,
        from: UtcMillis,
        to: UtcMillis,
    ) -> Self {
        let run = |kind| Run {
            connection,
            gateway,
            kind,
            range: (from.0, to.0),
            fetched: VecDeque::new(),
            state: State::Fresh,
        };
        Self { blocks: run(Kind::Blocks), batches: run(Kind::Batches) }
    }

    /// The next one, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<Reference>, QueryError> {
        let (block, batch) = (self.blocks.peek()?, self.batches.peek()?);
        let block_is_next = match (block, batch) {
            (Some(block), Some(batch)) => block.from_at <= batch.from_at,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let run = if block_is_next { &mut self.blocks } else { &mut self.batches };
        Ok(run.fetched.pop_front())
    }

    /// Where the next one begins.
    pub(super) fn next_from(&mut self) -> Result<Option<i64>, QueryError> {
        let (block, batch) = (self.blocks.peek()?, self.batches.peek()?);
        Ok(block.into_iter().chain(batch).map(|next| next.from_at).min())
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Blocks,
    Batches,
}

/// How far a run has come.
#[derive(Clone, Copy)]
enum State {
    Fresh,
    /// Beyond this row: start, end, number.
    Beyond(i64, i64, i64),
    Over,
}

/// One of the two tables.
struct Run<'c> {
    connection: &'c Connection,
    gateway: &'c GatewayId,
    kind: Kind,
    range: (i64, i64),
    fetched: VecDeque<Reference>,
    state: State,
}

impl Run<'_> {
    fn peek(&mut self) -> Result<Option<Reference>, QueryError> {
        while self.fetched.is_empty() && !matches!(self.state, State::Over) {
            self.fetch()?;
        }
        Ok(self.fetched.front().copied())
    }

    /// What began long before the range first, and then what lies in the order of the index: nothing
    /// that began before and is over is looked at.
    fn fetch(&mut self) -> Result<(), QueryError> {
        let (span, long, short) = match self.kind {
            Kind::Blocks => (BLOCK_SPAN_MS, BLOCKS_LONG, BLOCKS),
            Kind::Batches => (BATCH_SPAN_MS, BATCHES_LONG, BATCHES),
        };
        let low = self.range.0.saturating_sub(span);
        let (sql, after) = match self.state {
            State::Fresh => (long, (low, i64::MIN, i64::MIN)),
            State::Beyond(start, end, number) => (short, (start, end, number)),
            State::Over => return Ok(()),
        };
        let wanted = params![
            self.gateway.as_str(),
            Stream::Samples.code(),
            self.range.0,
            self.range.1,
            after.0,
            after.1,
            after.2,
            i64::try_from(REFERENCES_MAX).unwrap_or(i64::MAX),
        ];
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(wanted)?;
        let (mut found, mut last) = (0, after);
        while let Some(row) = rows.next()? {
            let (start, end, number) = (row.get(0)?, row.get(1)?, row.get(2)?);
            last = (start, end, number);
            found += 1;
            let place = match self.kind {
                Kind::Blocks => Place::Block(number),
                Kind::Batches => Place::Batch(number),
            };
            self.fetched.push_back(Reference { place, from_at: start });
        }
        self.state = match self.state {
            State::Fresh => State::Beyond(low, i64::MIN, i64::MIN),
            State::Beyond(..) if found == REFERENCES_MAX => State::Beyond(last.0, last.1, last.2),
            State::Beyond(..) | State::Over => State::Over,
        };
        Ok(())
    }
}

// Everything named in these lies in an index: no body is touched. `?5`, `?6`, `?7` are the row
// behind which to go on, or the least start that the index is read from.
const BATCHES: &str = "SELECT from_at, to_at, sequence FROM batch
    WHERE gateway = ?1 AND stream = ?2 AND from_at < ?4 AND to_at >= ?3
        AND (from_at, to_at, sequence) > (?5, ?6, ?7)
    ORDER BY from_at, to_at, sequence LIMIT ?8";
const BATCHES_LONG: &str = "SELECT from_at, to_at, sequence FROM batch
    WHERE gateway = ?1 AND stream = ?2 AND to_at >= ?3 AND to_at - from_at > 3600000
        AND from_at < ?4 AND (from_at, to_at, sequence) < (?5, ?6, ?7) AND ?8 > 0
    ORDER BY from_at";
const BLOCKS: &str = "SELECT from_at, to_at, id FROM block
    WHERE gateway = ?1 AND ?2 = 2 AND from_at < ?4 AND to_at >= ?3
        AND (from_at, to_at, id) > (?5, ?6, ?7)
    ORDER BY from_at, to_at, id LIMIT ?8";
const BLOCKS_LONG: &str = "SELECT from_at, to_at, id FROM block
    WHERE gateway = ?1 AND ?2 = 2 AND to_at >= ?3 AND to_at - from_at > 86400000
        AND from_at < ?4 AND (from_at, to_at, id) < (?5, ?6, ?7) AND ?8 > 0
    ORDER BY from_at";
