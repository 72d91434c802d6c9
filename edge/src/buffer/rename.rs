//! Moving what a forked history still has to tell into the incarnation that goes on.
//!
//! # Invariants
//!
//! - What was not released is told again under the new name, once and in order; what had given way
//!   before it was released stays a gap of as many records.
//! - It happens in steps of bounded size, each a commit; a crash between two of them repeats nothing,
//!   since what is moved is gone from where it was.

use fieldgate_model::{
    Batch, BootId, Content, Digest, Gap, GapReason, GatewayId, IncarnationId, Millis, Position,
    Stream, UtcMillis,
};
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

use super::commit::{Kept, append, begin_incarnation};
use super::file::{BufferFile, number, position};

/// Bytes of bodies that one step moves: what the WAL may hold, with room for the indices.
const STEP_BYTES: usize = 512 * 1024;

impl BufferFile {
    /// Moves everything unreleased of `incarnation` into the one that is written to, which is a new
    /// one if it was this one.
    pub(super) fn rename(&mut self, incarnation: IncarnationId) -> rusqlite::Result<()> {
        let old: Option<i64> = self
            .db
            .query_row("SELECT ordinal FROM incarnation WHERE id = ?1", [incarnation.0], |row| {
                row.get(0)
            })
            .optional()?;
        let Some(old) = old else { return Ok(()) };
        if old == self.current.0 {
            let gateway = self.gateway.clone();
            let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let current = begin_incarnation(&transaction, &gateway)?;
            transaction.commit()?;
            self.current = current;
        }
        for stream in Stream::ALL {
            self.rename_line(old, stream)?;
        }
        Ok(())
    }

    fn rename_line(&mut self, old: i64, stream: Stream) -> rusqlite::Result<()> {
        let (gateway, current) = (self.gateway.clone(), self.current);
        let mut is_moved = false;
        while !is_moved {
            let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut target = Target::new(&transaction, current, stream)?;
            if let Some((count, gap)) = take_lost(&transaction, old, stream)? {
                target.append(&gateway, BootId([0; 16]), None, Content::Gap(gap), count)?;
            }
            is_moved = move_step(&transaction, old, &mut target, &gateway)?;
            if is_moved {
                // The name belongs to the history that the cloud holds: nothing more is said of it.
                transaction.execute(
                    "DELETE FROM batch WHERE incarnation = ?1 AND stream = ?2",
                    params![old, stream.code()],
                )?;
                transaction.execute(
                    "DELETE FROM line WHERE incarnation = ?1 AND stream = ?2",
                    params![old, stream.code()],
                )?;
            }
            transaction.commit()?;
        }
        Ok(())
    }
}

/// The end of the line that things are moved to.
struct Target<'t, 'c> {
    transaction: &'t Transaction<'c>,
    incarnation: IncarnationId,
    stream: Stream,
    stored: Position,
    chain: Digest,
}

impl<'t, 'c> Target<'t, 'c> {
    fn new(
        transaction: &'t Transaction<'c>,
        (ordinal, incarnation): (i64, IncarnationId),
        stream: Stream,
    ) -> rusqlite::Result<Self> {
        let (stored, chain) = transaction.query_row(
            "SELECT stored, stored_chain FROM line WHERE incarnation = ?1 AND stream = ?2",
            params![ordinal, stream.code()],
            |row| Ok((position(row.get(0)?), Digest(row.get(1)?))),
        )?;
        Ok(Self { transaction, incarnation, stream, stored, chain })
    }

    fn append(
        &mut self,
        gateway: &GatewayId,
        boot: BootId,
        utc_offset: Option<UtcMillis>,
        content: Content,
        count: u64,
    ) -> rusqlite::Result<usize> {
        let mut batch = Batch {
            incarnation: self.incarnation,
            stream: self.stream,
            first: self.stored,
            next: Position(self.stored.0 + count),
            chain: self.chain,
            boot,
            utc_offset,
            content,
        };
        batch.chain = fieldgate_wire::link(self.chain, fieldgate_wire::leaf(&batch));
        let kept = Kept::of(&fieldgate_ring::Sealed { batch, before: self.chain });
        append(self.transaction, gateway, boot, &kept)?;
        (self.stored, self.chain) = (kept.seal.next, kept.seal.chain);
        Ok(kept.body.len())
    }
}

/// What the old line has lost and nobody may know: declared where the new one goes on.
fn take_lost(
    transaction: &Transaction<'_>,
    old: i64,
    stream: Stream,
) -> rusqlite::Result<Option<(u64, Gap)>> {
    let lost = transaction
        .query_row(
            "SELECT lost, coalesce(lost_from, 0), coalesce(lost_to, 0), lost_reason FROM line
             WHERE incarnation = ?1 AND stream = ?2 AND lost > 0",
            params![old, stream.code()],
            |row| {
                let millis = |at| row.get(at).map(|at: i64| Millis(at.cast_unsigned()));
                let reason = super::file::reason(row.get(3)?);
                let gap = Gap { reason, from: millis(1)?, to: millis(2)?, summary: None };
                Ok((row.get::<_, i64>(0)?.cast_unsigned(), gap))
            },
        )
        .optional()?;
    transaction.execute(
        "UPDATE line SET lost = 0 WHERE incarnation = ?1 AND stream = ?2",
        params![old, stream.code()],
    )?;
    Ok(lost)
}

/// Moves the oldest batches; says whether there are no more.
fn move_step(
    transaction: &Transaction<'_>,
    old: i64,
    target: &mut Target<'_, '_>,
    gateway: &GatewayId,
) -> rusqlite::Result<bool> {
    let mut statement = transaction.prepare_cached(
        "SELECT b.sequence, b.next, b.body, b.first FROM line l
         JOIN batch b ON b.incarnation = l.incarnation AND b.stream = l.stream
         WHERE l.incarnation = ?1 AND l.stream = ?2 AND b.next > l.released
         ORDER BY b.next LIMIT 1",
    )?;
    let mut bytes = 0;
    while bytes < STEP_BYTES {
        let oldest = statement
            .query_row(params![old, target.stream.code()], |row| {
                let range = (position(row.get(3)?), position(row.get(1)?));
                Ok((row.get::<_, i64>(0)?, range, row.get::<_, Vec<u8>>(2)?))
            })
            .optional()?;
        let Some((sequence, (first, next), body)) = oldest else { return Ok(true) };
        let batch = fieldgate_wire::decode_batch(&body);
        let (boot, utc_offset, content) = match batch.ok().filter(|batch| batch.next == next) {
            Some(batch) => (batch.boot, batch.utc_offset, batch.content),
            None => (BootId([0; 16]), None, Content::Gap(damaged())),
        };
        bytes += target.append(gateway, boot, utc_offset, content, next - first)?;
        transaction.execute("DELETE FROM batch WHERE sequence = ?1", [sequence])?;
        transaction.execute(
            "UPDATE line SET first = ?3, released = ?3 WHERE incarnation = ?1 AND stream = ?2",
            params![old, target.stream.code(), number(next)],
        )?;
    }
    Ok(false)
}

/// Stands for a batch that cannot be read.
fn damaged() -> Gap {
    Gap { reason: GapReason::Damaged, from: Millis(0), to: Millis(0), summary: None }
}
