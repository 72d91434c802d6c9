//! Reading batches, as they are sent: checked against the chain, and what is damaged or missing is
//! replaced by a gap once and for all.
//!
//! # Invariants
//!
//! - Whatever the file holds, every position from a line's first to its end loads: as it was sealed,
//!   or as a gap. A line never stands still for damage.

use fieldgate_model::{
    Batch, BootId, Content, Digest, Gap, GapReason, IncarnationId, Position, Stream,
};
use rusqlite::{OptionalExtension, params};

use super::file::{BufferFile, number, position};

/// A batch as it lies there.
struct Row {
    sequence: i64,
    first: Position,
    next: Position,
    chain: Digest,
    body: Vec<u8>,
    is_gap: bool,
}

/// What a line is called here and there.
#[derive(Debug, Clone, Copy)]
struct Name {
    ordinal: i64,
    incarnation: IncarnationId,
    stream: Stream,
}

impl BufferFile {
    /// The batch or gap that starts at `first`, and where it ends.
    pub(super) fn load(
        &self,
        incarnation: IncarnationId,
        stream: Stream,
        first: Position,
    ) -> rusqlite::Result<Option<(Vec<u8>, Position)>> {
        let Some(ordinal) = self.ordinal(incarnation)? else { return Ok(None) };
        let name = Name { ordinal, incarnation, stream };
        let Some(row) = self.row_around(name, first)? else {
            return self.fill_hole(name, first);
        };
        if row.is_gap && row.first < first {
            return Ok(Self::rest_of_gap(&row, first).map(|body| (body, row.next)));
        }
        if row.first != first {
            return Ok(None);
        }
        if row.is_gap || self.is_sound(name, &row)? {
            return Ok(Some((row.body, row.next)));
        }
        tracing::error!(%incarnation, stream = stream.as_str(), first = first.0, "a batch is damaged");
        let body = damaged_gap(name, row.first, row.next, row.chain);
        self.db.execute(
            "UPDATE batch SET body = ?2, is_gap = 1 WHERE sequence = ?1",
            params![row.sequence, body],
        )?;
        Ok(Some((body, row.next)))
    }

    /// Checks the batches behind `sequence`, so many at most; gives the last one's, `None` at the
    /// end.
    pub(super) fn verify_some(&self, sequence: i64, most: u32) -> rusqlite::Result<Option<i64>> {
        let mut statement = self.db.prepare_cached(
            "SELECT b.sequence, i.id, b.stream, b.first FROM batch b
             JOIN incarnation i ON i.ordinal = b.incarnation
             WHERE b.sequence > ?1 ORDER BY b.sequence LIMIT ?2",
        )?;
        let rows = statement.query_map(params![sequence, most], |row| {
            let stream = super::file::stream(row.get(2)?)?;
            Ok((row.get(0)?, IncarnationId(row.get(1)?), stream, position(row.get(3)?)))
        })?;
        let rows: Vec<(i64, IncarnationId, Stream, Position)> = rows.collect::<Result<_, _>>()?;
        for (_, incarnation, stream, first) in &rows {
            self.load(*incarnation, *stream, *first)?;
        }
        Ok(rows.last().map(|row| row.0))
    }

    fn ordinal(&self, incarnation: IncarnationId) -> rusqlite::Result<Option<i64>> {
        let mut statement =
            self.db.prepare_cached("SELECT ordinal FROM incarnation WHERE id = ?1")?;
        statement.query_row([incarnation.0], |row| row.get(0)).optional()
    }

