//! An endpoint on a bench: what it sends is looked at, and what it hears is made by hand.

use core::net::{Ipv4Addr, SocketAddr};

use fieldgate_coap::code::Code;
use fieldgate_coap::endpoint::{
    Effect, Endpoint, EndpointOptions, ExchangeId, Known, ServerOptions,
};
use fieldgate_coap::message::{Kind, Message, MessageId, Token};
use fieldgate_coap::option::{OptionNumber, Options};
use fieldgate_coap::request::{Failure, Request, Response};
use fieldgate_model::Millis;

/// Where most tests begin: not at 0, which is a time like any other.
const START: Millis = Millis(1_000_000);

/// The endpoint under test.
pub(crate) struct Bench {
    pub(crate) endpoint: Endpoint,
    pub(crate) now: Millis,
    effects: Vec<Effect>,
}

/// The address of a peer.
pub(crate) fn peer(number: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, number), 5683))
}

/// Options of an endpoint that serves peers 1 to 9.
pub(crate) fn serving() -> EndpointOptions {
    let known = (1..10).map(|number| peer(number).ip()).collect();
    let server = Some(ServerOptions::new(Known::Addresses(known)));
    EndpointOptions { server, ..EndpointOptions::default() }
}

impl Bench {
    pub(crate) fn new(options: EndpointOptions) -> Self {
        Self { endpoint: Endpoint::new(options, [7; 32]), now: START, effects: Vec::new() }
    }

    pub(crate) fn usual() -> Self {
        Self::new(EndpointOptions::default())
    }

    /// Begins a request to peer 1 with a minute for it; gives its first message as well.
    pub(crate) fn ask(&mut self, request: Request) -> (ExchangeId, Message) {
        let deadline = self.now + Millis::from_secs(600);
        let exchange = self.endpoint.request(peer(1), request, deadline, self.now).expect("room");
        (exchange, self.sent_one(peer(1)))
    }

    /// A datagram comes.
    pub(crate) fn hear_bytes(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.endpoint.handle_datagram(from, bytes, self.now);
    }

    /// A message comes.
    pub(crate) fn hear(&mut self, from: SocketAddr, message: &Message) {
        let bytes = message.encode().expect("a message that fits");
        self.hear_bytes(from, &bytes);
    }

    /// Time passes, and what is due happens when it is due.
    pub(crate) fn pass(&mut self, time: Millis) {
        let end = self.now + time;
        while let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// Everything that was sent since the last look, and to whom.
    pub(crate) fn sent(&mut self) -> Vec<(SocketAddr, Message)> {
        self.sent_bytes()
            .into_iter()
            .map(|(to, bytes)| (to, Message::decode(&bytes).expect("what is sent is whole")))
            .collect()
    }

    pub(crate) fn sent_bytes(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.collect();
        let mut sent = Vec::new();
        self.effects.retain(|effect| {
            let Effect::Transmit { peer, bytes } = effect else { return true };
            sent.push((*peer, bytes.clone()));
            false
        });
        sent
    }

    /// The one message that was sent since the last look.
    #[track_caller]
    pub(crate) fn sent_one(&mut self, to: SocketAddr) -> Message {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        let (peer, message) = sent.remove(0);
        assert_eq!(peer, to);
        message
    }

    /// Everything that happened since the last look, without what was sent.
    pub(crate) fn happened(&mut self) -> Vec<Effect> {
        self.collect();
        let is_sending = |effect: &Effect| matches!(effect, Effect::Transmit { .. });
        let (sending, happened) = self.effects.drain(..).partition(is_sending);
        self.effects = sending;
        happened
    }

    /// The one outcome since the last look.
    #[track_caller]
    pub(crate) fn outcome(&mut self) -> Result<Response, Failure> {
        let happened = self.happened();
        let [Effect::Done { outcome, .. }] = &happened[..] else { panic!("{happened:?}") };
        outcome.clone()
    }

    fn collect(&mut self) {
        while let Some(effect) = self.endpoint.poll_effect() {
            self.effects.push(effect);
        }
    }
}

/// The answer to a request, in its acknowledgement.
pub(crate) fn answer(request: &Message, code: Code, payload: &[u8]) -> Message {
    Message {
        kind: Kind::Acknowledgement,
        code,
        id: request.id,
        token: request.token,
        options: Options::default(),
        payload: payload.to_vec(),
    }
}

/// The answer to a request, apart.
pub(crate) fn apart(request: &Message, kind: Kind, id: u16, code: Code, payload: &[u8]) -> Message {
    Message { kind, id: MessageId(id), ..answer(request, code, payload) }
}

/// The same message with one more option.
pub(crate) fn with(mut message: Message, number: OptionNumber, value: u32) -> Message {
    message.options.add_uint(number, value);
    message
}

/// A request of a peer.
pub(crate) fn pushed(kind: Kind, id: u16, path: &[&str], payload: &[u8]) -> Message {
    let mut options = Options::default();
    for segment in path {
        options.add(OptionNumber::URI_PATH, segment.as_bytes());
    }
    let token = Token::new([id.to_be_bytes()[1]; 8]);
    Message { kind, code: Code(2), id: MessageId(id), token, options, payload: payload.to_vec() }
}
