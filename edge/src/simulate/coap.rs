//! A CoAP device of a profile: its resources by GET, PUT and POST, observed, listed, and in blocks.
//!
//! # Invariants
//!
//! - Any datagram is answered, refused or ignored: none ends the device.
//! - An observer that does not take a notification, or answers it with a reset, hears no more.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_coap::block::{Block, BlockSize};
use fieldgate_coap::code::{Code, Method};
use fieldgate_coap::message::{DATAGRAM_MAX, Kind, Message, MessageId, Token};
use fieldgate_coap::option::OptionNumber;
use fieldgate_model::{Millis, Value, ValueKind};
use fieldgate_rules::payload::{self, Resource, present};
use fieldgate_rules::profile::Profile;
use fieldgate_rules::signal::SignalSpec;
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::chance::Chance;
use super::{FaultOptions, SimulateError, wave};
use crate::clock::Clock;

/// Most observers of one device: a resource each of the largest profile.
const OBSERVERS_MAX: usize = 8_192;
/// Format of a list of links.
const LINK_FORMAT: u32 = 40;
/// How long a notification holds, in seconds; a client that hears nothing registers anew then.
const MAX_AGE: u32 = 60;

/// What to simulate.
#[derive(Debug, Clone)]
pub struct CoapOptions {
    /// Where; port 0 for any.
    pub listen: SocketAddr,
    /// What it is.
    pub profile: Arc<Profile>,
    /// How often what is observed changes.
    pub notify_every: Millis,
    /// What goes wrong: answers that are lost, or late.
    pub faults: FaultOptions,
    /// Decides which ones.
    pub seed: u64,
}

/// A device that listens.
pub struct CoapDevice {
    socket: Arc<UdpSocket>,
    listen: SocketAddr,
    profile: Arc<Profile>,
    notify_every: Millis,
    faults: FaultOptions,
    chance: Chance,
    started: Millis,
    /// Raw values that were written, by signal.
    written: BTreeMap<usize, Value>,
    observers: Vec<Observer>,
    last_id: u16,
    /// Counts up with each round of notifications.
    round: u32,
}

struct Observer {
    peer: SocketAddr,
    token: Token,
    resource: usize,
    last_id: u16,
}

impl CoapDevice {
    /// Opens its socket.
    pub async fn bind(options: CoapOptions) -> Result<Self, SimulateError> {
        let address = options.listen;
        let refused = |source| SimulateError::Listen { address, source };
        let socket = UdpSocket::bind(address).await.map_err(refused)?;
        let listen = socket.local_addr().map_err(refused)?;
        Ok(Self {
            socket: Arc::new(socket),
            listen,
            profile: options.profile,
            notify_every: options.notify_every.max(Millis(1)),
            faults: options.faults,
            chance: Chance::new(options.seed),
            started: Clock.now(),
            written: BTreeMap::new(),
            observers: Vec::new(),
            last_id: 0,
            round: 1,
        })
    }

    /// Where it listens.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Serves until it is dropped.
    pub async fn run(mut self) -> Result<(), SimulateError> {
        let mut notify = interval(Duration::from_millis(self.notify_every.0));
        notify.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut buffer = vec![0; DATAGRAM_MAX + 1];
        let socket = Arc::clone(&self.socket);
        loop {
            tokio::select! {
                came = socket.recv_from(&mut buffer) => {
                    // What was sent to somebody came back; that is not the socket's end.
                    let Ok((length, peer)) = came else { continue };
                    self.handle(peer, buffer.get(..length).unwrap_or_default());
                }
                _ = notify.tick() => self.notify(),
            }
        }
    }

