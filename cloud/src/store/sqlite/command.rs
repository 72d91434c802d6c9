//! The table of commands.
//!
//! # Invariants
//!
//! - An update names the states that it may leave, so that a closed command never changes.

use fieldgate_model::{
    Action, Command, CommandId, DeviceName, FailureKind, GatewayId, Outcome, SignalName, TenantId,
    UtcMillis,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::gateway;
use super::rows::{Change, audit, damaged, id, not_found, tenant_of, time};
use crate::store::{
    Closing, CommandState, NewCommand, OpenCommand, StoreError, Submitted, value_text,
};

/// Commands of one gateway that may wait at once: more is a loop in somebody's script.
const OPEN_MAX: usize = 1000;

pub(super) fn submit(
    connection: &mut Connection,
    tenant: &TenantId,
    new: &NewCommand,
    now: UtcMillis,
) -> Result<Submitted, StoreError> {
    let transaction = connection.transaction()?;
    if tenant_of(&transaction, &new.gateway)?.as_ref() != Some(tenant) {
        return Err(not_found("gateway", new.gateway.as_str()));
    }
    gateway::require_in_service(&transaction, &new.gateway)?;
    if let Some(key) = &new.idempotency_key
        && let Some(submitted) = replay(&transaction, tenant, new, key)?
    {
        return Ok(submitted);
    }
    if open_count(&transaction, &new.gateway)? >= OPEN_MAX {
        return Err(StoreError::Full { what: "queue of open commands", bound: OPEN_MAX });
    }
    insert(&transaction, tenant, new, now)?;
    let Action::Write { device, signal, value, .. } = &new.command.action;
    let change = Change {
        tenant,
        by: &new.command.by,
        action: "command.submit",
        target: new.command.id.as_str(),
        detail: &format!("{}/{device}/{signal} = {value}", new.gateway),
    };
    audit(&transaction, &change, now)?;
    transaction.commit()?;
    Ok(Submitted { id: new.command.id.clone(), replayed: false })
}

/// The command that the same key accepted before.
fn replay(
    connection: &Connection,
    tenant: &TenantId,
    new: &NewCommand,
    key: &str,
) -> Result<Option<Submitted>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT * FROM command WHERE tenant = ?1 AND idempotency_key = ?2")?;
    let found = statement.query_row(params![tenant.as_str(), key], |row| {
        Ok((open_command(row)?.command, id(row, "gateway", GatewayId::new)?))
    });
    let Some((earlier, gateway)) = found.optional()? else { return Ok(None) };
    // A deadline relative to "now" differs from call to call and is no part of the comparison.
    let same = earlier.action == new.command.action
        && earlier.retry_safe == new.command.retry_safe
        && earlier.dry_run == new.command.dry_run
        && gateway == new.gateway;
    if !same {
        return Err(StoreError::KeyReused(key.to_owned()));
    }
    Ok(Some(Submitted { id: earlier.id, replayed: true }))
}

fn insert(
    connection: &Connection,
    tenant: &TenantId,
    new: &NewCommand,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let command = &new.command;
    let Action::Write { device, signal, value, verify } = &command.action;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO command (id, tenant, gateway, device, signal, value, verify, retry_safe,
                                  dry_run, created_by, idempotency_key, created_at, not_after,
                                  state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 'accepted')",
        )?
        .execute(params![
            command.id.as_str(),
            tenant.as_str(),
            new.gateway.as_str(),
            device.as_str(),
            signal.as_str(),
            value_text::encode(value),
            verify,
            command.retry_safe,
            command.dry_run,
            command.by,
            new.idempotency_key,
            now.0,
            command.not_after.0
        ]);
    super::rows::or_exists(inserted, "command", command.id.as_str())?;
    Ok(())
}

