//! Many gateways at once: all are let in, one after another if need be, and nothing of theirs is lost.

mod link_support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_cloud::link::endpoint::{Authenticator, Checking, Endpoint, Limits, Listen, Verdict};
use fieldgate_cloud::link::{LinkEvent, LinkMetrics, Refusal};
use fieldgate_model::GatewayId;
use fieldgate_wire::{UpKind, up_topic};
use link_support::{CONNACK, PATIENCE, Peer, World, gateway, limits};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Gateways that come back together. Both ends of each connection are in this process.
const GATEWAYS: usize = 1_000;

/// Lets everybody in whose secret is right, after as long as a store takes.
struct Everybody;

impl Authenticator for Everybody {
    fn check<'a>(&'a self, _: &'a GatewayId, secret: &'a [u8]) -> Checking<'a> {
        let verdict = if secret == b"right" { Verdict::Accepted } else { Verdict::Refused };
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            verdict
        })
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend(u16::try_from(text.len()).expect("short").to_be_bytes());
    out.extend(text.as_bytes());
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first, u8::try_from(body.len()).expect("below 128 bytes")];
    out.extend(body);
    out
}

fn connect(id: &str) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT\x04\xc2\x00\x3c".to_vec();
    for field in [id, id, "right"] {
        text(&mut body, field);
    }
    packet(0x10, &body)
}

fn batch(id: &str) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, &up_topic(&gateway(id), UpKind::Batch));
    body.extend([0, 7, b'x']);
    packet(0x32, &body)
}

/// Comes back as a gateway does: logs in and sends its batch, again until both were taken.
async fn come_back(id: String, address: SocketAddr) {
    let stream = TcpStream::connect(address).await.expect("the endpoint listens");
    let mut peer = Peer(stream);
    peer.send(&connect(&id)).await;
    peer.expect(CONNACK).await;
    peer.send(&batch(&id)).await;
    peer.expect(b"\x40\x02\x00\x07").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_gateways_that_return_at_once_are_all_let_in() {
    let loopback: SocketAddr = ([127, 0, 0, 1], 0).into();
    let listen = Listen { tls: None, plain: Some(loopback) };
    let metrics = Arc::new(LinkMetrics::default());
    // As narrow as it may be, so that most of them have to wait.
    let limits = Limits { pending_max: 32, ..Limits::default() };
    let bound = Endpoint::bind(listen, limits, Arc::new(Everybody), Arc::clone(&metrics)).await;
    let (endpoint, mut handle) = bound.expect("loopback has ports");
    let address = endpoint.plain_address().expect("asked for");
    tokio::spawn(endpoint.run());
    let mut storm = JoinSet::new();
    for number in 0..GATEWAYS {
        storm.spawn(come_back(format!("g{number}"), address));
    }
    let mut sent = BTreeSet::new();
    let taken = timeout(3 * PATIENCE, async {
        while sent.len() < GATEWAYS {
            if let Some(LinkEvent::Message(up)) = handle.events.recv().await {
                assert!(sent.insert(up.gateway), "nothing is doubled");
            }
        }
    });
    taken.await.expect("all of them get in");
    while let Some(ended) = storm.join_next().await {
        ended.expect("each has its answers");
    }
    let refused: u64 = Refusal::ALL.iter().map(|refusal| metrics.refused(*refusal)).sum();
    assert_eq!(refused, 0, "who waits is not refused");
}

#[tokio::test]
async fn who_cannot_be_looked_after_yet_waits_and_is_not_refused() {
    let connect = Duration::from_millis(300);
    let limits = Limits { pending_max: 2, connect, ..limits() };
    let mut world = World::start(limits).await;
    let silent = (world.peer().await, world.peer().await);
    // Both have to be on their way before the third comes.
    link_support::wait_for("both are held", || world.metrics.connections() == 2).await;
    drop(world.peer_a().await);
    drop(silent);
    world.refused(Refusal::ConnectTimeout, 2).await;
}
