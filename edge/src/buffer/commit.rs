//! Commits: taking sealed batches, releasing, and changing the incarnation.
//!
//! # Invariants
//!
//! - A batch lies where its name says, or not at all: positions have no holes, and what is known to
//!   be missing is a gap in its place.
//! - A line is never said to hold what it does not: `first <= released <= stored`.

use std::collections::BTreeMap;

use fieldgate_model::{
    AlarmKey, AlarmState, Batch, BootId, Content, DeviceName, Digest, Gap, GapReason, GatewayId,
    IncarnationId, Millis, Position, Stream,
};
use fieldgate_ring::{LineMark, Seal, StoreView};
use fieldgate_rules::alarm::StoredAlarm;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::file::{number, position, reason_code};
use super::maps::DeviceMap;

/// A sealed batch that is ready to be stored and sent.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) seal: Seal,
    /// Times of its earliest and latest record.
    pub(super) span: (Millis, Millis),
    pub(super) body: Vec<u8>,
    pub(super) is_gap: bool,
}

/// How a batch goes with what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It begins where its line ended.
    Next,
    /// It is there already.
    Known,
    /// Something before it is missing, and is declared by a gap.
    Hole,
}

impl Kept {
    pub(super) fn of(sealed: &fieldgate_ring::Sealed) -> Self {
        let (_, from, to) = super::tail::span(&sealed.batch.content);
        let body = fieldgate_wire::encode_batch(&sealed.batch);
        let is_gap = matches!(sealed.batch.content, Content::Gap(_));
        Self { seal: sealed.mark(), span: (from, to), body, is_gap }
    }

    /// A gap that covers a range of a line and ends with its chain.
    fn gap(seal: Seal, boot: BootId, gap: Gap) -> Self {
        let span = (gap.from, gap.to);
        let body = fieldgate_wire::encode_batch(&Batch {
            incarnation: seal.incarnation,
            stream: seal.stream,
            first: seal.first,
            next: seal.next,
            chain: seal.chain,
            boot,
            utc_offset: None,
            content: Content::Gap(gap),
        });
        Self { seal, span, body, is_gap: true }
    }
}

/// A line as it stands.
#[derive(Debug, Clone, Copy)]
struct Row {
    ordinal: i64,
    stored: Position,
    chain: Digest,
}

/// Stores a batch under its name, whatever is there. A line that is not there begins with it.
pub(super) fn append(
    transaction: &Transaction<'_>,
    gateway: &GatewayId,
    boot: BootId,
    kept: &Kept,
) -> rusqlite::Result<Fit> {
    let seal = kept.seal;
    let (row, is_there) = match row(transaction, seal.incarnation, seal.stream)? {
        Some(row) => (row, true),
        None => (begin_line(transaction, gateway, &seal)?, false),
    };
    if seal.next <= row.stored {
        return Ok(Fit::Known);
    }
    if seal.first == row.stored && seal.before == row.chain {
        insert(transaction, row.ordinal, kept)?;
        return Ok(if is_there { Fit::Next } else { Fit::Hole });
    }
    if row.stored < seal.first {
        let hole = Seal {
            first: row.stored,
            next: seal.first,
            before: row.chain,
            chain: seal.before,
            ..seal
        };
        insert(transaction, row.ordinal, &hole_in(hole, boot, kept.span.0))?;
        insert(transaction, row.ordinal, kept)?;
    } else {
        // It begins inside what is there, or on another chain: what is beyond is not known for sure.
        let rest = Seal { first: row.stored, before: row.chain, ..seal };
        insert(transaction, row.ordinal, &hole_in(rest, boot, kept.span.0))?;
    }
    Ok(Fit::Hole)
}

/// Takes note of how far a line had come: what is missing up to there is declared by a gap.
pub(super) fn note_line(
    transaction: &Transaction<'_>,
    gateway: &GatewayId,
    boot: BootId,
    mark: &LineMark,
) -> rusqlite::Result<Fit> {
    let LineMark { incarnation, stream, released, stored, chain } = *mark;
    let end = Seal { incarnation, stream, first: stored, next: stored, before: chain, chain };
    let Some(row) = row(transaction, incarnation, stream)? else {
        begin_line(transaction, gateway, &end)?;
        let is_empty = stored == Position(0);
        return Ok(if is_empty { Fit::Next } else { Fit::Hole });
    };
    if row.stored < stored {
        let hole = Seal { first: row.stored, next: stored, before: row.chain, ..end };
        insert(transaction, row.ordinal, &hole_in(hole, boot, Millis(0)))?;
        release(transaction, incarnation, stream, released)?;
        return Ok(Fit::Hole);
    }
    Ok(Fit::Known)
}

fn hole_in(seal: Seal, boot: BootId, at: Millis) -> Kept {
    let gap = Gap { reason: GapReason::Damaged, from: at, to: at, summary: None };
    Kept::gap(seal, boot, gap)
}

fn row(
    db: &Connection,
    incarnation: IncarnationId,
    stream: Stream,
) -> rusqlite::Result<Option<Row>> {
    let mut statement = db.prepare_cached(
        "SELECT l.incarnation, l.stored, l.stored_chain
         FROM line l JOIN incarnation i ON i.ordinal = l.incarnation
         WHERE i.id = ?1 AND l.stream = ?2",
    )?;
    statement
        .query_row(params![incarnation.0, stream.code()], |row| {
            let chain = Digest(row.get(2)?);
            Ok(Row { ordinal: row.get(0)?, stored: position(row.get(1)?), chain })
        })
        .optional()
}

