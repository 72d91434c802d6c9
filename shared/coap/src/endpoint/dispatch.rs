//! What comes, and whom it is for.

use core::net::SocketAddr;

use fieldgate_model::Millis;

use super::exchange::Goal;
use super::reliable::Owner;
use super::{Endpoint, ExchangeId, Listener};
use crate::message::{DecodeError, Kind, Message};
use crate::option::OptionNumber;
use crate::request::{Failure, ProtocolFault};

/// What a response may have that must be understood.
const UNDERSTOOD: [OptionNumber; 2] = [OptionNumber::BLOCK1, OptionNumber::BLOCK2];

impl Endpoint {
    /// A datagram came.
    pub fn handle_datagram(&mut self, peer: SocketAddr, bytes: &[u8], now: Millis) {
        self.counters.datagrams_received += 1;
        self.counters.bytes_received += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match Message::decode(bytes) {
            Ok(message) if message.code.is_request() => {
                self.handle_request(peer, message, bytes, now);
            }
            Ok(message) if message.code.is_response() => self.handle_response(peer, message, now),
            Ok(message) => self.handle_empty(peer, &message, now),
            Err(DecodeError::Format { kind: Kind::Confirmable, id, .. }) => {
                self.counters.malformed += 1;
                self.transmit_empty(peer, Kind::Reset, id);
            }
            Err(
                DecodeError::Format { .. }
                | DecodeError::Short
                | DecodeError::Long
                | DecodeError::Version,
            ) => self.counters.malformed += 1,
        }
    }

    /// What was sent to a peer came back, or the way to it ended.
    pub fn handle_unreachable(&mut self, peer: SocketAddr, now: Millis) {
        self.end_all(peer, Failure::Unreachable, now);
    }

    /// There is no session with a peer, and will be none.
    pub fn handle_unauthenticated(&mut self, peer: SocketAddr, now: Millis) {
        self.end_all(peer, Failure::Unauthenticated, now);
    }

    fn end_all(&mut self, peer: SocketAddr, failure: Failure, now: Millis) {
        let exchanges = self.exchanges.iter().filter(|(_, exchange)| exchange.peer == peer);
        let ended: Vec<ExchangeId> = exchanges.map(|(id, _)| *id).collect();
        for exchange in ended {
            self.finish(exchange, Err(failure), now);
        }
    }

    fn handle_empty(&mut self, peer: SocketAddr, message: &Message, now: Millis) {
        match message.kind {
            // A ping.
            Kind::Confirmable => {
                self.transmit_empty(peer, Kind::Reset, message.id);
            }
            Kind::NonConfirmable => self.counters.malformed += 1,
            Kind::Acknowledgement => match self.settle(peer, message.id) {
                Some(sent) => self.acknowledged(sent.owner, now),
                None => self.counters.foreign += 1,
            },
            Kind::Reset => match self.settle(peer, message.id) {
                Some(sent) => self.failed(sent.owner, Failure::Reset, now),
                None => self.counters.foreign += 1,
            },
        }
    }

    fn handle_response(&mut self, peer: SocketAddr, message: Message, now: Millis) {
        if message.kind == Kind::Acknowledgement {
            return self.handle_piggybacked(peer, message, now);
        }
        if message.kind == Kind::Reset {
            self.counters.malformed += 1;
            return;
        }
        let known = self.peers.get(&peer).and_then(|state| state.heard(message.id, now));
        if let Some(reply) = known.map(<[u8]>::to_vec) {
            self.counters.duplicates += 1;
            if message.kind == Kind::Confirmable {
                self.transmit(peer, reply);
            }
            return;
        }
        let Some(listener) = self.listener(peer, &message) else {
            return self.refuse(peer, &message);
        };
        let is_usable = message.options.unusable(&UNDERSTOOD).is_none();
        let reply = match message.kind {
            Kind::Confirmable if is_usable => {
                self.transmit_empty(peer, Kind::Acknowledgement, message.id)
            }
            Kind::Confirmable => self.transmit_empty(peer, Kind::Reset, message.id),
            Kind::NonConfirmable | Kind::Acknowledgement | Kind::Reset => Vec::new(),
        };
        // Who answers a group is remembered only once it is asked itself.
        if let Some(state) = self.peers.get_mut(&peer) {
            state.hear(message.id, reply, now);
        }
        self.give_to(listener, peer, message, now);
    }

    /// An answer in the acknowledgement of its request.
    fn handle_piggybacked(&mut self, peer: SocketAddr, message: Message, now: Millis) {
        let owner = self.sent.get(&(peer, message.id)).map(|sent| sent.owner);
        let listener = self.listener(peer, &message);
        let waits = match listener {
            Some(Listener::Exchange(id)) => {
                owner == Some(Owner::Exchange(id)) && self.is_under_way(id, message.id)
            }
            // The registration is under way; who listens is the observation.
            Some(Listener::Observation(_)) => owner.is_some(),
            None => false,
        };
        match listener.filter(|_| waits) {
            Some(listener) => self.give_to(listener, peer, message, now),
            None => self.counters.foreign += 1,
        }
    }

    fn give_to(&mut self, listener: Listener, peer: SocketAddr, message: Message, now: Millis) {
        let critical = message.options.unusable(&UNDERSTOOD);
        let failure = critical.map(|it| Failure::Protocol(ProtocolFault::CriticalOption(it)));
        match (listener, failure) {
            (Listener::Exchange(id), None) => self.handle_answer(id, peer, message, now),
            (Listener::Exchange(id), Some(failure)) => {
                // Of a group, the others may still answer.
                if self.exchanges.get(&id).is_some_and(|exchange| exchange.goal != Goal::Group) {
                    self.finish(id, Err(failure), now);
                }
            }
            (Listener::Observation(id), None) => self.handle_notification(id, message, now),
            (Listener::Observation(id), Some(failure)) => {
                self.lose(id, super::Loss::Failed(failure), now);
            }
        }
    }

    /// Who waits for this, if it comes from whom it should.
    fn listener(&self, peer: SocketAddr, message: &Message) -> Option<Listener> {
        let listener = *self.listeners.get(&message.token)?;
        let is_theirs = match listener {
            Listener::Exchange(id) => self.exchanges.get(&id).is_some_and(|exchange| {
                let is_group = exchange.goal == Goal::Group && exchange.peer.ip().is_multicast();
                is_group || exchange.peer == peer
            }),
            Listener::Observation(id) => {
                self.observations.get(&id).is_some_and(|observation| observation.peer == peer)
            }
        };
        is_theirs.then_some(listener)
    }

    /// Nobody asked for it. A confirmable message is refused so that it is not repeated, and a
    /// notification so that there are no more of them; a late answer deserves no word.
    fn refuse(&mut self, peer: SocketAddr, message: &Message) {
        self.counters.foreign += 1;
        let is_notification = message.options.first(OptionNumber::OBSERVE).is_some();
        if message.kind == Kind::Confirmable || is_notification {
            self.transmit_empty(peer, Kind::Reset, message.id);
        }
    }
}
