//! What the endpoint does for gateways that keep the rules, and how it behaves when full or slow.

mod link_support;

use std::time::Duration;

use fieldgate_cloud::link::endpoint::Limits;
use fieldgate_cloud::link::{Down, DropReason, LinkEvent, Qos, Refusal, Up};
use fieldgate_wire::{DownKind, MESSAGE_BYTES_MAX, UpKind};
use link_support::{
    BATCH_7, CONNACK, CONNECT_A, PATIENCE, PING, PONG, PUBACK_7, SUBACK, SUBSCRIBE, World, gateway,
    limits, wait_for,
};
use tokio::time::timeout;

fn batch(payload: &[u8]) -> LinkEvent {
    LinkEvent::Message(Up { gateway: gateway("a"), kind: UpKind::Batch, payload: payload.to_vec() })
}

fn ack(payload: &[u8], qos: Qos) -> Down {
    Down { gateway: gateway("a"), kind: DownKind::Ack, payload: payload.to_vec(), qos }
}

async fn send_down(world: &World, down: Down) {
    world.handle.down.send(down).await.expect("the endpoint runs");
}

#[tokio::test]
async fn a_message_is_taken_in_and_acknowledged() {
    let mut world = World::start(limits()).await;
    let mut peer = world.peer_a().await;
    peer.send(BATCH_7).await;
    peer.expect(PUBACK_7).await;
    assert_eq!(world.event().await, batch(b"x"));
    // The same again: MQTT may repeat, and what comes twice is acknowledged twice.
    peer.send(BATCH_7).await;
    peer.expect(PUBACK_7).await;
    assert_eq!(world.event().await, batch(b"x"));
    // QoS 0 has no answer; the PONG behind it shows that none was sent.
    peer.send(b"\x30\x1c\x00\x19fieldgate/1/10/a/up/batchy").await;
    peer.send(PING).await;
    peer.expect(PONG).await;
    assert_eq!(world.event().await, batch(b"y"));
    assert_eq!(world.metrics.messages(UpKind::Batch), 3);
    peer.send(b"\xe0\x00").await;
    peer.expect_end(b"").await;
    assert_eq!(world.event().await, LinkEvent::Disconnected(gateway("a")));
    wait_for("closed", || world.metrics.connections() == 0).await;
    assert!(Refusal::ALL.iter().all(|refusal| world.metrics.refused(*refusal) == 0));
}

#[tokio::test]
async fn packets_may_come_together_or_byte_by_byte() {
    let mut world = World::start(limits()).await;
    let all = [CONNECT_A, SUBSCRIBE, BATCH_7, PING, BATCH_7].concat();
    let answers = [CONNACK, SUBACK, PUBACK_7, PONG, PUBACK_7].concat();
    let expected = [LinkEvent::Connected(gateway("a")), batch(b"x"), batch(b"x")];
    let mut peer = world.peer().await;
    peer.send(&all).await;
    peer.expect(&answers).await;
    for event in &expected {
        assert_eq!(world.event().await, *event);
    }
    drop(peer);
    assert_eq!(world.event().await, LinkEvent::Disconnected(gateway("a")));
    let mut peer = world.peer().await;
    peer.0.set_nodelay(true).expect("a TCP socket");
    for byte in all {
        peer.send(&[byte]).await;
    }
    peer.expect(&answers).await;
    for event in &expected {
        assert_eq!(world.event().await, *event);
    }
}

#[tokio::test]
async fn a_session_is_never_said_to_be_present() {
    let mut world = World::start(limits()).await;
    for _ in 0..2 {
        let mut peer = world.peer().await;
        let mut connect = CONNECT_A.to_vec();
        // Connect flags without clean session.
        connect[9] = 0xc0;
        peer.send(&connect).await;
        peer.expect(CONNACK).await;
        assert_eq!(world.event().await, LinkEvent::Connected(gateway("a")));
        peer.send(SUBSCRIBE).await;
        peer.expect(SUBACK).await;
        // Never acknowledged, and yet not repeated on the next connection.
        send_down(&world, ack(b"k", Qos::AtLeastOnce)).await;
        peer.expect(b"\x32\x1e\x00\x19fieldgate/1/10/a/down/ack\x00\x01k").await;
        drop(peer);
        assert_eq!(world.event().await, LinkEvent::Disconnected(gateway("a")));
    }
}

