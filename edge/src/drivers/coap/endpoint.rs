//! The handle of an endpoint: what may be asked of it, and what comes back.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use fieldgate_coap::block::BlockSize;
use fieldgate_coap::code::{Code, Method};
use fieldgate_coap::counters::EndpointCounters;
use fieldgate_coap::endpoint::{self as machine, Known, Limits, Rate, ServerOptions, Transmission};
use fieldgate_coap::link::WELL_KNOWN_CORE;
use fieldgate_coap::option::ContentFormat;
use fieldgate_coap::request::{Failure, ProtocolFault, RefusedRequest, Request, Response};
use fieldgate_model::Millis;
use thiserror::Error;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::discovery::{Discovery, FOUND_MAX};
use super::dtls::Secured;
use super::incoming::Incoming;
use super::observation::Observation;
use super::security::Security;
use super::socket::Socket;
use super::task::{Command, PUSHES_MAX, Task};
use crate::drivers::Tapped;

/// What may wait for the endpoint's task: as much as a large gateway polls at once. Who asks more
/// waits.
const COMMANDS_MAX: usize = 256;

/// How an endpoint is opened.
#[derive(Debug)]
pub struct EndpointOptions {
    /// The bus's name in the configuration.
    pub name: Arc<str>,
    /// Where it listens. Port 5683 for devices that push; 0 where nobody has to find it.
    pub bind: SocketAddr,
    /// How its datagrams are protected.
    pub security: Security,
    /// When messages are repeated.
    pub transmission: Transmission,
    /// What is too much.
    pub limits: Limits,
    /// Who may push, where datagrams are not authenticated.
    pub known: BTreeSet<IpAddr>,
    /// How often one device may push; nothing for the usual rate.
    pub push_rate: Option<Rate>,
    /// Where its datagrams are shown, before they are encrypted and after they are decrypted.
    pub tap: Option<broadcast::Sender<Arc<Tapped>>>,
}

impl EndpointOptions {
    /// An endpoint as the standard has it.
    pub fn new(name: impl Into<Arc<str>>, bind: SocketAddr) -> Self {
        Self {
            name: name.into(),
            bind,
            security: Security::None,
            transmission: Transmission::default(),
            limits: Limits::default(),
            known: BTreeSet::new(),
            push_rate: None,
            tap: None,
        }
    }

    fn machine(&self, is_server: bool) -> machine::EndpointOptions {
        let mut server = ServerOptions::new(match self.security {
            Security::None => Known::Addresses(self.known.clone()),
            Security::Psk(_) => Known::Authenticated,
        });
        server.pushes_max = PUSHES_MAX;
        server.rate = self.push_rate.unwrap_or(server.rate);
        machine::EndpointOptions {
            transmission: self.transmission,
            limits: self.limits,
            server: is_server.then_some(server),
        }
    }
}

/// Why an endpoint cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The address is not ours, or somebody has it.
    #[error("UDP address `{bind}` cannot be had")]
    Bind {
        /// The address.
        bind: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// This program was built without DTLS.
    #[error("this program was built without DTLS")]
    NoDtls,
    /// The kernel has no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl OpenError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "see with `ss -ulpn` who listens there, or name another port",
            Self::NoDtls => "build it with `--features coap-dtls`",
            Self::Random => "run on a kernel that has booted",
        }
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoapRequest {
    /// What to do.
    pub method: Method,
    /// With what, one segment each, without slashes and escapes.
    pub path: Vec<String>,
    /// In which way, such as `unit=K`.
    pub query: Vec<String>,
    /// What the answer should be.
    pub accept: Option<ContentFormat>,
    /// What the payload is.
    pub content_format: Option<ContentFormat>,
    /// May be longer than a datagram.
    pub payload: Vec<u8>,
    /// To be repeated until it is acknowledged.
    pub confirmable: bool,
    /// Largest block to ask for and to send; the peer may want smaller ones.
    pub block_size: Option<BlockSize>,
    /// Monotonic time at which nobody waits any more.
    pub deadline: Millis,
}

impl CoapRequest {
    /// A confirmable GET.
    pub fn get<S: Into<String>>(path: impl IntoIterator<Item = S>, deadline: Millis) -> Self {
        Self {
            method: Method::Get,
            path: path.into_iter().map(Into::into).collect(),
            query: Vec::new(),
            accept: None,
            content_format: None,
            payload: Vec::new(),
            confirmable: true,
            block_size: None,
            deadline,
        }
    }

    fn split(self) -> (Request, Millis) {
        let Self { method, path, query, accept, content_format, payload, .. } = self;
        let (confirmable, block_size) = (self.confirmable, self.block_size);
        let request = Request {
            method,
            path,
            query,
            accept,
            content_format,
            payload,
            confirmable,
            block_size,
        };
        (request, self.deadline)
    }
}

