//! The task of an endpoint: it owns the socket and the machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldgate_coap::code::Code;
use fieldgate_coap::counters::EndpointCounters;
use fieldgate_coap::endpoint::{
    ContentKey, Effect, Endpoint, ExchangeId, Loss, ObservationId, Push, PushId,
};
use fieldgate_coap::message::DATAGRAM_MAX;
use fieldgate_coap::request::{Failure, Request, Response};
use fieldgate_model::Millis;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::sleep;

use super::discovery::Heard;
use super::dtls::{Layered, Secured};
use super::endpoint::{CoapResponse, EndpointOptions, RequestError};
use super::incoming::{Incoming, ReplyHandle};
use super::observation::{NOTIFICATIONS_MAX, Notification};
use super::socket::Socket;
use crate::clock::Clock;
use crate::drivers::{Direction, Tapped};

/// Pushes that may wait to be durable; each has its place among the replies.
pub(super) const PUSHES_MAX: usize = 256;
/// How an observation ends whose peer says nothing any more.
const SILENT: Notification = Notification::Lost(Loss::Failed(Failure::Timeout));
/// Datagrams taken at a time, so that a flood leaves room for those who ask.
const RECEIVED_AT_A_TIME: usize = 64;

/// What is asked of the task.
#[derive(Debug)]
pub(super) enum Command {
    Request {
        peer: SocketAddr,
        request: Request,
        deadline: Millis,
        done: oneshot::Sender<Result<CoapResponse, RequestError>>,
    },
    Observe {
        peer: SocketAddr,
        request: Request,
        patience: Millis,
        done: oneshot::Sender<Begun>,
    },
    Discover {
        group: SocketAddr,
        request: Request,
        wait: Millis,
        found: mpsc::Sender<Heard>,
        done: oneshot::Sender<Result<(), RequestError>>,
    },
    Forget(ObservationId),
}

/// An observation that has begun, or why it has not.
type Begun = Result<(ObservationId, broadcast::Receiver<Notification>), RequestError>;

/// Who is asked, and who wants to know.
struct Asked {
    peer: SocketAddr,
    done: oneshot::Sender<Result<CoapResponse, RequestError>>,
}

/// Who is observed, and who wants to know.
struct Observed {
    peer: SocketAddr,
    told: broadcast::Sender<Notification>,
}

/// The task.
pub(super) struct Task {
    name: Arc<str>,
    socket: Socket,
    machine: Endpoint,
    secured: Option<Secured>,
    clock: Clock,
    requests: BTreeMap<ExchangeId, Asked>,
    discoveries: BTreeMap<ExchangeId, mpsc::Sender<Heard>>,
    observations: BTreeMap<ObservationId, Observed>,
    shown: watch::Sender<EndpointCounters>,
    tap: Option<broadcast::Sender<Arc<Tapped>>>,
    tapped_at: Option<Instant>,
    incoming: Option<mpsc::Sender<Incoming>>,
    replies: mpsc::Sender<(PushId, Code)>,
    answers: mpsc::Receiver<(PushId, Code)>,
}

enum Event {
    Command(Command),
    Reply(PushId, Code),
    Readable,
    Due,
    Closed,
}

impl Task {
    pub(super) fn new(
        options: EndpointOptions,
        socket: Socket,
        machine: Endpoint,
        secured: Option<Secured>,
        incoming: Option<mpsc::Sender<Incoming>>,
        shown: watch::Sender<EndpointCounters>,
    ) -> Self {
        let (replies, answers) = mpsc::channel(PUSHES_MAX);
        Self {
            name: options.name,
            socket,
            machine,
            secured,
            clock: Clock,
            requests: BTreeMap::new(),
            discoveries: BTreeMap::new(),
            observations: BTreeMap::new(),
            shown,
            tap: options.tap,
            tapped_at: None,
            incoming,
            replies,
            answers,
        }
    }

