//! The link as a broker's client, against a broker of literal bytes that does what brokers do: it
//! comes back without a session, carries strangers' messages and retained ones, and says no.

mod link_support;

use std::sync::Arc;

use fieldgate_cloud::link::broker::{Broker, BrokerAddress};
use fieldgate_cloud::link::{Down, DropReason, LinkEvent, LinkHandle, LinkMetrics, Qos, Up};
use fieldgate_wire::{DownKind, UpKind};
use link_support::{BATCH_7, CONNACK, PATIENCE, PUBACK_7, Peer, gateway, wait_for};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// `fieldgate/1/+/+/up/+` with `QoS` 1, packet id 1, and its answer.
const SUBSCRIBE: &[u8] = b"\x82\x19\x00\x01\x00\x14fieldgate/1/+/+/up/+\x01";
const SUBACK: &[u8] = b"\x90\x03\x00\x01\x01";

struct World {
    listener: TcpListener,
    handle: LinkHandle,
    metrics: Arc<LinkMetrics>,
    task: JoinHandle<()>,
}

impl World {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let port = listener.local_addr().expect("bound").port();
        let address = BrokerAddress::parse(&format!("mqtt://u:p@127.0.0.1:{port}")).expect("a URL");
        let metrics = Arc::new(LinkMetrics::default());
        let (broker, handle) = Broker::new(address, None, Arc::clone(&metrics)).expect("no TLS");
        Self { listener, handle, metrics, task: tokio::spawn(broker.run()) }
    }

    /// Takes the next connection up to its subscription.
    async fn accept(&self) -> Peer {
        let (stream, _) =
            timeout(PATIENCE, self.listener.accept()).await.expect("in time").expect("bound");
        let mut peer = Peer(stream);
        let mut header = [0; 2];
        peer.0.read_exact(&mut header).await.expect("CONNECT");
        let mut connect = vec![0; usize::from(header[1])];
        peer.0.read_exact(&mut connect).await.expect("CONNECT");
        assert_eq!(header[0], 0x10);
        assert!(connect.starts_with(b"\x00\x04MQTT\x04\xc2\x00\x14"), "{connect:02x?}");
        assert!(connect.ends_with(b"\x00\x01u\x00\x01p"), "{connect:02x?}");
        peer.send(CONNACK).await;
        peer.expect(SUBSCRIBE).await;
        peer
    }

    async fn message(&mut self) -> Up {
        let event = timeout(PATIENCE, self.handle.events.recv()).await.expect("in time");
        let Some(LinkEvent::Message(up)) = event else {
            panic!("{event:?}");
        };
        up
    }
}

fn command() -> Down {
    let payload = b"go".to_vec();
    Down { gateway: gateway("a"), kind: DownKind::Ack, payload, qos: Qos::AtLeastOnce }
}

#[tokio::test]
async fn messages_come_from_the_broker_and_downlinks_go_to_it() {
    let mut world = World::start().await;
    let mut peer = world.accept().await;
    // Until it has subscribed, the broker counts as away: an answer to this would not be heard.
    world.handle.down.send(command()).await.expect("it runs");
    wait_for("dropped", || world.metrics.dropped(DropReason::Offline) == 1).await;
    peer.send(SUBACK).await;
    peer.send(BATCH_7).await;
    peer.expect(PUBACK_7).await;
    let expected = Up { gateway: gateway("a"), kind: UpKind::Batch, payload: b"x".to_vec() };
    assert_eq!(world.message().await, expected);
    world.handle.down.send(command()).await.expect("it runs");
    peer.expect(b"\x32\x1f\x00\x19fieldgate/1/10/a/down/ack").await;
    // The packet id is the library's.
    peer.0.read_u16().await.expect("a packet id");
    peer.expect(b"go").await;
    drop(world.handle.down);
    timeout(PATIENCE, world.task).await.expect("it stops").expect("no panic");
}

#[tokio::test]
async fn what_is_not_ours_is_dropped_and_counted_without_losing_the_broker() {
    let mut world = World::start().await;
    let mut peer = world.accept().await;
    peer.send(SUBACK).await;
    // Another gateway's shard, a retained message, and one above the bound.
    peer.send(b"\x30\x1b\x00\x19fieldgate/1/62/a/up/batch").await;
    peer.send(b"\x31\x1c\x00\x19fieldgate/1/10/a/up/batchx").await;
    // Remaining length 2 + 25 + 80,000 = 80,027.
    let mut large = b"\x30\x9b\xf1\x04\x00\x19fieldgate/1/10/a/up/batch".to_vec();
    large.resize(large.len() + 80_000, 0);
    peer.send(&large).await;
    peer.send(BATCH_7).await;
    assert_eq!(world.message().await.payload, b"x");
    assert_eq!(world.metrics.foreign(), 3);
    assert_eq!(world.metrics.connects(), 1);
}

#[tokio::test]
async fn a_broker_that_comes_back_is_used_by_a_client_that_remembers_nothing() {
    let mut world = World::start().await;
    let mut peer = world.accept().await;
    peer.send(SUBACK).await;
    wait_for("online", || world.metrics.connections() == 1).await;
    // Handed to the broker and never acknowledged by it.
    world.handle.down.send(command()).await.expect("it runs");
    peer.expect(b"\x32\x1f\x00\x19fieldgate/1/10/a/down/ack").await;
    drop(peer);
    wait_for("offline", || world.metrics.connections() == 0).await;
    world.handle.down.send(command()).await.expect("it runs");
    wait_for("dropped", || world.metrics.dropped(DropReason::Offline) == 1).await;
    let mut peer = world.accept().await;
    peer.send(SUBACK).await;
    peer.send(BATCH_7).await;
    // The first bytes after the subscription answer this connection's message: nothing is repeated.
    peer.expect(PUBACK_7).await;
    assert_eq!(world.message().await.payload, b"x");
    assert_eq!(world.metrics.connects(), 2);
}

#[tokio::test]
async fn a_broker_that_does_not_let_us_subscribe_is_left_and_tried_again() {
    let world = World::start().await;
    let mut peer = world.accept().await;
    peer.send(b"\x90\x03\x00\x01\x80").await;
    peer.expect_end(b"").await;
    assert_eq!(world.metrics.connections(), 0);
    world.accept().await;
}
