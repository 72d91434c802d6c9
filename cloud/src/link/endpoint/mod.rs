//! The endpoint: terminates MQTT 3.1.1 for gateways, over TLS and, when asked for, in plain.
//!
//! Not a general broker: a gateway talks to this instance alone, logs in with its id and secret,
//! publishes to its own `up` topics and hears its own `down` topics. One task owns the listeners and
//! knows which connection is whose; each connection is a task that owns its socket.
//!
//! # Invariants
//!
//! - A gateway has one connection: a newer one takes over, and is let in when the older one's task
//!   has ended, so that nothing of the older follows [`LinkEvent::Connected`] of the newer.
//! - A connection that panics dies alone.

mod connection;
mod peers;
mod session;
mod subscription;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_model::GatewayId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{self, AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::{DOWNS_MAX, Down, DropReason, EVENTS_MAX, LinkEvent, LinkHandle, LinkMetrics, Refusal};
use connection::{Context, Ended, serve};
use peers::PeerFailures;

/// Downlinks that may wait for one connection: a megabyte of the largest.
const CONNECTION_DOWNS_MAX: usize = 16;

/// Logins that may wait for the endpoint's task, which never stands still for long.
const LOGINS_MAX: usize = 64;

/// Without file descriptors `accept` fails at once and for a while: do not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What the check of a secret has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The gateway exists and this is its secret.
    Accepted,
    /// No such gateway, or not its secret; the peer is not told which.
    Refused,
    /// The store does not answer; the peer may come again, and no failure is counted.
    Unavailable,
}

/// The future of a check.
pub type Checking<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// Knows the gateways and the hashes of their secrets: the store, or a list in a test.
pub trait Authenticator: Send + Sync + 'static {
    /// Checks a gateway's secret, the bytes of the MQTT password.
    fn check<'a>(&'a self, gateway: &'a GatewayId, secret: &'a [u8]) -> Checking<'a>;
}

/// Where to listen.
#[derive(Debug, Clone, Default)]
pub struct Listen {
    /// TLS listener: address, and the certificate to show.
    pub tls: Option<(SocketAddr, Arc<rustls::ServerConfig>)>,
    /// Plain listener: secrets cross the line readably, so loopback or a closed network only.
    pub plain: Option<SocketAddr>,
}

/// Bounds of the endpoint; the defaults are for the product, tests take shorter ones.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the TCP connection to the accepted CONNECT.
    pub connect: Duration,
    /// How long written bytes may find no reader.
    pub write: Duration,
    /// When a failed login is answered, counted from CONNECT.
    pub refusal_delay: Duration,
    /// Connections at one time; beyond it new ones are closed.
    pub connections_max: usize,
    /// Failed logins of one address within a minute; beyond it its connections are closed.
    pub failures_max: u32,
    /// Events that may wait for the one that takes them in.
    pub events_max: usize,
    /// Connections on their way to an accepted CONNECT; more wait in the kernel, and their time for
    /// it does not run meanwhile.
    pub pending_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Three round trips of TLS and CONNECT on a bad mobile line.
            connect: Duration::from_secs(5),
            // A line that moves nothing for this long is dead; the gateway connects again.
            write: Duration::from_secs(10),
            // Longer than any check of a secret, so that it hides how long that took.
            refusal_delay: Duration::from_millis(500),
            // About 25 kB each at rest; a larger fleet is spread over nodes or uses a broker.
            connections_max: 4_096,
            // Many gateways may share one address; 256 bits are not guessed at 30 a minute.
            failures_max: 30,
            events_max: EVENTS_MAX,
            // A thousand gateways that return together are handshakes for seconds; all at once, all
            // of them would run out of time together.
            pending_max: 256,
        }
    }
}

/// A connection that has proven its gateway, and wants to be the one.
pub(crate) struct Login {
    gateway: GatewayId,
    task: task::Id,
    reply: oneshot::Sender<mpsc::Receiver<Down>>,
}

/// A running connection.
struct Live {
    peer: IpAddr,
    abort: AbortHandle,
    /// Set when it has become the gateway's one connection.
    gateway: Option<GatewayId>,
}

