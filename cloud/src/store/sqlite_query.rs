//! Questions about everything but history, in SQL.

use std::str::FromStr;

use fieldgate_model::{AlarmState, Catalogue, CatalogueId, GatewayId, TenantId, UtcMillis};
use fieldgate_wire::v1;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::query::{
    AlarmView, AuditView, Credential, Filter, GatewayView, QueryError, Readers, UsageView,
};
use super::{Scopes, TenantRow, TokenRow};

/// Gateways, tenants or tokens in one answer: what a page of a console can show.
pub const INVENTORY_MAX: usize = 10_000;

const GATEWAY: &str = "SELECT g.id, g.name, g.created_at, g.software, g.generation, g.epoch,
        g.contested, g.catalogue, g.last_hello_at, g.last_seen_at,
        g.data_until,
        (SELECT count(*) FROM alarm a WHERE a.gateway = g.id AND a.state = 'active'),
        g.doubt, g.decommissioned_at
    FROM gateway g WHERE g.tenant = ?1 AND";

impl Readers {
    /// Who stands behind a token with this SHA-256.
    pub async fn token_by_hash(&self, hash: [u8; 32]) -> Result<Option<Credential>, QueryError> {
        let sql = "SELECT k.id, k.tenant, k.scopes, k.expires_at, k.revoked_at IS NOT NULL,
                t.suspended_at IS NOT NULL
            FROM token k JOIN tenant t ON t.id = k.tenant WHERE k.hash = ?1";
        self.credential(sql, hash).await
    }

    /// Who stands behind a console session with this SHA-256.
    pub async fn session_by_hash(&self, hash: [u8; 32]) -> Result<Option<Credential>, QueryError> {
        let sql = "SELECT NULL, s.tenant, s.scopes, s.expires_at, 0, t.suspended_at IS NOT NULL
            FROM console_session s JOIN tenant t ON t.id = s.tenant WHERE s.hash = ?1";
        self.credential(sql, hash).await
    }

    async fn credential(
        &self,
        sql: &'static str,
        hash: [u8; 32],
    ) -> Result<Option<Credential>, QueryError> {
        self.read(move |connection| {
            let row = connection.prepare_cached(sql)?.query_row([hash], credential).optional()?;
            row.transpose()
        })
        .await
    }

