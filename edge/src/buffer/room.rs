//! Making room under the cap.
//!
//! Who gives way, in this order: what is released; what one instance alone holds, once migration
//! makes that a state of its own; unsent samples, thinned to figures of each minute; figures; and
//! last, when they fill the cap by themselves, events and outcomes.
//!
//! # Invariants
//!
//! - What is released stays until space is wanted, and takes half the cap at most.
//! - Samples leave a part of the cap to events and outcomes.
//! - What gives way before it was released is a gap, or its line begins later and says since when.

use fieldgate_model::{
    Batch, BootId, Content, Digest, Gap, GapReason, IncarnationId, Position, Stream, UtcMillis,
};
use rusqlite::{Transaction, params};

use super::file::{BufferFile, number, position, reason_code};
use super::thin::Thinning;

/// Batches that one commit may evict: bounds how long a full buffer keeps the thread.
const EVICT_MAX: usize = 1_024;
/// Batches that one gap may take the place of.
const THIN_MAX: usize = 64;
/// What a batch takes in the file besides its body: its row and its places in two indices.
const ROW_BYTES: u64 = 160;
/// One part in so many of the cap is kept from samples, for events and outcomes.
const RESERVE_PART: u64 = 10;
/// One part in so many of the cap is the most that figures may take: older ones give way.
const FIGURES_PART: u64 = 4;

/// What one commit may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cap {
    /// Bytes for the database and its WAL.
    pub(super) max: u64,
    /// Bytes that this commit brings.
    pub(super) incoming: u64,
    /// Nothing may grow: the disk is full.
    pub(super) is_tight: bool,
}

/// A place in a line and what lies there.
struct Victim {
    sequence: i64,
    first: Position,
    next: Position,
    chain: Digest,
    bytes: u64,
    span: (i64, i64),
}

/// A line from which something can give way.
#[derive(Debug, Clone, Copy)]
struct Front {
    ordinal: i64,
    stream: u8,
}

impl BufferFile {
    /// Bytes that must be freed before the commit, and bytes of released batches that are too many.
    pub(super) fn excess(&self, cap: Cap) -> rusqlite::Result<(u64, u64)> {
        let (held, free) = self.size()?;
        let used = held.saturating_sub(free) + cap.incoming;
        let limit = if cap.is_tight { held } else { cap.max };
        let reserve = cap.max / RESERVE_PART;
        let excess = used.saturating_sub(limit.saturating_sub(reserve));
        let released: i64 =
            self.db.query_row("SELECT coalesce(sum(released_bytes), 0) FROM line", [], |row| {
                row.get(0)
            })?;
        Ok((excess, released.cast_unsigned().saturating_sub(cap.max / 2)))
    }
}

/// Makes room for so many bytes, as far as one commit may go.
pub(super) fn make(
    transaction: &Transaction<'_>,
    (excess, released): (u64, u64),
    cap: Cap,
) -> rusqlite::Result<()> {
    let mut left = EVICT_MAX;
    let wanted = excess.max(released);
    let freed = drop_released(transaction, wanted, &mut left)?;
    let mut excess = excess.saturating_sub(freed);
    while excess > 0 && left > 0 {
        let figures: i64 =
            transaction.query_row("SELECT sum(thinned_bytes) FROM line", [], |row| row.get(0))?;
        let freed = if figures.cast_unsigned() < cap.max / FIGURES_PART {
            thin(transaction, &mut left)?
        } else {
            None
        };
        let freed = match freed {
            Some(freed) => freed,
            None => match drop_front(transaction, &[Stream::Samples], &mut left)? {
                Some(freed) => freed,
                // Events and outcomes alone are left. They may have the reserve.
                None if excess <= cap.max / RESERVE_PART => break,
                None => {
                    let last = [Stream::Events, Stream::Outcomes];
                    let Some(freed) = drop_front(transaction, &last, &mut left)? else { break };
                    freed
                }
            },
        };
        excess = excess.saturating_sub(freed);
    }
    Ok(())
}

/// Drops released batches, those of the oldest incarnation and of samples first.
fn drop_released(
    transaction: &Transaction<'_>,
    wanted: u64,
    left: &mut usize,
) -> rusqlite::Result<u64> {
    let mut freed = 0;
    let fronts = fronts(transaction, "first < released", &Stream::ALL)?;
    for front in fronts {
        while freed < wanted && *left > 0 {
            let victims = victims(transaction, front, "b.next <= l.released", (*left).min(64))?;
            if victims.is_empty() {
                break;
            }
            *left -= victims.len();
            for victim in victims {
                freed += victim.bytes + ROW_BYTES;
                delete(transaction, &victim)?;
                transaction.execute(
                    "UPDATE line SET first = ?3, first_chain = ?4,
                         released_bytes = max(0, released_bytes - ?5)
                     WHERE incarnation = ?1 AND stream = ?2",
                    params![
                        front.ordinal,
                        front.stream,
                        number(victim.next),
                        victim.chain.0,
                        victim.bytes.cast_signed()
                    ],
                )?;
            }
        }
    }
    Ok(freed)
}