/// A gateway's one connection, and the newest one that wants to take over.
struct Slot {
    task: task::Id,
    down: mpsc::Sender<Down>,
    successor: Option<Login>,
}

/// The listeners and all connections; [`Endpoint::run`] serves them.
pub struct Endpoint {
    tls: Option<(TcpListener, TlsAcceptor)>,
    plain: Option<TcpListener>,
    context: Arc<Context>,
    down: mpsc::Receiver<Down>,
    logins: mpsc::Receiver<Login>,
    connections: JoinSet<Ended>,
    live_by_task: HashMap<task::Id, Live>,
    slot_by_gateway: BTreeMap<GatewayId, Slot>,
    failures: PeerFailures,
    /// Connections that are not any gateway's yet.
    pending: usize,
}

/// What wakes the endpoint's task.
enum Woken {
    Accepted(TcpStream, IpAddr, Option<TlsAcceptor>),
    Login(Login),
    Down(Down),
    Ended(Result<(task::Id, Ended), JoinError>),
}

impl Endpoint {
    /// Opens the listeners; port 0 asks the system for one.
    pub async fn bind(
        listen: Listen,
        limits: Limits,
        authenticator: Arc<dyn Authenticator>,
        metrics: Arc<LinkMetrics>,
    ) -> io::Result<(Self, LinkHandle)> {
        let tls = match listen.tls {
            Some((address, config)) => {
                Some((TcpListener::bind(address).await?, TlsAcceptor::from(config)))
            }
            None => None,
        };
        let plain = match listen.plain {
            Some(address) => Some(TcpListener::bind(address).await?),
            None => None,
        };
        let (events, events_out) = mpsc::channel(limits.events_max);
        let (down_in, down) = mpsc::channel(DOWNS_MAX);
        let (logins_in, logins) = mpsc::channel(LOGINS_MAX);
        let context = Context { events, logins: logins_in, metrics, authenticator, limits };
        let endpoint = Self {
            tls,
            plain,
            context: Arc::new(context),
            down,
            logins,
            connections: JoinSet::new(),
            live_by_task: HashMap::new(),
            slot_by_gateway: BTreeMap::new(),
            failures: PeerFailures::new(limits.failures_max),
            pending: 0,
        };
        Ok((endpoint, LinkHandle { events: events_out, down: down_in }))
    }

