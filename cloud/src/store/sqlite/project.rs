//! What follows from a batch besides its custody: alarms, steps of commands, writes of technicians.
//!
//! # Invariants
//!
//! - An alarm's row never goes back, and an alarm has one active occurrence at most.

use fieldgate_model::{AlarmState, AlarmTransition, CommandStep, UtcMillis};
use rusqlite::{Connection, params};

use super::rows::{Change, audit, count};
use crate::store::{AlarmChange, Commit, LocalWrite, StepTaken, StoreError};

/// Brings an alarm's row up to this transition, if it is not further already.
pub(super) fn alarm(
    connection: &Connection,
    commit: &Commit,
    change: &AlarmChange,
) -> Result<(), StoreError> {
    let transition = &change.transition;
    let at = change.at.map(|at| at.0);
    adopt(connection, commit, transition)?;
    let inserted = upsert(connection, commit, transition, at)?;
    if inserted {
        supersede(connection, commit, transition, at)?;
    }
    Ok(())
}

/// A life of the buffer that goes on with the counters of the one before goes on with its rows too.
fn adopt(
    connection: &Connection,
    commit: &Commit,
    transition: &AlarmTransition,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE alarm SET incarnation = ?2
             WHERE id = (SELECT id FROM alarm
                         WHERE gateway = ?1 AND device = ?3 AND alarm = ?4 AND occurrence = ?5
                             AND transition < ?6 AND incarnation <> ?2
                         ORDER BY id DESC LIMIT 1)
                 AND NOT EXISTS (SELECT 1 FROM alarm
                         WHERE gateway = ?1 AND device = ?3 AND alarm = ?4 AND occurrence = ?5
                             AND incarnation = ?2)",
        )?
        .execute(params![
            commit.gateway.as_str(),
            commit.incarnation.0,
            transition.key.device.as_str(),
            transition.key.alarm.as_str(),
            count(transition.occurrence),
            count(transition.transition)
        ])?;
    Ok(())
}

/// Whether the transition has made a row of its own.
fn upsert(
    connection: &Connection,
    commit: &Commit,
    transition: &AlarmTransition,
    at: Option<i64>,
) -> Result<bool, StoreError> {
    let (raised_at, returned_at) = match transition.state {
        AlarmState::Active => (at, None),
        AlarmState::Normal => (None, at),
    };
    let before = connection.last_insert_rowid();
    connection
        .prepare_cached(
            "INSERT INTO alarm (tenant, gateway, incarnation, device, alarm, occurrence,
                                transition, state, severity, signal, value, limit_value, message,
                                raised_at, returned_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
             ON CONFLICT (gateway, device, alarm, incarnation, occurrence) DO UPDATE SET
                 transition = excluded.transition,
                 state = excluded.state,
                 severity = excluded.severity,
                 signal = excluded.signal,
                 value = excluded.value,
                 limit_value = excluded.limit_value,
                 message = excluded.message,
                 raised_at = coalesce(excluded.raised_at, alarm.raised_at),
                 returned_at = coalesce(excluded.returned_at, alarm.returned_at)
             WHERE alarm.transition < excluded.transition",
        )?
        .execute(params![
            commit.tenant.as_str(),
            commit.gateway.as_str(),
            commit.incarnation.0,
            transition.key.device.as_str(),
            transition.key.alarm.as_str(),
            count(transition.occurrence),
            count(transition.transition),
            transition.state.as_str(),
            transition.severity.as_str(),
            transition.signal.as_str(),
            transition.value,
            transition.limit,
            transition.message,
            raised_at,
            returned_at
        ])?;
    Ok(connection.last_insert_rowid() != before)
}

/// Ends what an earlier life of the buffer has left active: whoever counts anew knows nothing of it
/// and will never say that it has returned.
fn supersede(
    connection: &Connection,
    commit: &Commit,
    transition: &AlarmTransition,
    at: Option<i64>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE alarm SET state = 'normal', returned_at = coalesce(?5, returned_at)
             WHERE gateway = ?1 AND device = ?2 AND alarm = ?3 AND incarnation <> ?4
                 AND state = 'active'",
        )?
        .execute(params![
            commit.gateway.as_str(),
            transition.key.device.as_str(),
            transition.key.alarm.as_str(),
            commit.incarnation.0,
            at
        ])?;
    Ok(())
}

/// Notes when a command has come a step further; it may have ended meanwhile.
pub(super) fn step(
    connection: &Connection,
    commit: &Commit,
    taken: &StepTaken,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let sql = match taken.step {
        CommandStep::Received => {
            "UPDATE command SET received_at = coalesce(received_at, ?3)
             WHERE id = ?1 AND gateway = ?2"
        }
        CommandStep::Started => {
            "UPDATE command SET started_at = coalesce(started_at, ?3)
             WHERE id = ?1 AND gateway = ?2"
        }
    };
    connection.prepare_cached(sql)?.execute(params![
        taken.command.as_str(),
        commit.gateway.as_str(),
        taken.at.unwrap_or(now).0
    ])?;
    Ok(())
}

/// Puts what somebody did on the gateway beside what was done from here.
pub(super) fn local_write(
    connection: &Connection,
    commit: &Commit,
    write: &LocalWrite,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let outcome = if write.done { "done" } else { "not taken" };
    let change = Change {
        tenant: &commit.tenant,
        by: &format!("uid {} on {}", write.uid, commit.gateway),
        action: "device.write",
        target: &format!("{}/{}", commit.gateway, write.target),
        detail: &format!("{}, {outcome}", write.value),
    };
    audit(connection, &change, write.at.unwrap_or(now))
}