/// A line of an incarnation that this file does not know: below it everything is lost.
fn begin_line(
    transaction: &Transaction<'_>,
    gateway: &GatewayId,
    seal: &Seal,
) -> rusqlite::Result<Row> {
    transaction.execute(
        "INSERT INTO incarnation (id, gateway) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![seal.incarnation.0, gateway.as_str()],
    )?;
    let ordinal = transaction.query_row(
        "SELECT ordinal FROM incarnation WHERE id = ?1",
        [seal.incarnation.0],
        |row| row.get(0),
    )?;
    transaction.execute(
        "INSERT INTO line (incarnation, stream, first, first_chain, released, stored, stored_chain,
             lost, lost_reason)
         VALUES (?1, ?2, ?3, ?4, ?3, ?3, ?4, ?3, ?5)",
        params![
            ordinal,
            seal.stream.code(),
            number(seal.first),
            seal.before.0,
            reason_code(GapReason::Damaged)
        ],
    )?;
    Ok(Row { ordinal, stored: seal.first, chain: seal.before })
}

fn insert(transaction: &Transaction<'_>, ordinal: i64, kept: &Kept) -> rusqlite::Result<()> {
    let Kept { seal, span: (from, to), body, is_gap } = kept;
    transaction
        .prepare_cached(
            "INSERT INTO batch
                 (incarnation, stream, first, next, chain, from_at, to_at, body, is_gap)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            ordinal,
            seal.stream.code(),
            number(seal.first),
            number(seal.next),
            seal.chain.0,
            from.0.cast_signed(),
            to.0.cast_signed(),
            body,
            is_gap,
        ])?;
    transaction
        .prepare_cached(
            "UPDATE line SET stored = ?3, stored_chain = ?4 WHERE incarnation = ?1 AND stream = ?2",
        )?
        .execute(params![ordinal, seal.stream.code(), number(seal.next), seal.chain.0])?;
    Ok(())
}

/// A new incarnation with its three empty lines; gives its ordinal and name.
pub(super) fn begin_incarnation(
    db: &Connection,
    gateway: &GatewayId,
) -> rusqlite::Result<(i64, IncarnationId)> {
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
    Ok((ordinal, IncarnationId(id)))
}

pub(super) fn save_alarms(
    transaction: &Transaction<'_>,
    alarms: &BTreeMap<AlarmKey, StoredAlarm>,
) -> rusqlite::Result<()> {
    for (key, stored) in alarms {
        let active = match stored.state {
            AlarmState::Active => true,
            AlarmState::Normal => false,
        };
        transaction.execute(
            "INSERT INTO alarm (device, alarm, active, occurrence, transition)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (device, alarm)
             DO UPDATE SET active = ?3, occurrence = ?4, transition = ?5",
            params![
                key.device.as_str(),
                key.alarm.as_str(),
                active,
                stored.occurrence.cast_signed(),
                stored.transition.cast_signed(),
            ],
        )?;
    }
    Ok(())
}

pub(super) fn save_maps(
    transaction: &Transaction<'_>,
    maps: &BTreeMap<DeviceName, DeviceMap>,
) -> rusqlite::Result<()> {
    maps.iter().try_for_each(|(device, map)| super::maps::save(transaction, device, map))
}

/// Everything below may be evicted. Whoever releases has also taken the gap of what was lost.
pub(super) fn release(
    transaction: &Transaction<'_>,
    incarnation: IncarnationId,
    stream: Stream,
    before: Position,
) -> rusqlite::Result<()> {
    let params = params![incarnation.0, stream.code(), number(before)];
    transaction
        .prepare_cached(
            "UPDATE line SET
                 released_bytes = released_bytes + (SELECT coalesce(sum(length(b.body)), 0)
                     FROM batch b WHERE b.incarnation = line.incarnation
                     AND b.stream = line.stream AND line.released < b.next
                     AND b.next <= min(line.stored, ?3)),
                 lost = iif(first <= min(stored, ?3), 0, lost),
                 released = min(stored, ?3)
             WHERE stream = ?2 AND released < min(stored, ?3)
             AND incarnation = (SELECT ordinal FROM incarnation WHERE id = ?1)",
        )?
        .execute(params)?;
    Ok(())
}

/// How the last run ended, and what the ring's records are worth.
pub(super) fn save_run(
    transaction: &Transaction<'_>,
    boot: BootId,
    clean: bool,
    last_durable: Millis,
) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO run (only, boot, clean, last_durable) VALUES (1, ?1, ?2, ?3)
         ON CONFLICT (only) DO UPDATE SET boot = ?1, clean = ?2, last_durable = ?3",
        params![boot.0, clean, last_durable.0.cast_signed()],
    )?;
    Ok(())
}

pub(super) fn save_watermark(
    transaction: &Transaction<'_>,
    view: StoreView,
    file_born: Option<i64>,
    ring_born: Option<i64>,
) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO watermark (only, pair, through, file_born, ring_born)
         VALUES (1, ?1, ?2, ?3, ?4)
         ON CONFLICT (only) DO UPDATE SET pair = ?1, through = ?2, file_born = ?3, ring_born = ?4",
        params![view.pair.0, view.through.cast_signed(), file_born, ring_born],
    )?;
    Ok(())
}