    /// Where the TLS listener is.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// Where the plain listener is.
    pub fn plain_address(&self) -> Option<SocketAddr> {
        self.plain.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves gateways until every sender of the handle's `down` is gone; then all is closed.
    pub async fn run(mut self) {
        while let Some(woken) = self.wait().await {
            self.apply(woken);
        }
    }

    /// The next thing to act on, `None` for the end.
    async fn wait(&mut self) -> Option<Woken> {
        let has_room = self.pending < self.context.limits.pending_max;
        let Self { tls, plain, logins, down, connections, .. } = self;
        let (tls, acceptor) = tls.as_ref().map(|(tls, acceptor)| (tls, acceptor.clone())).unzip();
        tokio::select! {
            (stream, peer) = accept(tls), if has_room => Some(Woken::Accepted(stream, peer, acceptor)),
            (stream, peer) = accept(plain.as_ref()), if has_room => Some(Woken::Accepted(stream, peer, None)),
            Some(login) = logins.recv() => Some(Woken::Login(login)),
            next = down.recv() => next.map(Woken::Down),
            Some(ended) = connections.join_next_with_id() => Some(Woken::Ended(ended)),
        }
    }

    fn apply(&mut self, woken: Woken) {
        match woken {
            Woken::Accepted(stream, peer, acceptor) => self.open(stream, peer, acceptor),
            Woken::Login(login) => self.take_login(login),
            Woken::Down(down) => self.pass_down(down),
            Woken::Ended(Ok((task, Ended::Left))) => self.close(task, None),
            Woken::Ended(Ok((task, Ended::Refused(why)))) => self.close(task, Some(why)),
            Woken::Ended(Err(error)) if error.is_cancelled() => {
                self.close(error.id(), Some(Refusal::TakenOver));
            }
            Woken::Ended(Err(error)) => {
                tracing::error!(%error, "a gateway's connection panicked");
                self.close(error.id(), Some(Refusal::Panic));
            }
        }
    }

    fn open(&mut self, stream: TcpStream, peer: IpAddr, acceptor: Option<TlsAcceptor>) {
        let metrics = &self.context.metrics;
        if self.connections.len() >= self.context.limits.connections_max {
            return metrics.count_refused(Refusal::TooMany);
        }
        if self.failures.is_blocked(peer, Instant::now()) {
            return metrics.count_refused(Refusal::PeerBlocked);
        }
        metrics.count_open();
        self.pending += 1;
        let context = Arc::clone(&self.context);
        let abort = self.connections.spawn(open_stream(stream, acceptor, context));
        self.live_by_task.insert(abort.id(), Live { peer, abort, gateway: None });
    }

    fn take_login(&mut self, login: Login) {
        let Some(slot) = self.slot_by_gateway.get_mut(&login.gateway) else {
            return self.admit(login);
        };
        tracing::info!(gateway = %login.gateway, "a newer connection takes over");
        if let Some(live) = self.live_by_task.get(&slot.task) {
            live.abort.abort();
        }
        // An older successor hears of it by its dropped reply.
        slot.successor = Some(login);
    }

    fn admit(&mut self, login: Login) {
        // A connection that has died since it asked is not let in.
        let Some(live) = self.live_by_task.get_mut(&login.task) else {
            return;
        };
        let (down, down_out) = mpsc::channel(CONNECTION_DOWNS_MAX);
        if login.reply.send(down_out).is_ok() {
            live.gateway = Some(login.gateway.clone());
            self.pending -= 1;
            let slot = Slot { task: login.task, down, successor: None };
            self.slot_by_gateway.insert(login.gateway, slot);
        }
    }

    fn pass_down(&mut self, down: Down) {
        let metrics = &self.context.metrics;
        let Some(slot) = self.slot_by_gateway.get(&down.gateway) else {
            return metrics.count_dropped(DropReason::Offline);
        };
        match slot.down.try_send(down) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                metrics.count_dropped(DropReason::QueueFull);
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                metrics.count_dropped(DropReason::Offline);
            }
        }
    }

    fn close(&mut self, task: task::Id, refusal: Option<Refusal>) {
        self.context.metrics.count_closed();
        let Some(Live { peer, gateway, .. }) = self.live_by_task.remove(&task) else {
            return;
        };
        if let Some(refusal) = refusal {
            self.context.metrics.count_refused(refusal);
            let gateway = gateway.as_ref().map(GatewayId::as_str);
            tracing::info!(reason = refusal.as_str(), %peer, gateway, "closed a connection");
            if matches!(refusal, Refusal::Secret | Refusal::Identity) {
                self.failures.record(peer, Instant::now());
            }
        }
        let Some(gateway) = gateway else {
            self.pending -= 1;
            return;
        };
        let slot = self.slot_by_gateway.remove(&gateway);
        if let Some(successor) = slot.and_then(|slot| slot.successor) {
            self.admit(successor);
        } else if refusal == Some(Refusal::Panic) {
            // Without room the gateway's next login sets it right.
            drop(self.context.events.try_send(LinkEvent::Disconnected(gateway)));
        }
    }
}

/// The next connection of a listener; never, without one.
async fn accept(listener: Option<&TcpListener>) -> (TcpStream, IpAddr) {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer.ip()),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn open_stream(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    context: Arc<Context>,
) -> Ended {
    let login_by = Instant::now() + context.limits.connect;
    // Acknowledgements are small and waited for; without this they idle in the kernel. A socket
    // that cannot take the option works all the same.
    drop(stream.set_nodelay(true));
    let Some(acceptor) = acceptor else {
        return serve(stream, context, login_by).await;
    };
    match timeout_at(login_by, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => serve(stream, context, login_by).await,
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            Ended::Refused(Refusal::Tls)
        }
        Err(_) => Ended::Refused(Refusal::ConnectTimeout),
    }
}