    /// The last batch that starts at `first` or before it, if it ends behind it.
    fn row_around(&self, name: Name, first: Position) -> rusqlite::Result<Option<Row>> {
        let mut statement = self.db.prepare_cached(
            "SELECT sequence, first, next, chain, body, is_gap FROM batch
             WHERE incarnation = ?1 AND stream = ?2 AND first <= ?3
             ORDER BY first DESC LIMIT 1",
        )?;
        let row = statement
            .query_row(params![name.ordinal, name.stream.code(), number(first)], |row| {
                Ok(Row {
                    sequence: row.get(0)?,
                    first: position(row.get(1)?),
                    next: position(row.get(2)?),
                    chain: Digest(row.get(3)?),
                    body: row.get(4)?,
                    is_gap: row.get(5)?,
                })
            })
            .optional()?;
        Ok(row.filter(|row| first < row.next))
    }

    /// Whether the batch says what was sealed.
    fn is_sound(&self, name: Name, row: &Row) -> rusqlite::Result<bool> {
        let Ok(batch) = fieldgate_wire::decode_batch(&row.body) else { return Ok(false) };
        let names = (batch.incarnation, batch.stream, batch.first, batch.next);
        if names != (name.incarnation, name.stream, row.first, row.next) || batch.chain != row.chain
        {
            return Ok(false);
        }
        let before = self.chain_at(name.incarnation, name.stream, row.first)?;
        // Behind a damaged neighbour there is nothing to compare with; its own copy of the chain is.
        let fits = |before| fieldgate_wire::link(before, fieldgate_wire::leaf(&batch)) == row.chain;
        Ok(before.is_none_or(fits))
    }

    /// The rest of a gap, for a receiver that has what came before: thinning does not ask how far it
    /// was.
    fn rest_of_gap(row: &Row, first: Position) -> Option<Vec<u8>> {
        let batch = fieldgate_wire::decode_batch(&row.body).ok()?;
        Some(fieldgate_wire::encode_batch(&Batch { first, ..batch }))
    }

    /// Nothing lies where something should: a gap up to the end of what comes next takes the place,
    /// since only there the chain is known.
    fn fill_hole(
        &self,
        name: Name,
        first: Position,
    ) -> rusqlite::Result<Option<(Vec<u8>, Position)>> {
        let params = params![name.ordinal, name.stream.code(), number(first)];
        let line: Option<(i64, i64, [u8; 32])> = self
            .db
            .query_row(
                "SELECT first, stored, stored_chain FROM line WHERE incarnation = ?1 AND stream = ?2",
                [name.ordinal, i64::from(name.stream.code())],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()?;
        let Some((begin, stored, stored_chain)) = line else { return Ok(None) };
        if first < position(begin) || position(stored) <= first {
            return Ok(None);
        }
        let after: Option<(i64, i64, [u8; 32])> = self
            .db
            .query_row(
                "SELECT sequence, next, chain FROM batch
                 WHERE incarnation = ?1 AND stream = ?2 AND first > ?3 ORDER BY first LIMIT 1",
                params,
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()?;
        let (sequence, next, chain) = after.unwrap_or((0, stored, stored_chain));
        tracing::error!(incarnation = %name.incarnation, first = first.0, "batches are missing");
        let body = damaged_gap(name, first, position(next), Digest(chain));
        self.db.execute("DELETE FROM batch WHERE sequence = ?1", [sequence])?;
        self.db.execute(
            "INSERT INTO batch (sequence, incarnation, stream, first, next, chain, from_at, to_at,
                 body, is_gap)
             VALUES (nullif(?1, 0), ?2, ?3, ?4, ?5, ?6, 0, 0, ?7, 1)",
            params![sequence, name.ordinal, name.stream.code(), number(first), next, chain, body],
        )?;
        Ok(Some((body, position(next))))
    }
}

fn damaged_gap(name: Name, first: Position, next: Position, chain: Digest) -> Vec<u8> {
    let (from, to) = Default::default();
    let gap = Gap { reason: GapReason::Damaged, from, to, summary: None };
    fieldgate_wire::encode_batch(&Batch {
        incarnation: name.incarnation,
        stream: name.stream,
        first,
        next,
        chain,
        // Times of nothing are of no boot.
        boot: BootId([0; 16]),
        utc_offset: None,
        content: Content::Gap(gap),
    })
}