    /// The gateways of a tenant, by name, beyond `after`.
    pub async fn gateways(
        &self,
        tenant: TenantId,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<GatewayView>, QueryError> {
        self.read(move |connection| {
            let sql = format!("{GATEWAY} (?2 IS NULL OR g.name > ?2) ORDER BY g.name LIMIT ?3");
            let limit = sql_limit(limit);
            all(connection, &sql, params![tenant.as_str(), after, limit], gateway)
        })
        .await
    }

    /// A gateway of a tenant.
    pub async fn gateway(
        &self,
        tenant: TenantId,
        id: GatewayId,
    ) -> Result<Option<GatewayView>, QueryError> {
        self.read(move |connection| {
            let sql = format!("{GATEWAY} g.id = ?2");
            let rows = all(connection, &sql, params![tenant.as_str(), id.as_str()], gateway)?;
            Ok(rows.into_iter().next())
        })
        .await
    }

    /// The latest catalogue of a gateway; `None` before it has sent one.
    pub async fn catalogue(&self, gateway: GatewayId) -> Result<Option<Catalogue>, QueryError> {
        self.read(move |connection| {
            let sql = "SELECT c.body FROM gateway g
                JOIN catalogue c ON c.gateway = g.id AND c.id = g.catalogue WHERE g.id = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let body: Option<Vec<u8>> =
                statement.query_row([gateway.as_str()], |row| row.get(0)).optional()?;
            body.map(|body| {
                v1::decode_catalogue(&body).map_err(|_| QueryError::Damaged("catalogue"))
            })
            .transpose()
        })
        .await
    }

    /// Alarms of a tenant, newest occurrence first.
    pub async fn alarms(
        &self,
        tenant: TenantId,
        filter: Filter,
    ) -> Result<Vec<AlarmView>, QueryError> {
        self.read(move |connection| {
            let sql = "SELECT id, gateway, device, alarm, occurrence, state, severity, signal,
                    value, limit_value, message, raised_at, returned_at
                FROM alarm WHERE tenant = ?1 AND (?2 IS NULL OR gateway = ?2)
                    AND (?3 IS NULL OR state = ?3) AND (?4 IS NULL OR id < ?4)
                ORDER BY id DESC LIMIT ?5";
            let wanted = params![
                tenant.as_str(),
                filter.gateway.as_ref().map(GatewayId::as_str),
                filter.alarm_state.map(AlarmState::as_str),
                filter.before.as_ref().map(|(id, _)| *id),
                sql_limit(filter.limit),
            ];
            all(connection, sql, wanted, alarm)
        })
        .await
    }

    /// Usage by day and gateway, `from..to` in UTC days; of every tenant if `tenant` is `None`.
    pub async fn usage(
        &self,
        tenant: Option<TenantId>,
        from: i64,
        to: i64,
        limit: usize,
    ) -> Result<Vec<UsageView>, QueryError> {
        self.read(move |connection| {
            let sql = "SELECT tenant, gateway, day, batches, samples, events, bytes FROM ledger
                WHERE (?1 IS NULL OR tenant = ?1) AND day >= ?2 AND day < ?3
                ORDER BY day, tenant, gateway LIMIT ?4";
            let tenant = tenant.as_ref().map(TenantId::as_str);
            all(connection, sql, params![tenant, from, to, sql_limit(limit)], usage)
        })
        .await
    }

    /// The audit of a tenant, newest first, below `before`.
    pub async fn audit(
        &self,
        tenant: TenantId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<AuditView>, QueryError> {
        self.read(move |connection| {
            let sql = "SELECT sequence, at, actor, action, target, detail FROM audit
                WHERE tenant = ?1 AND (?2 IS NULL OR sequence < ?2)
                ORDER BY sequence DESC LIMIT ?3";
            all(connection, sql, params![tenant.as_str(), before, sql_limit(limit)], audit)
        })
        .await
    }

    /// Every tenant, by id.
    pub async fn tenants(&self) -> Result<Vec<TenantRow>, QueryError> {
        self.read(|connection| {
            let sql = "SELECT id, name, parent, created_at, suspended_at FROM tenant
                ORDER BY id LIMIT ?1";
            all(connection, sql, params![sql_limit(INVENTORY_MAX)], tenant_row)
        })
        .await
    }

    /// The tokens of a tenant, oldest first.
    pub async fn tokens(&self, tenant: TenantId) -> Result<Vec<TokenRow>, QueryError> {
        self.read(move |connection| {
            let sql = "SELECT id, tenant, name, scopes, created_at, expires_at, revoked_at
                FROM token WHERE tenant = ?1 ORDER BY created_at, id LIMIT ?2";
            all(connection, sql, params![tenant.as_str(), sql_limit(INVENTORY_MAX)], token_row)
        })
        .await
    }

    /// Size of the database in bytes; that it answers at all is what readiness asks.
    pub async fn bytes(&self) -> Result<u64, QueryError> {
        self.read(|connection| {
            let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
            Ok(number(connection.query_row(sql, [], |row| row.get(0))?))
        })
        .await
    }
}

/// Rows of `sql`, each read by `read`.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    wanted: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<Result<T, QueryError>>,
) -> Result<Vec<T>, QueryError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(wanted)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)??);
    }
    Ok(found)
}

pub(super) fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A count that SQL keeps signed.
pub(super) fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

pub(super) fn damaged<T, E>(parsed: Result<T, E>, what: &'static str) -> Result<T, QueryError> {
    parsed.map_err(|_| QueryError::Damaged(what))
}

pub(super) fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<UtcMillis>> {
    Ok(row.get::<_, Option<i64>>(index)?.map(UtcMillis))
}

pub(super) fn text<T: FromSql>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    row.get(index)
}

