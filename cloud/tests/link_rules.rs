//! What a peer of the endpoint may not do, in literal bytes: each closes it, counted by reason, and
//! nobody else notices.

mod link_support;

use fieldgate_cloud::link::{LinkEvent, Refusal};
use fieldgate_wire::MESSAGE_BYTES_MAX;
use link_support::{BATCH_7, CONNACK, CONNECT_A, PUBACK_7, World, gateway, limits};

/// What a gateway that is logged in sends, and why it is closed.
const BREACHES: [(&str, &[u8], Refusal); 28] = [
    ("QoS 2", b"\x34\x1e\x00\x19fieldgate/1/10/a/up/batch\x00\x07x", Refusal::Qos2),
    ("QoS 3", b"\x36\x1e\x00\x19fieldgate/1/10/a/up/batch\x00\x07x", Refusal::Malformed),
    ("retain", b"\x31\x1c\x00\x19fieldgate/1/10/a/up/batchx", Refusal::Retain),
    ("id 0", b"\x32\x1e\x00\x19fieldgate/1/10/a/up/batch\x00\x00x", Refusal::PacketIdZero),
    ("plus", b"\x30\x1b\x00\x19fieldgate/1/10/+/up/batch", Refusal::BadTopic),
    ("hash", b"\x30\x1b\x00\x19fieldgate/1/10/a/up/#atch", Refusal::BadTopic),
    ("NUL", b"\x30\x1b\x00\x19fieldgate/1/10/a/up/\0atch", Refusal::BadTopic),
    ("another's", b"\x30\x1b\x00\x19fieldgate/1/62/b/up/batch", Refusal::ForeignTopic),
    ("its shard", b"\x30\x1b\x00\x19fieldgate/1/62/a/up/batch", Refusal::ForeignTopic),
    ("down", b"\x30\x1b\x00\x19fieldgate/1/10/a/down/ack", Refusal::ForeignTopic),
    ("system", b"\x30\x07\x00\x05$SYS/", Refusal::ForeignTopic),
    ("no topic", b"\x30\x02\x00\x00", Refusal::ForeignTopic),
    ("UTF-8", b"\x30\x05\x00\x02\xff\xfex", Refusal::Malformed),
    ("cut topic", b"\x30\x03\x00\x05x", Refusal::Malformed),
    ("all", b"\x82\x06\x00\x01\x00\x01#\x01", Refusal::ForeignTopic),
    ("share", b"\x82\x0f\x00\x01\x00\x0a$share/g/#\x01", Refusal::ForeignTopic),
    (
        "another's downlinks",
        b"\x82\x1c\x00\x01\x00\x17fieldgate/1/62/b/down/+\x01",
        Refusal::ForeignTopic,
    ),
    (
        "subscribe with id 0",
        b"\x82\x1c\x00\x00\x00\x17fieldgate/1/10/a/down/+\x01",
        Refusal::PacketIdZero,
    ),
    (
        "unsubscribe with id 0",
        b"\xa2\x1b\x00\x00\x00\x17fieldgate/1/10/a/down/+",
        Refusal::PacketIdZero,
    ),
    ("no filter", b"\x82\x02\x00\x01", Refusal::Malformed),
    ("second CONNECT", CONNECT_A, Refusal::Malformed),
    ("CONNACK", CONNACK, Refusal::Malformed),
    ("PUBACK of nothing", PUBACK_7, Refusal::Malformed),
    ("PUBREL of nothing", b"\x62\x02\x00\x01", Refusal::Malformed),
    ("type 0", b"\x00\x00", Refusal::Malformed),
    ("type 15", b"\xf0\x00", Refusal::Malformed),
    ("256 MiB to come", b"\x30\xff\xff\xff\x7f", Refusal::Oversize),
    ("five length bytes", b"\x30\xff\xff\xff\xff\x01", Refusal::Malformed),
];

