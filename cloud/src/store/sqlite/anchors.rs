//! Anchors of the time of day: kept as they come, and what they move put in its new place.
//!
//! # Invariants
//!
//! - Where anchors of a boot are known, its batches are placed by them and not by the gateway's hint.
//! - A label that is off by [`RESTAMP_MIN`] or more is written anew, and its hours are marked.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use fieldgate_model::{BootId, GatewayId, Millis, Stream, TimeSource, UtcMillis};
use fieldgate_protocol::clock::{Anchor, Timeline};
use rusqlite::{Connection, params};

use super::rollups;
use super::rows::count;
use crate::store::{Commit, Moved, MovedRow, Restamp, StoreError};

/// A label that is less far off stays: it is what a leap second smeared over a day makes.
pub(in crate::store) const RESTAMP_MIN: Millis = Millis(500);

/// How far a gateway may be ahead of us before its word is no anchor.
const AHEAD_MAX: Millis = Millis::from_secs(86_400);

/// Anchors of one boot: one of each source an hour, for two years.
const ANCHORS_MAX: i64 = 36_000;

/// The lines of the boots that a group of batches speaks of.
pub(super) type Lines<'c> = BTreeMap<(&'c GatewayId, BootId), Timeline>;

/// Keeps the anchors of a group and marks what they move; the lines of its boots afterwards.
pub(super) fn note<'c>(
    connection: &Connection,
    commits: &'c [Commit],
    now: UtcMillis,
) -> Result<Lines<'c>, StoreError> {
    let mut lines = Lines::new();
    for commit in commits {
        let key = (&commit.gateway, commit.boot);
        let known = match lines.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(line(connection, &commit.gateway, commit.boot)?),
        };
        if commit.anchors.is_empty() {
            continue;
        }
        insert(connection, commit, now)?;
        let after = line(connection, &commit.gateway, commit.boot)?;
        if let Some(span) = after.moved_from(known, RESTAMP_MIN) {
            mark(connection, key, span)?;
        }
        *known = after;
    }
    Ok(lines)
}

fn insert(connection: &Connection, commit: &Commit, now: UtcMillis) -> Result<(), StoreError> {
    let (gateway, boot) = (commit.gateway.as_str(), commit.boot.0);
    let held: i64 = connection
        .prepare_cached("SELECT count(*) FROM anchor WHERE gateway = ?1 AND boot = ?2")?
        .query_row(params![gateway, boot], |row| row.get(0))?;
    if held >= ANCHORS_MAX {
        tracing::warn!(gateway, "more anchors than a boot can need");
        return Ok(());
    }
    for anchor in &commit.anchors {
        if anchor.utc > now + AHEAD_MAX {
            tracing::warn!(gateway, utc = anchor.utc.0, "a gateway says that it is the future");
            continue;
        }
        connection
            .prepare_cached(
                "INSERT INTO anchor (gateway, boot, at, source, utc, error)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                gateway,
                boot,
                count(anchor.at.0),
                source_code(anchor.source),
                anchor.utc.0,
                count(anchor.error.0)
            ])?;
    }
    Ok(())
}

/// The line of a boot, as far as its anchors are known.
pub(in crate::store) fn line(
    connection: &Connection,
    gateway: &GatewayId,
    boot: BootId,
) -> rusqlite::Result<Timeline> {
    let mut statement = connection.prepare_cached(
        "SELECT at, utc, error, source FROM anchor WHERE gateway = ?1 AND boot = ?2",
    )?;
    let anchors = statement.query_map(params![gateway.as_str(), boot.0], |row| {
        let source =
            if row.get::<_, i64>(3)? == 0 { TimeSource::System } else { TimeSource::Cloud };
        Ok(Anchor {
            at: Millis(row.get::<_, i64>(0)?.cast_unsigned()),
            utc: UtcMillis(row.get(1)?),
            error: Millis(row.get::<_, i64>(2)?.cast_unsigned()),
            source,
        })
    })?;
    Ok(Timeline::of(anchors.collect::<Result<Vec<_>, _>>()?))
}

