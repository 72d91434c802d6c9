//! What comes up from gateways: epochs, batches, catalogues.

use std::collections::{BTreeMap, BTreeSet};

use fieldgate_model::{
    BootId, CatalogueId, Cursor, Digest, Epoch, GatewayId, IncarnationId, Position, Stream,
    TenantId, UtcMillis,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{count, damaged, id, not_found, number};
use super::{anchors, command, project, rollups};
use crate::store::rollup::HOUR_MS;
use crate::store::{BatchState, Commit, GatewayState, Reservation, StoreError};

/// Catalogues of one gateway: they change with its configuration, not with its days, so more come
/// from a gateway that is broken, and its batches wait with it.
const CATALOGUES_MAX: usize = 1000;

/// The ledger's day, UTC.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub(super) fn gateway(
    connection: &Connection,
    gateway: &GatewayId,
) -> Result<Option<GatewayState>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT tenant, epoch, boot, contested, readopted, decommissioned_at IS NOT NULL AS gone,
                (SELECT suspended_at IS NOT NULL FROM tenant WHERE id = gateway.tenant) AS suspended
         FROM gateway WHERE id = ?1",
    )?;
    let state = statement.query_row(params![gateway.as_str()], |row| {
        Ok(GatewayState {
            tenant: id(row, "tenant", TenantId::new)?,
            suspended: row.get("suspended")?,
            epoch: Epoch(number(row, "epoch")?),
            boot: row.get::<_, Option<[u8; 16]>>("boot")?.map(BootId),
            contested: row.get("contested")?,
            readopted: number(row, "readopted")?,
            decommissioned: row.get("gone")?,
            cursors: Vec::new(),
        })
    });
    let Some(mut state) = state.optional()? else { return Ok(None) };
    let mut statement = connection.prepare_cached(
        "SELECT incarnation, stream, committed, chain FROM cursor WHERE gateway = ?1",
    )?;
    state.cursors =
        statement.query_map(params![gateway.as_str()], cursor)?.collect::<Result<_, _>>()?;
    Ok(Some(state))
}

fn cursor(row: &Row<'_>) -> rusqlite::Result<Cursor> {
    let code: u8 = row.get("stream")?;
    Ok(Cursor {
        incarnation: IncarnationId(row.get("incarnation")?),
        stream: Stream::from_code(code).ok_or_else(|| damaged("no such stream"))?,
        committed: Position(number(row, "committed")?),
        chain: Digest(row.get("chain")?),
    })
}

pub(super) fn reserve(
    connection: &Connection,
    reservation: &Reservation,
    now: UtcMillis,
) -> Result<(), StoreError> {
    // An epoch only grows, whoever asks and in whatever order.
    let changed = connection
        .prepare_cached(
            "UPDATE gateway
             SET epoch = max(epoch, ?2), boot = ?3, software = ?5, generation = ?6,
                 last_hello_at = ?7, last_seen_at = ?7,
                 contested = CASE WHEN readopted <= ?8 THEN ?4 ELSE contested END,
                 doubt = CASE WHEN readopted <= ?8 THEN ?9 ELSE doubt END
             WHERE id = ?1",
        )?
        .execute(params![
            reservation.gateway.as_str(),
            count(reservation.epoch.0),
            reservation.boot.0,
            reservation.contested,
            reservation.software,
            count(reservation.generation),
            now.0,
            count(reservation.readopted),
            reservation.doubt
        ])?;
    if changed == 0 {
        return Err(not_found("gateway", reservation.gateway.as_str()));
    }
    Ok(())
}

pub(super) fn commit(
    connection: &mut Connection,
    commits: &[Commit],
    now: UtcMillis,
) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    let lines = anchors::note(&transaction, commits, now)?;
    let mut placed = Vec::with_capacity(commits.len());
    for commit in commits {
        let span = anchors::place(&lines, commit);
        placed.push((commit, span));
        if !is_stored(&transaction, commit)? {
            insert_batch(&transaction, commit, span, now)?;
            advance(&transaction, commit, now)?;
            book(&transaction, commit, now)?;
            for change in &commit.alarms {
                project::alarm(&transaction, commit, change)?;
            }
            for taken in &commit.steps {
                project::step(&transaction, commit, taken, now)?;
            }
            for write in &commit.local_writes {
                project::local_write(&transaction, commit, write, now)?;
            }
            for closing in &commit.closings {
                command::close(&transaction, &commit.gateway, closing, now)?;
            }
        }
    }
    for (gateway, until) in seen(&placed) {
        transaction
            .prepare_cached(
                "UPDATE gateway SET last_seen_at = ?2,
                    data_until = coalesce(max(data_until, ?3), data_until, ?3)
                 WHERE id = ?1",
            )?
            .execute(params![gateway.as_str(), now.0, until])?;
    }
    for (gateway, from, to) in changed_hours(&placed) {
        rollups::mark(&transaction, gateway, (from, to), now)?;
    }
    transaction.commit()?;
    Ok(())
}

/// A batch and where it stands in UTC.
type Placed<'c> = (&'c Commit, Option<(UtcMillis, UtcMillis)>);

/// The gateways of a group, each with the time of its newest sample.
fn seen<'c>(placed: &[Placed<'c>]) -> BTreeMap<&'c GatewayId, Option<i64>> {
    let mut until_by_gateway = BTreeMap::new();
    for (commit, span) in placed {
        let until = until_by_gateway.entry(&commit.gateway).or_insert(None);
        if commit.stream == Stream::Samples {
            *until = span.map(|(_, to)| to.0).max(*until);
        }
    }
    until_by_gateway
}