#[tokio::test]
async fn a_downlink_has_the_lower_qos_of_message_and_subscription() {
    let mut world = World::start(limits()).await;
    let mut peer = world.peer_a().await;
    send_down(&world, ack(b"k", Qos::AtLeastOnce)).await;
    wait_for("dropped", || world.metrics.dropped(DropReason::NotSubscribed) == 1).await;
    peer.send(SUBSCRIBE).await;
    peer.expect(SUBACK).await;
    send_down(&world, ack(b"k", Qos::AtLeastOnce)).await;
    peer.expect(b"\x32\x1e\x00\x19fieldgate/1/10/a/down/ack\x00\x01k").await;
    peer.send(b"\x40\x02\x00\x01").await;
    send_down(&world, ack(b"l", Qos::AtMostOnce)).await;
    peer.expect(b"\x30\x1c\x00\x19fieldgate/1/10/a/down/ackl").await;
    // A subscription with QoS 0 to this kind alone, after the one to all has gone.
    peer.send(b"\xa2\x1b\x00\x02\x00\x17fieldgate/1/10/a/down/+").await;
    peer.expect(b"\xb0\x02\x00\x02").await;
    peer.send(b"\x82\x1e\x00\x03\x00\x19fieldgate/1/10/a/down/ack\x00").await;
    peer.expect(b"\x90\x03\x00\x03\x00").await;
    send_down(&world, ack(b"m", Qos::AtLeastOnce)).await;
    peer.expect(b"\x30\x1c\x00\x19fieldgate/1/10/a/down/ackm").await;
    send_down(&world, Down { gateway: gateway("b"), ..ack(b"n", Qos::AtLeastOnce) }).await;
    wait_for("dropped", || world.metrics.dropped(DropReason::Offline) == 1).await;
    send_down(&world, ack(&vec![0; MESSAGE_BYTES_MAX + 1], Qos::AtMostOnce)).await;
    wait_for("dropped", || world.metrics.dropped(DropReason::TooLarge) == 1).await;
    assert_eq!(world.metrics.downs(), 3);
}

#[tokio::test]
async fn downlinks_beyond_the_unacknowledged_window_are_dropped_and_counted() {
    let mut world = World::start(limits()).await;
    let mut peer = world.peer_a().await;
    peer.send(SUBSCRIBE).await;
    peer.expect(SUBACK).await;
    for sent in 1..=32_u8 {
        send_down(&world, ack(b"k", Qos::AtLeastOnce)).await;
        peer.expect(
            &[b"\x32\x1e\x00\x19fieldgate/1/10/a/down/ack\x00", &[sent, b'k'][..]].concat(),
        )
        .await;
    }
    send_down(&world, ack(b"k", Qos::AtLeastOnce)).await;
    wait_for("dropped", || world.metrics.dropped(DropReason::WindowFull) == 1).await;
    send_down(&world, ack(b"l", Qos::AtMostOnce)).await;
    peer.expect(b"\x30\x1c\x00\x19fieldgate/1/10/a/down/ackl").await;
    peer.send(b"\x40\x02\x00\x05").await;
    peer.send(PING).await;
    peer.expect(PONG).await;
    send_down(&world, ack(b"m", Qos::AtLeastOnce)).await;
    peer.expect(b"\x32\x1e\x00\x19fieldgate/1/10/a/down/ack\x00\x05m").await;
}

