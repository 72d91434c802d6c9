//! One endpoint, both roles: requests become messages, and whatever comes back becomes exactly one
//! outcome each; requests of peers become at most one effect each.
//!
//! # Invariants
//!
//! - Each exchange ends in exactly one [`Effect::Done`], at its deadline at the latest.
//! - An answer counts only if it comes from the peer that was asked, with the token of eight bytes
//!   that was made for it; an acknowledgement also with the message id.
//! - A request of a peer is given on at most once in the time in which it may come again.
//! - What is held does not grow with what comes in: every table has a bound, and a written answer to
//!   being full.
//! - Whoever is not known costs no memory, and gets no more bytes than it sent.

mod dispatch;
mod download;
mod exchange;
mod observation;
mod peer;
mod push;
mod rate;
mod reliable;
mod served;
mod server;
mod timers;
mod transfer;
mod upload;

use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};

use fieldgate_model::Millis;

use crate::counters::EndpointCounters;
use crate::entropy::Entropy;
use crate::message::{MessageId, Token};
use crate::request::{Failure, RefusedRequest, Request, Response};

use exchange::{Exchange, Goal};
use observation::Observation;
use peer::Peer;
use reliable::Sent;
use server::Server;
use timers::{Timer, Timers};

pub use observation::Loss;
pub use push::{ContentKey, Push, PushId};
pub use rate::Rate;
pub use server::{AMPLIFICATION_MAX, Known, ServerOptions};

/// Times of RFC 7252 section 4.8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmission {
    /// `ACK_TIMEOUT`: how long the first acknowledgement may take.
    pub ack_timeout: Millis,
    /// `ACK_RANDOM_FACTOR`, in percent: that time is spread up to so much.
    pub random_percent: u64,
    /// `MAX_RETRANSMIT`: how often a message is sent again.
    pub retransmit_max: u32,
    /// `NSTART`: how many messages to one peer may be unacknowledged.
    pub nstart: usize,
}

impl Default for Transmission {
    fn default() -> Self {
        let ack_timeout = Millis::from_secs(2);
        Self { ack_timeout, random_percent: 150, retransmit_max: 4, nstart: 1 }
    }
}

/// `EXCHANGE_LIFETIME`: as long a message id of a confirmable message means that message.
pub const EXCHANGE_LIFETIME: Millis = Millis::from_secs(247);
/// `NON_LIFETIME`: the same of one that is not.
pub const NON_LIFETIME: Millis = Millis::from_secs(145);

/// What an endpoint takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest payload, put together: 64 KiB, where the largest known device tables have 4.
    pub payload_max: usize,
    /// Requests to one peer that wait for those before them.
    pub waiting_max: usize,
    /// Requests and observations that are under way to all peers.
    pub exchanges_max: usize,
    /// Longest time between two signs that an observation still lives. Some servers forget observers
    /// when they restart, and some resources hold for a day.
    pub liveness: Millis,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_max: 64 * 1024,
            waiting_max: 64,
            exchanges_max: 16_384,
            liveness: Millis::from_secs(600),
        }
    }
}

/// How an endpoint behaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointOptions {
    /// When messages are repeated.
    pub transmission: Transmission,
    /// What is too much.
    pub limits: Limits,
    /// How devices that push are served; without it, they are not.
    pub server: Option<ServerOptions>,
}

/// The name of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u64);

/// The name of an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObservationId(pub u64);

/// What the caller must do next, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send these bytes to a peer.
    Transmit {
        /// Whom.
        peer: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// This exchange is over.
    Done {
        /// Which.
        exchange: ExchangeId,
        /// The answer, or why there is none.
        outcome: Result<Response, Failure>,
    },
    /// Somebody answered a request to a group.
    Answered {
        /// Which request.
        exchange: ExchangeId,
        /// Who.
        peer: SocketAddr,
        /// What.
        response: Response,
        /// It is the first block of a longer one.
        more: bool,
    },
    /// A resource is so by now.
    Notified {
        /// Which.
        observation: ObservationId,
        /// How it is.
        response: Response,
    },
    /// A device pushed this; answer it with [`Endpoint::reply`].
    Pushed {
        /// Which.
        push: PushId,
        /// Who.
        peer: SocketAddr,
        /// What.
        request: Push,
        /// Who pushed what where, as a digest.
        content: ContentKey,
    },
    /// There will be no more notifications: poll instead.
    Lost {
        /// Which.
        observation: ObservationId,
        /// Why.
        loss: Loss,
    },
}

/// An endpoint.
#[derive(Debug)]
pub struct Endpoint {
    options: EndpointOptions,
    entropy: Entropy,
    timers: Timers,
    effects: VecDeque<Effect>,
    counters: EndpointCounters,
    peers: BTreeMap<SocketAddr, Peer>,
    sent: BTreeMap<(SocketAddr, MessageId), Sent>,
    exchanges: BTreeMap<ExchangeId, Exchange>,
    observations: BTreeMap<ObservationId, Observation>,
    listeners: BTreeMap<Token, Listener>,
    server: Option<Server>,
    next_id: u64,
}

