//! The composition root: every task and channel of the daemon, in the order of the flow.
//!
//! # Invariants
//!
//! - Nothing is spawned anywhere else but one connection's or one parser's own worker.
//! - One task dies, all stop, by name; the supervisor starts a clean daemon. Readiness is told when
//!   the buses poll, and the watchdog is fed by the engine's turns, not by a timer.
//! - A stop drains in the order of the flow and is as safe as a crash at every point.

mod coap;
mod uplink;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_modbus::register::UnitId;
use fieldgate_model::{DeviceName, GatewayId};
use fieldgate_rules::plan::HoleMap;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use self::coap::Coap;
use self::uplink::Uplink;
use crate::buffer::{Buffer, BufferError, BufferOptions, DeviceMap, Intake, Recovered};
use crate::clock::{Clock, TimeHandle};
use crate::command::Targets;
use crate::config::{Config, DeviceConfig, Problem};
use crate::drivers::host::PayloadFrame;
use crate::drivers::modbus::{self, BusChannels, BusDevice, BusSetup};
use crate::drivers::{BusHandle, DeviceIndex, Frame};
use crate::engine::{self, Engine, EngineError, EngineInputs, EngineSetup};
use crate::handles::Handles;
use crate::http;
use crate::journal::{Journal, JournalError};
use crate::socket;
use crate::sync::{Credentials, SyncStatus};
use crate::timekeeper::Timekeeper;

/// Frames between all buses and the engine: a second of a thousand devices.
const FRAMES_MAX: usize = 1_024;
/// Payloads between all hosts and the engine: a second of a thousand observed resources.
const PAYLOADS_MAX: usize = 1_024;
/// Jobs that may wait for one bus; who asks waits with them.
const JOBS_MAX: usize = 8;
/// Answers about commands that may wait for the uplink; the owner asks again.
const ANSWERS_MAX: usize = 64;
/// How long a stop may wait for the cloud to take what was sealed last.
const DRAIN_MAX: Duration = Duration::from_secs(3);
/// How long a stop may wait for each task after that; together a stop takes 5 s at most.
const STOP_MAX: Duration = Duration::from_millis(600);
/// The id in the chains of a gateway that has no cloud. With an identity comes a new incarnation.
const LOCAL_ID: &str = "local";

