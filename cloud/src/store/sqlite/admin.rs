//! What people change: tenants, gateways, tokens, console links. Every change is audited.

use fieldgate_model::{GatewayId, TenantId, UtcMillis};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{Change, audit, damaged, id, not_found, or_exists, require_tenant, time};
use crate::store::{
    GatewayRow, NewConsoleLink, NewTenant, NewToken, Scopes, StoreError, TenantRow, TokenRow,
};

pub(super) fn add_tenant(
    connection: &mut Connection,
    new: &NewTenant,
    by: &str,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    if let Some(parent) = &new.parent {
        require_tenant(&transaction, parent)?;
    }
    let parent = new.parent.as_ref().map(TenantId::as_str);
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO tenant (id, name, parent, created_at) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![new.id.as_str(), new.name, parent, now.0]);
    or_exists(inserted, "tenant", new.id.as_str())?;
    let target = new.id.as_str();
    let change = Change { tenant: &new.id, by, action: "tenant.add", target, detail: &new.name };
    audit(&transaction, &change, now)?;
    Ok(transaction.commit()?)
}

pub(super) fn set_suspended(
    connection: &mut Connection,
    tenant: &TenantId,
    suspended: bool,
    by: &str,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    require_tenant(&transaction, tenant)?;
    transaction
        .prepare_cached("UPDATE tenant SET suspended_at = ?2 WHERE id = ?1")?
        .execute(params![tenant.as_str(), suspended.then_some(now.0)])?;
    let action = if suspended { "tenant.suspend" } else { "tenant.activate" };
    let change = Change { tenant, by, action, target: tenant.as_str(), detail: "" };
    audit(&transaction, &change, now)?;
    Ok(transaction.commit()?)
}

pub(super) fn tenants(connection: &Connection) -> Result<Vec<TenantRow>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM tenant ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        let parent: Option<String> = row.get("parent")?;
        Ok(TenantRow {
            id: id(row, "id", TenantId::new)?,
            name: row.get("name")?,
            parent: parent.map(TenantId::new).transpose().map_err(damaged)?,
            created_at: UtcMillis(row.get("created_at")?),
            suspended_at: time(row, "suspended_at")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn add_gateway(
    connection: &mut Connection,
    tenant: &TenantId,
    new: (&GatewayId, &str, &[u8; 32]),
    by: &str,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let (id, name, secret_hash) = new;
    let transaction = connection.transaction()?;
    require_tenant(&transaction, tenant)?;
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO gateway (id, tenant, name, secret_hash, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![id.as_str(), tenant.as_str(), name, secret_hash, now.0]);
    or_exists(inserted, "gateway", name)?;
    let change = Change { tenant, by, action: "gateway.add", target: id.as_str(), detail: name };
    audit(&transaction, &change, now)?;
    Ok(transaction.commit()?)
}

pub(super) fn gateway_secret(
    connection: &Connection,
    gateway: &GatewayId,
) -> Result<Option<[u8; 32]>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT secret_hash FROM gateway WHERE id = ?1 AND decommissioned_at IS NULL",
    )?;
    Ok(statement.query_row(params![gateway.as_str()], |row| row.get(0)).optional()?)
}

