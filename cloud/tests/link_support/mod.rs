//! An endpoint on loopback with gateways `a` and `b`, and a peer that speaks in literal bytes.

#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_cloud::link::endpoint::{Authenticator, Checking, Endpoint, Limits, Listen, Verdict};
use fieldgate_cloud::link::{LinkEvent, LinkHandle, LinkMetrics, Refusal};
use fieldgate_model::GatewayId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// `a` logs in with the password `right` and a keep-alive of 60 s; clean session.
pub(crate) const CONNECT_A: &[u8] =
    b"\x10\x17\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01a\x00\x01a\x00\x05right";
/// Accepted, no session present.
pub(crate) const CONNACK: &[u8] = b"\x20\x02\x00\x00";
/// A batch of `a` with `QoS` 1 and packet id 7.
pub(crate) const BATCH_7: &[u8] = b"\x32\x1e\x00\x19fieldgate/1/10/a/up/batch\x00\x07x";
/// Its answer.
pub(crate) const PUBACK_7: &[u8] = b"\x40\x02\x00\x07";
/// PINGREQ and PINGRESP.
pub(crate) const PING: &[u8] = b"\xc0\x00";
pub(crate) const PONG: &[u8] = b"\xd0\x00";
/// SUBSCRIBE to all of `a`'s downlinks with `QoS` 1, packet id 1, and its answer.
pub(crate) const SUBSCRIBE: &[u8] = b"\x82\x1c\x00\x01\x00\x17fieldgate/1/10/a/down/+\x01";
pub(crate) const SUBACK: &[u8] = b"\x90\x03\x00\x01\x01";

/// Knows `a` and `b`; `down` finds the store silent, `panic` finds a fault of ours.
pub(crate) struct List;

impl Authenticator for List {
    fn check<'a>(&'a self, gateway: &'a GatewayId, secret: &'a [u8]) -> Checking<'a> {
        let verdict = match gateway.as_str() {
            "a" | "b" if secret == b"right" => Verdict::Accepted,
            "down" => Verdict::Unavailable,
            "panic" => panic!("a fault of ours, asked for by the test"),
            _ => Verdict::Refused,
        };
        Box::pin(std::future::ready(verdict))
    }
}

pub(crate) fn gateway(id: &str) -> GatewayId {
    GatewayId::new(id).expect("an id")
}

/// Short times where a test waits for them.
pub(crate) fn limits() -> Limits {
    Limits { refusal_delay: Duration::from_millis(20), failures_max: 1_000, ..Limits::default() }
}

/// A running endpoint.
pub(crate) struct World {
    pub(crate) handle: LinkHandle,
    pub(crate) metrics: Arc<LinkMetrics>,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: Option<SocketAddr>,
    pub(crate) task: JoinHandle<()>,
}

impl World {
    pub(crate) async fn start(limits: Limits) -> Self {
        Self::start_with(limits, None).await
    }

    pub(crate) async fn start_with(limits: Limits, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let loopback: SocketAddr = ([127, 0, 0, 1], 0).into();
        let listen = Listen { tls: tls.map(|tls| (loopback, tls)), plain: Some(loopback) };
        let metrics = Arc::new(LinkMetrics::default());
        let bound = Endpoint::bind(listen, limits, Arc::new(List), Arc::clone(&metrics)).await;
        let (endpoint, handle) = bound.expect("loopback has ports");
        let plain = endpoint.plain_address().expect("asked for");
        let tls = endpoint.tls_address();
        Self { handle, metrics, plain, tls, task: tokio::spawn(endpoint.run()) }
    }

    pub(crate) async fn peer(&self) -> Peer {
        Peer(TcpStream::connect(self.plain).await.expect("the endpoint listens"))
    }

    /// A peer that is logged in as `a`, and has been told of.
    pub(crate) async fn peer_a(&mut self) -> Peer {
        let mut peer = self.peer().await;
        peer.send(CONNECT_A).await;
        peer.expect(CONNACK).await;
        assert_eq!(self.event().await, LinkEvent::Connected(gateway("a")));
        peer
    }

    pub(crate) async fn event(&mut self) -> LinkEvent {
        timeout(PATIENCE, self.handle.events.recv()).await.expect("in time").expect("it runs")
    }

    /// Waits until this has happened this often.
    pub(crate) async fn refused(&self, reason: Refusal, times: u64) {
        wait_for(reason.as_str(), || self.metrics.refused(reason) == times).await;
    }
}

pub(crate) async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "never happened: {what}");
}

/// A peer on a raw socket.
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the endpoint reads");
    }

    /// The next bytes are exactly these.
    pub(crate) async fn expect(&mut self, bytes: &[u8]) {
        let mut found = vec![0; bytes.len()];
        let read = timeout(PATIENCE, self.0.read_exact(&mut found)).await.expect("in time");
        read.unwrap_or_else(|error| panic!("{error} instead of {bytes:02x?}"));
        assert_eq!(found, bytes, "{found:02x?} instead of {bytes:02x?}");
    }

    /// Whatever is left is these bytes and the end. A reset is an end too.
    pub(crate) async fn expect_end(&mut self, bytes: &[u8]) {
        let mut found: Vec<u8> = Vec::new();
        let mut part = [0; 256];
        loop {
            let read = timeout(PATIENCE, self.0.read(&mut part)).await.expect("closed in time");
            match read {
                Ok(0) | Err(_) => break,
                Ok(length) => found.extend(&part[..length]),
            }
        }
        assert_eq!(found, bytes, "{found:02x?} instead of {bytes:02x?}");
    }
}