fn credential(row: &Row<'_>) -> rusqlite::Result<Result<Credential, QueryError>> {
    let (tenant, scopes): (String, String) = (row.get(1)?, row.get(2)?);
    let (token, expires_at) = (row.get(0)?, time(row, 3)?);
    let (revoked, suspended) = (row.get(4)?, row.get(5)?);
    Ok(damaged(TenantId::new(tenant), "tenant").and_then(|tenant| {
        let scopes = damaged(Scopes::from_str(&scopes), "scopes")?;
        Ok(Credential { token, tenant, scopes, expires_at, revoked, suspended })
    }))
}

fn gateway(row: &Row<'_>) -> rusqlite::Result<Result<GatewayView, QueryError>> {
    let id: String = row.get(0)?;
    let catalogue: Option<[u8; 32]> = row.get(7)?;
    let Ok(id) = GatewayId::new(id) else {
        return Ok(Err(QueryError::Damaged("gateway id")));
    };
    Ok(Ok(GatewayView {
        id,
        name: row.get(1)?,
        created_at: UtcMillis(row.get(2)?),
        software: row.get(3)?,
        generation: number(row.get(4)?),
        epoch: number(row.get(5)?),
        contested: row.get(6)?,
        catalogue: catalogue.map(CatalogueId),
        last_hello_at: time(row, 8)?,
        last_seen_at: time(row, 9)?,
        data_until: time(row, 10)?,
        active_alarms: row.get(11)?,
        doubt: row.get(12)?,
        decommissioned_at: time(row, 13)?,
    }))
}

fn alarm(row: &Row<'_>) -> rusqlite::Result<Result<AlarmView, QueryError>> {
    let Ok(gateway) = GatewayId::new(row.get::<_, String>(1)?) else {
        return Ok(Err(QueryError::Damaged("gateway id")));
    };
    Ok(Ok(AlarmView {
        id: row.get(0)?,
        gateway,
        device: text(row, 2)?,
        alarm: text(row, 3)?,
        occurrence: number(row.get(4)?),
        state: text(row, 5)?,
        severity: text(row, 6)?,
        signal: text(row, 7)?,
        value: row.get(8)?,
        limit: row.get(9)?,
        message: text(row, 10)?,
        raised_at: time(row, 11)?,
        returned_at: time(row, 12)?,
    }))
}

fn usage(row: &Row<'_>) -> rusqlite::Result<Result<UsageView, QueryError>> {
    Ok(Ok(UsageView {
        tenant: text(row, 0)?,
        gateway: text(row, 1)?,
        day: row.get(2)?,
        batches: number(row.get(3)?),
        samples: number(row.get(4)?),
        events: number(row.get(5)?),
        bytes: number(row.get(6)?),
    }))
}

fn audit(row: &Row<'_>) -> rusqlite::Result<Result<AuditView, QueryError>> {
    Ok(Ok(AuditView {
        sequence: row.get(0)?,
        at: UtcMillis(row.get(1)?),
        actor: text(row, 2)?,
        action: text(row, 3)?,
        target: text(row, 4)?,
        detail: text(row, 5)?,
    }))
}

fn tenant_row(row: &Row<'_>) -> rusqlite::Result<Result<TenantRow, QueryError>> {
    let (id, parent): (String, Option<String>) = (row.get(0)?, row.get(2)?);
    let (name, created_at, suspended_at) = (row.get(1)?, UtcMillis(row.get(3)?), time(row, 4)?);
    Ok(damaged(TenantId::new(id), "tenant").and_then(|id| {
        let parent = parent.map(|parent| damaged(TenantId::new(parent), "tenant")).transpose()?;
        Ok(TenantRow { id, name, parent, created_at, suspended_at })
    }))
}

fn token_row(row: &Row<'_>) -> rusqlite::Result<Result<TokenRow, QueryError>> {
    let (tenant, scopes): (String, String) = (row.get(1)?, row.get(3)?);
    let (id, name, created_at) = (row.get(0)?, row.get(2)?, UtcMillis(row.get(4)?));
    let (expires_at, revoked_at) = (time(row, 5)?, time(row, 6)?);
    Ok(damaged(TenantId::new(tenant), "tenant").and_then(|tenant| {
        let scopes = damaged(Scopes::from_str(&scopes), "scopes")?;
        Ok(TokenRow { id, tenant, name, scopes, created_at, expires_at, revoked_at })
    }))
}
