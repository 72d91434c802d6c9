//! What looks at a running daemon from outside: the technician's socket, health and metrics.

use std::sync::Arc;

use fieldgate_model::Millis;
use tokio::sync::{broadcast, watch};

use crate::buffer::{Buffer, BufferStats};
use crate::clock::{Clock, TimeHandle};
use crate::command::Targets;
use crate::config::{Config, Problem};
use crate::drivers::host::{Endpoints, HostHandle, PushCounters};
use crate::drivers::{BusHandle, BusStatus, Tapped};
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
    /// The hosts, in the order of the configuration.
    pub hosts: Vec<HostHandle>,
    /// What goes to and from all hosts; subscribe to listen.
    pub datagrams: broadcast::Sender<Arc<Tapped>>,
    /// What carries it; `None` if nothing speaks `CoAP`.
    pub endpoints: Option<Endpoints>,
    /// What devices have pushed.
    pub pushes: watch::Receiver<PushCounters>,
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

impl Handles {
    /// How the buses are, and behind them the hosts.
    pub fn line_status(&self) -> Vec<BusStatus> {
        let buses = self.buses.iter().map(|bus| &bus.status);
        let hosts = self.hosts.iter().map(|host| &host.status);
        buses.chain(hosts).map(|status| status.borrow().clone()).collect()
    }
}
