//! Commits: flushing, sealing, releasing, evicting and changing the incarnation, each in one
//! transaction.
//!
//! # Invariants
//!
//! - Positions and chain are assigned here and nowhere else, and only together with the batch.
//! - A sealed batch's fragments go in the same commit, so a record is durable exactly once.
//! - What is not released gives way only when everything released is gone; then its line starts
//!   later, and the difference is declared to the cloud as a gap.

use fieldgate_model::{
    Batch, BootId, CatalogueId, Content, Digest, GatewayId, IncarnationId, Millis, Position,
    Stream, UtcMillis,
};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::file::{BufferFile, number, position, stream};
use super::tail::{Tail, span, stream_of};

/// Batches that one commit may evict: bounds how long a full buffer keeps the thread.
const EVICT_MAX: i64 = 64;
/// Free space that is kept below the cap for the commit itself and its WAL.
const HEADROOM_BYTES: u64 = super::file::WAL_BYTES_MAX;

/// What one commit is told.
pub(super) struct Commit<'a> {
    pub(super) tail: &'a Tail,
    pub(super) catalogue: CatalogueId,
    pub(super) boot: BootId,
    pub(super) utc_offset: Option<UtcMillis>,
    pub(super) seal: bool,
    pub(super) releases: &'a [(IncarnationId, Stream, Position)],
    pub(super) max_bytes: u64,
    /// This is the last commit of the run.
    pub(super) clean: bool,
    pub(super) now: Millis,
}

impl BufferFile {
    /// Makes the tail durable, sealed if asked, together with everything else that waits.
    pub(super) fn commit(&mut self, commit: &Commit<'_>) -> rusqlite::Result<()> {
        let over = self.over(commit.max_bytes)?;
        let (current, gateway) = (self.current, self.gateway.clone());
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (incarnation, stream, before) in commit.releases {
            release(&transaction, *incarnation, *stream, *before)?;
        }
        if over {
            evict(&transaction)?;
        }
        for (key, stored) in commit.tail.alarms() {
            save_alarm(&transaction, key, stored)?;
        }
        for (device, map) in commit.tail.maps() {
            super::maps::save(&transaction, device, map)?;
        }
        if commit.seal {
            for content in commit.tail.unsealed(commit.catalogue) {
                append(&transaction, current, content, commit.boot, commit.utc_offset)?;
            }
            transaction.execute("DELETE FROM fragment", [])?;
        } else {
            for content in commit.tail.unflushed(commit.catalogue) {
                save_fragment(&transaction, &gateway, content, commit)?;
            }
        }
        // Only a stop is clean; any other commit says that the run goes on.
        transaction.execute(
            "INSERT INTO run (only, boot, clean, last_durable) VALUES (1, ?1, ?2, ?3)
             ON CONFLICT (only) DO UPDATE SET boot = ?1, clean = ?2, last_durable = ?3",
            params![commit.boot.0, commit.clean, commit.now.0.cast_signed()],
        )?;
        transaction.commit()
    }

