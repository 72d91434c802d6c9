//! Two endpoints on a network that loses, doubles and reorders; one seed is one run.

use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};

use fieldgate_coap::code::{Code, Method};
use fieldgate_coap::endpoint::{
    Effect, Endpoint, EndpointOptions, ExchangeId, PushId, Rate, ServerOptions,
};
use fieldgate_coap::request::{Failure, Request, Response};
use fieldgate_model::Millis;

use crate::kit::{peer, serving};
use crate::rng::Rng;

/// Runs in the usual suite; a second or two.
const SEEDS: u64 = 300;
/// Pushes of a run.
const PUSHES: usize = 12;

/// What the network does to a datagram, each once in so many.
struct Weather {
    loss: usize,
    doubling: usize,
    delay_max: u64,
}

/// A device that pushes, a gateway that takes, and the network between them.
struct World {
    rng: Rng,
    now: Millis,
    weather: Weather,
    ends: [(SocketAddr, Endpoint); 2],
    flying: BTreeMap<(Millis, u64), (usize, Vec<u8>)>,
    count: u64,
    /// When the gateway has made a push durable.
    durable_at: BTreeMap<(Millis, PushId), Vec<u8>>,
    durable: Vec<Vec<u8>>,
    given: Vec<Vec<u8>>,
    outcomes: BTreeMap<ExchangeId, Result<Response, Failure>>,
}

impl World {
    fn new(seed: u64, weather: Weather) -> Self {
        let mut gateway = serving();
        if let Some(server) = &mut gateway.server {
            *server =
                ServerOptions { rate: Rate { per_second: 100, burst: 100 }, ..server.clone() };
        }
        let mut rng = Rng::new(seed);
        let mut end = |options| {
            let mut bytes = [0; 32];
            bytes.fill_with(|| rng.byte());
            Endpoint::new(options, bytes)
        };
        let ends = [(peer(1), end(EndpointOptions::default())), (peer(100), end(gateway))];
        Self {
            rng,
            now: Millis(10_000),
            weather,
            ends,
            flying: BTreeMap::new(),
            count: 0,
            durable_at: BTreeMap::new(),
            durable: Vec::new(),
            given: Vec::new(),
            outcomes: BTreeMap::new(),
        }
    }

    /// Each push has a content of its own, some of them in blocks.
    fn push(&mut self, number: usize) -> (ExchangeId, Vec<u8>) {
        let length = if self.rng.once_in(3) { self.rng.below(3_000) } else { self.rng.below(60) };
        let mut payload = format!("{number}:").into_bytes();
        payload.resize(payload.len() + length, self.rng.byte());
        let request = Request {
            method: Method::Post,
            payload: payload.clone(),
            confirmable: !self.rng.once_in(4),
            ..Request::get(["up"])
        };
        let (to, deadline) = (self.ends[1].0, self.now + Millis::from_secs(90));
        let begun = self.ends[0].1.request(to, request, deadline, self.now);
        (begun.expect("room"), payload)
    }

    /// Until `end`, or until nothing is left to happen.
    fn run(&mut self, end: Millis) {
        self.settle();
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            while let Some(((at, count), (to, bytes))) = self.flying.pop_first() {
                if at > self.now {
                    self.flying.insert((at, count), (to, bytes));
                    break;
                }
                let from = self.ends[1 - to].0;
                self.ends[to].1.handle_datagram(from, &bytes, self.now);
            }
            while let Some(((at, push), payload)) = self.durable_at.pop_first() {
                if at > self.now {
                    self.durable_at.insert((at, push), payload);
                    break;
                }
                self.durable.push(payload);
                self.ends[1].1.reply(push, Code::CHANGED, self.now);
            }
            self.ends.iter_mut().for_each(|(_, end)| end.handle_timeout(self.now));
            self.settle();
        }
        self.now = self.now.max(end);
    }

    fn next(&self) -> Option<Millis> {
        let timers = self.ends.iter().filter_map(|(_, end)| end.poll_timeout());
        let flying = self.flying.keys().next().map(|(at, _)| *at);
        let durable = self.durable_at.keys().next().map(|(at, _)| *at);
        timers.chain(flying).chain(durable).min()
    }

    fn settle(&mut self) {
        for end in 0..2 {
            while let Some(effect) = self.ends[end].1.poll_effect() {
                match effect.clone() {
                    Effect::Transmit { peer, bytes } => {
                        assert_eq!(peer, self.ends[1 - end].0);
                        self.fly(1 - end, &bytes);
                    }
                    Effect::Done { exchange, outcome } => {
                        assert!(self.outcomes.insert(exchange, outcome).is_none(), "ended twice");
                    }
                    Effect::Pushed { push, request, .. } => {
                        self.given.push(request.payload.clone());
                        let takes = if self.rng.once_in(4) { self.rng.below(6_000) } else { 3 };
                        let at = self.now + Millis(u64::try_from(takes).expect("small"));
                        self.durable_at.insert((at, push), request.payload);
                    }
                    Effect::Answered { .. } | Effect::Notified { .. } | Effect::Lost { .. } => {
                        panic!("nobody asked for {effect:?}")
                    }
                }
            }
        }
    }

    fn fly(&mut self, to: usize, bytes: &[u8]) {
        let times = if self.rng.once_in(self.weather.doubling) { 2 } else { 1 };
        for _ in 0..times {
            if self.rng.once_in(self.weather.loss) {
                continue;
            }
            let delay = self.rng.next() % self.weather.delay_max + 1;
            self.count += 1;
            self.flying.insert((self.now + Millis(delay), self.count), (to, bytes.to_vec()));
        }
    }
}

