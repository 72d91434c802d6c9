//! The composition root: every task and every channel of the service, read from top to bottom.
//!
//! ```text
//! link ─ events ─▶ ingest ─ jobs ─▶ store thread ◀─ jobs ─ api
//!   ▲                 └─ events ─▶ commands ◀─ wake ───────┘
//!   └── down ── ingest, commands                         └─ upkeep
//! ```
//!
//! # Invariants
//!
//! - Tasks are spawned here alone. If one ends by itself, the service stops and says which.
//! - Stopping closes the inputs first: what ingest has taken in is committed, then the store ends.

use std::fs::{self, File, TryLockError};
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use fieldgate_model::GatewayId;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::{Clock, utc_now};
use crate::command::{Commands, CommandsHandle};
use crate::downlink::Downlink;
use crate::identity::{Identity, IdentityError, secret_matches};
use crate::ingest::Ingest;
use crate::link::broker::{Broker, BrokerAddress, BrokerError};
use crate::link::endpoint::{Authenticator, Checking, Endpoint, Limits, Listen, Verdict};
use crate::link::{LinkHandle, LinkMetrics};
use crate::listening::Listening;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::state::{AppState, GatewayEndpoint};
use crate::store::query::{QueryError, Readers};
use crate::store::{BlockRules, DATABASE_FILE, RollupRules, SqliteStore, StoreError, Writer};
use crate::upkeep::Upkeep;

/// Reading lanes: enough that one long export leaves room, few enough for two cores.
const READERS: usize = 4;

/// Supervisors wait about ten seconds; half of that is promised.
const STOP_MAX: Duration = Duration::from_secs(3);

/// How the link reaches gateways.
#[derive(Clone)]
pub enum Transport {
    /// Gateways connect to this process.
    Endpoint {
        /// TLS listener.
        tls: Option<SocketAddr>,
        /// Plain listener.
        plain: Option<SocketAddr>,
    },
    /// Gateways and this process connect to a broker.
    Broker {
        /// Where it is.
        address: BrokerAddress,
        /// PEM file of its authority.
        authority: Option<PathBuf>,
    },
}

/// What `serve` was asked for.
#[derive(Clone)]
pub struct Options {
    /// The data folder.
    pub data: PathBuf,
    /// How the link reaches gateways.
    pub transport: Transport,
    /// Where API and console listen.
    pub http: SocketAddr,
    /// What gateways connect to, if it is not what is listened on.
    pub public_url: Option<String>,
    /// Names and addresses in the server's certificate.
    pub public_names: Vec<String>,
}

/// Where the service listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// TLS listener for gateways.
    pub mqtts: Option<SocketAddr>,
    /// Plain listener for gateways.
    pub mqtt_plain: Option<SocketAddr>,
    /// API and console.
    pub http: SocketAddr,
}

