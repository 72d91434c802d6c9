//! Requests of peers that were taken: known again when they come again, acknowledged in time, and
//! answered once.

use core::net::SocketAddr;

use fieldgate_model::Millis;
use sha2::{Digest, Sha256};

use super::push::{ContentKey, PushId};
use super::reliable::Owner;
use super::server::{AMPLIFICATION_MAX, Same, Server};
use super::{EXCHANGE_LIFETIME, Endpoint, NON_LIFETIME, Timer};
use crate::block::Block;
use crate::code::Code;
use crate::message::{Kind, Message, MessageId, Token};
use crate::option::OptionNumber;

/// A request is acknowledged after this if it has no answer by then: well before a peer with the
/// standard's times repeats it, at 2 s.
const ACKNOWLEDGED_AFTER: Millis = Millis::from_secs(1);

/// Who sent a request, and under which message id.
pub(super) type Key = (SocketAddr, MessageId);

/// A request that was taken.
#[derive(Debug)]
pub(super) struct Served {
    kind: Kind,
    token: Token,
    /// Of the datagram: another one under the same message id is no repetition. Devices that restart
    /// begin with the same ids.
    datagram: [u8; 32],
    /// Of the push that it made whole.
    pub(super) content: Option<ContentKey>,
    /// To be said again in the answer.
    pub(super) block: Option<Block>,
    received: usize,
    sent: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It has been taken, and is answered at once.
    Fresh,
    /// It waits for its push.
    Waits { push: PushId, is_acknowledged: bool },
    /// It was answered.
    Answered {
        code: Code,
        /// What to say to it when it comes again.
        reply: Vec<u8>,
        /// The peer cannot be expected to have heard it.
        is_doubtful: bool,
    },
}

impl Served {
    /// Whether so much more may be sent for it; then it is counted.
    pub(super) fn pay(&mut self, bytes: usize) -> bool {
        let has_enough = self.sent + bytes <= self.received * AMPLIFICATION_MAX;
        self.sent += if has_enough { bytes } else { 0 };
        has_enough
    }
}

impl Server {
    /// A push with the same content, on the same account, whose answer is not certain to have arrived.
    pub(super) fn same_content(&self, account: SocketAddr, content: ContentKey) -> Option<Same> {
        let mut same = self.of_account(account).filter(|served| served.content == Some(content));
        same.find_map(|served| match &served.state {
            State::Waits { push, .. } => Some(Same::Waits(*push)),
            State::Answered { code, is_doubtful: true, .. } if code.is_success() => {
                Some(Same::Answered(*code))
            }
            State::Fresh | State::Answered { .. } => None,
        })
    }

    fn of_account(&self, account: SocketAddr) -> impl Iterator<Item = &Served> {
        let last = SocketAddr::new(account.ip(), u16::MAX);
        let last = if account.port() == 0 { last } else { account };
        let range = (account, MessageId(0))..=(last, MessageId(u16::MAX));
        self.served.range(range).map(|(_, served)| served)
    }
}

impl Endpoint {
    /// Whether a request came before; then it is answered as it was.
    pub(super) fn is_known_again(&mut self, key: Key, bytes: &[u8]) -> bool {
        let Some(known) = self.served(key) else { return false };
        if known.datagram != digest(bytes) {
            self.drop_served(key);
            return false;
        }
        known.received += bytes.len();
        let acknowledgement = Message::empty(Kind::Acknowledgement, key.1);
        let (kind, reply) = (
            known.kind,
            match &mut known.state {
                // Its answer is still to come.
                State::Fresh | State::Waits { is_acknowledged: false, .. } => Vec::new(),
                State::Waits { is_acknowledged: true, .. } => {
                    acknowledgement.encode().unwrap_or_default()
                }
                State::Answered { reply, is_doubtful, .. } => {
                    *is_doubtful = true;
                    reply.clone()
                }
            },
        );
        self.counters.duplicates += 1;
        if kind == Kind::Confirmable && !reply.is_empty() {
            self.transmit_for(key, reply);
        }
        true
    }

    pub(super) fn remember(&mut self, key: Key, message: &Message, bytes: &[u8], now: Millis) {
        let is_confirmable = message.kind == Kind::Confirmable;
        let lifetime = if is_confirmable { EXCHANGE_LIFETIME } else { NON_LIFETIME };
        self.timers.set(Timer::Forget(key.0, key.1), now + lifetime);
        let request = Served {
            kind: message.kind,
            token: message.token,
            datagram: digest(bytes),
            content: None,
            block: None,
            received: bytes.len(),
            sent: 0,
            state: State::Fresh,
        };
        if let Some(server) = &mut self.server {
            server.served.insert(key, request);
        }
    }