    /// Seals what the last run left as fragments; says how many records that were.
    pub(super) fn seal_fragments(&mut self) -> rusqlite::Result<u64> {
        let current = self.current;
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut records = 0;
        {
            let mut statement =
                transaction.prepare("SELECT body FROM fragment ORDER BY sequence")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let body: Vec<u8> = row.get(0)?;
                // A fragment that cannot be read is damage within a page; the rest is still good.
                if let Ok(batch) = fieldgate_wire::decode_batch(&body) {
                    records += span(&batch.content).0;
                    append(&transaction, current, batch.content, batch.boot, batch.utc_offset)?;
                }
            }
        }
        transaction.execute("DELETE FROM fragment", [])?;
        transaction.commit()?;
        Ok(records)
    }

    /// Opens a new incarnation and moves everything unreleased of `incarnation` into it.
    pub(super) fn reincarnate(&mut self, incarnation: IncarnationId) -> rusqlite::Result<()> {
        let gateway = self.gateway.clone();
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let old: i64 = transaction.query_row(
            "SELECT ordinal FROM incarnation WHERE id = ?1",
            [incarnation.0],
            |row| row.get(0),
        )?;
        let new = begin_incarnation(&transaction, &gateway)?;
        let bodies: Vec<Vec<u8>> = {
            let mut statement = transaction.prepare(
                "SELECT b.body FROM batch b
                 JOIN line l ON l.incarnation = b.incarnation AND l.stream = b.stream
                 WHERE b.incarnation = ?1 AND b.next > l.released ORDER BY b.sequence",
            )?;
            let rows = statement.query_map([old], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for batch in bodies.iter().filter_map(|body| fieldgate_wire::decode_batch(body).ok()) {
            append(&transaction, new, batch.content, batch.boot, batch.utc_offset)?;
        }
        transaction.execute("DELETE FROM batch WHERE incarnation = ?1", [old])?;
        // The name belongs to the history that the cloud holds: nothing more is said under it.
        transaction.execute("DELETE FROM line WHERE incarnation = ?1", [old])?;
        transaction.commit()?;
        self.current = new;
        Ok(())
    }

    fn over(&self, max_bytes: u64) -> rusqlite::Result<bool> {
        let (held, free, _) = self.size()?;
        Ok(held.saturating_sub(free) + HEADROOM_BYTES > max_bytes)
    }
}

/// A new incarnation with its three empty lines; gives its ordinal.
pub(super) fn begin_incarnation(db: &Connection, gateway: &GatewayId) -> rusqlite::Result<i64> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).expect("the kernel has random bytes once it has booted");
    db.execute(
        "INSERT INTO incarnation (id, gateway) VALUES (?1, ?2)",
        params![id, gateway.as_str()],
    )?;
    let ordinal = db.last_insert_rowid();
    for stream in Stream::ALL {
        let chain = fieldgate_wire::chain_start(gateway, IncarnationId(id), stream);
        db.execute(
            "INSERT INTO line (incarnation, stream, first, first_chain, released, stored, stored_chain)
             VALUES (?1, ?2, 0, ?3, 0, 0, ?3)",
            params![ordinal, stream.code(), chain.0],
        )?;
    }
    Ok(ordinal)
}

/// Seals one content at the end of its line.
fn append(
    transaction: &Transaction<'_>,
    ordinal: i64,
    content: Content,
    boot: BootId,
    utc_offset: Option<UtcMillis>,
) -> rusqlite::Result<()> {
    let Some(stream) = stream_of(&content) else { return Ok(()) };
    let (count, from_at, to_at) = span(&content);
    let (id, stored, before): ([u8; 16], i64, [u8; 32]) = transaction.query_row(
        "SELECT i.id, l.stored, l.stored_chain
         FROM line l JOIN incarnation i ON i.ordinal = l.incarnation
         WHERE l.incarnation = ?1 AND l.stream = ?2",
        params![ordinal, stream.code()],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let first = position(stored);
    let mut batch = Batch {
        incarnation: IncarnationId(id),
        stream,
        first,
        next: Position(first.0 + count),
        chain: Digest(before),
        boot,
        utc_offset,
        content,
    };
    batch.chain = fieldgate_wire::link(Digest(before), fieldgate_wire::leaf(&batch));
    transaction
        .prepare_cached(
            "INSERT INTO batch (incarnation, stream, first, next, chain, from_at, to_at, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            ordinal,
            stream.code(),
            number(batch.first),
            number(batch.next),
            batch.chain.0,
            from_at.0.cast_signed(),
            to_at.0.cast_signed(),
            fieldgate_wire::encode_batch(&batch),
        ])?;
    transaction
        .prepare_cached(
            "UPDATE line SET stored = ?3, stored_chain = ?4 WHERE incarnation = ?1 AND stream = ?2",
        )?
        .execute(params![ordinal, stream.code(), number(batch.next), batch.chain.0])?;
    Ok(())
}

