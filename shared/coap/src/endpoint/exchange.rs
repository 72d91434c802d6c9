//! One request with all its blocks, from its turn to its outcome.

use core::net::SocketAddr;

use fieldgate_model::Millis;

use super::download::{Download, DownloadStep};
use super::peer::Peer;
use super::reliable::Owner;
use super::upload::{Upload, UploadStep};
use super::{Effect, Endpoint, ExchangeId, Listener, Loss, ObservationId, Timer};
use crate::block::{Block, BlockSize};
use crate::code::Code;
use crate::message::{Kind, Message, MessageId, Token};
use crate::option::OptionNumber;
use crate::request::{Failure, ProtocolFault, Request, Response, early_block};

/// Peers that are remembered. Those that are idle give way, so only what is under way could go
/// beyond it, and that has a bound of its own.
const PEERS_MAX: usize = 4_096;

/// What an exchange is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// Somebody wants to know.
    Answer,
    /// Somebody wants to know of all who answer.
    Group,
    /// To be told of changes.
    Register(ObservationId),
    /// To be told no more.
    Deregister,
    /// The later blocks of a notification.
    Rest(ObservationId),
}

/// An exchange.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) peer: SocketAddr,
    pub(super) goal: Goal,
    request: Request,
    /// The same for each block, where the peer is to know it again.
    fixed_token: Option<Token>,
    deadline: Millis,
    upload: Option<Upload>,
    download: Option<Download>,
    under_way: Option<UnderWay>,
}

/// The message that waits for its answer.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    token: Token,
    id: MessageId,
    /// Its place among the unacknowledged ones is free. What goes to a group never had one: nobody
    /// there acknowledges.
    is_acknowledged: bool,
}

impl Endpoint {
    pub(super) fn begin(
        &mut self,
        peer: SocketAddr,
        request: Request,
        goal: Goal,
        deadline: Millis,
        now: Millis,
    ) -> ExchangeId {
        self.begin_with(Exchange::new(peer, request, goal), deadline, now)
    }

    pub(super) fn begin_with(
        &mut self,
        mut exchange: Exchange,
        deadline: Millis,
        now: Millis,
    ) -> ExchangeId {
        let id = ExchangeId(self.name());
        let peer = exchange.peer;
        exchange.deadline = deadline;
        self.exchanges.insert(id, exchange);
        self.timers.set(Timer::Deadline(id), deadline);
        self.peer(peer, now).waiting.push_back(id);
        self.resume(peer, now);
        id
    }