/// Puts one gap with figures in the place of the oldest unsent samples; `None` if there are none.
fn thin(transaction: &Transaction<'_>, left: &mut usize) -> rusqlite::Result<Option<u64>> {
    let is_thick = "max(thinned, released) < stored";
    for front in fronts(transaction, is_thick, &[Stream::Samples])? {
        let condition = "b.next > max(l.thinned, l.released) AND b.is_gap = 0";
        let run = victims(transaction, front, condition, THIN_MAX)?;
        let mut thinning = Thinning::default();
        let mut taken: Vec<&Victim> = Vec::new();
        let mut clock = None;
        for victim in &run {
            let follows = taken.last().is_none_or(|last| last.next == victim.first);
            let body: Vec<u8> = transaction.query_row(
                "SELECT body FROM batch WHERE sequence = ?1",
                [victim.sequence],
                |row| row.get(0),
            )?;
            let Ok(batch) = fieldgate_wire::decode_batch(&body) else { break };
            let Content::Samples { catalogue, samples } = &batch.content else { break };
            let of_boot = clock.is_none_or(|(boot, _)| boot == batch.boot);
            if !follows || !of_boot || !thinning.add(*catalogue, samples) {
                break;
            }
            clock = Some((batch.boot, batch.utc_offset));
            taken.push(victim);
        }
        let (Some(first), Some(last), Some(clock)) = (taken.first(), taken.last(), clock) else {
            // Nothing can be made of the oldest: it gives way whole.
            continue;
        };
        *left = left.saturating_sub(taken.len());
        let range = (first.first, last.next, last.chain);
        let body = gap_body(transaction, front, range, clock, thinning.gap())?;
        let before: u64 = taken.iter().map(|victim| victim.bytes + ROW_BYTES).sum();
        for victim in &taken {
            delete(transaction, victim)?;
        }
        let bytes = body.len() as u64;
        transaction.execute(
            "INSERT INTO batch
                 (sequence, incarnation, stream, first, next, chain, from_at, to_at, body, is_gap)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1)",
            params![
                first.sequence,
                front.ordinal,
                front.stream,
                number(first.first),
                number(last.next),
                last.chain.0,
                first.span.0,
                last.span.1,
                body
            ],
        )?;
        transaction.execute(
            "UPDATE line SET thinned = ?3, thinned_bytes = thinned_bytes + ?4
             WHERE incarnation = ?1 AND stream = ?2",
            params![front.ordinal, front.stream, number(last.next), bytes.cast_signed()],
        )?;
        return Ok(Some(before.saturating_sub(bytes + ROW_BYTES).max(1)));
    }
    Ok(None)
}

/// A gap for a range of a line, as it will be sent.
fn gap_body(
    transaction: &Transaction<'_>,
    front: Front,
    (first, next, chain): (Position, Position, Digest),
    (boot, utc_offset): (BootId, Option<UtcMillis>),
    gap: Gap,
) -> rusqlite::Result<Vec<u8>> {
    let incarnation = IncarnationId(transaction.query_row(
        "SELECT id FROM incarnation WHERE ordinal = ?1",
        [front.ordinal],
        |row| row.get(0),
    )?);
    Ok(fieldgate_wire::encode_batch(&Batch {
        incarnation,
        stream: super::file::stream(front.stream)?,
        first,
        next,
        chain,
        boot,
        utc_offset,
        content: Content::Gap(gap),
    }))
}

/// Drops the oldest of a line whether sent or not; its line begins later and says what is lost.
fn drop_front(
    transaction: &Transaction<'_>,
    streams: &[Stream],
    left: &mut usize,
) -> rusqlite::Result<Option<u64>> {
    for front in fronts(transaction, "first < stored", streams)? {
        let Some(victim) = victims(transaction, front, "1", 1)?.pop() else { continue };
        *left -= 1;
        delete(transaction, &victim)?;
        transaction.execute(
            "UPDATE line SET
                 lost = lost + (?3 - max(first, released)),
                 lost_from = iif(lost = 0, ?5, lost_from), lost_to = ?6, lost_reason = ?7,
                 thinned_bytes = iif(?3 <= thinned, max(0, thinned_bytes - ?8), thinned_bytes),
                 first = ?3, first_chain = ?4, released = max(released, ?3)
             WHERE incarnation = ?1 AND stream = ?2",
            params![
                front.ordinal,
                front.stream,
                number(victim.next),
                victim.chain.0,
                victim.span.0,
                victim.span.1,
                reason_code(GapReason::BufferFull),
                victim.bytes.cast_signed()
            ],
        )?;
        return Ok(Some(victim.bytes + ROW_BYTES));
    }
    Ok(None)
}

/// The lines for which a condition holds, oldest incarnation first, samples before events.
fn fronts(
    transaction: &Transaction<'_>,
    condition: &str,
    streams: &[Stream],
) -> rusqlite::Result<Vec<Front>> {
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT incarnation, stream FROM line WHERE {condition}
         ORDER BY incarnation, stream DESC"
    ))?;
    let rows =
        statement.query_map([], |row| Ok(Front { ordinal: row.get(0)?, stream: row.get(1)? }))?;
    let is_wanted = |front: &Front| streams.iter().any(|stream| stream.code() == front.stream);
    rows.filter(|front| front.as_ref().map_or(true, is_wanted)).collect()
}

/// The oldest batches of a line for which a condition holds.
fn victims(
    transaction: &Transaction<'_>,
    front: Front,
    condition: &str,
    most: usize,
) -> rusqlite::Result<Vec<Victim>> {
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT b.sequence, b.first, b.next, b.chain, length(b.body), b.from_at, b.to_at
         FROM line l JOIN batch b ON b.incarnation = l.incarnation AND b.stream = l.stream
         WHERE l.incarnation = ?1 AND l.stream = ?2 AND {condition}
         ORDER BY b.next LIMIT ?3"
    ))?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![front.ordinal, front.stream, most], |row| {
        Ok(Victim {
            sequence: row.get(0)?,
            first: position(row.get(1)?),
            next: position(row.get(2)?),
            chain: Digest(row.get(3)?),
            bytes: row.get::<_, i64>(4)?.cast_unsigned(),
            span: (row.get(5)?, row.get(6)?),
        })
    })?;
    rows.collect()
}

fn delete(transaction: &Transaction<'_>, victim: &Victim) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM batch WHERE sequence = ?1")?
        .execute([victim.sequence])?;
    Ok(())
}
