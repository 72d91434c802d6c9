//! Marks hours whose rollups are out of date, and puts new ones in place.
//!
//! # Invariants
//!
//! - A mark is removed only by who has seen all of it: its `marks` are as they were when the samples
//!   were read.

use std::collections::BTreeSet;

use fieldgate_model::{GatewayId, TenantId, UtcMillis};
use rusqlite::{Connection, params};

use super::rows::{count, tenant_of};
use crate::store::{DirtyHours, Rolled, RollupRow, StoreError, Total, rollup};

/// Marks the hours from that of `from` to that of `to`.
pub(super) fn mark(
    connection: &Connection,
    gateway: &GatewayId,
    (from, to): (UtcMillis, UtcMillis),
    now: UtcMillis,
) -> Result<(), StoreError> {
    mark_hours(connection, gateway, (rollup::hour(from), rollup::hour(to) + 1), now)
}

fn mark_hours(
    connection: &Connection,
    gateway: &GatewayId,
    (from, to): (i64, i64),
    now: UtcMillis,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO rollup_dirty (gateway, from_hour, to_hour, marks, marked_at)
             VALUES (?1, ?2, ?3, 1, ?4)
             ON CONFLICT (gateway, from_hour, to_hour)
             DO UPDATE SET marks = marks + 1, marked_at = excluded.marked_at",
        )?
        .execute(params![gateway.as_str(), from, to, now.0])?;
    Ok(())
}

/// Puts each in place that still fits; how many did.
pub(super) fn roll(
    connection: &mut Connection,
    rolled: &[Rolled],
    now: UtcMillis,
) -> Result<usize, StoreError> {
    let transaction = connection.transaction()?;
    let mut done = 0;
    for rolled in rolled {
        let DirtyHours { gateway, from, to, marks } = &rolled.dirty;
        let removed = transaction
            .prepare_cached(
                "DELETE FROM rollup_dirty
                 WHERE gateway = ?1 AND from_hour = ?2 AND to_hour = ?3 AND marks = ?4",
            )?
            .execute(params![gateway.as_str(), from, to, marks])?;
        let Some(tenant) = tenant_of(&transaction, gateway)? else { continue };
        if removed == 0 {
            continue;
        }
        if rolled.done_to < *to {
            // At once, however lately it was marked: who has begun goes on.
            mark_hours(&transaction, gateway, (rolled.done_to, *to), UtcMillis(0))?;
        }
        replace(&transaction, &tenant, rolled)?;
        done += 1;
    }
    transaction.commit()?;
    tracing::trace!(done, at = now.0, "rollups put in place");
    Ok(done)
}

fn replace(connection: &Connection, tenant: &TenantId, rolled: &Rolled) -> Result<(), StoreError> {
    let DirtyHours { gateway, from, .. } = &rolled.dirty;
    connection
        .prepare_cached(
            "DELETE FROM rollup WHERE hour >= ?2 AND hour < ?3
                AND series IN (SELECT id FROM series WHERE gateway = ?1)",
        )?
        .execute(params![gateway.as_str(), from, rolled.done_to])?;
    let names: BTreeSet<_> = rolled.rows.iter().map(|row| (&row.device, &row.signal)).collect();
    for (device, signal) in names {
        connection
            .prepare_cached(
                "INSERT INTO series (tenant, gateway, device, signal) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (gateway, device, signal) DO NOTHING",
            )?
            .execute(params![
                tenant.as_str(),
                gateway.as_str(),
                device.as_str(),
                signal.as_str()
            ])?;
    }
    rolled.rows.iter().try_for_each(|row| insert(connection, gateway, row))
}

fn insert(connection: &Connection, gateway: &GatewayId, row: &RollupRow) -> Result<(), StoreError> {
    let Total { count: samples, bad, min, max, sum, first, last } = row.total;
    let some = |value: f64| (samples > 0).then_some(value);
    connection
        .prepare_cached(
            "INSERT INTO rollup (series, hour, count, bad, min, max, sum, first, last, minutes)
             SELECT id, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12 FROM series
             WHERE gateway = ?1 AND device = ?2 AND signal = ?3",
        )?
        .execute(params![
            gateway.as_str(),
            row.device.as_str(),
            row.signal.as_str(),
            row.hour,
            count(samples),
            count(bad),
            some(min),
            some(max),
            sum,
            some(first),
            some(last),
            row.minutes
        ])?;
    Ok(())
}
