//! The uplink with its real MQTT client against a broker of literal bytes, which does what brokers
//! may do: acknowledge and forget, close, fall silent, carry too much, and refuse.

mod sync_kit;

use std::time::Duration;

use fieldgate_model::{
    Content, Cursor, Digest, Doubt, DoubtCause, GapReason, Position, Stream, Welcome,
};
use fieldgate_wire::{
    DownKind, MESSAGE_BYTES_MAX, Refuse, UpKind, decode_batch, decode_hello, encode_refuse,
    message_digest,
};
use sync_kit::{Folder, Peer, Rig, owner};
use tokio::time::{Instant, timeout};

#[tokio::test]
async fn what_the_broker_alone_has_acknowledged_comes_again_on_the_next_connection() {
    let folder = Folder::new();
    let rig = Rig::start(&folder).await;
    rig.seal(3).await;
    let mut peer = rig.welcomed().await;
    for first in 0..3 {
        let (packet_id, batch) = peer.batch().await;
        assert_eq!(batch.first, Position(first));
        peer.puback(packet_id).await;
    }
    drop(peer);
    // The library forgets here what it held: `session_present` is 0.
    let mut peer = rig.welcomed().await;
    for first in 0..3 {
        assert_eq!(peer.batch().await.1.first, Position(first));
    }
    assert_eq!(rig.released(), Position(0), "an acknowledgement of MQTT is no custody");
}

#[tokio::test]
async fn a_batch_without_our_own_ack_goes_again_and_is_released_by_that_alone() {
    let folder = Folder::new();
    let rig = Rig::start(&folder).await;
    rig.seal(1).await;
    let mut peer = rig.welcomed().await;
    let (packet_id, batch) = peer.batch().await;
    peer.puback(packet_id).await;
    let (_, again) = peer.batch().await;
    assert_eq!(again, batch);
    assert_eq!(rig.released(), Position(0));
    peer.ack(&batch).await;
    rig.wait_released(Position(1)).await;
}

#[tokio::test]
async fn a_broker_that_takes_everything_and_brings_nothing_is_left() {
    let folder = Folder::new();
    let rig = Rig::start(&folder).await;
    rig.seal(1).await;
    let mut peer = rig.welcomed().await;
    // Longer than anybody is patient with it.
    let left = timeout(Duration::from_mins(1), async {
        while let Some(up) = peer.next_up().await {
            peer.puback(up.packet_id).await;
        }
    });
    left.await.expect("the client gives the connection up");
    let mut peer = rig.welcomed().await;
    assert_eq!(peer.batch().await.1.first, Position(0));
    assert_eq!(rig.status().rebuilt, 1);
}

#[tokio::test]
async fn a_broker_that_closes_at_once_is_not_stormed() {
    let folder = Folder::new();
    let rig = Rig::start(&folder).await;
    let until = Instant::now() + Duration::from_secs(3);
    let mut attempts = 0;
    while timeout(until.saturating_duration_since(Instant::now()), rig.accept()).await.is_ok() {
        attempts += 1;
    }
    // The library itself would connect again at once, some thousand times.
    assert!((2..=6).contains(&attempts), "{attempts} attempts in 3 s");
}

#[tokio::test]
async fn the_longest_message_is_taken_and_a_longer_one_costs_one_connection() {
    let folder = Folder::new();
    let rig = Rig::start(&folder).await;
    let mut peer = rig.welcomed().await;
    // Above the library's own bound of 10 KiB, at which it would connect and fail for ever.
    peer.down(DownKind::Pause, &vec![0xFF; MESSAGE_BYTES_MAX]).await;
    rig.wait("it is counted", |status| status.malformed == 1).await;
    rig.seal(1).await;
    let (_, batch) = peer.batch().await;
    peer.ack(&batch).await;
    rig.wait_released(Position(1)).await;
    peer.down(DownKind::Pause, &vec![0xFF; 4 * MESSAGE_BYTES_MAX]).await;
    let closed = timeout(Duration::from_mins(1), async { while peer.next_up().await.is_some() {} });
    closed.await.expect("it is closed");
    // And no more than one: the next lives on.
    let mut peer = rig.welcomed().await;
    for first in 0..2 {
        let (_, batch) = peer.batch().await;
        assert_eq!(batch.first, Position(first));
        peer.ack(&batch).await;
    }
    rig.wait("all is acknowledged", |status| status.backlog == 0).await;
}