    fn handle(&mut self, peer: SocketAddr, bytes: &[u8]) {
        let Ok(request) = Message::decode(bytes) else { return };
        if request.kind == Kind::Reset {
            self.observers.retain(|its| its.peer != peer || its.last_id != request.id.0);
            return;
        }
        if !request.code.is_request() {
            if request.kind == Kind::Confirmable {
                self.send(peer, &Message::empty(Kind::Reset, request.id));
            }
            return;
        }
        let mut response = self.answer(peer, &request);
        response.token = request.token;
        (response.kind, response.id) = match request.kind {
            Kind::Confirmable => (Kind::Acknowledgement, request.id),
            Kind::NonConfirmable | Kind::Acknowledgement | Kind::Reset => {
                (Kind::NonConfirmable, MessageId(self.next_id()))
            }
        };
        if self.chance.hits(self.faults.drop) {
            return;
        }
        match self.faults.late {
            Some(late) if self.chance.hits(late.share) => self.send_later(peer, &response, late.by),
            Some(_) | None => self.send(peer, &response),
        }
    }

    fn answer(&mut self, peer: SocketAddr, request: &Message) -> Message {
        let path = path_of(request);
        if path == "/.well-known/core" {
            let mut response = plain(Code::CONTENT);
            response.options.add_uint(OptionNumber::CONTENT_FORMAT, LINK_FORMAT);
            return in_block(response, request, &self.links());
        }
        let profile = Arc::clone(&self.profile);
        let found = profile.resources.iter().position(|its| !its.push && its.path == path);
        let Some((place, resource)) = found.and_then(|at| Some((at, profile.resources.get(at)?)))
        else {
            return plain(Code::NOT_FOUND);
        };
        match Method::of(request.code) {
            Some(Method::Get) => self.show(peer, request, place, resource),
            Some(Method::Post) if resource.method == payload::Method::Post => {
                self.show(peer, request, place, resource)
            }
            Some(Method::Put | Method::Post) => self.take(request, &profile, resource),
            Some(Method::Delete | Method::Fetch | Method::Patch | Method::IPatch) | None => {
                plain(Code::METHOD_NOT_ALLOWED)
            }
        }
    }

    fn show(
        &mut self,
        peer: SocketAddr,
        request: &Message,
        place: usize,
        resource: &Resource,
    ) -> Message {
        let mut response = plain(Code::CONTENT);
        let is_same = |its: &Observer| (its.peer, its.token) == (peer, request.token);
        match request.options.uint(OptionNumber::OBSERVE) {
            Some(0) if resource.observe && self.observers.len() < OBSERVERS_MAX => {
                self.observers.retain(|its| !is_same(its));
                let (token, last_id) = (request.token, request.id.0);
                self.observers.push(Observer { peer, token, resource: place, last_id });
                response.options.add_uint(OptionNumber::OBSERVE, self.round);
            }
            Some(1) => self.observers.retain(|its| !is_same(its)),
            Some(_) | None => {}
        }
        response.options.add_uint(OptionNumber::CONTENT_FORMAT, resource.format.code().into());
        response.options.add_uint(OptionNumber::MAX_AGE, MAX_AGE);
        let payload = self.payload(resource);
        in_block(response, request, &payload)
    }

    /// Takes what is written to the resource's writable signals.
    fn take(&mut self, request: &Message, profile: &Profile, resource: &Resource) -> Message {
        let format = request.options.uint(OptionNumber::CONTENT_FORMAT);
        let format = format.and_then(|format| u16::try_from(format).ok());
        let readings = payload::read(profile, resource, format, &request.payload);
        let is_writable =
            |signal: usize| profile.signals.get(signal).is_some_and(|spec| spec.writable.is_some());
        let written: Vec<(usize, Value)> = readings
            .into_iter()
            .filter(|reading| is_writable(reading.signal))
            .filter_map(|reading| Some((reading.signal, reading.value.ok()?)))
            .collect();
        if written.is_empty() {
            let is_any = resource.picks.iter().any(|picked| is_writable(picked.signal));
            return plain(if is_any { Code::BAD_REQUEST } else { Code::METHOD_NOT_ALLOWED });
        }
        self.written.extend(written);
        plain(Code::CHANGED)
    }

    fn payload(&self, resource: &Resource) -> Vec<u8> {
        let time = Clock.now().since(self.started);
        present(resource, &|signal| {
            let spec = self.profile.signals.get(signal)?;
            match self.written.get(&signal) {
                Some(written) => Some(written.clone()),
                None => Some(raw(spec, time)),
            }
        })
    }

