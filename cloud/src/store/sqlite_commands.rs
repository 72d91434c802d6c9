//! Commands as their tenant sees them, with every step that is known.

use fieldgate_model::{CommandId, GatewayId, TenantId, UtcMillis, Value};
use rusqlite::{Row, params};

use super::query::{Filter, QueryError, Readers};
use super::sqlite_query::{all, damaged, sql_limit, text, time};
use super::{CommandState, value_text};

const COMMAND: &str = "SELECT id, gateway, device, signal, value, verify, retry_safe, dry_run,
        created_by, created_at, not_after, state, sent_at, closed_at, read_back, reason,
        received_at, started_at, unconfirmed_at
    FROM command WHERE tenant = ?1 AND";

/// A command and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandView {
    /// Its id.
    pub id: CommandId,
    /// For which gateway.
    pub gateway: GatewayId,
    /// The device.
    pub device: String,
    /// The signal.
    pub signal: String,
    /// The engineering value.
    pub value: Value,
    /// Whether it reads back.
    pub verify: bool,
    /// Whether it may run again after a crash.
    pub retry_safe: bool,
    /// Whether it writes nothing.
    pub dry_run: bool,
    /// Who asked.
    pub created_by: String,
    /// When it was accepted.
    pub created_at: UtcMillis,
    /// When it loses its meaning.
    pub not_after: UtcMillis,
    /// Where it stands.
    pub state: CommandState,
    /// When it was sent first.
    pub sent_at: Option<UtcMillis>,
    /// When it arrived at the gateway.
    pub received_at: Option<UtcMillis>,
    /// When the gateway began with it.
    pub started_at: Option<UtcMillis>,
    /// When it was given up waiting for the gateway's word.
    pub unconfirmed_at: Option<UtcMillis>,
    /// When it ended.
    pub closed_at: Option<UtcMillis>,
    /// What the device showed afterwards.
    pub read_back: Option<Value>,
    /// Why it failed.
    pub reason: Option<String>,
}

impl Readers {
    /// Commands of a tenant, newest first.
    pub async fn commands(
        &self,
        tenant: TenantId,
        filter: Filter,
    ) -> Result<Vec<CommandView>, QueryError> {
        self.read(move |connection| {
            let sql = format!(
                "{COMMAND} (?2 IS NULL OR gateway = ?2) AND (?3 IS NULL OR state = ?3)
                    AND (?4 IS NULL OR (created_at, id) < (?4, ?5))
                ORDER BY created_at DESC, id DESC LIMIT ?6"
            );
            let wanted = params![
                tenant.as_str(),
                filter.gateway.as_ref().map(GatewayId::as_str),
                filter.command_state.map(CommandState::as_str),
                filter.before.as_ref().map(|(at, _)| *at),
                filter.before.as_ref().map(|(_, id)| id),
                sql_limit(filter.limit),
            ];
            all(connection, &sql, wanted, command)
        })
        .await
    }

    /// A command of a tenant.
    pub async fn command(
        &self,
        tenant: TenantId,
        id: CommandId,
    ) -> Result<Option<CommandView>, QueryError> {
        self.read(move |connection| {
            let sql = format!("{COMMAND} id = ?2");
            let rows = all(connection, &sql, params![tenant.as_str(), id.as_str()], command)?;
            Ok(rows.into_iter().next())
        })
        .await
    }
}

fn command(row: &Row<'_>) -> rusqlite::Result<Result<CommandView, QueryError>> {
    let (id, gateway): (String, String) = (row.get(0)?, row.get(1)?);
    let (value, state): (String, String) = (row.get(4)?, row.get(11)?);
    let read_back: Option<String> = row.get(14)?;
    let parsed = (|| {
        let read_back = read_back
            .map(|text| value_text::decode(&text).ok_or(QueryError::Damaged("value read back")));
        Ok((
            damaged(CommandId::new(id), "command id")?,
            damaged(GatewayId::new(gateway), "gateway id")?,
            value_text::decode(&value).ok_or(QueryError::Damaged("value"))?,
            CommandState::parse(&state).ok_or(QueryError::Damaged("command state"))?,
            read_back.transpose()?,
        ))
    })();
    let (id, gateway, value, state, read_back) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(CommandView {
        id,
        gateway,
        device: text(row, 2)?,
        signal: text(row, 3)?,
        value,
        verify: row.get(5)?,
        retry_safe: row.get(6)?,
        dry_run: row.get(7)?,
        created_by: text(row, 8)?,
        created_at: UtcMillis(row.get(9)?),
        not_after: UtcMillis(row.get(10)?),
        state,
        sent_at: time(row, 12)?,
        closed_at: time(row, 13)?,
        read_back,
        reason: text(row, 15)?,
        received_at: time(row, 16)?,
        started_at: time(row, 17)?,
        unconfirmed_at: time(row, 18)?,
    }))
}