#[tokio::test]
async fn an_acknowledgement_of_nothing_costs_one_connection() {
    let folder = Folder::new();
    let rig = Rig::start(&folder).await;
    let mut peer = rig.welcomed().await;
    peer.puback(77).await;
    assert!(peer.next_up().await.is_none(), "it is closed");
    rig.seal(1).await;
    let mut peer = rig.welcomed().await;
    assert_eq!(peer.batch().await.1.first, Position(0));
}

#[tokio::test]
async fn a_batch_refused_for_good_becomes_a_gap_and_holds_nothing_up() {
    let folder = Folder::new();
    let rig = Rig::start(&folder).await;
    rig.seal(2).await;
    let mut peer = rig.welcomed().await;
    let gap = loop {
        let up = peer.up(UpKind::Batch).await;
        let batch = decode_batch(&up.payload).expect("a batch");
        match batch.content {
            Content::Gap(gap) => break gap,
            Content::Samples { .. } | Content::Events(_) | Content::Outcomes(_)
                if batch.first == Position(0) =>
            {
                let message = message_digest(&up.payload);
                let reason = "it is never taken".to_owned();
                let refuse = Refuse { owner: owner(), message, reason };
                peer.down(DownKind::Refuse, &encode_refuse(&refuse)).await;
            }
            Content::Samples { .. } | Content::Events(_) | Content::Outcomes(_) => {}
        }
    };
    assert_eq!(gap.reason, GapReason::Refused);
    assert_eq!(peer.batch().await.1.first, Position(1), "what follows goes");
    rig.wait("it is counted", |status| status.set_aside == 1).await;
}

#[tokio::test]
async fn a_forked_history_is_doubted_over_a_restart_until_somebody_readopts_the_gateway() {
    let folder = Folder::new();
    let rig = Rig::start(&folder).await;
    rig.seal(1).await;
    let (mut peer, hello) = rig.greeted().await;
    let line = hello.heads.iter().find(|head| head.stream == Stream::Events).expect("sealed");
    let beyond = Cursor {
        incarnation: line.incarnation,
        stream: Stream::Events,
        committed: Position(9),
        chain: Digest([9; 32]),
    };
    peer.welcome(Welcome { cursors: vec![beyond], ..Peer::plain_welcome() }).await;
    let hello = decode_hello(&peer.up(UpKind::Hello).await.payload).expect("a Hello");
    let doubt = Some(Doubt { cause: DoubtCause::Forked, since: Some(0) });
    assert_eq!(hello.doubt, doubt);
    drop(peer);
    rig.stop().await;

    let rig = Rig::start(&folder).await;
    let (mut peer, hello) = rig.greeted().await;
    assert_eq!(hello.doubt, doubt, "it is durable");
    peer.welcome(Peer::plain_welcome()).await;
    rig.wait("commands wait", |status| status.welcomed && status.withheld).await;
    drop(peer);
    let (mut peer, _) = rig.greeted().await;
    peer.welcome(Welcome { readopted: 1, ..Peer::plain_welcome() }).await;
    rig.wait("the doubt is over", |status| status.welcomed && !status.withheld).await;
    drop(peer);
    rig.stop().await;

    let rig = Rig::start(&folder).await;
    assert_eq!(rig.greeted().await.1.doubt, None, "and its end is durable too");
}

#[tokio::test]
async fn a_retained_message_has_no_effect() {
    let folder = Folder::new();
    let rig = Rig::start(&folder).await;
    rig.seal(1).await;
    let mut peer = rig.welcomed().await;
    let (_, batch) = peer.batch().await;
    peer.retained(DownKind::Ack, &Peer::ack_of(&batch)).await;
    // The same word, said now, is heard.
    assert_eq!(peer.batch().await.1, batch, "it goes again");
    peer.ack(&batch).await;
    rig.wait_released(Position(1)).await;
}
