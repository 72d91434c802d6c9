//! Messages that may be acknowledged or reset: sent, sent again, and found when that happens.

use core::net::SocketAddr;

use fieldgate_model::Millis;

use super::served::Key;
use super::{Effect, Endpoint, ExchangeId, Timer};
use crate::message::{Kind, Message, MessageId};
use crate::request::Failure;

/// A message that its peer may acknowledge or reset.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) owner: Owner,
    /// Of a confirmable message.
    repeat: Option<Repeat>,
}

/// Whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A request of ours.
    Exchange(ExchangeId),
    /// Our answer to a request of a peer.
    Served(Key),
}

#[derive(Debug)]
struct Repeat {
    bytes: Vec<u8>,
    times: u32,
    timeout: Millis,
}

impl Endpoint {
    /// Sends a message of an exchange, again and again if it is confirmable.
    pub(super) fn send(
        &mut self,
        owner: Owner,
        peer: SocketAddr,
        message: &Message,
        bytes: Vec<u8>,
        now: Millis,
    ) {
        let repeat = (message.kind == Kind::Confirmable).then(|| {
            let timeout = self.first_timeout();
            self.timers.set(Timer::Retransmit(peer, message.id), now + timeout);
            Repeat { bytes: bytes.clone(), times: 0, timeout }
        });
        self.sent.insert((peer, message.id), Sent { owner, repeat });
        self.transmit_owned(owner, peer, bytes);
    }

    /// A time from `ACK_TIMEOUT` to `ACK_TIMEOUT` times `ACK_RANDOM_FACTOR`.
    pub(super) fn first_timeout(&mut self) -> Millis {
        let transmission = self.options.transmission;
        let spread = transmission.random_percent.saturating_sub(100);
        let spread = transmission.ack_timeout.0.saturating_mul(spread) / 100;
        transmission.ack_timeout + Millis(self.entropy.below(spread + 1))
    }

    /// Its time to be acknowledged has passed.
    pub(super) fn retransmit(&mut self, peer: SocketAddr, id: MessageId, now: Millis) {
        let times_max = self.options.transmission.retransmit_max;
        let Some(sent) = self.sent.get_mut(&(peer, id)) else { return };
        let owner = sent.owner;
        let Some(repeat) = &mut sent.repeat else { return };
        if repeat.times >= times_max {
            self.settle(peer, id);
            return self.failed(owner, Failure::Timeout, now);
        }
        repeat.times += 1;
        repeat.timeout = repeat.timeout + repeat.timeout;
        let (bytes, again_at) = (repeat.bytes.clone(), now + repeat.timeout);
        self.timers.set(Timer::Retransmit(peer, id), again_at);
        self.counters.retransmissions += 1;
        self.transmit_owned(owner, peer, bytes);
    }

    fn transmit_owned(&mut self, owner: Owner, peer: SocketAddr, bytes: Vec<u8>) {
        match owner {
            Owner::Exchange(_) => self.transmit(peer, bytes),
            Owner::Served(key) => self.transmit_for(key, bytes),
        }
    }

    /// A message has been acknowledged.
    pub(super) fn acknowledged(&mut self, owner: Owner, now: Millis) {
        match owner {
            Owner::Exchange(id) => self.handle_acknowledged(id, now),
            Owner::Served(key) => self.answer_settled(key, true),
        }
    }

    /// A message was refused, or has not been acknowledged in time.
    pub(super) fn failed(&mut self, owner: Owner, failure: Failure, now: Millis) {
        match owner {
            Owner::Exchange(id) => self.finish(id, Err(failure), now),
            Owner::Served(key) => self.answer_settled(key, false),
        }
    }

    /// It needs no sending any more, and what comes for it is for nobody.
    pub(super) fn settle(&mut self, peer: SocketAddr, id: MessageId) -> Option<Sent> {
        self.timers.clear(Timer::Retransmit(peer, id));
        self.sent.remove(&(peer, id))
    }

    pub(super) fn transmit(&mut self, peer: SocketAddr, bytes: Vec<u8>) {
        self.counters.datagrams_sent += 1;
        self.counters.bytes_sent += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.effects.push_back(Effect::Transmit { peer, bytes });
    }

    /// Sends a message that carries nothing; gives its bytes.
    pub(super) fn transmit_empty(
        &mut self,
        peer: SocketAddr,
        kind: Kind,
        id: MessageId,
    ) -> Vec<u8> {
        if kind == Kind::Reset {
            self.counters.resets_sent += 1;
        }
        // Four bytes fit into any message.
        let bytes = Message::empty(kind, id).encode().unwrap_or_default();
        self.transmit(peer, bytes.clone());
        bytes
    }
}
