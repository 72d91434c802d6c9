//! What the cloud remembers, as operations of its domain; SQL appears under this module alone.
//!
//! # Invariants
//!
//! - Whatever [`Store::commit`] was given is in one transaction: batches, cursors, ledger, alarms,
//!   outcomes. Only after it returned may an Ack go out.
//! - A cursor moves only from the position where it stands: a batch that does not follow is refused
//!   and a batch that is stored already changes nothing.
//! - One thread writes ([`Writer`]); readers have connections of their own.
//! - A change by a person leaves a row in the audit.

mod block;
pub mod query;
mod rollup;
mod scopes;
pub mod sqlite;
mod sqlite_anchors;
mod sqlite_blocks;
mod sqlite_commands;
mod sqlite_query;
mod sqlite_rollups;
mod sqlite_samples;
mod sqlite_signal;
mod sqlite_summary;
mod sqlite_sweep;
mod sqlite_verify;
mod types;
mod upkeep;
pub mod value_text;
mod writer;

use fieldgate_model::{CatalogueId, CommandId, GatewayId, Position, TenantId, UtcMillis};

pub use scopes::{Scopes, ScopesError};
pub use sqlite::SqliteStore;
pub use sqlite_commands::CommandView;
pub use sqlite_query::INVENTORY_MAX;
pub use sqlite_rollups::RollupRules;
pub use sqlite_summary::{Bucket, SUMMARY_SAMPLES_MAX};
pub use sqlite_verify::Verified;
pub use types::{
    AlarmChange, BatchState, Closing, CommandState, Commit, GatewayRow, GatewayState, LocalWrite,
    NewCommand, NewConsoleLink, NewTenant, NewToken, OpenCommand, Reservation, StepTaken,
    Submitted, TenantRow, TokenRow,
};
pub use upkeep::{
    BlockRules, Compaction, DirtyHours, Hold, Moved, MovedRow, NewBlock, Restamp, Rolled,
    RollupRow, Total,
};
pub use writer::Writer;

/// Who may see all tenants. The row is there from the first start.
pub const MANAGEMENT_TENANT: &str = "management";