fn open_count(connection: &Connection, gateway: &GatewayId) -> Result<usize, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM command
         WHERE gateway = ?1 AND state IN ('accepted', 'sent', 'unconfirmed')",
    )?;
    let count: i64 = statement.query_row(params![gateway.as_str()], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

pub(super) fn cancel(
    connection: &mut Connection,
    tenant: &TenantId,
    id: &CommandId,
    by: &str,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    let state: Option<String> = transaction
        .prepare_cached("SELECT state FROM command WHERE id = ?1 AND tenant = ?2")?
        .query_row(params![id.as_str(), tenant.as_str()], |row| row.get(0))
        .optional()?;
    let state = state.ok_or_else(|| not_found("command", id.as_str()))?;
    let state = CommandState::parse(&state).ok_or_else(|| damaged("no such state"))?;
    if state == CommandState::Cancelled {
        return Ok(());
    }
    if state != CommandState::Accepted {
        let (id, state) = (id.as_str().to_owned(), state.as_str());
        return Err(StoreError::State { what: "command", id, state });
    }
    transaction
        .prepare_cached("UPDATE command SET state = 'cancelled', closed_at = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), now.0])?;
    let change = Change { tenant, by, action: "command.cancel", target: id.as_str(), detail: "" };
    audit(&transaction, &change, now)?;
    transaction.commit()?;
    Ok(())
}

pub(super) fn open(
    connection: &Connection,
    gateway: &GatewayId,
) -> Result<Vec<OpenCommand>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM command
         WHERE gateway = ?1 AND state IN ('accepted', 'sent', 'unconfirmed')
         ORDER BY created_at, rowid",
    )?;
    let rows = statement.query_map(params![gateway.as_str()], open_command)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn gateways_with_open(connection: &Connection) -> Result<Vec<GatewayId>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT gateway FROM command WHERE state IN ('accepted', 'sent', 'unconfirmed')",
    )?;
    let rows = statement.query_map([], |row| id(row, "gateway", GatewayId::new))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn open_command(row: &Row<'_>) -> rusqlite::Result<OpenCommand> {
    let value: String = row.get("value")?;
    let state: String = row.get("state")?;
    Ok(OpenCommand {
        command: Command {
            id: id(row, "id", CommandId::new)?,
            action: Action::Write {
                device: id(row, "device", DeviceName::new)?,
                signal: id(row, "signal", SignalName::new)?,
                value: value_text::decode(&value).ok_or_else(|| damaged("not a value"))?,
                verify: row.get("verify")?,
            },
            not_after: UtcMillis(row.get("not_after")?),
            retry_safe: row.get("retry_safe")?,
            dry_run: row.get("dry_run")?,
            by: row.get("created_by")?,
        },
        state: CommandState::parse(&state).ok_or_else(|| damaged("no such state"))?,
        sent_at: time(row, "sent_at")?,
    })
}

pub(super) fn mark_sent(
    connection: &Connection,
    id: &CommandId,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    let changed = connection
        .prepare_cached(
            "UPDATE command SET state = 'sent', sent_at = coalesce(sent_at, ?2)
             WHERE id = ?1 AND state IN ('accepted', 'sent')
                 AND EXISTS (SELECT 1 FROM gateway g JOIN tenant t ON t.id = g.tenant
                             WHERE g.id = command.gateway AND g.contested = 0
                                 AND g.decommissioned_at IS NULL AND t.suspended_at IS NULL)",
        )?
        .execute(params![id.as_str(), now.0])?;
    Ok(changed == 1)
}

pub(super) fn mark_unconfirmed(
    connection: &Connection,
    id: &CommandId,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    let changed = connection
        .prepare_cached(
            "UPDATE command SET state = 'unconfirmed', unconfirmed_at = ?2
             WHERE id = ?1 AND state = 'sent'",
        )?
        .execute(params![id.as_str(), now.0])?;
    Ok(changed == 1)
}

pub(super) fn close(
    connection: &Connection,
    gateway: &GatewayId,
    closing: &Closing,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    let (read_back, failure, reason) = match &closing.outcome {
        Outcome::Done { read_back } => (read_back.as_ref().map(value_text::encode), None, None),
        Outcome::Failed { kind, reason } => (None, Some(failure_word(*kind)), Some(reason)),
        Outcome::Expired | Outcome::Cancelled | Outcome::Interrupted => (None, None, None),
    };
    // The first outcome wins: whatever says it again finds no open row.
    let changed = connection
        .prepare_cached(
            "UPDATE command
             SET state = ?3, closed_at = ?4, read_back = ?5, failure = ?6, reason = ?7
             WHERE id = ?1 AND gateway = ?2 AND state IN ('accepted', 'sent', 'unconfirmed')",
        )?
        .execute(params![
            closing.command.as_str(),
            gateway.as_str(),
            CommandState::closed_by(&closing.outcome).as_str(),
            closing.at.unwrap_or(now).0,
            read_back,
            failure,
            reason
        ])?;
    Ok(changed == 1)
}

const fn failure_word(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Refused => "refused",
        FailureKind::Exception => "exception",
        FailureKind::NoAnswer => "no_answer",
        FailureKind::VerifyMismatch => "verify_mismatch",
    }
}
