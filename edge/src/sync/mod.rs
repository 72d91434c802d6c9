//! Sync: gets what the buffer has sealed into the cloud, and what the cloud asks to where it is
//! done. One task owns the uplink's machine and the fence; it waits in one place and then applies.
//!
//! # Invariants
//!
//! - A message from anyone but the owner has no effect and is answered `stale`.
//! - A fence is durable before the first effect under it.
//! - The disk is the queue: nothing here waits for the cloud but the buffer's own rows.

mod credentials;
mod incoming;
mod mqtt;
mod outgoing;
mod present;
mod task;
mod trust;

use fieldgate_model::{BootId, Catalogue, Command, UtcMillis};
use fieldgate_protocol::Fence;
use tokio::sync::{mpsc, watch};

pub use self::credentials::{Credentials, CredentialsError};
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
    /// The journal was lost: no command may run.
    pub withheld: bool,
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
    /// For screens and metrics.
    pub status: watch::Sender<SyncStatus>,
}

/// How the uplink is.
#[expect(clippy::struct_excessive_bools, reason = "independent findings, shown as they are")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncStatus {
    /// A connection stands.
    pub connected: bool,
    /// The owner has welcomed us on it.
    pub welcomed: bool,
    /// The owner doubts our identity: commands wait.
    pub contested: bool,
    /// The journal was lost: no command runs.
    pub withheld: bool,
    /// Sealed records that the cloud has not committed.
    pub backlog: u64,
    /// Records sealed so far, over all streams that are held, as far as this task knows.
    pub sealed: u64,
    /// Batches sent since the start, resends included.
    pub batches_sent: u64,
    /// Down messages that could not be decoded.
    pub malformed: u64,
    /// Down messages that were not from the owner.
    pub stale: u64,
    /// When the cloud last acknowledged something.
    pub acked_at: Option<UtcMillis>,
}