const fn source_code(source: TimeSource) -> i64 {
    match source {
        TimeSource::System => 0,
        TimeSource::Cloud => 1,
    }
}

fn mark(
    connection: &Connection,
    (gateway, boot): (&GatewayId, BootId),
    (from, to): (Millis, Millis),
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO restamp (gateway, boot, from_at, to_at, marks) VALUES (?1, ?2, ?3, ?4, 1)
             ON CONFLICT (gateway, boot) DO UPDATE SET
                 from_at = min(from_at, excluded.from_at), to_at = max(to_at, excluded.to_at),
                 marks = marks + 1, batch_at = -1, batch = -1, block = NULL",
        )?
        .execute(params![gateway.as_str(), boot.0, count(from.0), count(to.0)])?;
    Ok(())
}

/// Where a batch stands in UTC: by the anchors of its boot, else by what its gateway held it to be.
pub(super) fn place(lines: &Lines<'_>, commit: &Commit) -> Option<(UtcMillis, UtcMillis)> {
    let line = lines.get(&(&commit.gateway, commit.boot));
    let derived = commit.mono.zip(line).and_then(|((from, to), line)| {
        let begin = line.utc_at(from)?;
        // Within a batch the offset is one: that of its first record.
        Some((begin, begin + to.since(from)))
    });
    derived.or(commit.span)
}

/// Puts one step of restamping in place; whether it still fitted.
pub(super) fn restamp(
    connection: &mut Connection,
    step: &Restamp,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    let transaction = connection.transaction()?;
    let (gateway, boot) = (step.gateway.as_str(), step.boot.0);
    let (batch_at, batch) = step.after_batch;
    let went_on = transaction
        .prepare_cached(
            "UPDATE restamp SET batch_at = ?4, batch = ?5, block = ?6
             WHERE gateway = ?1 AND boot = ?2 AND marks = ?3",
        )?
        .execute(params![gateway, boot, step.marks, batch_at, batch, step.after_block])?;
    if went_on == 0 {
        return Ok(false);
    }
    for moved in &step.moved {
        if put(&transaction, moved)? && moved.stream == Stream::Samples {
            for span in [moved.before, Some(moved.span)].into_iter().flatten() {
                rollups::mark(&transaction, &step.gateway, span, now)?;
            }
        }
    }
    if step.is_last {
        transaction
            .prepare_cached("DELETE FROM restamp WHERE gateway = ?1 AND boot = ?2")?
            .execute(params![gateway, boot])?;
        transaction
            .prepare_cached(
                "UPDATE gateway SET data_until = max(
                     coalesce((SELECT max(to_at) FROM batch WHERE gateway = ?1 AND stream = 2),
                              (SELECT max(to_at) FROM block WHERE gateway = ?1)),
                     coalesce((SELECT max(to_at) FROM block WHERE gateway = ?1),
                              (SELECT max(to_at) FROM batch WHERE gateway = ?1 AND stream = 2)))
                 WHERE id = ?1",
            )?
            .execute([gateway])?;
    }
    transaction.commit()?;
    Ok(true)
}

/// Moves a row that stands where it stood when this was planned. One that does not has become part
/// of a block, and is met there.
fn put(connection: &Connection, moved: &Moved) -> Result<bool, StoreError> {
    let (from, to) = (moved.span.0.0, moved.span.1.0);
    let before = moved.before.map(|(from, _)| from.0);
    let changed = match &moved.row {
        MovedRow::Batch(sequence) => connection
            .prepare_cached(
                "UPDATE batch SET from_at = ?2, to_at = ?3 WHERE sequence = ?1 AND from_at IS ?4",
            )?
            .execute(params![sequence, from, to, before])?,
        MovedRow::Block { id, offsets } => connection
            .prepare_cached(
                "UPDATE block SET from_at = ?2, to_at = ?3, offsets = ?5
                 WHERE id = ?1 AND from_at IS ?4",
            )?
            .execute(params![id, from, to, before, offsets])?,
    };
    Ok(changed == 1)
}
