//! What looks at a running daemon from outside: the technician's socket, health and metrics.

use std::sync::Arc;

use fieldgate_model::Millis;
use tokio::sync::watch;

use crate::buffer::{Buffer, BufferStats};
use crate::clock::{Clock, TimeHandle};
use crate::command::Targets;
use crate::config::{Config, Problem};
use crate::drivers::BusHandle;
use crate::engine::Engine;
use crate::journal::Journal;
use crate::sync::SyncStatus;

/// What the technician's socket and the metrics look at; clones look at the same daemon.
#[derive(Debug, Clone)]
pub struct Handles {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// What is wrong with it.
    pub problems: Arc<[Problem]>,
    /// The newest values.
    pub engine: Engine,
    /// What can be read and written.
    pub targets: Targets,
    /// The buses, in the order of the configuration.
    pub buses: Vec<BusHandle>,
    /// The buffer.
    pub buffer: watch::Receiver<BufferStats>,
    /// What is held for the cloud.
    pub held: Buffer,
    /// The commands that have arrived.
    pub journal: Journal,
    /// The uplink; `None` if there is no cloud, or no identity for it.
    pub sync: Option<watch::Receiver<SyncStatus>>,
    /// The clock.
    pub clock: Clock,
    /// What is known of the time of day.
    pub time: TimeHandle,
    /// When the daemon started.
    pub started: Millis,
}
