//! What people decide about a gateway: that it is the one it claims to be, or that it is no more.

use fieldgate_model::{GatewayId, TenantId, UtcMillis};
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{Change, audit, not_found, tenant_of};
use crate::store::StoreError;

/// Ends every doubt of a gateway's identity; how often that has been done.
pub(super) fn readopt(
    connection: &mut Connection,
    tenant: Option<&TenantId>,
    gateway: &GatewayId,
    by: &str,
    now: UtcMillis,
) -> Result<u64, StoreError> {
    let transaction = connection.transaction()?;
    let owner = owner(&transaction, tenant, gateway)?;
    let readopted: i64 = transaction
        .prepare_cached(
            "UPDATE gateway SET contested = 0, doubt = NULL, readopted = readopted + 1
             WHERE id = ?1 RETURNING readopted",
        )?
        .query_row(params![gateway.as_str()], |row| row.get(0))?;
    let target = gateway.as_str();
    let change = Change { tenant: &owner, by, action: "gateway.readopt", target, detail: "" };
    audit(&transaction, &change, now)?;
    transaction.commit()?;
    Ok(readopted.unsigned_abs())
}

/// Shuts a gateway out for good and closes its commands; how many that were.
pub(super) fn decommission(
    connection: &mut Connection,
    tenant: Option<&TenantId>,
    gateway: &GatewayId,
    by: &str,
    now: UtcMillis,
) -> Result<usize, StoreError> {
    let transaction = connection.transaction()?;
    let owner = owner(&transaction, tenant, gateway)?;
    transaction
        .prepare_cached(
            "UPDATE gateway SET decommissioned_at = coalesce(decommissioned_at, ?2)
             WHERE id = ?1",
        )?
        .execute(params![gateway.as_str(), now.0])?;
    // What it was never given it has not done; of the rest nobody will ever know.
    let closed = transaction
        .prepare_cached(
            "UPDATE command SET
                 state = CASE state WHEN 'accepted' THEN 'cancelled' ELSE 'interrupted' END,
                 reason = 'the gateway was decommissioned',
                 closed_at = ?2
             WHERE gateway = ?1 AND state IN ('accepted', 'sent', 'unconfirmed')",
        )?
        .execute(params![gateway.as_str(), now.0])?;
    let detail = format!("{closed} open commands closed");
    let target = gateway.as_str();
    let change =
        Change { tenant: &owner, by, action: "gateway.decommission", target, detail: &detail };
    audit(&transaction, &change, now)?;
    transaction.commit()?;
    Ok(closed)
}

/// Whether a gateway may be commanded: it is known, nobody doubts it, and its tenant is active.
pub(super) fn may_command(
    connection: &Connection,
    gateway: &GatewayId,
) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM gateway g JOIN tenant t ON t.id = g.tenant
         WHERE g.id = ?1 AND g.contested = 0 AND g.decommissioned_at IS NULL
             AND t.suspended_at IS NULL",
    )?;
    Ok(statement.exists(params![gateway.as_str()])?)
}

/// Refuses for a gateway that is no more.
pub(super) fn require_in_service(
    connection: &Connection,
    gateway: &GatewayId,
) -> Result<(), StoreError> {
    let gone: Option<i64> = connection
        .prepare_cached("SELECT decommissioned_at FROM gateway WHERE id = ?1")?
        .query_row(params![gateway.as_str()], |row| row.get(0))
        .optional()?
        .flatten();
    if gone.is_none() {
        return Ok(());
    }
    let id = gateway.as_str().to_owned();
    Err(StoreError::State { what: "gateway", id, state: "decommissioned" })
}

/// Whose gateway it is; unknown to everybody but its tenant, and to whoever has the data folder.
fn owner(
    connection: &Connection,
    tenant: Option<&TenantId>,
    gateway: &GatewayId,
) -> Result<TenantId, StoreError> {
    let found = tenant_of(connection, gateway)?;
    let owner = found.filter(|owner| tenant.is_none_or(|tenant| tenant == owner));
    owner.ok_or_else(|| not_found("gateway", gateway.as_str()))
}