    /// What is remembered of a peer, from here on if nothing was.
    pub(super) fn peer(&mut self, peer: SocketAddr, now: Millis) -> &mut Peer {
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&peer) {
            self.forget_idle_peer();
        }
        let [high, low, ..] =
            if self.peers.contains_key(&peer) { [0; 8] } else { self.entropy.bytes() };
        self.peers.entry(peer).or_insert_with(|| Peer::new(u16::from_be_bytes([high, low]), now))
    }

    fn forget_idle_peer(&mut self) {
        let idle = self.peers.iter().filter(|(_, peer)| peer.is_idle());
        if let Some(oldest) = idle.min_by_key(|(_, peer)| peer.used_at).map(|(address, _)| *address)
        {
            self.peers.remove(&oldest);
        }
    }

    /// Lets the next exchanges begin that NSTART allows.
    pub(super) fn resume(&mut self, peer: SocketAddr, now: Millis) {
        let nstart = self.options.transmission.nstart;
        while let Some(state) =
            self.peers.get_mut(&peer).filter(|state| state.unacknowledged < nstart)
            && let Some(next) = state.waiting.pop_front()
        {
            if !self.send_part(next, now) {
                return;
            }
        }
    }

    /// Sends what the exchange has to say next; false if that must wait for a message id.
    fn send_part(&mut self, id: ExchangeId, now: Millis) -> bool {
        let Some(exchange) = self.exchanges.get(&id) else { return true };
        if exchange.deadline <= now {
            // It is about to be told so.
            return true;
        }
        let (address, fixed) = (exchange.peer, exchange.fixed_token);
        let token = fixed.unwrap_or_else(|| Token::new(self.entropy.bytes()));
        let message_id = match self.peer(address, now).take_id(now) {
            Ok(message_id) => message_id,
            Err(free_at) => {
                self.peer(address, now).waiting.push_front(id);
                self.timers.set(Timer::Resume(address), free_at);
                return false;
            }
        };
        let Some(exchange) = self.exchanges.get_mut(&id) else { return true };
        let message = exchange.message(message_id, token);
        let Ok(bytes) = message.encode() else {
            // The admission has measured path and query, and a block is small.
            self.finish(id, Err(Failure::TooLarge), now);
            return true;
        };
        let is_acknowledged = exchange.goal == Goal::Group;
        exchange.under_way = Some(UnderWay { token, id: message_id, is_acknowledged });
        if fixed.is_none() {
            self.listeners.insert(token, Listener::Exchange(id));
        }
        self.counters.requests += 1;
        self.peer(address, now).unacknowledged += usize::from(!is_acknowledged);
        self.send(Owner::Exchange(id), address, &message, bytes, now);
        true
    }

    /// The peer has the message; its answer comes apart.
    pub(super) fn handle_acknowledged(&mut self, id: ExchangeId, now: Millis) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let peer = exchange.peer;
        if let Some(under_way) = exchange.under_way.as_mut().filter(|it| !it.is_acknowledged) {
            under_way.is_acknowledged = true;
            let state = self.peer(peer, now);
            state.unacknowledged = state.unacknowledged.saturating_sub(1);
        }
        self.resume(peer, now);
    }

    /// An answer, from the peer and with the token.
    pub(super) fn handle_answer(
        &mut self,
        id: ExchangeId,
        from: SocketAddr,
        answer: Message,
        now: Millis,
    ) {
        let length_max = self.options.limits.payload_max;
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        if exchange.goal == Goal::Group {
            return self.give_group(id, from, answer);
        }
        match exchange.advance(answer, length_max) {
            Ok(Step::Send) => {
                self.settle_part(id, now);
                let Some(exchange) = self.exchanges.get(&id) else { return };
                let peer = exchange.peer;
                self.peer(peer, now).waiting.push_front(id);
                self.resume(peer, now);
            }
            Ok(Step::Done(response)) => self.finish(id, Ok(response), now),
            Err(failure) => self.finish(id, Err(failure), now),
        }
    }

    fn give_group(&mut self, exchange: ExchangeId, peer: SocketAddr, answer: Message) {
        let block = Block::of(&answer.options, OptionNumber::BLOCK2);
        let more = block.is_some_and(|block| block.more);
        let response = Response::of(answer);
        self.counters.answers += 1;
        self.effects.push_back(Effect::Answered { exchange, peer, response, more });
    }

    /// The message that was under way has had its answer.
    fn settle_part(&mut self, id: ExchangeId, now: Millis) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let (peer, fixed) = (exchange.peer, exchange.fixed_token);
        let Some(under_way) = exchange.under_way.take() else { return };
        if fixed.is_none() {
            self.listeners.remove(&under_way.token);
        }
        self.settle(peer, under_way.id);
        if !under_way.is_acknowledged {
            let state = self.peer(peer, now);
            state.unacknowledged = state.unacknowledged.saturating_sub(1);
        }
    }

    /// The exchange is over.
    pub(super) fn finish(
        &mut self,
        id: ExchangeId,
        outcome: Result<Response, Failure>,
        now: Millis,
    ) {
        let Some(exchange) = self.conclude(id, now) else { return };
        if exchange.goal != Goal::Group {
            self.count(outcome.as_ref().err());
        }
        match (exchange.goal, outcome) {
            (Goal::Answer | Goal::Group, outcome) => {
                self.effects.push_back(Effect::Done { exchange: id, outcome });
            }
            (Goal::Register(observation), Err(failure)) => {
                self.lose(observation, Loss::Failed(failure), now);
            }
            (Goal::Rest(observation), outcome) => self.rest_came(observation, id, outcome, now),
            (Goal::Deregister, _) => {
                if let Some(token) = exchange.fixed_token {
                    self.listeners.remove(&token);
                }
            }
            // What answers a registration is a notification, and has been taken for one.
            (Goal::Register(_), Ok(_)) => {}
        }
        self.resume(exchange.peer, now);
    }

    /// Nothing waits for it any more, and it waits for nothing.
    pub(super) fn conclude(&mut self, id: ExchangeId, now: Millis) -> Option<Exchange> {
        self.settle_part(id, now);
        let exchange = self.exchanges.remove(&id)?;
        self.timers.clear(Timer::Deadline(id));
        if let Some(state) = self.peers.get_mut(&exchange.peer) {
            state.waiting.retain(|waiting| *waiting != id);
        }
        Some(exchange)
    }

    fn count(&mut self, failure: Option<&Failure>) {
        match failure {
            None => self.counters.answers += 1,
            Some(Failure::Timeout) => self.counters.timeouts += 1,
            Some(Failure::Reset) => self.counters.resets_received += 1,
            Some(Failure::Unreachable) => self.counters.unreachable += 1,
            Some(Failure::Unauthenticated) => self.counters.unauthenticated += 1,
            Some(Failure::TooLarge | Failure::Protocol(_)) => self.counters.protocol_faults += 1,
            Some(Failure::Cancelled) => {}
        }
    }

    /// The exchange that waits for an answer to this message.
    pub(super) fn is_under_way(&self, exchange: ExchangeId, id: MessageId) -> bool {
        let exchange = self.exchanges.get(&exchange);
        exchange.and_then(|exchange| exchange.under_way).is_some_and(|under_way| under_way.id == id)
    }

    /// Whether what comes with its token may be the answer to it: the peer has said that it has it,
    /// or was not asked to say so.
    pub(super) fn may_be_answered_apart(&self, exchange: ExchangeId) -> bool {
        self.exchanges.get(&exchange).is_some_and(|exchange| {
            let under_way = exchange.under_way;
            !exchange.request.confirmable || under_way.is_some_and(|it| it.is_acknowledged)
        })
    }
}