#[tokio::test]
async fn a_newer_connection_takes_over_and_the_older_says_nothing_more() {
    let mut world = World::start(limits()).await;
    let mut old = world.peer_a().await;
    let mut new = world.peer_a().await;
    old.expect_end(b"").await;
    world.refused(Refusal::TakenOver, 1).await;
    new.send(BATCH_7).await;
    new.expect(PUBACK_7).await;
    assert_eq!(world.event().await, batch(b"x"));
    assert_eq!(world.metrics.connections(), 1);
    // The downlink finds the newer one.
    new.send(SUBSCRIBE).await;
    new.expect(SUBACK).await;
    send_down(&world, ack(b"l", Qos::AtMostOnce)).await;
    new.expect(b"\x30\x1c\x00\x19fieldgate/1/10/a/down/ackl").await;
}

#[tokio::test]
async fn a_full_channel_stops_reading_and_loses_nothing() {
    /// More than the kernel's buffers hold, so that the writer is stopped too.
    const MESSAGES: u16 = 300;
    let mut world = World::start(Limits { events_max: 2, ..limits() }).await;
    let peer = world.peer_a().await;
    let (mut reader, mut writer) = peer.0.into_split();
    let writing = tokio::spawn(async move {
        for id in 1..=MESSAGES {
            // Remaining length 2 + 25 + 2 + 60,000 = 60,029, three bytes.
            let mut packet = b"\x32\xfd\xd4\x03\x00\x19fieldgate/1/10/a/up/batch".to_vec();
            packet.extend(id.to_be_bytes());
            packet.resize(packet.len() + 60_000, id.to_be_bytes()[1]);
            tokio::io::AsyncWriteExt::write_all(&mut writer, &packet).await.expect("open");
        }
        writer
    });
    // Two in the channel; the third has been read, and waits without an answer.
    wait_for("three read", || world.metrics.messages(UpKind::Batch) == 3).await;
    let mut answer = [0; 4];
    for id in 1..=MESSAGES {
        if id > 2 {
            assert!(world.metrics.messages(UpKind::Batch) <= u64::from(id) + 2);
        }
        let LinkEvent::Message(up) = world.event().await else {
            panic!("only messages");
        };
        assert_eq!((up.payload.len(), up.payload[0]), (60_000, id.to_be_bytes()[1]));
        tokio::io::AsyncReadExt::read_exact(&mut reader, &mut answer).await.expect("open");
        assert_eq!(answer, [0x40, 2, id.to_be_bytes()[0], id.to_be_bytes()[1]]);
    }
    drop(writing.await.expect("no panic"));
    assert_eq!(world.event().await, LinkEvent::Disconnected(gateway("a")));
}

#[tokio::test]
async fn a_gateway_that_we_do_not_read_is_not_called_silent() {
    let mut world = World::start(Limits { events_max: 1, ..limits() }).await;
    let mut peer = world.peer().await;
    let mut connect = CONNECT_A.to_vec();
    // Keep-alive of one second.
    connect[11] = 1;
    peer.send(&[&connect, BATCH_7, BATCH_7].concat()).await;
    peer.expect(CONNACK).await;
    // The stimulus is time itself: longer than the keep-alive allows, while nothing is taken in.
    tokio::time::sleep(Duration::from_millis(1_800)).await;
    assert_eq!(world.metrics.refused(Refusal::KeepAlive), 0);
    assert_eq!(world.event().await, LinkEvent::Connected(gateway("a")));
    assert_eq!(world.event().await, batch(b"x"));
    assert_eq!(world.event().await, batch(b"x"));
    peer.expect(&[PUBACK_7, PUBACK_7].concat()).await;
    peer.send(PING).await;
    peer.expect(PONG).await;
    // Read again, and silent: one and a half seconds are left to it.
    peer.expect_end(b"").await;
    world.refused(Refusal::KeepAlive, 1).await;
}

