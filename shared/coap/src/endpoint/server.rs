//! The other role: devices push, and are answered once what they pushed is durable.
//!
//! # Invariants
//!
//! - A push is given on whole, at most once in the time in which its messages may come again, and
//!   never again while it is not certain that its answer has arrived.
//! - Who is not known costs no memory and gets no more bytes than it sent; who is known gets at most
//!   [`AMPLIFICATION_MAX`] times what it sent, however often it is answered, because an address may be
//!   forged.

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};

use fieldgate_model::Millis;

use super::push::{Push, PushId, content_key};
use super::rate::{Bucket, Rate};
use super::served::{Key, Served};
use super::transfer::{Transfer, TransferStep};
use super::{Effect, Endpoint, Timer};
use crate::block::Block;
use crate::code::{Code, Method};
use crate::message::{Kind, Message};
use crate::option::{ContentFormat, OptionNumber};

/// How many times what a peer sent it may get back (RFC 9175 section 2.6 names three).
pub const AMPLIFICATION_MAX: usize = 3;
/// Requests in the time in which they may come again, of one peer: four a second.
const SERVED_OF_ONE_MAX: usize = 1_024;
/// Refusals a second, and as many at once: enough for an installer to see why nothing arrives, too few
/// to flood anybody with.
const REFUSALS: Rate = Rate { per_second: 50, burst: 50 };

/// What a request may have that must be understood.
const UNDERSTOOD: [OptionNumber; 7] = [
    OptionNumber::URI_HOST,
    OptionNumber::URI_PORT,
    OptionNumber::URI_PATH,
    OptionNumber::URI_QUERY,
    OptionNumber::ACCEPT,
    OptionNumber::BLOCK1,
    OptionNumber::BLOCK2,
];

/// Who may push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Who comes from one of these addresses.
    Addresses(BTreeSet<IpAddr>),
    /// Whoever gets through: its datagrams are authenticated.
    Authenticated,
}

/// How devices are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOptions {
    /// Who may push.
    pub known: Known,
    /// How often one of them may.
    pub rate: Rate,
    /// Pushes that are not durable yet, of all.
    pub pushes_max: usize,
    /// Requests that are remembered, of all.
    pub served_max: usize,
    /// Transfers in blocks that are under way, one of each peer at most.
    pub transfers_max: usize,
}

impl ServerOptions {
    /// Usual bounds: four pushes a second of each; 16 transfers of 64 KiB are one MiB.
    pub fn new(known: Known) -> Self {
        let rate = Rate { per_second: 4, burst: 16 };
        Self { known, rate, pushes_max: 256, served_max: 16_384, transfers_max: 16 }
    }
}

/// Everything about serving.
#[derive(Debug)]
pub(super) struct Server {
    options: ServerOptions,
    pub(super) served: BTreeMap<Key, Served>,
    accounts: BTreeMap<SocketAddr, Account>,
    /// Whom to answer once a push is durable: those who sent it.
    pub(super) waiting: BTreeMap<PushId, Vec<Key>>,
    refusals: Bucket,
}

/// What one peer has taken of what it may.
#[derive(Debug, Default)]
struct Account {
    bucket: Bucket,
    served: usize,
    transfer: Option<Transfer>,
}

impl Server {
    pub(super) fn new(options: ServerOptions) -> Self {
        Self {
            options,
            served: BTreeMap::new(),
            accounts: BTreeMap::new(),
            waiting: BTreeMap::new(),
            refusals: Bucket::default(),
        }
    }

    /// On whose account a peer goes: by address, whatever its port, where addresses are all there is.
    pub(super) fn account_of(&self, peer: SocketAddr) -> Option<SocketAddr> {
        match &self.options.known {
            Known::Addresses(known) => {
                known.contains(&peer.ip()).then_some(SocketAddr::new(peer.ip(), 0))
            }
            Known::Authenticated => Some(peer),
        }
    }

    /// A request can no longer come again.
    pub(super) fn forget(&mut self, key: Key) {
        if self.served.remove(&key).is_none() {
            return;
        }
        let Some(account) = self.account_of(key.0) else { return };
        if let Some(state) = self.accounts.get_mut(&account) {
            state.served -= 1;
            if state.served == 0 && state.transfer.is_none() {
                self.accounts.remove(&account);
            }
        }
    }

    /// The blocks of a peer have taken too long.
    pub(super) fn abandon(&mut self, account: SocketAddr) {
        if let Some(state) = self.accounts.get_mut(&account) {
            state.transfer = None;
        }
    }

