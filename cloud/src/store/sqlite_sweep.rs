//! Names the batches that may hold samples of a range, in the order of their start.

use std::collections::VecDeque;

use fieldgate_model::{GatewayId, Stream, UtcMillis};
use rusqlite::{Connection, params};

use super::query::QueryError;

/// Batch names fetched at once: small beside one batch's body, large beside one statement's cost.
const REFERENCES_MAX: usize = 2048;

/// A batch by its row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference {
    /// The row.
    pub(super) sequence: i64,
    /// UTC milliseconds of its earliest record.
    pub(super) from_at: i64,
}

/// The batches that may hold samples of a range, in the order of their start.
pub(super) struct Sweep<'c> {
    connection: &'c Connection,
    gateway: &'c GatewayId,
    from: UtcMillis,
    to: UtcMillis,
    fetched: VecDeque<Reference>,
    last: Option<Reference>,
    over: bool,
}

impl<'c> Sweep<'c> {
    /// From `from` on, up to before `to`.
    pub(super) fn new(
        connection: &'c Connection,
        gateway: &'c GatewayId,
        from: UtcMillis,
        to: UtcMillis,
    ) -> Self {
        Self { connection, gateway, from, to, fetched: VecDeque::new(), last: None, over: false }
    }

    /// The next batch, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<Reference>, QueryError> {
        if self.fetched.is_empty() && !self.over {
            self.fetch()?;
        }
        Ok(self.fetched.pop_front())
    }

    fn fetch(&mut self) -> Result<(), QueryError> {
        // Everything named here lies in the index `batch_by_time`: no body is touched.
        let sql = "SELECT sequence, from_at FROM batch
            WHERE gateway = ?1 AND stream = ?2 AND to_at >= ?3 AND from_at < ?4
                AND (?5 IS NULL OR (from_at, sequence) > (?5, ?6))
            ORDER BY from_at, sequence LIMIT ?7";
        let wanted = params![
            self.gateway.as_str(),
            Stream::Samples.code(),
            self.from.0,
            self.to.0,
            self.last.map(|last| last.from_at),
            self.last.map(|last| last.sequence),
            i64::try_from(REFERENCES_MAX).unwrap_or(i64::MAX),
        ];
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_map(wanted, |row| {
            Ok(Reference { sequence: row.get(0)?, from_at: row.get(1)? })
        })?;
        self.fetched = found.collect::<Result<_, _>>()?;
        self.last = self.fetched.back().copied().or(self.last);
        self.over = self.fetched.len() < REFERENCES_MAX;
        Ok(())
    }
}