    /// Runs until nobody can ask any more.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut buffer = vec![0; DATAGRAM_MAX + 1];
        loop {
            match self.select(&mut inbox).await {
                Event::Command(command) => self.command(command),
                Event::Reply(push, code) => self.machine.reply(push, code, self.clock.now()),
                Event::Readable => self.receive(&mut buffer),
                Event::Due => self.handle_timeout(),
                Event::Closed => return,
            }
            self.flush();
        }
    }

    async fn select(&mut self, inbox: &mut mpsc::Receiver<Command>) -> Event {
        let wait = self.machine.poll_timeout().map(|at| at.since(self.clock.now()));
        let wait = [wait, self.secured.as_ref().and_then(Secured::poll_timeout)];
        let wait = wait.into_iter().flatten().min();
        tokio::select! {
            Some((push, code)) = self.answers.recv() => Event::Reply(push, code),
            command = inbox.recv() => command.map_or(Event::Closed, Event::Command),
            readable = self.socket.ready() => {
                if readable.is_ok() { Event::Readable } else { Event::Closed }
            }
            () = async {
                match wait {
                    Some(wait) => sleep(Duration::from_millis(wait.0)).await,
                    None => std::future::pending().await,
                }
            } => Event::Due,
        }
    }

    fn command(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Request { peer, request, deadline, done } => {
                match self.machine.request(peer, request, deadline, now) {
                    Ok(exchange) => drop(self.requests.insert(exchange, Asked { peer, done })),
                    Err(refused) => drop(done.send(Err(RequestError::Refused(refused)))),
                }
            }
            Command::Observe { peer, request, patience, done } => {
                let begun = self.machine.observe(peer, request, patience, now);
                let begun = begun.map_err(RequestError::Refused).map(|id| {
                    let (told, receiver) = broadcast::channel(NOTIFICATIONS_MAX);
                    self.observations.insert(id, Observed { peer, told });
                    (id, receiver)
                });
                drop(done.send(begun));
            }
            Command::Discover { group, request, wait, found, done } => {
                let begun = self.machine.ask_group(group, request, now + wait, now);
                let begun = begun.map_err(RequestError::Refused).map(|exchange| {
                    self.discoveries.insert(exchange, found);
                });
                drop(done.send(begun));
            }
            Command::Forget(observation) => {
                self.observations.remove(&observation);
                self.machine.forget(observation, now);
            }
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) {
        let now = self.clock.now();
        for _ in 0..RECEIVED_AT_A_TIME {
            let Some((length, peer)) = self.socket.try_receive(buffer) else { break };
            let bytes = buffer.get(..length).unwrap_or_default();
            if let Some(secured) = &mut self.secured {
                secured.receive(peer, bytes);
            } else {
                self.heard(peer, bytes);
            }
        }
        for _ in 0..RECEIVED_AT_A_TIME {
            let Some(peer) = self.socket.try_unreachable() else { break };
            self.machine.handle_unreachable(peer, now);
            self.forget_session(peer);
        }
    }

    fn handle_timeout(&mut self) {
        self.machine.handle_timeout(self.clock.now());
        if let Some(secured) = &mut self.secured {
            secured.handle_timeout();
        }
    }

    /// A message came, decrypted if it had to be.
    fn heard(&mut self, peer: SocketAddr, bytes: &[u8]) {
        let now = self.clock.now();
        self.show(Direction::Received, peer, bytes, now);
        self.machine.handle_datagram(peer, bytes, now);
    }

    /// Does what the layer of security wants; false if that is nothing.
    fn flush_layer(&mut self) -> bool {
        let mut is_any = false;
        while let Some(event) = self.secured.as_mut().and_then(Secured::poll) {
            is_any = true;
            match event {
                Layered::Transmit(peer, bytes) => self.socket.try_send(&bytes, peer),
                Layered::Received(peer, bytes) => self.heard(peer, &bytes),
                Layered::Refused(peer) => {
                    self.machine.handle_unauthenticated(peer, self.clock.now());
                }
            }
        }
        is_any
    }

    /// The peer may have restarted.
    fn forget_session(&mut self, peer: SocketAddr) {
        if let Some(secured) = &mut self.secured {
            secured.forget(peer);
        }
    }

    /// Does all that the machine and the layer below it want.
    fn flush(&mut self) {
        self.flush_machine();
        while self.flush_layer() {
            self.flush_machine();
        }
        self.shown.send_replace(*self.machine.counters());
    }

    fn flush_machine(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Transmit { peer, bytes } => self.transmit(peer, &bytes),
                Effect::Done { exchange, outcome } => self.done(exchange, outcome),
                Effect::Answered { exchange, peer, response, more } => {
                    if let Some(found) = self.discoveries.get(&exchange) {
                        // Who cannot keep up misses some, and asks again.
                        drop(found.try_send(Heard { peer, response, more }));
                    }
                }
                Effect::Notified { observation, response } => {
                    self.tell(observation, Notification::Fresh(response.into()));
                }
                Effect::Pushed { push, peer, request, content } => {
                    self.give(push, peer, request, content);
                }
                Effect::Lost { observation, loss } => {
                    self.tell(observation, Notification::Lost(loss));
                    self.observations.remove(&observation);
                }
            }
        }
    }

    /// Gives a push on. Whoever should take it and cannot makes its device send it again later.
    fn give(&mut self, push: PushId, peer: SocketAddr, request: Push, content: ContentKey) {
        let reply = ReplyHandle::new(push, self.replies.clone());
        let identity = self.secured.as_ref().and_then(|secured| secured.identity(peer));
        let incoming = Incoming { peer, identity, request, content, reply };
        let Some(to) = &self.incoming else { return };
        if let Err(refused) = to.try_send(incoming) {
            refused.into_inner().reply.send(Code::UNAVAILABLE);
        }
    }

    fn transmit(&mut self, peer: SocketAddr, bytes: &[u8]) {
        self.show(Direction::Sent, peer, bytes, self.clock.now());
        match &mut self.secured {
            Some(secured) => secured.send(peer, bytes),
            None => self.socket.try_send(bytes, peer),
        }
    }

    fn done(&mut self, exchange: ExchangeId, outcome: Result<Response, Failure>) {
        self.discoveries.remove(&exchange);
        if let Some(Asked { peer, done }) = self.requests.remove(&exchange) {
            if outcome == Err(Failure::Timeout) {
                self.forget_session(peer);
            }
            // Who does not wait any more misses nothing.
            drop(done.send(outcome.map(Into::into).map_err(Into::into)));
        }
    }

    fn tell(&mut self, observation: ObservationId, notification: Notification) {
        let Some(Observed { peer, told }) = self.observations.get(&observation) else { return };
        let (peer, is_silent) = (*peer, notification == SILENT);
        let told = told.send(notification);
        if is_silent {
            self.forget_session(peer);
        }
        if told.is_err() {
            self.observations.remove(&observation);
            self.machine.forget(observation, self.clock.now());
        }
    }

    /// Costs nothing while nobody listens.
    fn show(&mut self, direction: Direction, peer: SocketAddr, bytes: &[u8], now: Millis) {
        let Some(tap) = self.tap.as_ref().filter(|tap| tap.receiver_count() > 0) else {
            self.tapped_at = None;
            return;
        };
        let at = Instant::now();
        let gap = self.tapped_at.replace(at).map_or(0, |last| at.duration_since(last).as_micros());
        let tapped = Tapped {
            bus: Arc::clone(&self.name),
            at: now,
            direction,
            peer: Some(peer),
            bytes: bytes.to_vec(),
            gap_us: u64::try_from(gap).unwrap_or(u64::MAX),
        };
        // Who has just stopped listening misses nothing.
        drop(tap.send(Arc::new(tapped)));
    }
}
