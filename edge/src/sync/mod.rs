//! Sync: gets what the buffer has sealed into the cloud, and what the cloud asks to where it is
//! done. One task owns the uplink's machine and the fence; it waits in one place and then applies.
//!
//! # Invariants
//!
//! - A message from anyone but the owner has no effect and is answered `stale`.
//! - A fence is durable before the first effect under it.
//! - The disk is the queue: nothing here waits for the cloud but the buffer's own rows.

mod credentials;
mod doubt;
mod incoming;
mod mqtt;
mod outgoing;
mod present;
mod status;
mod task;
mod trust;

use fieldgate_model::{BootId, Catalogue, Command, Doubt};
use fieldgate_protocol::Fence;
use tokio::sync::{mpsc, watch};

pub use self::credentials::{Credentials, CredentialsError};
pub use self::status::{LineStatus, PauseStatus, SyncStatus};
pub use self::task::run;
use crate::buffer::Buffer;
use crate::clock::{Clock, TimeHandle};
use crate::command::{Answered, UtcOffset};
use crate::config::CloudUrl;
use crate::engine::Engine;
use crate::journal::Journal;

/// What the sync task needs.
pub struct SyncSetup {
    /// Where the cloud is.
    pub url: CloudUrl,
    /// Who we are there.
    pub credentials: Credentials,
    /// What is sent.
    pub buffer: Buffer,
    /// Where the fence becomes durable.
    pub journal: Journal,
    /// The fence as it was stored.
    pub fence: Fence,
    /// Why no command may run, if there is a reason.
    pub doubt: Option<Doubt>,
    /// Samples a second of a backlog.
    pub history_rate: u64,
    /// The newest values.
    pub engine: Engine,
    /// The signals in force.
    pub catalogue: Catalogue,
    /// The running boot.
    pub boot: BootId,
    /// The clock.
    pub clock: Clock,
    /// Who is told the owner's time of day.
    pub time: TimeHandle,
}

/// Where the sync task's findings go.
pub struct SyncOutputs {
    /// Commands of the owner.
    pub commands: mpsc::Sender<Command>,
    /// What the journal says of commands that were sent again.
    pub answers: mpsc::Receiver<Answered>,
    /// The owner's time of day.
    pub utc_offset: watch::Sender<UtcOffset>,
    /// Whether commands wait until somebody readopts the gateway.
    pub doubted: watch::Sender<bool>,
    /// For screens and metrics.
    pub status: watch::Sender<SyncStatus>,
}