/// One run; how many of its pushes were confirmed.
fn run(seed: u64, weather: Weather) -> usize {
    let mut world = World::new(seed, weather);
    let mut asked = BTreeMap::new();
    for number in 0..PUSHES {
        let (exchange, payload) = world.push(number);
        asked.insert(exchange, payload);
        let pause = u64::try_from(world.rng.below(20_000)).expect("small");
        world.run(world.now + Millis(pause));
    }
    world.run(world.now + Millis::from_secs(3_600));

    assert_eq!(world.next(), None, "seed {seed}: nothing is left of it");
    let ended: BTreeSet<_> = world.outcomes.keys().collect();
    assert_eq!(ended, asked.keys().collect(), "seed {seed}: each push ends once");
    let mut confirmed = 0;
    for (exchange, payload) in &asked {
        let given = world.given.iter().filter(|given| *given == payload).count();
        assert!(given <= 1, "seed {seed}: a push was given on {given} times");
        match &world.outcomes[exchange] {
            Ok(response) if response.code == Code::CHANGED => {
                assert!(world.durable.contains(payload), "seed {seed}: confirmed and not durable");
                confirmed += 1;
            }
            Ok(response) => {
                // A block that overtook another one ends its transfer.
                assert_eq!(response.code, Code::ENTITY_INCOMPLETE, "seed {seed}");
            }
            Err(failure) => assert_eq!(*failure, Failure::Timeout, "seed {seed}"),
        }
    }
    let whole = world.given.iter().all(|given| asked.values().any(|payload| payload == given));
    assert!(whole, "seed {seed}: what was given on was never pushed");
    confirmed
}

#[test]
fn on_a_good_network_every_push_arrives_once() {
    for seed in 0..SEEDS / 3 {
        let weather = Weather { loss: usize::MAX, doubling: usize::MAX, delay_max: 20 };
        assert_eq!(run(seed, weather), PUSHES, "seed {seed}");
    }
}

#[test]
fn on_a_bad_network_a_push_is_given_on_at_most_once_and_confirmed_only_when_durable() {
    let mut confirmed = 0;
    for seed in 0..SEEDS {
        let weather = Weather { loss: 4, doubling: 4, delay_max: 1_500 };
        confirmed += run(seed, weather);
    }
    // Four repetitions make most of them arrive all the same.
    let all = usize::try_from(SEEDS).expect("small") * PUSHES;
    assert!(confirmed * 10 > all * 6, "{confirmed} of {all}");
}

#[test]
fn on_a_dead_network_every_push_ends_in_time() {
    let mut world = World::new(1, Weather { loss: 1, doubling: 2, delay_max: 5 });
    let begun = world.now;
    for number in 0..PUSHES {
        world.push(number);
    }
    world.run(begun + Millis::from_secs(90));
    assert_eq!(world.outcomes.len(), PUSHES);
    assert!(world.outcomes.values().all(|outcome| *outcome == Err(Failure::Timeout)));
    assert!(world.given.is_empty());
}
