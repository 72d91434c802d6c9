//! Observations (RFC 7641): registered, refreshed before they may have died, and ended with a word.
//!
//! # Invariants
//!
//! - A notification is given on only if it is newer than all before it (section 3.4).
//! - An observation that is not heard of within Max-Age, or within the liveness time if that is
//!   shorter, is registered anew; if that fails it is lost, and whoever observes is told.
//! - What comes for an observation that is no more is answered with a reset.

use core::net::SocketAddr;

use fieldgate_model::Millis;
use thiserror::Error;

use super::download::{Download, DownloadStep};
use super::exchange::{Exchange, Goal};
use super::{Effect, Endpoint, ExchangeId, Listener, ObservationId, Timer};
use crate::code::Code;
use crate::message::{Kind, Message, Token};
use crate::option::OptionNumber;
use crate::request::{Failure, Request, Response};

/// Behind Max-Age, a client waits so long before it registers anew, so that not all do so at once
/// when a server comes back (RFC 7641 section 3.3.1).
const REFRESH_SPREAD: (Millis, Millis) = (Millis::from_secs(5), Millis::from_secs(15));
/// Whatever came so long after its predecessor is newer (RFC 7641 section 3.4).
const ORDER_MEANS_NOTHING_AFTER: Millis = Millis::from_secs(128);

/// Why an observation ended that nobody ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Loss {
    /// The resource is there, but nobody is told of its changes.
    #[error("the resource cannot be observed")]
    NotObservable,
    /// The peer ended it.
    #[error("the peer ended the observation with {0}")]
    Refused(Code),
    /// It could not be registered, or not again.
    #[error("the registration failed: {0}")]
    Failed(Failure),
}

/// An observation.
#[derive(Debug)]
pub(super) struct Observation {
    pub(super) peer: SocketAddr,
    request: Request,
    patience: Millis,
    token: Token,
    registering: Option<ExchangeId>,
    /// The rest of a notification that is longer than its first block.
    rest: Option<ExchangeId>,
    /// Place and time of the newest notification.
    newest: Option<(u32, Millis)>,
}

impl Observation {
    pub(super) fn new(peer: SocketAddr, request: Request, patience: Millis, token: Token) -> Self {
        let (registering, rest, newest) = (None, None, None);
        Self { peer, request, patience, token, registering, rest, newest }
    }

    fn is_newer(&self, place: u32, now: Millis) -> bool {
        self.newest.is_none_or(|(newest, at)| is_newer((newest, at), (place, now)))
    }
}

/// Whether the second of two notifications was sent later, by places of 24 bits that wrap.
fn is_newer((before, before_at): (u32, Millis), (place, now): (u32, Millis)) -> bool {
    const HALF: u32 = 1 << 23;
    (before < place && place - before < HALF)
        || (before > place && before - place > HALF)
        || now.since(before_at) > ORDER_MEANS_NOTHING_AFTER
}

impl Endpoint {
    /// Registers, for the first time or anew.
    pub(super) fn register(&mut self, id: ObservationId, now: Millis) {
        let Some(observation) = self.observations.get(&id) else { return };
        if observation.registering.is_some() {
            return;
        }
        let (peer, token) = (observation.peer, observation.token);
        let deadline = now + observation.patience;
        let exchange = Exchange::new(peer, observation.request.clone(), Goal::Register(id));
        let exchange = self.begin_with(exchange.with_token(token), deadline, now);
        if let Some(observation) = self.observations.get_mut(&id) {
            observation.registering = Some(exchange);
        }
    }

    /// Something came with the token of an observation.
    pub(super) fn handle_notification(&mut self, id: ObservationId, message: Message, now: Millis) {
        let length_max = self.options.limits.payload_max;
        self.end_registration(id, message.kind, now);
        let Some(observation) = self.observations.get_mut(&id) else { return };
        let place = message.options.uint(OptionNumber::OBSERVE);
        let Some(place) = place.filter(|_| message.code.is_success()) else {
            let is_error = !message.code.is_success();
            let loss = if is_error { Loss::Refused(message.code) } else { Loss::NotObservable };
            if !is_error {
                self.give(id, Response::of(message), now);
            }
            return self.lose(id, loss, now);
        };
        if !observation.is_newer(place, now) {
            self.counters.stale += 1;
            return;
        }
        observation.newest = Some((place, now));
        let superseded = observation.rest.take();
        if let Some(exchange) = superseded {
            self.finish(exchange, Err(Failure::Cancelled), now);
        }
        match Download::begin(message, length_max) {
            Ok(DownloadStep::Whole(response)) => self.give(id, response, now),
            Ok(DownloadStep::More(download)) => self.fetch_rest(id, download, now),
            Err(failure) => self.lose(id, Loss::Failed(failure), now),
        }
    }