/// The ranges of hours that a group adds samples to, each once: most batches of a group lie in one.
/// A batch that was stored before marks its hours again, which costs no more than making them anew.
fn changed_hours<'c>(placed: &[Placed<'c>]) -> BTreeSet<(&'c GatewayId, UtcMillis, UtcMillis)> {
    let hour = |at: UtcMillis| UtcMillis(at.0.div_euclid(HOUR_MS) * HOUR_MS);
    let readable = placed.iter().filter(|(commit, _)| {
        commit.stream == Stream::Samples && commit.state == BatchState::Readable
    });
    readable
        .filter_map(|(commit, span)| {
            let (from, to) = (*span)?;
            Some((&commit.gateway, hour(from), hour(to)))
        })
        .collect()
}

/// Whether the batch is committed already; an error if it does not stand at its cursor.
fn is_stored(connection: &Connection, commit: &Commit) -> Result<bool, StoreError> {
    let committed: Option<i64> = connection
        .prepare_cached(
            "SELECT committed FROM cursor WHERE gateway = ?1 AND incarnation = ?2 AND stream = ?3",
        )?
        .query_row(
            params![commit.gateway.as_str(), commit.incarnation.0, commit.stream.code()],
            |row| row.get(0),
        )
        .optional()?;
    let committed = committed.unwrap_or(0);
    let (first, next) = (count(commit.first.0), count(commit.next.0));
    if first < next && next <= committed {
        return Ok(true);
    }
    if first == committed && first < next {
        return Ok(false);
    }
    Err(StoreError::OutOfOrder { gateway: commit.gateway.clone() })
}

fn insert_batch(
    connection: &Connection,
    commit: &Commit,
    span: Option<(UtcMillis, UtcMillis)>,
    now: UtcMillis,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO batch (tenant, gateway, incarnation, stream, first, next, catalogue,
                                from_at, to_at, state, committed_at, body, boot, from_mono,
                                to_mono)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            commit.tenant.as_str(),
            commit.gateway.as_str(),
            commit.incarnation.0,
            commit.stream.code(),
            count(commit.first.0),
            count(commit.next.0),
            commit.catalogue.map(|catalogue| catalogue.0),
            span.map(|(from, _)| from.0),
            span.map(|(_, to)| to.0),
            commit.state.code(),
            now.0,
            commit.body,
            commit.boot.0,
            commit.mono.map(|(from, _)| count(from.0)),
            commit.mono.map(|(_, to)| count(to.0))
        ])?;
    Ok(())
}

fn advance(connection: &Connection, commit: &Commit, now: UtcMillis) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO cursor (gateway, incarnation, stream, committed, chain, blocked_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (gateway, incarnation, stream)
             DO UPDATE SET committed = excluded.committed, chain = excluded.chain",
        )?
        .execute(params![
            commit.gateway.as_str(),
            commit.incarnation.0,
            commit.stream.code(),
            count(commit.next.0),
            commit.chain.0,
            now.0
        ])?;
    Ok(())
}

fn book(connection: &Connection, commit: &Commit, now: UtcMillis) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO ledger (tenant, gateway, day, batches, samples, events, bytes)
             VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6)
             ON CONFLICT (tenant, gateway, day) DO UPDATE SET
                 batches = batches + 1,
                 samples = samples + excluded.samples,
                 events = events + excluded.events,
                 bytes = bytes + excluded.bytes",
        )?
        .execute(params![
            commit.tenant.as_str(),
            commit.gateway.as_str(),
            now.0.div_euclid(DAY_MS),
            count(commit.samples),
            count(commit.events),
            i64::try_from(commit.body.len()).unwrap_or(i64::MAX)
        ])?;
    Ok(())
}

pub(super) fn save_catalogue(
    connection: &mut Connection,
    gateway: &GatewayId,
    id: &CatalogueId,
    body: &[u8],
) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    let changed = transaction
        .prepare_cached("UPDATE gateway SET catalogue = ?2 WHERE id = ?1")?
        .execute(params![gateway.as_str(), id.0])?;
    if changed == 0 {
        return Err(not_found("gateway", gateway.as_str()));
    }
    let others: i64 = transaction
        .prepare_cached("SELECT count(*) FROM catalogue WHERE gateway = ?1 AND id <> ?2")?
        .query_row(params![gateway.as_str(), id.0], |row| row.get(0))?;
    if usize::try_from(others).unwrap_or(usize::MAX) >= CATALOGUES_MAX {
        return Err(StoreError::Full { what: "list of catalogues", bound: CATALOGUES_MAX });
    }
    // The id is the hash of the content: the same id is the same catalogue.
    transaction
        .prepare_cached(
            "INSERT INTO catalogue (gateway, id, body) VALUES (?1, ?2, ?3)
             ON CONFLICT (gateway, id) DO NOTHING",
        )?
        .execute(params![gateway.as_str(), id.0, body])?;
    transaction.commit()?;
    Ok(())
}

pub(super) fn catalogue(
    connection: &Connection,
    gateway: &GatewayId,
    id: &CatalogueId,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT body FROM catalogue WHERE gateway = ?1 AND id = ?2")?;
    Ok(statement.query_row(params![gateway.as_str(), id.0], |row| row.get(0)).optional()?)
}