/// An answer, whatever its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoapResponse {
    /// What became of the request.
    pub code: Code,
    /// What the payload is, if it says.
    pub content_format: Option<ContentFormat>,
    /// Which representation it is.
    pub etag: Option<Vec<u8>>,
    /// How long it holds.
    pub max_age: Millis,
    /// Put together from all its blocks.
    pub payload: Vec<u8>,
}

impl From<Response> for CoapResponse {
    fn from(response: Response) -> Self {
        let Response { code, content_format, etag, max_age, payload } = response;
        Self { code, content_format, etag, max_age, payload }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The peer, or the way there, was silent.
    #[error("the peer did not answer in time")]
    Timeout,
    /// It answered that it does not want to talk about this.
    #[error("the peer refused the message with a reset")]
    Reset,
    /// The way there ends before it.
    #[error("the peer cannot be reached")]
    Unreachable,
    /// The answer is longer than what is taken.
    #[error("the answer is too long")]
    TooLarge,
    /// It answered what is no answer to this.
    #[error("the peer broke the protocol: {0}")]
    Protocol(ProtocolFault),
    /// The request was not even begun.
    #[error("the request was refused: {0}")]
    Refused(RefusedRequest),
    /// There is no key for this peer, or it was the wrong one.
    #[error("the peer did not accept our key")]
    Security,
    /// The endpoint is closed.
    #[error("the endpoint is closed")]
    Closed,
}

impl From<Failure> for RequestError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Timeout => Self::Timeout,
            Failure::Reset => Self::Reset,
            Failure::Unreachable => Self::Unreachable,
            Failure::Unauthenticated => Self::Security,
            Failure::TooLarge => Self::TooLarge,
            Failure::Protocol(fault) => Self::Protocol(fault),
            Failure::Cancelled => Self::Closed,
        }
    }
}

/// An open endpoint. It may be cloned; it closes when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Endpoint {
    commands: mpsc::Sender<Command>,
    counters: watch::Receiver<EndpointCounters>,
    local: SocketAddr,
}

impl Endpoint {
    /// Opens the socket and starts the task that owns it. What peers push goes to `incoming`; without
    /// one, they are refused.
    ///
    /// Must be called on a runtime.
    pub fn open(
        options: EndpointOptions,
        incoming: Option<mpsc::Sender<Incoming>>,
    ) -> Result<Self, OpenError> {
        let secured = match &options.security {
            Security::None => None,
            Security::Psk(devices) => {
                let secured = Secured::new(devices.clone(), random()?);
                Some(secured.ok_or(OpenError::NoDtls)?)
            }
        };
        let bind = options.bind;
        let socket = Socket::bind(bind).map_err(|source| OpenError::Bind { bind, source })?;
        let local = socket.local().map_err(|source| OpenError::Bind { bind, source })?;
        let machine = machine::Endpoint::new(options.machine(incoming.is_some()), random()?);
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (shown, counters) = watch::channel(EndpointCounters::default());
        let task = Task::new(options, socket, machine, secured, incoming, shown);
        tokio::spawn(task.run(inbox));
        Ok(Self { commands, counters, local })
    }

    /// Where it listens.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// What it has done so far.
    pub fn counters(&self) -> EndpointCounters {
        *self.counters.borrow()
    }

    /// Asks a peer.
    pub async fn request(
        &self,
        peer: SocketAddr,
        request: CoapRequest,
    ) -> Result<CoapResponse, RequestError> {
        let (request, deadline) = request.split();
        let (done, answer) = oneshot::channel();
        self.command(Command::Request { peer, request, deadline, done }).await?;
        answer.await.map_err(|_| RequestError::Closed)?
    }

    /// Observes a resource, until the observation is dropped. Each registration may take `patience`;
    /// the deadline of the request is that of the first.
    pub async fn observe(
        &self,
        peer: SocketAddr,
        request: CoapRequest,
        patience: Millis,
    ) -> Result<Observation, RequestError> {
        let (request, _) = request.split();
        let (done, begun) = oneshot::channel();
        self.command(Command::Observe { peer, request, patience, done }).await?;
        let (id, notifications) = begun.await.map_err(|_| RequestError::Closed)??;
        Ok(Observation::new(id, notifications, self.commands.clone()))
    }

    /// Asks everybody in a group, or at one address, for their resources, for as long as `wait`.
    pub async fn discover(
        &self,
        group: SocketAddr,
        wait: Millis,
    ) -> Result<Discovery, RequestError> {
        let (found, answers) = mpsc::channel(FOUND_MAX);
        let (done, begun) = oneshot::channel();
        let request = Request::get(WELL_KNOWN_CORE);
        self.command(Command::Discover { group, request, wait, found, done }).await?;
        begun.await.map_err(|_| RequestError::Closed)??;
        Ok(Discovery::new(self.clone(), answers, wait))
    }

    async fn command(&self, command: Command) -> Result<(), RequestError> {
        self.commands.send(command).await.map_err(|_| RequestError::Closed)
    }
}

/// What only the kernel knows.
fn random() -> Result<[u8; 32], OpenError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| OpenError::Random)?;
    Ok(bytes)
}