/// A fragment is written like a batch without a place, so that one reader serves both.
fn save_fragment(
    transaction: &Transaction<'_>,
    gateway: &GatewayId,
    content: Content,
    commit: &Commit<'_>,
) -> rusqlite::Result<()> {
    let Some(stream) = stream_of(&content) else { return Ok(()) };
    let incarnation = IncarnationId([0; 16]);
    let batch = Batch {
        incarnation,
        stream,
        first: Position(0),
        next: Position(span(&content).0),
        chain: fieldgate_wire::chain_start(gateway, incarnation, stream),
        boot: commit.boot,
        utc_offset: commit.utc_offset,
        content,
    };
    transaction
        .prepare_cached("INSERT INTO fragment (body) VALUES (?1)")?
        .execute([fieldgate_wire::encode_batch(&batch)])?;
    Ok(())
}

fn save_alarm(
    transaction: &Transaction<'_>,
    key: &fieldgate_model::AlarmKey,
    stored: &fieldgate_rules::alarm::StoredAlarm,
) -> rusqlite::Result<()> {
    let active = match stored.state {
        fieldgate_model::AlarmState::Active => true,
        fieldgate_model::AlarmState::Normal => false,
    };
    transaction.execute(
        "INSERT INTO alarm (device, alarm, active, occurrence, transition)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (device, alarm) DO UPDATE SET active = ?3, occurrence = ?4, transition = ?5",
        params![
            key.device.as_str(),
            key.alarm.as_str(),
            active,
            stored.occurrence.cast_signed(),
            stored.transition.cast_signed(),
        ],
    )?;
    Ok(())
}

fn release(
    transaction: &Transaction<'_>,
    incarnation: IncarnationId,
    stream: Stream,
    before: Position,
) -> rusqlite::Result<()> {
    transaction.execute(
        "UPDATE line SET released = max(released, min(stored, ?3))
         WHERE stream = ?2 AND incarnation = (SELECT ordinal FROM incarnation WHERE id = ?1)",
        params![incarnation.0, stream.code(), number(before)],
    )?;
    Ok(())
}

/// Makes room: released batches first, then the oldest samples, and nothing else.
fn evict(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    const RELEASED: &str = "SELECT b.sequence, b.incarnation, b.stream, b.next, b.chain,
            b.from_at, b.to_at, 0
        FROM batch b JOIN line l ON l.incarnation = b.incarnation AND l.stream = b.stream
        WHERE b.next <= l.released ORDER BY b.sequence LIMIT ?1";
    const UNSENT: &str = "SELECT sequence, incarnation, stream, next, chain, from_at, to_at, 1
        FROM batch WHERE stream = 2 ORDER BY sequence LIMIT ?1";
    if evict_from(transaction, RELEASED)? == 0 {
        evict_from(transaction, UNSENT)?;
    }
    Ok(())
}

fn evict_from(transaction: &Transaction<'_>, query: &str) -> rusqlite::Result<usize> {
    struct Victim {
        sequence: i64,
        incarnation: i64,
        stream: u8,
        next: i64,
        chain: [u8; 32],
        span: (i64, i64),
        lost: bool,
    }
    let victims: Vec<Victim> = {
        let mut statement = transaction.prepare_cached(query)?;
        let rows = statement.query_map([EVICT_MAX], |row| {
            Ok(Victim {
                sequence: row.get(0)?,
                incarnation: row.get(1)?,
                stream: row.get(2)?,
                next: row.get(3)?,
                chain: row.get(4)?,
                span: (row.get(5)?, row.get(6)?),
                lost: row.get(7)?,
            })
        })?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    for victim in &victims {
        stream(victim.stream)?;
        transaction.execute("DELETE FROM batch WHERE sequence = ?1", [victim.sequence])?;
        transaction.execute(
            "UPDATE line SET
                 lost = lost + iif(?5, ?3 - max(first, released), 0),
                 lost_from = iif(?5, coalesce(lost_from, ?6), lost_from),
                 lost_to = iif(?5, ?7, lost_to),
                 first = ?3, first_chain = ?4, released = max(released, ?3)
             WHERE incarnation = ?1 AND stream = ?2",
            params![
                victim.incarnation,
                victim.stream,
                victim.next,
                victim.chain,
                victim.lost,
                victim.span.0,
                victim.span.1,
            ],
        )?;
    }
    Ok(victims.len())
}