/// Why the daemon could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The buffer cannot be opened.
    #[error("open the buffer")]
    Buffer(#[from] BufferError),
    /// The journal cannot be opened.
    #[error("open the journal")]
    Journal(#[from] JournalError),
    /// The endpoint for CoAP devices cannot be opened.
    #[error("open the endpoint for CoAP devices")]
    Coap(#[from] crate::drivers::coap::OpenError),
    /// The technician's socket cannot be opened.
    #[error("open the socket")]
    Socket(#[source] std::io::Error),
    /// The address for health and metrics cannot be opened.
    #[error("listen on `{address}` for health and metrics")]
    Http {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A task has ended that should not.
    #[error("the task `{task}` has ended: {why}")]
    Task {
        /// Its name.
        task: String,
        /// Its last words.
        why: String,
    },
}

/// A task's name and its last words.
type Ended = (String, String);

/// Everything that runs.
struct Daemon {
    buses: JoinSet<()>,
    /// Kept so that a gateway without a bus has an engine; the engine ends when it goes.
    frames: mpsc::Sender<Frame>,
    /// The same of hosts.
    payloads: mpsc::Sender<PayloadFrame>,
    engine: JoinHandle<Result<(), EngineError>>,
    /// The uplink and its commands: they have something to finish.
    tasks: JoinSet<Ended>,
    /// Socket, metrics and watchdog: they have not.
    servers: JoinSet<Ended>,
    buffer: Buffer,
    sync: Option<watch::Receiver<SyncStatus>>,
    stopping: watch::Sender<bool>,
}

/// Runs the daemon until `stop` resolves or a task dies.
pub async fn run(
    config: Config,
    problems: Vec<Problem>,
    stop: impl Future<Output = ()>,
) -> Result<(), PipelineError> {
    let mut daemon = start(config, problems).await?;
    tell_supervisor(sd_notify::NotifyState::Ready);
    let died = tokio::select! {
        () = stop => None,
        Some(ended) = daemon.tasks.join_next() => Some(last_words(ended)),
        Some(ended) = daemon.servers.join_next() => Some(last_words(ended)),
        _ = daemon.buses.join_next(), if !daemon.buses.is_empty() => {
            Some(("bus".to_owned(), "closed".to_owned()))
        }
        ended = &mut daemon.engine => Some(engine_words(ended)),
    };
    tell_supervisor(sd_notify::NotifyState::Stopping);
    daemon.wind_down().await;
    match died {
        Some((task, why)) => Err(PipelineError::Task { task, why }),
        None => Ok(()),
    }
}

/// Starts every task, in the order of the flow.
async fn start(config: Config, problems: Vec<Problem>) -> Result<Daemon, PipelineError> {
    let clock = Clock;
    let boot = Clock::boot_id();
    let config = Arc::new(config);
    let credentials = read_credentials(&config);
    let (timekeeper, time) = Timekeeper::new(&config.buffer.path, clock);
    let (buffer, recovered) = open_buffer(&config, credentials.as_ref(), boot, (clock, &time))?;
    let (journal, resumed) = Journal::open(&config.buffer.path, recovered.has_run)?;

    let mut buses = JoinSet::new();
    let (frames, frames_out) = mpsc::channel(FRAMES_MAX);
    let bus_handles = spawn_buses(&config, &recovered.maps, &frames, clock, &mut buses);
    let (payloads, payloads_out) = mpsc::channel(PAYLOADS_MAX);
    let coap = Coap::start(&config, &payloads, &buffer, clock, &mut buses).await?;
    let targets = targets(&config, &bus_handles, &coap);

    let (engine, requests) = Engine::channel();
    let progress = watch::Sender::new(0);
    let turns = progress.subscribe();
    let setup = EngineSetup {
        devices: config.devices.clone(),
        alarms: recovered.alarms,
        flush: config.buffer.flush,
        clock,
    };
    let inputs = EngineInputs { frames: frames_out, payloads: payloads_out };
    let engine_task = engine::run(setup, inputs, requests, buffer.clone(), progress);

    let mut tasks: JoinSet<Ended> = JoinSet::new();
    let (stopping, stopped) = watch::channel(false);
    let sync = credentials.zip(config.cloud.as_ref()).map(|(credentials, cloud)| {
        let (buffer, targets, time) = (&buffer, &targets, &time);
        let journal = journal.clone();
        let uplink = Uplink { buffer, journal, resumed, targets, clock, boot, time };
        uplink.spawn(cloud, credentials, &config, &engine, stopped, &mut tasks)
    });
    let handles = Handles {
        problems: problems.into(),
        engine: engine.clone(),
        targets,
        buses: bus_handles,
        hosts: coap.hosts,
        datagrams: coap.tap,
        endpoints: coap.endpoints,
        pushes: coap.pushes,
        buffer: buffer.stats(),
        held: buffer.clone(),
        journal,
        sync: sync.clone(),
        clock,
        time,
        started: clock.now(),
        config: Arc::clone(&config),
    };
    let mut servers = JoinSet::new();
    spawn_servers(&handles, &mut servers).await?;
    servers.spawn(named("watchdog", feed_watchdog(turns)));
    servers.spawn(named("timekeeper", timekeeper.run(engine)));
    let (devices, on) = (config.devices.len(), config.buses.len());
    tracing::info!(gateway = config.gateway.name, devices, buses = on, "running");
    Ok(Daemon {
        buses,
        frames,
        payloads,
        engine: tokio::spawn(engine_task),
        tasks,
        servers,
        buffer,
        sync,
        stopping,
    })
}

impl Daemon {
    /// Stops in the order of the flow, so that what was polled last still gets into the buffer.
    async fn wind_down(mut self) {
        tracing::info!("stopping");
        self.buses.shutdown().await;
        drop(self.frames);
        drop(self.payloads);
        if !self.engine.is_finished() {
            drop(timeout(STOP_MAX, &mut self.engine).await);
        }
        drain(&self.buffer, self.sync).await;
        self.servers.shutdown().await;
        self.stopping.send_replace(true);
        let rest = async { while self.tasks.join_next().await.is_some() {} };
        drop(timeout(STOP_MAX, rest).await);
        drop(timeout(STOP_MAX, self.buffer.stop()).await);
    }
}

/// Without an identity the gateway works alone: local work never depends on a credential.
fn read_credentials(config: &Config) -> Option<Credentials> {
    let cloud = config.cloud.as_ref()?;
    match Credentials::read(&cloud.credentials) {
        Ok(credentials) => Some(credentials),
        Err(error) => {
            tracing::error!(error = crate::telemetry::chain(&error), "no uplink, working alone");
            None
        }
    }
}

fn open_buffer(
    config: &Config,
    credentials: Option<&Credentials>,
    boot: fieldgate_model::BootId,
    (clock, time): (Clock, &TimeHandle),
) -> Result<(Buffer, Recovered), BufferError> {
    let local = || GatewayId::new(LOCAL_ID).expect("a constant that is an id");
    let (buffer, recovered) = Buffer::open(BufferOptions {
        folder: config.buffer.path.clone(),
        max_bytes: config.buffer.max_bytes,
        flush: config.buffer.flush,
        seal_after: config.buffer.seal_after,
        catalogue: config.catalogue(),
        gateway: credentials.map_or_else(local, |credentials| credentials.gateway.clone()),
        boot,
        clock,
        time: time.status.clone(),
    })?;
    if recovered.unclean {
        tracing::warn!("the last run did not stop in order; what was only in memory is lost");
    }
    if let Some(aside) = &recovered.set_aside {
        tracing::error!(file = %aside.display(), "the buffer was damaged and is set aside");
    }
    Ok((buffer, recovered))
}

fn spawn_buses(
    config: &Config,
    maps: &BTreeMap<DeviceName, DeviceMap>,
    frames: &mpsc::Sender<Frame>,
    clock: Clock,
    buses: &mut JoinSet<()>,
) -> Vec<BusHandle> {
    let mut handles = Vec::new();
    for (place, bus) in config.buses.iter().enumerate() {
        let on_it = config.devices.iter().enumerate().filter_map(|(index, device)| {
            let (bus, unit) = device.place.bus()?;
            let holes = || holes_of(device, unit, maps);
            (bus == place).then(|| BusDevice::new(DeviceIndex(index), device, unit, holes()))
        });
        let devices = on_it.collect();
        let setup = BusSetup::new(bus, devices);
        let (channels, handle) = BusChannels::new(&setup, JOBS_MAX, frames.clone());
        handles.push(handle);
        buses.spawn(modbus::run(setup, channels, clock));
    }
    handles
}

/// What can be read and written.
fn targets(config: &Config, buses: &[BusHandle], coap: &Coap) -> Targets {
    let buses = buses.iter().map(|bus| bus.jobs.clone()).collect();
    let hosts = coap.hosts.iter().map(|host| host.jobs.clone()).collect();
    Targets::new(config.devices.clone().into(), buses, hosts)
}

/// What a device has taught, if that was this device by unit id and version of its profile.
fn holes_of(
    device: &DeviceConfig,
    unit: UnitId,
    maps: &BTreeMap<DeviceName, DeviceMap>,
) -> HoleMap {
    let map = maps
        .get(&device.name)
        .filter(|map| map.unit == unit.0 && map.profile == device.profile.id());
    map.map_or_else(HoleMap::default, |map| map.holes.clone())
}

async fn spawn_servers(handles: &Handles, tasks: &mut JoinSet<Ended>) -> Result<(), PipelineError> {
    let socket = socket::bind(&handles.config.socket).map_err(PipelineError::Socket)?;
    tasks.spawn(named("socket", socket::serve(socket, handles.clone())));
    if let Some(address) = handles.config.http {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|source| PipelineError::Http { address, source })?;
        tasks.spawn(named("http", http::serve(listener, handles.clone())));
    }
    Ok(())
}

/// Seals what the engine brought last and gives the cloud a moment to take it.
async fn drain(buffer: &Buffer, sync: Option<watch::Receiver<SyncStatus>>) {
    let wait = async {
        if buffer.append_durably(Intake::default()).await.is_err() {
            return;
        }
        let held = buffer.lines().borrow().clone();
        let Some(mut sync) = sync.filter(|sync| sync.borrow().welcomed) else { return };
        // The uplink learns of the last seal a moment after the buffer has announced it.
        tokio::task::yield_now().await;
        let sealed: u64 = held.iter().map(|line| line.stored.0).sum();
        let through = sync.wait_for(|status| {
            !status.welcomed || (status.backlog == 0 && status.sealed >= sealed)
        });
        drop(through.await);
    };
    if timeout(DRAIN_MAX, wait).await.is_err() {
        tracing::warn!("the cloud has not taken everything; the rest waits in the buffer");
    }
}

async fn feed_watchdog(mut turns: watch::Receiver<u64>) -> Result<(), PipelineError> {
    let Some(within) = sd_notify::watchdog_enabled() else {
        std::future::pending::<()>().await;
        return Ok(());
    };
    let mut beat = tokio::time::interval(within / 2);
    loop {
        beat.tick().await;
        if turns.has_changed().unwrap_or(false) {
            turns.mark_unchanged();
            tell_supervisor(sd_notify::NotifyState::Watchdog);
        }
    }
}

fn tell_supervisor(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "no supervisor listens");
    }
}

async fn named<E: std::error::Error>(
    name: &str,
    task: impl Future<Output = Result<(), E>>,
) -> Ended {
    let why = match task.await {
        Ok(()) => "closed".to_owned(),
        Err(error) => crate::telemetry::chain(&error),
    };
    (name.to_owned(), why)
}

fn engine_words(ended: Result<Result<(), EngineError>, tokio::task::JoinError>) -> Ended {
    let why = match ended {
        Ok(Ok(())) => "closed".to_owned(),
        Ok(Err(error)) => crate::telemetry::chain(&error),
        Err(error) => error.to_string(),
    };
    ("engine".to_owned(), why)
}

fn last_words(ended: Result<Ended, tokio::task::JoinError>) -> Ended {
    ended.unwrap_or_else(|error| ("unknown".to_owned(), error.to_string()))
}
