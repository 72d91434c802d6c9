//! Puts blocks in the place of batches, and keeps what others still need.

use fieldgate_model::{Position, Stream, UtcMillis};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::rows::count;
use crate::store::{Compaction, Hold, NewBlock, StoreError};

/// Why a compaction cannot be put in place: what it was planned on is not there any more.
struct Stale;

/// Puts each in place that still fits; how many did.
pub(super) fn compact(
    connection: &mut Connection,
    compactions: &[Compaction],
    now: UtcMillis,
) -> Result<usize, StoreError> {
    let mut transaction = connection.transaction()?;
    let mut done = 0;
    for compaction in compactions {
        let savepoint = transaction.savepoint()?;
        if put(&savepoint, compaction, now)?.is_ok() {
            savepoint.commit()?;
            done += 1;
        }
        // Otherwise it is dropped, and with it what was half done.
    }
    transaction.commit()?;
    Ok(done)
}

fn put(
    connection: &Connection,
    compaction: &Compaction,
    now: UtcMillis,
) -> Result<Result<(), Stale>, StoreError> {
    let Compaction { gateway, incarnation, from, to, block } = compaction;
    let stream = Stream::Samples.code();
    if held_from(connection, compaction)?.is_some_and(|held| held < count(to.0)) {
        return Ok(Err(Stale));
    }
    let moved = connection
        .prepare_cached(
            "UPDATE cursor SET blocked = ?5, blocked_at = ?6
             WHERE gateway = ?1 AND incarnation = ?2 AND stream = ?3 AND blocked = ?4
                AND committed >= ?5",
        )?
        .execute(params![
            gateway.as_str(),
            incarnation.0,
            stream,
            count(from.0),
            count(to.0),
            now.0
        ])?;
    if moved != 1 {
        return Ok(Err(Stale));
    }
    let Some(block) = block else { return Ok(Ok(())) };
    for (sequence, from_at) in &block.swallowed {
        let deleted = connection
            .prepare_cached("DELETE FROM batch WHERE sequence = ?1 AND from_at IS ?2")?
            .execute(params![sequence, from_at])?;
        if deleted != 1 {
            return Ok(Err(Stale));
        }
    }
    insert(connection, compaction, block)?;
    Ok(Ok(()))
}

fn insert(
    connection: &Connection,
    compaction: &Compaction,
    block: &NewBlock,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO block (tenant, gateway, incarnation, first, next, chain, catalogue, boot,
                                from_at, to_at, offsets, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            block.tenant.as_str(),
            compaction.gateway.as_str(),
            compaction.incarnation.0,
            count(block.first.0),
            count(compaction.to.0),
            block.chain.0,
            block.catalogue.0,
            block.boot.0,
            block.span.map(|(from, _)| from.0),
            block.span.map(|(_, to)| to.0),
            block.offsets,
            block.body
        ])?;
    Ok(())
}

/// The lowest position that somebody holds in a stream of samples.
fn held_from(connection: &Connection, compaction: &Compaction) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT min(position) FROM hold WHERE gateway = ?1 AND incarnation = ?2 AND stream = ?3",
    )?;
    let held = statement.query_row(
        params![compaction.gateway.as_str(), compaction.incarnation.0, Stream::Samples.code()],
        |row| row.get(0),
    );
    Ok(held.optional()?.flatten())
}

/// Holds a stream from `position` on, or lets it go.
pub(super) fn set_hold(
    connection: &mut Connection,
    hold: &Hold,
    position: Option<Position>,
) -> Result<(), StoreError> {
    let transaction: Transaction<'_> = connection.transaction()?;
    let Hold { gateway, incarnation, stream, holder } = hold;
    match position {
        Some(position) => transaction
            .prepare_cached(
                "INSERT INTO hold (gateway, incarnation, stream, holder, position)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (gateway, incarnation, stream, holder)
                 DO UPDATE SET position = excluded.position",
            )?
            .execute(params![
                gateway.as_str(),
                incarnation.0,
                stream.code(),
                holder,
                count(position.0)
            ])?,
        None => transaction
            .prepare_cached(
                "DELETE FROM hold
                 WHERE gateway = ?1 AND incarnation = ?2 AND stream = ?3 AND holder = ?4",
            )?
            .execute(params![gateway.as_str(), incarnation.0, stream.code(), holder])?,
    };
    transaction.commit()?;
    Ok(())
}