    fn transfers(&self) -> usize {
        self.accounts.values().filter(|account| account.transfer.is_some()).count()
    }
}

impl Endpoint {
    /// A peer asks for something.
    pub(super) fn handle_request(
        &mut self,
        peer: SocketAddr,
        message: Message,
        bytes: &[u8],
        now: Millis,
    ) {
        let account = self.server.as_ref().and_then(|server| server.account_of(peer));
        let Some(account) = account else {
            self.counters.unknown_peers += 1;
            return self.refuse_request(peer, &message, Code::UNAUTHORIZED, now);
        };
        let key = (peer, message.id);
        if self.is_known_again(key, bytes) {
            return;
        }
        let continues =
            Block::of(&message.options, OptionNumber::BLOCK1).is_some_and(|block| block.number > 0);
        if let Err(code) = self.charge(account, continues, now) {
            self.counters.overload += 1;
            return self.refuse_request(peer, &message, code, now);
        }
        self.remember(key, &message, bytes, now);
        match self.take(account, key, message, now) {
            Ok(Taken::Push { push, block }) => self.give_push(account, key, push, block, now),
            Ok(Taken::Block(block)) => self.answer(key, Code::CONTINUE, Some(block), None, now),
            Err(Refused { code, block, size }) => self.answer(key, code, block, size, now),
            // RFC 7252 section 5.4.1: what cannot be understood and was not confirmable is ignored.
            Ok(Taken::Nothing) => self.counters.malformed += 1,
        }
    }

    /// Answers without remembering that, and not too often.
    fn refuse_request(&mut self, peer: SocketAddr, message: &Message, code: Code, now: Millis) {
        if message.kind != Kind::Confirmable {
            return;
        }
        let Some(server) = &mut self.server else {
            // Nobody is served here.
            self.transmit_empty(peer, Kind::Reset, message.id);
            return;
        };
        if !server.refusals.take(REFUSALS, now) {
            return;
        }
        let mut refusal = Message::empty(Kind::Acknowledgement, message.id);
        (refusal.code, refusal.token) = (code, message.token);
        if let Ok(bytes) = refusal.encode() {
            self.transmit(peer, bytes);
        }
    }

    /// Whether there is room for one more request of this account.
    fn charge(&mut self, account: SocketAddr, continues: bool, now: Millis) -> Result<(), Code> {
        let Some(server) = &mut self.server else { return Err(Code::UNAUTHORIZED) };
        let rate = server.options.rate;
        let is_full = server.served.len() >= server.options.served_max;
        let state = server.accounts.entry(account).or_default();
        // The blocks of a transfer follow each other one by one, and their number is bounded.
        let goes_on = continues && state.transfer.is_some();
        if is_full || state.served >= SERVED_OF_ONE_MAX {
            return Err(Code::UNAVAILABLE);
        }
        if !goes_on && !state.bucket.take(rate, now) {
            return Err(Code::TOO_MANY_REQUESTS);
        }
        state.served += 1;
        Ok(())
    }

    /// What a request is, once it is whole.
    fn take(
        &mut self,
        account: SocketAddr,
        key: Key,
        message: Message,
        now: Millis,
    ) -> Result<Taken, Refused> {
        let options = &message.options;
        if let Some(critical) = options.unusable(&UNDERSTOOD) {
            if message.kind != Kind::Confirmable {
                return Ok(Taken::Nothing);
            }
            let is_proxy =
                [OptionNumber::PROXY_URI, OptionNumber::PROXY_SCHEME].contains(&critical);
            return Err(Refused::with(if is_proxy { Code::NO_PROXY } else { Code::BAD_OPTION }));
        }
        let method = Method::of(message.code)
            .filter(|method| matches!(method, Method::Post | Method::Put))
            .ok_or(Refused::with(Code::METHOD_NOT_ALLOWED))?;
        if Block::is_reserved(options, OptionNumber::BLOCK1) {
            return Err(Refused::with(Code::BAD_OPTION));
        }
        let path = texts(&message, OptionNumber::URI_PATH)?;
        if path.is_empty() || path.iter().any(String::is_empty) {
            return Err(Refused::with(Code::NOT_FOUND));
        }
        if path.iter().any(|segment| segment == "." || segment == "..") {
            return Err(Refused::with(Code::BAD_REQUEST));
        }
        let query = texts(&message, OptionNumber::URI_QUERY)?;
        let format = options.uint(OptionNumber::CONTENT_FORMAT);
        let content_format = format.and_then(|it| u16::try_from(it).ok()).map(ContentFormat);
        let block = Block::of(options, OptionNumber::BLOCK1);
        let told = options.uint(OptionNumber::SIZE1);
        let push = Push { method, path, query, content_format, payload: message.payload };
        match block {
            // A single block that says so is a whole one.
            Some(block) if block.number > 0 || block.more => {
                self.take_block(account, key, push, block, told, now)
            }
            Some(_) | None => Ok(Taken::Push { push, block }),
        }
    }

