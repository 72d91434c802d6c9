//! Our CoAP endpoint as the tests use it: opened on loopback, with every datagram looked at.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fieldgate_coap::message::{Kind, Message};
use fieldgate_edge::clock::Clock;
use fieldgate_edge::drivers::coap::{
    CoapRequest, CoapResponse, Code, Endpoint, EndpointOptions, Incoming, Method, Transmission,
};
use fieldgate_edge::drivers::{Direction, Tap};
use fieldgate_model::Millis;
use tokio::sync::{broadcast, mpsc};

/// For anything that takes at most seconds on an idle machine.
pub(crate) const PATIENCE: Millis = Millis::from_secs(60);

/// The pause between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// An endpoint, and all that goes through its socket.
pub(crate) struct Gateway {
    pub(crate) endpoint: Endpoint,
    tap: Tap,
    seen: Vec<(Direction, Message)>,
}

/// When nobody waits any more.
pub(crate) fn deadline() -> Millis {
    Clock.now() + PATIENCE
}

/// The standard's times, ten times as fast, for networks that lose.
pub(crate) fn fast() -> Transmission {
    Transmission { ack_timeout: Millis(200), retransmit_max: 8, ..Transmission::default() }
}

pub(crate) fn get(path: &[&str]) -> CoapRequest {
    CoapRequest::get(path.iter().copied(), deadline())
}

pub(crate) fn send(method: Method, path: &[&str], payload: &[u8]) -> CoapRequest {
    CoapRequest { method, payload: payload.to_vec(), ..get(path) }
}

impl Gateway {
    /// One that asks.
    pub(crate) fn open(transmission: Transmission) -> Result<Self> {
        Self::open_with(transmission, None)
    }

    /// One that is also pushed to, from loopback.
    pub(crate) fn open_with(
        transmission: Transmission,
        incoming: Option<mpsc::Sender<Incoming>>,
    ) -> Result<Self> {
        Self::open_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), transmission, incoming)
    }

    /// One at an address that is known.
    pub(crate) fn open_at(
        bind: SocketAddr,
        transmission: Transmission,
        incoming: Option<mpsc::Sender<Incoming>>,
    ) -> Result<Self> {
        let (tap, heard) = broadcast::channel(4_096);
        let mut options = EndpointOptions::new("field", bind);
        options.known = [IpAddr::V4(Ipv4Addr::LOCALHOST)].into();
        options.transmission = transmission;
        options.tap = Some(tap);
        let endpoint = Endpoint::open(options, incoming).context("cannot open an endpoint")?;
        Ok(Self { endpoint, tap: heard, seen: Vec::new() })
    }

    /// The answer to a request.
    pub(crate) async fn ask(&self, peer: SocketAddr, request: CoapRequest) -> Result<CoapResponse> {
        let shown = format!("{} {:?}", request.method, request.path);
        self.endpoint.request(peer, request).await.with_context(|| format!("{shown} of {peer}"))
    }

    /// The same, with a code that it must have.
    pub(crate) async fn expect(
        &self,
        peer: SocketAddr,
        request: CoapRequest,
        code: Code,
    ) -> Result<Vec<u8>> {
        let shown = format!("{} {:?}", request.method, request.path);
        let response = self.ask(peer, request).await?;
        ensure!(response.code == code, "{shown} of {peer}: {response:?}");
        Ok(response.payload)
    }

    /// Everything that has gone through the socket, as messages.
    pub(crate) fn seen(&mut self) -> &[(Direction, Message)] {
        while let Ok(tapped) = self.tap.try_recv() {
            if let Ok(message) = Message::decode(&tapped.bytes) {
                self.seen.push((tapped.direction, message));
            }
        }
        &self.seen
    }

    /// Waits for something to have gone through the socket.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        mut is_so: impl FnMut(&mut Self) -> bool,
    ) -> Result<()> {
        let end = deadline();
        while !is_so(self) {
            ensure!(Clock.now() < end, "waited in vain for {what}: {:?}", self.seen());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// How many messages of this kind have been sent.
    pub(crate) fn sent(&mut self, kind: Kind) -> usize {
        self.count(Direction::Sent, kind)
    }

    /// How many messages of this kind have come.
    pub(crate) fn received(&mut self, kind: Kind) -> usize {
        self.count(Direction::Received, kind)
    }

    fn count(&mut self, way: Direction, kind: Kind) -> usize {
        let seen = self.seen().iter();
        seen.filter(|(direction, message)| *direction == way && message.kind == kind).count()
    }
}