/// What a peer sends first, what it is told, and why it is closed.
const LOGINS: [(&str, &[u8], &[u8], Refusal); 21] = [
    ("PUBLISH first", BATCH_7, b"", Refusal::BeforeConnect),
    ("SUBSCRIBE first", link_support::SUBSCRIBE, b"", Refusal::BeforeConnect),
    ("HTTP", b"GET / HTTP/1.1\r\n\r\n", b"", Refusal::BeforeConnect),
    ("flags of CONNECT", b"\x11\x00", b"", Refusal::BeforeConnect),
    ("a long CONNECT", b"\x10\xff\xff\x03", b"", Refusal::Oversize),
    ("an endless length", b"\x10\x80\x80\x80\x80\x01", b"", Refusal::Malformed),
    (
        "MQTT 5",
        b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02aa",
        b"\x20\x02\x00\x01",
        Refusal::Version,
    ),
    (
        "MQTT 3.1",
        b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01a",
        b"\x20\x02\x00\x05",
        Refusal::Malformed,
    ),
    (
        "a will",
        b"\x10\x1d\x00\x04MQTT\x04\xc6\x00\x3c\x00\x01a\x00\x01t\x00\x01w\x00\x01a\x00\x05right",
        b"\x20\x02\x00\x05",
        Refusal::Will,
    ),
    (
        "another's client id",
        b"\x10\x17\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01b\x00\x01a\x00\x05right",
        b"\x20\x02\x00\x02",
        Refusal::Identity,
    ),
    (
        "client id #",
        b"\x10\x17\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01#\x00\x01#\x00\x05right",
        b"\x20\x02\x00\x02",
        Refusal::Identity,
    ),
    (
        "client id +",
        b"\x10\x17\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01+\x00\x01+\x00\x05right",
        b"\x20\x02\x00\x02",
        Refusal::Identity,
    ),
    (
        "client id /",
        b"\x10\x17\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01/\x00\x01/\x00\x05right",
        b"\x20\x02\x00\x02",
        Refusal::Identity,
    ),
    (
        "client id $SYS",
        b"\x10\x1d\x00\x04MQTT\x04\xc2\x00\x3c\x00\x04$SYS\x00\x04$SYS\x00\x05right",
        b"\x20\x02\x00\x02",
        Refusal::Identity,
    ),
    (
        "client id NUL",
        b"\x10\x17\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01\0\x00\x01\0\x00\x05right",
        b"\x20\x02\x00\x02",
        Refusal::Identity,
    ),
    (
        "client id of no UTF-8",
        b"\x10\x17\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01\xff\x00\x01a\x00\x05right",
        b"\x20\x02\x00\x02",
        Refusal::Identity,
    ),
    (
        "nobody",
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
        b"\x20\x02\x00\x02",
        Refusal::Identity,
    ),
    (
        "a wrong secret",
        b"\x10\x17\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01a\x00\x01a\x00\x05wrong",
        b"\x20\x02\x00\x04",
        Refusal::Secret,
    ),
    (
        "an unknown gateway",
        b"\x10\x17\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01z\x00\x01z\x00\x05right",
        b"\x20\x02\x00\x04",
        Refusal::Secret,
    ),
    (
        "no secret",
        b"\x10\x10\x00\x04MQTT\x04\x82\x00\x3c\x00\x01a\x00\x01a",
        b"\x20\x02\x00\x04",
        Refusal::Secret,
    ),
    (
        "a silent store",
        b"\x10\x1d\x00\x04MQTT\x04\xc2\x00\x3c\x00\x04down\x00\x04down\x00\x05right",
        b"\x20\x02\x00\x03",
        Refusal::Unavailable,
    ),
];

#[tokio::test]
async fn a_gateway_that_breaks_a_rule_is_closed_and_counted() {
    let mut world = World::start(limits()).await;
    let mut times_by_refusal = std::collections::BTreeMap::new();
    let mut oversize = b"\x32\x9e\x80\x04\x00\x19fieldgate/1/10/a/up/batch\x00\x07".to_vec();
    assert_eq!(MESSAGE_BYTES_MAX, 65_536, "the length above says 29 + 65,537");
    oversize.resize(oversize.len() + MESSAGE_BYTES_MAX + 1, b'x');
    let too_large: (&str, &[u8], Refusal) = ("too large", &oversize, Refusal::Oversize);
    for (what, bytes, refusal) in BREACHES.into_iter().chain([too_large]) {
        let mut peer = world.peer_a().await;
        peer.send(bytes).await;
        peer.expect_end(b"").await;
        assert_eq!(world.event().await, LinkEvent::Disconnected(gateway("a")), "{what}");
        let times = times_by_refusal.entry(refusal).or_insert(0);
        *times += 1;
        world.refused(refusal, *times).await;
    }
    let total: u64 = Refusal::ALL.iter().map(|refusal| world.metrics.refused(*refusal)).sum();
    assert_eq!(total, 29, "each is counted once");
}

#[tokio::test]
async fn a_peer_that_may_not_log_in_is_told_why_and_closed() {
    let world = World::start(limits()).await;
    let mut times_by_refusal = std::collections::BTreeMap::new();
    for (what, bytes, answer, refusal) in LOGINS {
        let mut peer = world.peer().await;
        peer.send(bytes).await;
        peer.expect_end(answer).await;
        let times = times_by_refusal.entry(refusal).or_insert(0);
        *times += 1;
        world.refused(refusal, *times).await;
        assert_eq!(world.metrics.connects(), 0, "{what}");
    }
    assert_eq!(world.metrics.connections(), 0);
}

#[tokio::test]
async fn garbage_of_any_kind_only_closes_the_one_who_sends_it() {
    let mut world = World::start(limits()).await;
    // xorshift64: the same garbage on every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    for round in 0..200 {
        let mut peer = world.peer().await;
        let logged_in = round % 2 == 0;
        if logged_in {
            peer.send(CONNECT_A).await;
            peer.expect(CONNACK).await;
        }
        let garbage: Vec<u8> = (0..32).flat_map(|_| next()).collect();
        // The endpoint may close before it has read all, and then sending fails.
        drop(tokio::io::AsyncWriteExt::write_all(&mut peer.0, &garbage).await);
        drop(tokio::io::AsyncWriteExt::shutdown(&mut peer.0).await);
        let mut rest = Vec::new();
        drop(tokio::io::AsyncReadExt::read_to_end(&mut peer.0, &mut rest).await);
        if logged_in {
            assert_eq!(world.event().await, LinkEvent::Connected(gateway("a")));
            assert_eq!(world.event().await, LinkEvent::Disconnected(gateway("a")));
        }
    }
    assert_eq!(world.metrics.refused(Refusal::Panic), 0);
    let mut peer = world.peer_a().await;
    peer.send(BATCH_7).await;
    peer.expect(PUBACK_7).await;
}