/// Why the service did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder cannot be used.
    #[error("cannot use data folder `{}`", path.display())]
    Data {
        /// The folder or a file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another `serve` runs on the data folder.
    #[error("data folder `{}` is in use by another `serve`", .0.display())]
    InUse(PathBuf),
    /// The store does not open.
    #[error("cannot open the store")]
    Store(#[source] StoreError),
    /// The store does not open for reading.
    #[error("cannot open the store for reading")]
    Readers(#[source] QueryError),
    /// The identity does not open.
    #[error("cannot open the identity")]
    Identity(#[source] IdentityError),
    /// An address cannot be listened on.
    #[error("cannot listen on {0}")]
    Listen(String, #[source] io::Error),
    /// The broker cannot be used as configured.
    #[error("cannot use the broker")]
    Broker(#[source] BrokerError),
    /// A task ended although nobody had asked it to.
    #[error("task `{0}` ended")]
    Ended(&'static str),
}

/// Serves until `stop` is done. `announce` is told where, once everything listens.
pub async fn serve(
    options: &Options,
    stop: impl Future<Output = ()>,
    announce: impl FnOnce(Bound),
) -> Result<(), ServeError> {
    let _lock = lock_data(&options.data)?;
    let database = options.data.join(DATABASE_FILE);
    let store = SqliteStore::open(&database).map_err(ServeError::Store)?;
    let (writer, store_thread) = Writer::start(store)
        .map_err(|source| ServeError::Data { path: database.clone(), source })?;
    let readers = Readers::open(&database, READERS).map_err(ServeError::Readers)?;
    let identity = Identity::open(&options.data, &options.public_names, utc_now())
        .map_err(ServeError::Identity)?;

    let metrics = Arc::new(Metrics::default());
    let live = Live::new();
    let clock = Clock::system();
    let mut tasks: JoinSet<&'static str> = JoinSet::new();
    // Everybody who must know that the service stops holds a receiver.
    let (stopping, stopped) = watch::channel(false);

    let figures = Arc::new(LinkMetrics::default());
    let link = open_link(options, &identity, &writer, Arc::clone(&figures)).await?;
    let Link { handle, run, tls, plain } = link;
    tasks.spawn(until_stopped("link", run, stopped.clone()));

    let down = Downlink::new(handle.down, Arc::clone(&metrics));
    let (commands, queue) = CommandsHandle::new();
    let task = Commands::new(writer.clone(), down.clone(), clock.clone(), live.watched());
    tasks.spawn(async move {
        task.run(queue).await;
        "commands"
    });

    let ingest = Ingest {
        instance: identity.instance().clone(),
        writer: writer.clone(),
        down,
        live: live.clone(),
        commands: commands.clone(),
        metrics: Arc::clone(&metrics),
        clock: clock.clone(),
    };
    tasks.spawn(async move {
        ingest.run(handle.events).await;
        "ingest"
    });

    let upkeep =
        upkeep(&database, writer.clone(), live.clone(), Arc::clone(&metrics), clock.clone())?;
    tasks.spawn(until_stopped("upkeep", upkeep.run(), stopped.clone()));

    let listener = TcpListener::bind(options.http)
        .await
        .map_err(|error| ServeError::Listen(format!("`{}`", options.http), error))?;
    let bound = Bound { mqtts: tls, mqtt_plain: plain, http: local_address(&listener)? };
    let listening = listening(options, bound);
    listening
        .write(&options.data)
        .map_err(|source| ServeError::Data { path: options.data.clone(), source })?;

    let last = writer.clone();
    let mut state = AppState::new(writer, readers, live, metrics, clock);
    state.link = Some(figures);
    state.closed = commands.closed();
    state.wake = Arc::new(move |gateway: &GatewayId| commands.wake(gateway));
    state.endpoint = listening.gateway_url.map(|url| {
        let ca_pem = listening.is_tls.then(|| identity.ca().to_owned());
        Arc::new(GatewayEndpoint { url, ca_pem })
    });
    tasks.spawn(serve_http(listener, crate::http::router(state), stopped));

    announce(bound);
    let result = tokio::select! {
        () = stop => Ok(()),
        ended = tasks.join_next() => Err(ServeError::Ended(name_of(ended.as_ref()))),
    };
    stopping.send_replace(true);
    drain(tasks, &last, store_thread).await;
    result
}

/// Upkeep has a reading connection of its own: questions never wait for it.
fn upkeep(
    database: &Path,
    writer: Writer,
    live: Live,
    metrics: Arc<Metrics>,
    clock: Clock,
) -> Result<Upkeep, ServeError> {
    let readers = Readers::open(database, 1).map_err(ServeError::Readers)?;
    let (blocks, rollups) = (BlockRules::default(), RollupRules::default());
    Ok(Upkeep { readers, writer, blocks, rollups, live, metrics, clock })
}

/// Runs a task that does not end by itself.
async fn until_stopped(
    name: &'static str,
    run: impl Future<Output = ()>,
    mut stopped: watch::Receiver<bool>,
) -> &'static str {
    tokio::select! {
        () = run => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    name
}

async fn serve_http(
    listener: TcpListener,
    router: axum::Router,
    mut stopped: watch::Receiver<bool>,
) -> &'static str {
    let stop = async move {
        // The sender is dropped only when all stops anyway.
        drop(stopped.wait_for(|stopped| *stopped).await);
    };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
        tracing::error!(%error, "http listener failed");
    }
    "http"
}

/// Lets every task finish what it has taken in, for as long as [`STOP_MAX`].
async fn drain(mut tasks: JoinSet<&'static str>, writer: &Writer, store_thread: JoinHandle<()>) {
    if timeout(STOP_MAX, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
        // An open stream of the console, mostly. What is acknowledged is durable.
        tasks.shutdown().await;
    }
    // Not by dropping handles: the connection of an open stream still holds one.
    writer.stop().await;
    let joined = tokio::task::spawn_blocking(move || store_thread.join().is_ok()).await;
    if !joined.unwrap_or(false) {
        tracing::error!("the store thread panicked");
    }
}

fn name_of(ended: Option<&Result<&'static str, tokio::task::JoinError>>) -> &'static str {
    match ended {
        Some(Ok(name)) => name,
        Some(Err(_)) => "one that panicked",
        None => "every one",
    }
}

/// Makes the data folder, private to its owner; one that is there stays as it is.
pub(crate) fn make_data_folder(data: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data)
}

/// Makes the data folder and keeps every other `serve` out of it.
fn lock_data(data: &Path) -> Result<File, ServeError> {
    let failed = |source| ServeError::Data { path: data.to_owned(), source };
    make_data_folder(data).map_err(failed)?;
    let file =
        File::options().append(true).create(true).open(data.join("serve.lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServeError::InUse(data.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// A link that is open and not yet run.
struct Link {
    handle: LinkHandle,
    run: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
    tls: Option<SocketAddr>,
    plain: Option<SocketAddr>,
}

async fn open_link(
    options: &Options,
    identity: &Identity,
    writer: &Writer,
    metrics: Arc<LinkMetrics>,
) -> Result<Link, ServeError> {
    match &options.transport {
        Transport::Endpoint { tls, plain } => {
            let listen = Listen {
                tls: tls.map(|address| (address, identity.server_config())),
                plain: *plain,
            };
            let secrets = Arc::new(Secrets(writer.clone()));
            let bound = Endpoint::bind(listen, Limits::default(), secrets, metrics).await;
            let addresses = [*tls, *plain].into_iter().flatten();
            let addresses: Vec<_> = addresses.map(|address| format!("`{address}`")).collect();
            let (endpoint, handle) =
                bound.map_err(|error| ServeError::Listen(addresses.join(" and "), error))?;
            let (tls, plain) = (endpoint.tls_address(), endpoint.plain_address());
            Ok(Link { handle, run: Box::pin(endpoint.run()), tls, plain })
        }
        Transport::Broker { address, authority } => {
            let broker = Broker::new(address.clone(), authority.as_deref(), metrics);
            let (broker, handle) = broker.map_err(ServeError::Broker)?;
            Ok(Link { handle, run: Box::pin(broker.run()), tls: None, plain: None })
        }
    }
}

/// Checks the secrets of gateways against the store.
struct Secrets(Writer);

impl Authenticator for Secrets {
    fn check<'a>(&'a self, gateway: &'a GatewayId, secret: &'a [u8]) -> Checking<'a> {
        Box::pin(async move {
            let id = gateway.clone();
            match self.0.run(move |store| store.gateway_secret(&id)).await {
                Ok(Some(hash)) if secret_matches(secret, &hash) => Verdict::Accepted,
                Ok(Some(_) | None) => Verdict::Refused,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(%gateway, error, "secret not checked");
                    Verdict::Unavailable
                }
            }
        })
    }
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr, ServeError> {
    listener.local_addr().map_err(|error| ServeError::Listen("the HTTP address".into(), error))
}

/// What others connect to, as far as it can be told from what is listened on.
fn listening(options: &Options, bound: Bound) -> Listening {
    let name = options.public_names.first();
    let place = |address: SocketAddr| match (name, address.ip()) {
        (Some(name), _) => format!("{name}:{}", address.port()),
        (None, ip) if ip.is_unspecified() => format!("localhost:{}", address.port()),
        (None, _) => address.to_string(),
    };
    let listened = match (bound.mqtts, bound.mqtt_plain) {
        (Some(tls), _) => Some(format!("mqtts://{}", place(tls))),
        (None, Some(plain)) => Some(format!("mqtt://{}", place(plain))),
        (None, None) => None,
    };
    let mut http = bound.http;
    if http.ip().is_unspecified() {
        http.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    Listening {
        gateway_url: options.public_url.clone().or(listened),
        is_tls: bound.mqtts.is_some(),
        http_url: format!("http://{http}"),
        public_names: options.public_names.clone(),
    }
}
