//! A cloud's ingest, store and upkeep inside this process, without a link.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use fieldgate_cloud::clock::Clock;
use fieldgate_cloud::command::{Commands, CommandsHandle};
use fieldgate_cloud::downlink::Downlink;
use fieldgate_cloud::ingest::Ingest;
use fieldgate_cloud::link::{Down, LinkEvent};
use fieldgate_cloud::live::Live;
use fieldgate_cloud::metrics::Metrics;
use fieldgate_cloud::store::query::Readers;
use fieldgate_cloud::store::{
    BlockRules, DATABASE_FILE, NewTenant, RollupRules, SqliteStore, Store as _, Writer,
};
use fieldgate_cloud::upkeep::Upkeep;
use fieldgate_model::{GatewayId, InstanceId, TenantId};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::fleet::BEGIN;
use crate::harness::Scratch;

/// As many events and downlinks wait as in the product.
const QUEUE: usize = 256;

/// Ingest, store, upkeep and readers.
pub(super) struct Inside {
    pub(super) events: mpsc::Sender<LinkEvent>,
    pub(super) down: mpsc::Receiver<Down>,
    pub(super) readers: Readers,
    pub(super) database: PathBuf,
    pub(super) writer: Writer,
    tasks: JoinSet<()>,
    store_thread: JoinHandle<()>,
}

/// A store in `folder` with one tenant and `gateways` gateways, `g0` and so on.
pub(super) fn populated(folder: &std::path::Path, gateways: usize) -> Result<SqliteStore> {
    let mut store = SqliteStore::open(&folder.join(DATABASE_FILE))?;
    let tenant = TenantId::new("bench")?;
    let new = NewTenant { id: tenant.clone(), name: "Bench".into(), parent: None };
    store.add_tenant(&new, "bench", BEGIN)?;
    for number in 0..gateways {
        let name = format!("g{number}");
        let hash = fieldgate_cloud::identity::secret_hash(SECRET.as_bytes());
        store.add_gateway(&tenant, &GatewayId::new(name.clone())?, &name, &hash, "bench", BEGIN)?;
    }
    Ok(store)
}

/// Of every gateway here; nothing but loopback ever sees it.
pub(super) const SECRET: &str = "bench-secret";

impl Inside {
    /// Must be called inside a runtime.
    pub(super) fn start(scratch: &Scratch, name: &str, gateways: usize) -> Result<Self> {
        let folder = scratch.folder(name)?;
        let database = folder.join(DATABASE_FILE);
        let (writer, store_thread) = Writer::start(populated(&folder, gateways)?)?;
        let readers = Readers::open(&database, 2)?;
        let (events, queue) = mpsc::channel(QUEUE);
        let (down_in, down) = mpsc::channel(QUEUE);
        let (live, metrics, clock) = (Live::new(), Arc::new(Metrics::default()), Clock::system());
        let down_in = Downlink::new(down_in, Arc::clone(&metrics));
        let (commands, command_queue) = CommandsHandle::new();
        let mut tasks = JoinSet::new();
        let task = Commands::new(writer.clone(), down_in.clone(), clock.clone(), live.watched());
        tasks.spawn(task.run(command_queue));
        let ingest = Ingest {
            instance: InstanceId::new("bench")?,
            writer: writer.clone(),
            down: down_in,
            live: live.clone(),
            commands,
            metrics: Arc::clone(&metrics),
            clock: clock.clone(),
        };
        tasks.spawn(ingest.run(queue));
        let upkeep = Upkeep {
            readers: Readers::open(&database, 1)?,
            writer: writer.clone(),
            blocks: BlockRules::default(),
            rollups: RollupRules::default(),
            live,
            metrics,
            clock,
        };
        tasks.spawn(upkeep.run());
        Ok(Self { events, down, readers, database, writer, tasks, store_thread })
    }

    /// Stops everything and says how large the database is.
    pub(super) async fn stop(mut self) -> Result<u64> {
        self.tasks.shutdown().await;
        drop((self.events, self.readers));
        self.writer.stop().await;
        drop(self.writer);
        let joined = tokio::task::spawn_blocking(move || self.store_thread.join().is_ok()).await?;
        anyhow::ensure!(joined, "the store thread panicked");
        let connection = rusqlite::Connection::open(&self.database)?;
        connection.pragma_update(None, "journal_mode", "DELETE")?;
        drop(connection);
        Ok(std::fs::metadata(&self.database).context("no database")?.len())
    }
}