/// Who waits for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listener {
    Exchange(ExchangeId),
    Observation(ObservationId),
}

impl Endpoint {
    /// An endpoint; the seed must be secret and never used before.
    pub fn new(options: EndpointOptions, seed: [u8; 32]) -> Self {
        let server = options.server.clone().map(Server::new);
        Self {
            options,
            entropy: Entropy::new(seed),
            timers: Timers::default(),
            effects: VecDeque::new(),
            counters: EndpointCounters::default(),
            peers: BTreeMap::new(),
            sent: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            observations: BTreeMap::new(),
            listeners: BTreeMap::new(),
            server,
            next_id: 0,
        }
    }

    /// Begins a request that is over at `deadline` at the latest.
    pub fn request(
        &mut self,
        peer: SocketAddr,
        request: Request,
        deadline: Millis,
        now: Millis,
    ) -> Result<ExchangeId, RefusedRequest> {
        self.admit(peer, &request)?;
        Ok(self.begin(peer, request, Goal::Answer, deadline, now))
    }

    /// Asks everybody in a group, or at an address, until `deadline`. Answers come as
    /// [`Effect::Answered`].
    pub fn ask_group(
        &mut self,
        group: SocketAddr,
        mut request: Request,
        deadline: Millis,
        now: Millis,
    ) -> Result<ExchangeId, RefusedRequest> {
        self.admit(group, &request)?;
        // RFC 7252 section 8.1: what goes to a group is never confirmable.
        request.confirmable = false;
        Ok(self.begin(group, request, Goal::Group, deadline, now))
    }

    /// Begins to observe a resource. Its first answer, and each later one, is [`Effect::Notified`];
    /// the end, if nobody asked for it, [`Effect::Lost`]. A registration may take `patience`.
    pub fn observe(
        &mut self,
        peer: SocketAddr,
        request: Request,
        patience: Millis,
        now: Millis,
    ) -> Result<ObservationId, RefusedRequest> {
        self.admit(peer, &request)?;
        let id = ObservationId(self.name());
        let token = Token::new(self.entropy.bytes());
        self.observations.insert(id, Observation::new(peer, request, patience, token));
        self.listeners.insert(token, Listener::Observation(id));
        self.register(id, now);
        Ok(id)
    }

    /// Ends an observation, and tells its peer.
    pub fn forget(&mut self, observation: ObservationId, now: Millis) {
        self.deregister(observation, now);
    }

    /// Ends an exchange; it is done as [`Failure::Cancelled`].
    pub fn cancel(&mut self, exchange: ExchangeId, now: Millis) {
        self.finish(exchange, Err(Failure::Cancelled), now);
    }

    /// It is `now`.
    pub fn handle_timeout(&mut self, now: Millis) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Retransmit(peer, id) => self.retransmit(peer, id, now),
                Timer::Deadline(exchange) => self.finish(exchange, Err(Failure::Timeout), now),
                Timer::Resume(peer) => self.resume(peer, now),
                Timer::Refresh(observation) => self.register(observation, now),
                Timer::Acknowledge(peer, id) => self.acknowledge((peer, id)),
                Timer::Forget(peer, id) => self.drop_served((peer, id)),
                Timer::Abandon(account) => {
                    if let Some(server) = &mut self.server {
                        server.abandon(account);
                    }
                }
            }
        }
    }

    /// When [`Endpoint::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Millis> {
        self.timers.next()
    }

    /// What to do next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// What it has done so far.
    pub fn counters(&self) -> &EndpointCounters {
        &self.counters
    }

    fn admit(&self, peer: SocketAddr, request: &Request) -> Result<(), RefusedRequest> {
        let Limits { payload_max, waiting_max, exchanges_max, .. } = self.options.limits;
        let texts = request.path.iter().chain(&request.query);
        let bytes: usize = texts.clone().map(|text| text.len() + 3).sum();
        if texts.clone().any(|text| text.len() > TEXT_MAX) || bytes > PATH_MAX {
            return Err(RefusedRequest::Path);
        }
        if request.payload.len() > payload_max {
            return Err(RefusedRequest::TooLarge { max: payload_max });
        }
        let is_full = self.peers.get(&peer).is_some_and(|peer| peer.waiting.len() >= waiting_max);
        let under_way = self.exchanges.len() + self.observations.len();
        if is_full || under_way >= exchanges_max {
            return Err(RefusedRequest::Busy);
        }
        Ok(())
    }

    fn name(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// Longest segment or argument: what its option may hold.
const TEXT_MAX: usize = 255;
/// Longest path and query together with their option headers: what a datagram leaves beside the
/// smallest block and the other options.
const PATH_MAX: usize = 1_024;