pub(super) fn gateways(
    connection: &Connection,
    tenant: Option<&TenantId>,
) -> Result<Vec<GatewayRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM gateway WHERE CAST(?1 AS TEXT) IS NULL OR tenant = ?1 ORDER BY tenant, name",
    )?;
    let rows = statement.query_map(params![tenant.map(TenantId::as_str)], |row| {
        Ok(GatewayRow {
            id: id(row, "id", GatewayId::new)?,
            tenant: id(row, "tenant", TenantId::new)?,
            name: row.get("name")?,
            created_at: UtcMillis(row.get("created_at")?),
            last_seen_at: time(row, "last_seen_at")?,
            software: row.get("software")?,
            contested: row.get("contested")?,
            doubt: row.get("doubt")?,
            decommissioned_at: time(row, "decommissioned_at")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn add_token(
    connection: &mut Connection,
    new: &NewToken,
    by: &str,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    require_tenant(&transaction, &new.tenant)?;
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO token (id, tenant, name, hash, scopes, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            new.id,
            new.tenant.as_str(),
            new.name,
            new.hash,
            new.scopes.to_string(),
            now.0,
            new.expires_at.map(|at| at.0)
        ]);
    or_exists(inserted, "token", &new.id)?;
    let detail = format!("{} ({})", new.name, new.scopes);
    let change =
        Change { tenant: &new.tenant, by, action: "token.add", target: &new.id, detail: &detail };
    audit(&transaction, &change, now)?;
    Ok(transaction.commit()?)
}

pub(super) fn revoke_token(
    connection: &mut Connection,
    tenant: &TenantId,
    id: &str,
    by: &str,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    let found = transaction
        .prepare_cached("SELECT 1 FROM token WHERE id = ?1 AND tenant = ?2")?
        .exists(params![id, tenant.as_str()])?;
    if !found {
        return Err(not_found("token", id));
    }
    let changed = transaction
        .prepare_cached("UPDATE token SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")?
        .execute(params![id, now.0])?;
    if changed == 1 {
        let change = Change { tenant, by, action: "token.revoke", target: id, detail: "" };
        audit(&transaction, &change, now)?;
    }
    Ok(transaction.commit()?)
}

pub(super) fn tokens(
    connection: &Connection,
    tenant: Option<&TenantId>,
) -> Result<Vec<TokenRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM token WHERE CAST(?1 AS TEXT) IS NULL OR tenant = ?1
         ORDER BY created_at, id",
    )?;
    let rows = statement.query_map(params![tenant.map(TenantId::as_str)], |row| {
        Ok(TokenRow {
            id: row.get("id")?,
            tenant: id(row, "tenant", TenantId::new)?,
            name: row.get("name")?,
            scopes: scopes(row)?,
            created_at: UtcMillis(row.get("created_at")?),
            expires_at: time(row, "expires_at")?,
            revoked_at: time(row, "revoked_at")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn add_console_link(
    connection: &mut Connection,
    new: &NewConsoleLink,
    by: &str,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    require_tenant(&transaction, &new.tenant)?;
    // What is too old to be used is of no use to keep: the audit has it.
    transaction
        .prepare_cached("DELETE FROM console_link WHERE expires_at <= ?1")?
        .execute(params![now.0])?;
    transaction
        .prepare_cached(
            "INSERT INTO console_link (hash, tenant, scopes, expires_at) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            new.hash,
            new.tenant.as_str(),
            new.scopes.to_string(),
            new.expires_at.0
        ])?;
    let detail = new.scopes.to_string();
    let change =
        Change { tenant: &new.tenant, by, action: "console.link", target: "", detail: &detail };
    audit(&transaction, &change, now)?;
    Ok(transaction.commit()?)
}

pub(super) fn use_console_link(
    connection: &mut Connection,
    hash: &[u8; 32],
    session: (&[u8; 32], UtcMillis),
    now: UtcMillis,
) -> Result<Option<(TenantId, Scopes)>, StoreError> {
    let transaction = connection.transaction()?;
    let link = transaction
        .prepare_cached(
            "UPDATE console_link SET used_at = ?2
             WHERE hash = ?1 AND used_at IS NULL AND ?2 < expires_at
             RETURNING tenant, scopes",
        )?
        .query_row(params![hash, now.0], |row| {
            Ok((id(row, "tenant", TenantId::new)?, scopes(row)?))
        })
        .optional()?;
    let Some((tenant, scopes)) = link else { return Ok(None) };
    transaction
        .prepare_cached("DELETE FROM console_session WHERE expires_at <= ?1")?
        .execute(params![now.0])?;
    let (session_hash, expires_at) = session;
    transaction
        .prepare_cached(
            "INSERT INTO console_session (hash, tenant, scopes, expires_at)
             VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![session_hash, tenant.as_str(), scopes.to_string(), expires_at.0])?;
    let change = Change {
        tenant: &tenant,
        by: "console link",
        action: "console.open",
        target: "",
        detail: "",
    };
    audit(&transaction, &change, now)?;
    transaction.commit()?;
    Ok(Some((tenant, scopes)))
}

fn scopes(row: &Row<'_>) -> rusqlite::Result<Scopes> {
    row.get::<_, String>("scopes")?.parse().map_err(damaged)
}