    pub(super) fn wait_for(&mut self, key: Key, push: PushId, now: Millis) {
        let Some(served) = self.served(key) else { return };
        served.state = State::Waits { push, is_acknowledged: false };
        if served.kind == Kind::Confirmable {
            self.timers.set(Timer::Acknowledge(key.0, key.1), now + ACKNOWLEDGED_AFTER);
        }
    }

    /// Its answer takes longer: the peer need not repeat it.
    pub(super) fn acknowledge(&mut self, key: Key) {
        let Some(served) = self.served(key) else { return };
        let State::Waits { is_acknowledged, .. } = &mut served.state else { return };
        *is_acknowledged = true;
        let bytes = Message::empty(Kind::Acknowledgement, key.1).encode().unwrap_or_default();
        self.transmit_for(key, bytes);
    }

    /// What became of a push; 2.04 says that it is durable.
    pub fn reply(&mut self, push: PushId, code: Code, now: Millis) {
        let waiting = self.server.as_mut().and_then(|server| server.waiting.remove(&push));
        for key in waiting.unwrap_or_default() {
            let block = self.served(key).and_then(|served| served.block);
            self.answer(key, code, block, None, now);
        }
    }

    /// Answers a request: in its acknowledgement, or apart if it has been acknowledged.
    pub(super) fn answer(
        &mut self,
        key: Key,
        code: Code,
        block: Option<Block>,
        size: Option<u32>,
        now: Millis,
    ) {
        self.timers.clear(Timer::Acknowledge(key.0, key.1));
        let Some(served) = self.served(key) else { return };
        let (kind, token) = (served.kind, served.token);
        let is_acknowledged = matches!(served.state, State::Waits { is_acknowledged: true, .. });
        let mut answer = Message::empty(Kind::Acknowledgement, key.1);
        (answer.code, answer.token) = (code, token);
        if let Some(block) = block {
            block.add(&mut answer.options, OptionNumber::BLOCK1);
        }
        if let Some(size) = size {
            answer.options.add_uint(OptionNumber::SIZE1, size);
        }
        let is_apart = is_acknowledged || kind == Kind::NonConfirmable;
        if is_apart {
            // Without a free message id there is no answer; the peer asks again, or had none coming.
            let Ok(id) = self.peer(key.0, now).take_id(now) else { return };
            (answer.kind, answer.id) = (kind, id);
        }
        let Ok(bytes) = answer.encode() else { return };
        let reply = if is_apart {
            Message::empty(Kind::Acknowledgement, key.1).encode().unwrap_or_default()
        } else {
            bytes.clone()
        };
        if let Some(served) = self.served(key) {
            // Until it is acknowledged, an answer that goes apart may not have arrived.
            let is_doubtful = is_apart && kind == Kind::Confirmable;
            served.state = State::Answered { code, reply, is_doubtful };
        }
        if is_apart && kind == Kind::Confirmable {
            self.send(Owner::Served(key), key.0, &answer, bytes, now);
        } else {
            self.transmit_for(key, bytes);
        }
    }

    /// The peer has an answer that went apart, or will never acknowledge it.
    pub(super) fn answer_settled(&mut self, key: Key, has_arrived: bool) {
        let Some(served) = self.served(key) else { return };
        if let State::Answered { is_doubtful, .. } = &mut served.state {
            *is_doubtful = !has_arrived;
        }
    }

    /// Sends what a request has brought about, within what it may.
    pub(super) fn transmit_for(&mut self, key: Key, bytes: Vec<u8>) {
        let is_paid = self.served(key).is_some_and(|served| served.pay(bytes.len()));
        if is_paid {
            self.transmit(key.0, bytes);
        } else {
            self.counters.amplification += 1;
        }
    }

    /// A request can no longer come again, or another one has its place.
    pub(super) fn drop_served(&mut self, key: Key) {
        self.timers.clear(Timer::Forget(key.0, key.1));
        self.timers.clear(Timer::Acknowledge(key.0, key.1));
        if let Some(server) = &mut self.server {
            server.forget(key);
            for waiting in server.waiting.values_mut() {
                waiting.retain(|waits| *waits != key);
            }
        }
    }

    fn served(&mut self, key: Key) -> Option<&mut Served> {
        self.server.as_mut()?.served.get_mut(&key)
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
