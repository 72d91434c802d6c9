//! The store in one `SQLite` file.

mod admin;
pub(super) mod anchors;
mod blocks;
mod command;
mod gateway;
mod ingest;
mod project;
mod rollups;
mod rows;
mod schema;

use std::path::Path;

use fieldgate_model::{CatalogueId, CommandId, GatewayId, Position, TenantId, UtcMillis};
use rusqlite::Connection;

use super::{
    Closing, Commit, Compaction, GatewayRow, GatewayState, Hold, NewCommand, NewConsoleLink,
    NewTenant, NewToken, OpenCommand, Reservation, Restamp, Rolled, Scopes, Store, StoreError,
    Submitted, TenantRow, TokenRow,
};

/// The store in one `SQLite` file.
pub struct SqliteStore {
    connection: Connection,
}

impl SqliteStore {
    /// Opens the database at `path`; creates or upgrades it, private to its owner.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: schema::open(path)? })
    }

    /// Looks over every page; what is damaged, in `SQLite`'s words.
    pub fn check(&mut self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.connection.prepare("PRAGMA quick_check")?;
        let lines = statement.query_map([], |row| row.get(0))?;
        let lines: Vec<String> = lines.collect::<Result<_, _>>()?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }
}

impl Store for SqliteStore {
    fn gateway(&mut self, gateway: &GatewayId) -> Result<Option<GatewayState>, StoreError> {
        ingest::gateway(&self.connection, gateway)
    }

    fn gateway_secret(&mut self, gateway: &GatewayId) -> Result<Option<[u8; 32]>, StoreError> {
        admin::gateway_secret(&self.connection, gateway)
    }

    fn reserve(&mut self, reservation: &Reservation, now: UtcMillis) -> Result<(), StoreError> {
        ingest::reserve(&self.connection, reservation, now)
    }

    fn commit(&mut self, commits: &[Commit], now: UtcMillis) -> Result<(), StoreError> {
        ingest::commit(&mut self.connection, commits, now)
    }

    fn compact(&mut self, planned: &[Compaction], now: UtcMillis) -> Result<usize, StoreError> {
        blocks::compact(&mut self.connection, planned, now)
    }

    fn set_hold(&mut self, hold: &Hold, position: Option<Position>) -> Result<(), StoreError> {
        blocks::set_hold(&mut self.connection, hold, position)
    }

    fn roll(&mut self, planned: &[Rolled], now: UtcMillis) -> Result<usize, StoreError> {
        rollups::roll(&mut self.connection, planned, now)
    }

    fn restamp(&mut self, step: &Restamp, now: UtcMillis) -> Result<bool, StoreError> {
        anchors::restamp(&mut self.connection, step, now)
    }

    fn mark_dirty(
        &mut self,
        gateway: &GatewayId,
        range: (UtcMillis, UtcMillis),
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        rollups::mark(&self.connection, gateway, range, now)
    }

    fn save_catalogue(
        &mut self,
        gateway: &GatewayId,
        id: &CatalogueId,
        body: &[u8],
    ) -> Result<(), StoreError> {
        ingest::save_catalogue(&mut self.connection, gateway, id, body)
    }

    fn catalogue(
        &mut self,
        gateway: &GatewayId,
        id: &CatalogueId,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        ingest::catalogue(&self.connection, gateway, id)
    }

    fn submit_command(
        &mut self,
        tenant: &TenantId,
        command: &NewCommand,
        now: UtcMillis,
    ) -> Result<Submitted, StoreError> {
        command::submit(&mut self.connection, tenant, command, now)
    }

    fn cancel_command(
        &mut self,
        tenant: &TenantId,
        id: &CommandId,
        by: &str,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        command::cancel(&mut self.connection, tenant, id, by, now)
    }

    fn open_commands(&mut self, gateway: &GatewayId) -> Result<Vec<OpenCommand>, StoreError> {
        command::open(&self.connection, gateway)
    }

    fn gateways_with_open_commands(&mut self) -> Result<Vec<GatewayId>, StoreError> {
        command::gateways_with_open(&self.connection)
    }

    fn mark_sent(&mut self, id: &CommandId, now: UtcMillis) -> Result<bool, StoreError> {
        command::mark_sent(&self.connection, id, now)
    }

    fn mark_unconfirmed(&mut self, id: &CommandId, now: UtcMillis) -> Result<bool, StoreError> {
        command::mark_unconfirmed(&self.connection, id, now)
    }

    fn close_command(
        &mut self,
        gateway: &GatewayId,
        closing: &Closing,
        now: UtcMillis,
    ) -> Result<bool, StoreError> {
        command::close(&self.connection, gateway, closing, now)
    }

    fn add_tenant(
        &mut self,
        tenant: &NewTenant,
        by: &str,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        admin::add_tenant(&mut self.connection, tenant, by, now)
    }

    fn set_suspended(
        &mut self,
        tenant: &TenantId,
        suspended: bool,
        by: &str,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        admin::set_suspended(&mut self.connection, tenant, suspended, by, now)
    }

    fn tenants(&mut self) -> Result<Vec<TenantRow>, StoreError> {
        admin::tenants(&self.connection)
    }

    fn add_gateway(
        &mut self,
        tenant: &TenantId,
        id: &GatewayId,
        name: &str,
        secret_hash: &[u8; 32],
        by: &str,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        admin::add_gateway(&mut self.connection, tenant, (id, name, secret_hash), by, now)
    }

    fn gateways(&mut self, tenant: Option<&TenantId>) -> Result<Vec<GatewayRow>, StoreError> {
        admin::gateways(&self.connection, tenant)
    }

    fn readopt(
        &mut self,
        tenant: Option<&TenantId>,
        gateway: &GatewayId,
        by: &str,
        now: UtcMillis,
    ) -> Result<u64, StoreError> {
        gateway::readopt(&mut self.connection, tenant, gateway, by, now)
    }

    fn decommission(
        &mut self,
        tenant: Option<&TenantId>,
        gateway: &GatewayId,
        by: &str,
        now: UtcMillis,
    ) -> Result<usize, StoreError> {
        gateway::decommission(&mut self.connection, tenant, gateway, by, now)
    }

    fn may_command(&mut self, gateway: &GatewayId) -> Result<bool, StoreError> {
        gateway::may_command(&self.connection, gateway)
    }

    fn add_token(&mut self, token: &NewToken, by: &str, now: UtcMillis) -> Result<(), StoreError> {
        admin::add_token(&mut self.connection, token, by, now)
    }

    fn revoke_token(
        &mut self,
        tenant: &TenantId,
        id: &str,
        by: &str,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        admin::revoke_token(&mut self.connection, tenant, id, by, now)
    }

    fn tokens(&mut self, tenant: Option<&TenantId>) -> Result<Vec<TokenRow>, StoreError> {
        admin::tokens(&self.connection, tenant)
    }

    fn add_console_link(
        &mut self,
        link: &NewConsoleLink,
        by: &str,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        admin::add_console_link(&mut self.connection, link, by, now)
    }

    fn use_console_link(
        &mut self,
        hash: &[u8; 32],
        session_hash: &[u8; 32],
        session_expires_at: UtcMillis,
        now: UtcMillis,
    ) -> Result<Option<(TenantId, Scopes)>, StoreError> {
        admin::use_console_link(&mut self.connection, hash, (session_hash, session_expires_at), now)
    }
}