    /// Tells everybody who observes.
    fn notify(&mut self) {
        self.round += 1;
        let profile = Arc::clone(&self.profile);
        let mut payload_by_resource: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
        let mut observers = std::mem::take(&mut self.observers);
        for its in &mut observers {
            let Some(resource) = profile.resources.get(its.resource) else { continue };
            let payload =
                payload_by_resource.entry(its.resource).or_insert_with(|| self.payload(resource));
            let mut message = plain(Code::CONTENT);
            message.token = its.token;
            message.options.add_uint(OptionNumber::OBSERVE, self.round);
            message.options.add_uint(OptionNumber::CONTENT_FORMAT, resource.format.code().into());
            message.options.add_uint(OptionNumber::MAX_AGE, MAX_AGE);
            let mut message = in_block(message, &plain(Code::EMPTY), payload);
            its.last_id = self.next_id();
            message.id = MessageId(its.last_id);
            if !self.chance.hits(self.faults.drop) {
                self.send(its.peer, &message);
            }
        }
        self.observers = observers;
    }

    fn links(&self) -> Vec<u8> {
        let shown = self.profile.resources.iter().filter(|resource| !resource.push);
        let link = |resource: &Resource| {
            let observable = if resource.observe { ";obs" } else { "" };
            format!("<{}>;ct={}{observable}", resource.path, resource.format.code())
        };
        shown.map(link).collect::<Vec<_>>().join(",").into_bytes()
    }

    fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }

    fn send(&self, peer: SocketAddr, message: &Message) {
        if let Ok(bytes) = message.encode() {
            // A datagram that the system does not take is one that the network loses.
            drop(self.socket.try_send_to(&bytes, peer));
        }
    }

    fn send_later(&self, peer: SocketAddr, message: &Message, by: Millis) {
        let (Ok(bytes), socket) = (message.encode(), Arc::clone(&self.socket)) else { return };
        tokio::spawn(async move {
            sleep(Duration::from_millis(by.0)).await;
            drop(socket.try_send_to(&bytes, peer));
        });
    }
}

/// The raw value that moves with time; a word of the profile is one of its integers.
fn raw(spec: &SignalSpec, time: Millis) -> Value {
    let shown = wave::engineering(spec, 0, time);
    let number = shown.as_f64().map_or(0.0, |number| spec.scale.invert(number));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    match spec.source.kind() {
        ValueKind::Bool => Value::Bool(number > 0.5),
        ValueKind::Int => Value::Int(number.round() as i64),
        ValueKind::Unsigned => Value::Unsigned(number.round().max(0.0) as u64),
        ValueKind::Float32 => Value::Float32(number as f32),
        ValueKind::Float64 => Value::Float64((number * 1000.0).round() / 1000.0),
        ValueKind::Text => shown,
    }
}

fn plain(code: Code) -> Message {
    let mut message = Message::empty(Kind::NonConfirmable, MessageId(0));
    message.code = code;
    message
}

/// Path and query as profiles write them.
fn path_of(request: &Message) -> String {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let path: Vec<String> = request.options.all(OptionNumber::URI_PATH).map(text).collect();
    let query: Vec<String> = request.options.all(OptionNumber::URI_QUERY).map(text).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    format!("/{}{query}", path.join("/"))
}

/// The block of a payload that a request asks for: all of it, if that fits.
fn in_block(mut response: Message, request: &Message, payload: &[u8]) -> Message {
    let asked = Block::of(&request.options, OptionNumber::BLOCK2);
    let size = asked.map_or(BlockSize::MAX, |block| block.size);
    if asked.is_none() && payload.len() <= size.bytes() {
        response.payload = payload.to_vec();
        return response;
    }
    let number = asked.map_or(0, |block| block.number);
    let from = usize::try_from(number).unwrap_or(usize::MAX).saturating_mul(size.bytes());
    if from > 0 && from >= payload.len() {
        return plain(Code::BAD_OPTION);
    }
    let end = payload.len().min(from + size.bytes());
    Block { number, more: end < payload.len(), size }
        .add(&mut response.options, OptionNumber::BLOCK2);
    response.payload = payload.get(from..end).unwrap_or_default().to_vec();
    response
}