#[tokio::test]
async fn a_gateway_that_does_not_read_is_closed() {
    let limits = Limits { write: Duration::from_millis(300), ..limits() };
    let mut world = World::start(limits).await;
    let mut peer = world.peer_a().await;
    peer.send(SUBSCRIBE).await;
    peer.expect(SUBACK).await;
    let flood = async {
        while world.metrics.refused(Refusal::SlowReader) == 0 {
            send_down(&world, ack(&vec![0; 60_000], Qos::AtMostOnce)).await;
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, flood).await.expect("closed in time");
    assert!(world.metrics.dropped(DropReason::QueueFull) > 0);
    assert_eq!(world.event().await, LinkEvent::Disconnected(gateway("a")));
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_closed() {
    let limits = Limits { connect: Duration::from_millis(100), ..limits() };
    let world = World::start(limits).await;
    world.peer().await.expect_end(b"").await;
    let mut peer = world.peer().await;
    peer.send(b"\x10\x17\x00").await;
    peer.expect_end(b"").await;
    world.refused(Refusal::ConnectTimeout, 2).await;
}

#[tokio::test]
async fn connections_beyond_the_cap_are_closed_and_the_rest_lives() {
    let mut world = World::start(Limits { connections_max: 2, ..limits() }).await;
    let mut first = world.peer_a().await;
    let second = world.peer().await;
    wait_for("open", || world.metrics.connections() == 2).await;
    world.peer().await.expect_end(b"").await;
    world.refused(Refusal::TooMany, 1).await;
    first.send(PING).await;
    first.expect(PONG).await;
    drop(second);
    wait_for("closed", || world.metrics.connections() == 1).await;
    let mut third = world.peer().await;
    third.send(CONNECT_A).await;
    third.expect(CONNACK).await;
}

#[tokio::test]
async fn an_address_with_too_many_failed_logins_is_blocked() {
    let world = World::start(Limits { failures_max: 2, ..limits() }).await;
    let mut wrong = CONNECT_A.to_vec();
    wrong.truncate(wrong.len() - 5);
    wrong.extend(b"wrong");
    for times in 1..=2 {
        let mut peer = world.peer().await;
        peer.send(&wrong).await;
        peer.expect_end(b"\x20\x02\x00\x04").await;
        world.refused(Refusal::Secret, times).await;
    }
    world.peer().await.expect_end(b"").await;
    world.refused(Refusal::PeerBlocked, 1).await;
}

#[tokio::test]
async fn a_refusal_takes_its_time_whatever_the_reason() {
    let delay = Duration::from_millis(300);
    let world = World::start(Limits { refusal_delay: delay, ..limits() }).await;
    for id in [b'a', b'z'] {
        let mut wrong = CONNECT_A.to_vec();
        wrong.truncate(wrong.len() - 5);
        wrong.extend(b"wrong");
        (wrong[14], wrong[17]) = (id, id);
        let mut peer = world.peer().await;
        let asked_at = tokio::time::Instant::now();
        peer.send(&wrong).await;
        peer.expect_end(b"\x20\x02\x00\x04").await;
        assert!(asked_at.elapsed() >= delay);
    }
}

#[tokio::test]
async fn a_connection_that_panics_dies_alone() {
    let mut world = World::start(limits()).await;
    let mut good = world.peer_a().await;
    let mut bad = world.peer().await;
    bad.send(b"\x10\x1f\x00\x04MQTT\x04\xc2\x00\x3c\x00\x05panic\x00\x05panic\x00\x05right").await;
    bad.expect_end(b"").await;
    world.refused(Refusal::Panic, 1).await;
    good.send(BATCH_7).await;
    good.expect(PUBACK_7).await;
    assert_eq!(world.metrics.connections(), 1);
}

#[tokio::test]
async fn the_endpoint_stops_when_nobody_can_send_down_any_more() {
    let mut world = World::start(limits()).await;
    let mut peer = world.peer_a().await;
    drop(world.handle.down);
    timeout(PATIENCE, world.task).await.expect("in time").expect("no panic");
    peer.expect_end(b"").await;
}