    fn take_block(
        &mut self,
        account: SocketAddr,
        key: Key,
        mut push: Push,
        block: Block,
        told: Option<u32>,
        now: Millis,
    ) -> Result<Taken, Refused> {
        let length_max = self.options.limits.payload_max;
        let Some(server) = &mut self.server else { return Ok(Taken::Nothing) };
        let transfers_max = server.options.transfers_max;
        let transfers = server.transfers();
        let state = server.accounts.entry(account).or_default();
        let under_way = state.transfer.take();
        self.timers.clear(Timer::Abandon(account));
        if under_way.is_none() && block.number == 0 && transfers >= transfers_max {
            self.counters.overload += 1;
            return Err(Refused::with(Code::UNAVAILABLE));
        }
        let told = told.and_then(|told| usize::try_from(told).ok()).unwrap_or(0);
        let transfer = match under_way {
            Some(transfer) if block.number > 0 => transfer,
            Some(_) | None => Transfer::new(key.0, &push),
        };
        let step = transfer.handle(key.0, &push, block, told, length_max);
        match step {
            Ok(TransferStep::More(transfer)) => {
                state.transfer = Some(transfer);
                self.timers.set(Timer::Abandon(account), now + super::transfer::ABANDONED_AFTER);
                Ok(Taken::Block(block))
            }
            Ok(TransferStep::Whole(payload)) => {
                push.payload = payload;
                Ok(Taken::Push { push, block: Some(block) })
            }
            Err(code) => {
                let size = (code == Code::ENTITY_TOO_LARGE)
                    .then(|| u32::try_from(length_max).unwrap_or(u32::MAX));
                Err(Refused { code, block: Some(block), size })
            }
        }
    }

    /// Gives a push on, unless it is one that is known.
    fn give_push(
        &mut self,
        account: SocketAddr,
        key: Key,
        push: Push,
        block: Option<Block>,
        now: Millis,
    ) {
        let content = content_key(account, &push);
        let Some(server) = &mut self.server else { return };
        let same = server.same_content(account, content);
        if let Some(served) = server.served.get_mut(&key) {
            (served.content, served.block) = (Some(content), block);
        }
        match same {
            Some(Same::Waits(name)) => {
                self.counters.same_content += 1;
                server.waiting.entry(name).or_default().push(key);
                return self.wait_for(key, name, now);
            }
            Some(Same::Answered(code)) => {
                self.counters.same_content += 1;
                return self.answer(key, code, block, None, now);
            }
            None => {}
        }
        if server.waiting.len() >= server.options.pushes_max {
            self.counters.overload += 1;
            return self.answer(key, Code::UNAVAILABLE, block, None, now);
        }
        let name = PushId(self.name());
        if let Some(server) = &mut self.server {
            server.waiting.insert(name, vec![key]);
        }
        self.wait_for(key, name, now);
        self.counters.pushes += 1;
        self.effects.push_back(Effect::Pushed { push: name, peer: key.0, request: push, content });
    }
}

/// What became of the content of a push that came under another name.
pub(super) enum Same {
    /// It is not durable yet.
    Waits(PushId),
    /// It was answered so, and the answer may not have arrived.
    Answered(Code),
}

/// What a request is.
enum Taken {
    Push { push: Push, block: Option<Block> },
    Block(Block),
    Nothing,
}

struct Refused {
    code: Code,
    block: Option<Block>,
    size: Option<u32>,
}

impl Refused {
    const fn with(code: Code) -> Self {
        Self { code, block: None, size: None }
    }
}

/// Texts of a repeatable option.
fn texts(message: &Message, number: OptionNumber) -> Result<Vec<String>, Refused> {
    let texts = message.options.all(number).map(|value| String::from_utf8(value.to_vec()));
    texts.collect::<Result<_, _>>().map_err(|_| Refused::with(Code::BAD_REQUEST))
}