/// The database file inside the data folder.
pub const DATABASE_FILE: &str = "fieldgate.db";

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The id, or the name inside its tenant, is taken.
    #[error("{what} `{id}` exists already")]
    Exists {
        /// What kind of thing.
        what: &'static str,
        /// Its id or name.
        id: String,
    },
    /// It does not exist, or belongs to another tenant: nobody is told which.
    #[error("there is no {what} `{id}`")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// The id that was asked for.
        id: String,
    },
    /// It exists, but its state does not allow this.
    #[error("{what} `{id}` is {state}")]
    State {
        /// What kind of thing.
        what: &'static str,
        /// Its id.
        id: String,
        /// The state that forbids it.
        state: &'static str,
    },
    /// The idempotency key was used before, for another request.
    #[error("idempotency key `{0}` was used for another request")]
    KeyReused(String),
    /// A bound was reached.
    #[error("{what} has reached its bound of {bound}")]
    Full {
        /// What is full.
        what: &'static str,
        /// How many it takes.
        bound: usize,
    },
    /// A batch does not follow the cursor of its stream. Nothing of the group was stored.
    #[error("batch of gateway `{gateway}` does not follow its cursor")]
    OutOfOrder {
        /// Whose batch.
        gateway: GatewayId,
    },
    /// The database was written by a later version of this program.
    #[error("database has schema version {found}, this program knows {known}")]
    TooNew {
        /// Its version.
        found: usize,
        /// The latest version known here.
        known: usize,
    },
    /// `SQLite` has a defect in its write-ahead log below 3.51.3.
    #[error("SQLite {0} is too old, 3.51.3 is needed")]
    OldSqlite(&'static str),
    /// The file cannot be created or made private.
    #[error("cannot open `{path}`")]
    File {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database refused.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    /// The writer thread has stopped.
    #[error("store is stopped")]
    Stopped,
}

impl StoreError {
    /// Whether it is about what was to be stored, and so will be the same the next time.
    pub fn is_permanent(&self) -> bool {
        let Self::Database(error) = self else { return false };
        let is_content = matches!(
            error.sqlite_error_code(),
            Some(
                rusqlite::ErrorCode::ConstraintViolation
                    | rusqlite::ErrorCode::TooBig
                    | rusqlite::ErrorCode::TypeMismatch
            )
        );
        is_content || matches!(error, rusqlite::Error::ToSqlConversionFailure(_))
    }
}

/// The operations of the cloud's store.
///
/// A `SQLite` file in one data folder, or one `PostgreSQL` under many nodes; both pass one suite.
pub trait Store: Send {
    /// What is known of a gateway and its cursors; `None` if nobody added it.
    fn gateway(&mut self, gateway: &GatewayId) -> Result<Option<GatewayState>, StoreError>;

    /// The SHA-256 of a gateway's secret; `None` if nobody added the gateway.
    fn gateway_secret(&mut self, gateway: &GatewayId) -> Result<Option<[u8; 32]>, StoreError>;

    /// Makes an epoch durable before it is announced, with what the Hello said of the gateway.
    fn reserve(&mut self, reservation: &Reservation, now: UtcMillis) -> Result<(), StoreError>;

    /// Stores a group of batches with all that follows from them, or nothing at all.
    fn commit(&mut self, commits: &[Commit], now: UtcMillis) -> Result<(), StoreError>;

    /// Puts blocks in the place of batches; those whose batches have changed since they were planned
    /// are left out. How many were put in place.
    fn compact(&mut self, planned: &[Compaction], now: UtcMillis) -> Result<usize, StoreError>;

    /// Keeps a stream as it is from `position` on, for a feed that needs its batches; `None` lets it
    /// go.
    fn set_hold(&mut self, hold: &Hold, position: Option<Position>) -> Result<(), StoreError>;

    /// Puts rollups in place; those whose hours were marked anew since they were planned are left
    /// out. How many were put in place.
    fn roll(&mut self, planned: &[Rolled], now: UtcMillis) -> Result<usize, StoreError>;

    /// Puts one step of writing labels anew in place, unless more anchors have come meanwhile; whether
    /// it did.
    fn restamp(&mut self, step: &Restamp, now: UtcMillis) -> Result<bool, StoreError>;

    /// Says that samples of a gateway have changed in this range of time: until its rollups are made
    /// anew, questions are answered from samples. For whoever moves samples in time; `commit` marks
    /// what it adds.
    fn mark_dirty(
        &mut self,
        gateway: &GatewayId,
        range: (UtcMillis, UtcMillis),
        now: UtcMillis,
    ) -> Result<(), StoreError>;

    /// Keeps a catalogue as its gateway sent it, and makes it the gateway's latest.
    fn save_catalogue(
        &mut self,
        gateway: &GatewayId,
        id: &CatalogueId,
        body: &[u8],
    ) -> Result<(), StoreError>;

    /// A catalogue of a gateway as it was sent; `None` if it has not arrived.
    fn catalogue(
        &mut self,
        gateway: &GatewayId,
        id: &CatalogueId,
    ) -> Result<Option<Vec<u8>>, StoreError>;

    /// Accepts a command, or finds the one that the same key accepted before.
    fn submit_command(
        &mut self,
        tenant: &TenantId,
        command: &NewCommand,
        now: UtcMillis,
    ) -> Result<Submitted, StoreError>;

    /// Withdraws a command that was not sent.
    fn cancel_command(
        &mut self,
        tenant: &TenantId,
        id: &CommandId,
        by: &str,
        now: UtcMillis,
    ) -> Result<(), StoreError>;

    /// The commands of a gateway that have no outcome, oldest first.
    fn open_commands(&mut self, gateway: &GatewayId) -> Result<Vec<OpenCommand>, StoreError>;

    /// The gateways that have commands without an outcome.
    fn gateways_with_open_commands(&mut self) -> Result<Vec<GatewayId>, StoreError>;

    /// Makes "sent" durable before the publish; whether the command may be published.
    fn mark_sent(&mut self, id: &CommandId, now: UtcMillis) -> Result<bool, StoreError>;

    /// Says that nothing came back for a sent command; whether it was waiting.
    fn mark_unconfirmed(&mut self, id: &CommandId, now: UtcMillis) -> Result<bool, StoreError>;

    /// Closes a command of a gateway with its outcome; whether this was the first one.
    fn close_command(
        &mut self,
        gateway: &GatewayId,
        closing: &Closing,
        now: UtcMillis,
    ) -> Result<bool, StoreError>;

    /// Adds a tenant.
    fn add_tenant(
        &mut self,
        tenant: &NewTenant,
        by: &str,
        now: UtcMillis,
    ) -> Result<(), StoreError>;

    /// Suspends a tenant (nothing of its gateways gets in) or lets it go on.
    fn set_suspended(
        &mut self,
        tenant: &TenantId,
        suspended: bool,
        by: &str,
        now: UtcMillis,
    ) -> Result<(), StoreError>;

    /// Every tenant, by id.
    fn tenants(&mut self) -> Result<Vec<TenantRow>, StoreError>;

    /// Adds a gateway to a tenant. `secret_hash` is the SHA-256 of its secret.
    fn add_gateway(
        &mut self,
        tenant: &TenantId,
        id: &GatewayId,
        name: &str,
        secret_hash: &[u8; 32],
        by: &str,
        now: UtcMillis,
    ) -> Result<(), StoreError>;

    /// The gateways of a tenant, or of all, by name.
    fn gateways(&mut self, tenant: Option<&TenantId>) -> Result<Vec<GatewayRow>, StoreError>;

    /// Says that a gateway is the one it claims to be: commands may go to it again. How often that
    /// has been said. Without a tenant it is any gateway.
    fn readopt(
        &mut self,
        tenant: Option<&TenantId>,
        gateway: &GatewayId,
        by: &str,
        now: UtcMillis,
    ) -> Result<u64, StoreError>;

    /// Shuts a gateway out for good and closes its open commands; how many that were.
    fn decommission(
        &mut self,
        tenant: Option<&TenantId>,
        gateway: &GatewayId,
        by: &str,
        now: UtcMillis,
    ) -> Result<usize, StoreError>;

    /// Whether a gateway may be commanded: nobody doubts it, and its tenant is active.
    fn may_command(&mut self, gateway: &GatewayId) -> Result<bool, StoreError>;

    /// Adds a token.
    fn add_token(&mut self, token: &NewToken, by: &str, now: UtcMillis) -> Result<(), StoreError>;

    /// Revokes a token; revoking it again is harmless.
    fn revoke_token(
        &mut self,
        tenant: &TenantId,
        id: &str,
        by: &str,
        now: UtcMillis,
    ) -> Result<(), StoreError>;

    /// The tokens of a tenant, or of all, oldest first.
    fn tokens(&mut self, tenant: Option<&TenantId>) -> Result<Vec<TokenRow>, StoreError>;

    /// Adds a one-time link into the console.
    fn add_console_link(
        &mut self,
        link: &NewConsoleLink,
        by: &str,
        now: UtcMillis,
    ) -> Result<(), StoreError>;

    /// Turns a link into a session, once; `None` if it is unknown, used or too old.
    fn use_console_link(
        &mut self,
        hash: &[u8; 32],
        session_hash: &[u8; 32],
        session_expires_at: UtcMillis,
        now: UtcMillis,
    ) -> Result<Option<(TenantId, Scopes)>, StoreError>;
}