    /// Ends a registration with what has come, if that is its answer. A notification may come before
    /// it, and is none; the answer begins a new order, since the peer may have restarted.
    fn end_registration(&mut self, id: ObservationId, kind: Kind, now: Millis) {
        let registering =
            self.observations.get(&id).and_then(|observation| observation.registering);
        let Some(exchange) = registering else { return };
        if kind != Kind::Acknowledgement && !self.may_be_answered_apart(exchange) {
            return;
        }
        if let Some(observation) = self.observations.get_mut(&id) {
            observation.registering = None;
            observation.newest = None;
        }
        if let Some(exchange) = self.conclude(exchange, now) {
            self.counters.answers += 1;
            self.resume(exchange.peer, now);
        }
    }

    fn fetch_rest(&mut self, id: ObservationId, download: Download, now: Millis) {
        let Some(observation) = self.observations.get(&id) else { return };
        let deadline = now + observation.patience;
        let exchange = Exchange::new(observation.peer, observation.request.clone(), Goal::Rest(id));
        let exchange = self.begin_with(exchange.behind(download), deadline, now);
        if let Some(observation) = self.observations.get_mut(&id) {
            observation.rest = Some(exchange);
        }
    }

    /// The later blocks of a notification came, or did not.
    pub(super) fn rest_came(
        &mut self,
        id: ObservationId,
        exchange: ExchangeId,
        outcome: Result<Response, Failure>,
        now: Millis,
    ) {
        let Some(observation) = self.observations.get_mut(&id) else { return };
        // Another one has taken its place.
        if observation.rest != Some(exchange) {
            return;
        }
        observation.rest = None;
        match outcome {
            Ok(response) if response.code.is_success() => self.give(id, response, now),
            // The resource changed in between, or the peer is busy: what it is by now, it says to a
            // registration.
            Ok(_) | Err(_) => self.register(id, now),
        }
    }

    /// Gives a notification on, and waits for the next.
    fn give(&mut self, id: ObservationId, response: Response, now: Millis) {
        let (least, most) = REFRESH_SPREAD;
        let spread = Millis(self.entropy.below(most.since(least).0 + 1));
        let unheard = response.max_age + least + spread;
        self.timers.set(Timer::Refresh(id), now + unheard.min(self.options.limits.liveness));
        self.counters.notifications += 1;
        self.effects.push_back(Effect::Notified { observation: id, response });
    }

    /// Ends an observation that nobody ended.
    pub(super) fn lose(&mut self, id: ObservationId, loss: Loss, now: Millis) {
        let Some(observation) = self.drop_observation(id, now) else { return };
        self.counters.observations_lost += 1;
        self.effects.push_back(Effect::Lost { observation: id, loss });
        self.resume(observation.peer, now);
    }

    /// Ends an observation and says so to the peer, with the token by which it knows it.
    pub(super) fn deregister(&mut self, id: ObservationId, now: Millis) {
        let Some(observation) = self.drop_observation(id, now) else { return };
        let deadline = now + observation.patience;
        let exchange = Exchange::new(observation.peer, observation.request, Goal::Deregister);
        let token = observation.token;
        let exchange = self.begin_with(exchange.with_token(token), deadline, now);
        self.listeners.insert(token, Listener::Exchange(exchange));
    }

    fn drop_observation(&mut self, id: ObservationId, now: Millis) -> Option<Observation> {
        let observation = self.observations.remove(&id)?;
        self.timers.clear(Timer::Refresh(id));
        self.listeners.remove(&observation.token);
        for exchange in [observation.registering, observation.rest].into_iter().flatten() {
            self.conclude(exchange, now);
        }
        Some(observation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_two_notifications_is_told_by_places_that_wrap_and_by_time() {
        const TOP: u32 = 0xFF_FFFF;
        for (before, place, after, newer) in [
            (1, 2, 0, true),
            (2, 1, 0, false),
            (2, 2, 0, false),
            (TOP, 0, 0, true),
            (0, TOP, 0, false),
            (0, (1 << 23) - 1, 0, true),
            (0, 1 << 23, 0, false),
            (1 << 23, 0, 0, false),
            ((1 << 23) + 1, 0, 0, true),
            (12, 11, 128_000, false),
            (12, 11, 128_001, true),
        ] {
            let found = is_newer((before, Millis(7)), (place, Millis(7 + after)));
            assert_eq!(found, newer, "{before} then {place}, {after} ms later");
        }
    }
}