/// What an exchange does next.
enum Step {
    Send,
    Done(Response),
}

impl Exchange {
    pub(super) fn new(peer: SocketAddr, request: Request, goal: Goal) -> Self {
        let size = request.block_size.unwrap_or(BlockSize::MAX);
        let upload = Upload::new(request.payload.len(), size);
        let (fixed_token, download, under_way) = (None, None, None);
        let deadline = Millis(u64::MAX);
        Self { peer, goal, request, fixed_token, deadline, upload, download, under_way }
    }

    /// The same token in each message.
    pub(super) fn with_token(mut self, token: Token) -> Self {
        self.fixed_token = Some(token);
        self
    }

    /// Goes on behind the first block of an answer.
    pub(super) fn behind(mut self, download: Download) -> Self {
        self.download = Some(download);
        self
    }

    fn message(&self, id: MessageId, token: Token) -> Message {
        let request = &self.request;
        let kind = if request.confirmable { Kind::Confirmable } else { Kind::NonConfirmable };
        let mut options = request.options();
        match self.goal {
            Goal::Register(_) => options.add_uint(OptionNumber::OBSERVE, 0),
            Goal::Deregister => options.add_uint(OptionNumber::OBSERVE, 1),
            Goal::Answer | Goal::Group | Goal::Rest(_) => {}
        }
        let mut payload = Vec::new();
        if let Some(download) = &self.download {
            download.wanted().add(&mut options, OptionNumber::BLOCK2);
        } else if let Some(upload) = &self.upload {
            let (block, range) = upload.block();
            block.add(&mut options, OptionNumber::BLOCK1);
            if upload.is_first() {
                let length = u32::try_from(request.payload.len()).unwrap_or(u32::MAX);
                options.add_uint(OptionNumber::SIZE1, length);
            }
            payload.extend_from_slice(request.payload.get(range).unwrap_or_default());
        } else {
            payload.clone_from(&request.payload);
            if let Some(block) = early_block(request.block_size) {
                block.add(&mut options, OptionNumber::BLOCK2);
            }
        }
        Message { kind, code: request.method.code(), id, token, options, payload }
    }

    fn advance(&mut self, answer: Message, length_max: usize) -> Result<Step, Failure> {
        if let Some(download) = self.download.take() {
            return download.handle(answer, length_max).map(|step| self.keep(step));
        }
        if let Some(upload) = &mut self.upload {
            match upload.handle(&answer).map_err(Failure::Protocol)? {
                UploadStep::Send => return Ok(Step::Send),
                UploadStep::Answer => {}
            }
        } else if answer.code == Code::CONTINUE {
            return Err(Failure::Protocol(ProtocolFault::Code(answer.code)));
        }
        Download::begin(answer, length_max).map(|step| self.keep(step))
    }

    fn keep(&mut self, step: DownloadStep) -> Step {
        match step {
            DownloadStep::More(download) => {
                self.download = Some(download);
                Step::Send
            }
            DownloadStep::Whole(response) => Step::Done(response),
        }
    }
}
