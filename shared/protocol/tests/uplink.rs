//! What the uplink does when the other side refuses, is silent, or lets history pile up.

use std::sync::atomic::{AtomicU64, Ordering};

use fieldgate_model::{
    BootId, Cursor, Digest, Doubt, DoubtCause, Epoch, GapReason, GatewayId, Hello, IncarnationId,
    InstanceId, Millis, Owner, Position, Stream, UtcMillis, Welcome,
};
use fieldgate_protocol::uplink::{
    Chain, HeldLine, Pace, Receiver, ReceiverEffect, Sender, SenderEffect, SessionState,
    StoredGateway,
};

const LIFE: IncarnationId = IncarnationId([1; 16]);
const NOW: Millis = Millis(1_000);
/// Longest silence after which the client is suspect.
const STUCK: u64 = 20_000;

fn line(stream: Stream, stored: u64) -> HeldLine {
    HeldLine {
        incarnation: LIFE,
        stream,
        first: Position(0),
        released: Position(0),
        stored: Position(stored),
        chain: Digest([0; 32]),
    }
}

fn owner() -> Owner {
    Owner { instance: InstanceId::new("a").expect("an id"), epoch: Epoch(1) }
}

fn live(lines: Vec<HeldLine>) -> Sender {
    let mut sender = Sender::resume(lines);
    sender.handle_connected(NOW);
    assert_eq!(sender.poll_effect(), Some(SenderEffect::Greet));
    let welcome = Welcome {
        owner: owner(),
        utc: UtcMillis(0),
        cursors: Vec::new(),
        contested: false,
        readopted: 0,
    };
    sender.handle_welcome(&welcome, |_| None);
    sender
}

/// Sends what the sender wants sent, each batch ten records long; gives stream and start of each.
fn pump(sender: &mut Sender, now: Millis) -> Vec<(Stream, u64)> {
    let mut sent = Vec::new();
    while let Some(effect) = sender.poll_effect() {
        match effect {
            SenderEffect::Send { stream, first, .. } => {
                sent.push((stream, first.0));
                sender.handle_sent(LIFE, stream, (first, Position(first.0 + 10)), now);
            }
            SenderEffect::SendGap { stream, first, next, .. } => {
                sender.handle_sent(LIFE, stream, (first, next), now);
            }
            SenderEffect::Release { .. } => {}
            SenderEffect::Greet | SenderEffect::Reincarnate(_) | SenderEffect::Rebuild => {
                panic!("{effect:?}")
            }
        }
    }
    sent
}

fn ack(sender: &mut Sender, stream: Stream, committed: u64, now: Millis) {
    let chain = Digest([0; 32]);
    let cursor = Cursor { incarnation: LIFE, stream, committed: Position(committed), chain };
    sender.handle_ack(cursor, cursor.committed, Some(chain), now);
}

#[test]
fn a_batch_refused_three_times_is_set_aside_and_declared() {
    let mut sender = live(vec![line(Stream::Samples, 20)]);
    assert_eq!(pump(&mut sender, NOW), [(Stream::Samples, 0), (Stream::Samples, 10)]);
    for refusals in 1..=3 {
        assert_eq!(sender.poll_effect(), None, "after {refusals} refusals");
        sender.handle_refused(LIFE, Stream::Samples, Position(0), NOW);
    }
    let gap = SenderEffect::SendGap {
        incarnation: LIFE,
        stream: Stream::Samples,
        first: Position(0),
        next: Position(10),
        reason: GapReason::Refused,
    };
    assert_eq!(sender.poll_effect(), Some(gap));
    sender.handle_sent(LIFE, Stream::Samples, (Position(0), Position(10)), NOW);
    assert_eq!(pump(&mut sender, NOW), [(Stream::Samples, 10)], "what follows does not wait");
}

#[test]
fn refusals_of_different_batches_are_not_added_up() {
    let mut sender = live(vec![line(Stream::Samples, 20)]);
    pump(&mut sender, NOW);
    for first in [0, 10, 0, 10, 0, 10] {
        sender.handle_refused(LIFE, Stream::Samples, Position(first), NOW);
    }
    assert_eq!(sender.poll_effect(), None);
}

#[test]
fn a_client_that_takes_everything_and_brings_nothing_is_built_anew() {
    let mut sender = live(vec![line(Stream::Samples, 10)]);
    pump(&mut sender, NOW);
    let rebuilt_at = loop {
        let now = sender.poll_timeout().expect("something is outstanding");
        sender.handle_timeout(now);
        match sender.poll_effect() {
            Some(SenderEffect::Rebuild) => break now,
            Some(SenderEffect::Send { .. }) => {
                let range = (Position(0), Position(10));
                sender.handle_sent(LIFE, Stream::Samples, range, now);
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(rebuilt_at.since(NOW), Millis(STUCK));
    assert_eq!(sender.session(), SessionState::Down);
}

#[test]
fn a_slow_commit_of_several_streams_is_no_reason_to_build_anew() {
    let streams = Stream::ALL.map(|stream| line(stream, 10));
    let mut sender = live(streams.to_vec());
    pump(&mut sender, NOW);
    // Every line repeats itself once or twice meanwhile.
    while let Some(due) = sender.poll_timeout().filter(|at| at.since(NOW) < Millis(STUCK - 1)) {
        sender.handle_timeout(due);
        pump(&mut sender, due);
    }
    assert_eq!(sender.session(), SessionState::Live);
}

#[test]
fn a_pause_is_no_silence() {
    let mut sender = live(vec![line(Stream::Samples, 10)]);
    pump(&mut sender, NOW);
    sender.handle_pause(Millis(10 * STUCK), NOW);
    let due = sender.poll_timeout().expect("the end of the pause");
    assert_eq!(due.since(NOW), Millis(10 * STUCK));
    sender.handle_timeout(due);
    assert_eq!(pump(&mut sender, due), [(Stream::Samples, 0)]);
    let due = sender.poll_timeout().expect("a resend");
    sender.handle_timeout(due);
    assert_eq!(sender.session(), SessionState::Live);
}

#[test]
fn history_goes_at_its_pace_and_holds_neither_events_nor_outcomes_up() {
    let mut sender = Sender::resume(vec![line(Stream::Events, 0), line(Stream::Samples, 100_000)]);
    // One batch of ten records fills the bucket's second.
    sender.set_pace(Pace::new(10));
    sender.handle_connected(NOW);
    assert_eq!(sender.poll_effect(), Some(SenderEffect::Greet));
    let cursors = Vec::new();
    let (owner, utc) = (owner(), UtcMillis(0));
    let welcome = Welcome { owner, utc, cursors, contested: false, readopted: 0 };
    sender.handle_welcome(&welcome, |_| None);
    assert_eq!(pump(&mut sender, NOW), [(Stream::Samples, 0), (Stream::Samples, 10)]);
    ack(&mut sender, Stream::Samples, 20, NOW);
    assert_eq!(pump(&mut sender, NOW), [], "the bucket is empty");
    sender.handle_sealed(LIFE, Stream::Events, Position(10), Digest([0; 32]));
    assert_eq!(pump(&mut sender, NOW), [(Stream::Events, 0)]);
    ack(&mut sender, Stream::Events, 10, NOW);
    let due = sender.poll_timeout().expect("the bucket fills");
    sender.handle_timeout(due);
    assert_eq!(pump(&mut sender, due), [(Stream::Samples, 20)]);
}

#[test]
fn held_samples_go_when_their_time_has_come() {
    let mut sender = Sender::resume(vec![line(Stream::Samples, 10)]);
    sender.handle_connected(NOW);
    sender.hold_samples(Millis(5_000));
    assert_eq!(sender.poll_effect(), Some(SenderEffect::Greet));
    let (owner, utc, cursors) = (owner(), UtcMillis(0), Vec::new());
    let welcome = Welcome { owner, utc, cursors, contested: false, readopted: 0 };
    sender.handle_welcome(&welcome, |_| None);
    assert_eq!(sender.poll_effect(), None);
    assert_eq!(sender.poll_timeout(), Some(Millis(5_000)));
    sender.handle_timeout(Millis(5_000));
    assert_eq!(pump(&mut sender, Millis(5_000)), [(Stream::Samples, 0)]);
}

struct NoChain;

impl Chain for NoChain {
    fn start(&self, _: IncarnationId, _: Stream) -> Digest {
        Digest([0; 32])
    }

    fn link(&self, before: Digest, _: Digest) -> Digest {
        before
    }
}

fn contested(receiver: &mut Receiver<NoChain>, doubt: Option<Doubt>) -> bool {
    receiver.handle_hello(hello(BootId([1; 16]), doubt));
    welcomed(receiver).contested
}

/// Each later than the one before: a Hello that comes twice is heard once.
fn hello(boot: BootId, doubt: Option<Doubt>) -> Hello {
    static AT: AtomicU64 = AtomicU64::new(NOW.0);
    Hello {
        gateway: GatewayId::new("gateway").expect("an id"),
        boot,
        owner: None,
        burned: Epoch(0),
        heads: Vec::new(),
        open_commands: 0,
        generation: 0,
        software: String::new(),
        at: Millis(AT.fetch_add(1, Ordering::Relaxed)),
        utc: None,
        doubt,
    }
}

fn welcomed(receiver: &mut Receiver<NoChain>) -> Welcome {
    while let Some(effect) = receiver.poll_effect() {
        if let ReceiverEffect::Welcome(welcome) = effect {
            return welcome;
        }
        receiver.handle_reserved(UtcMillis(0));
    }
    panic!("no Welcome");
}

#[test]
fn a_doubt_of_the_gateway_lasts_until_it_is_readopted() {
    let instance = InstanceId::new("a").expect("an id");
    let stored = StoredGateway { readopted: 2, ..StoredGateway::default() };
    let mut receiver = Receiver::resume(instance, NoChain, stored);
    let doubt = |since| Some(Doubt { cause: DoubtCause::Forked, since });
    assert!(!contested(&mut receiver, None));
    assert!(!contested(&mut receiver, doubt(Some(1))), "settled by the second readoption");
    assert!(contested(&mut receiver, doubt(Some(2))));
    assert!(contested(&mut receiver, None), "it does not go away by itself");
    receiver.handle_readopted(2);
    assert!(contested(&mut receiver, None), "that was before");
    receiver.handle_readopted(3);
    assert!(!contested(&mut receiver, doubt(Some(2))));
    assert!(contested(&mut receiver, doubt(None)), "it cannot say that it was settled");
}

#[test]
fn who_waits_for_its_own_pace_is_not_stuck() {
    let mut sender = Sender::resume(vec![line(Stream::Samples, 100)]);
    // Ten records take longer than any patience.
    sender.set_pace(Pace::new(1));
    sender.handle_connected(NOW);
    let (owner, utc, cursors) = (owner(), UtcMillis(0), Vec::new());
    let welcome = Welcome { owner, utc, cursors, contested: false, readopted: 0 };
    assert_eq!(sender.poll_effect(), Some(SenderEffect::Greet));
    sender.handle_welcome(&welcome, |_| None);
    for _ in 0..50 {
        let Some(due) = sender.poll_timeout() else { break };
        sender.handle_timeout(due);
        // An Ack comes for every second batch alone.
        if let [(_, first)] = pump(&mut sender, due)[..]
            && first.is_multiple_of(20)
        {
            ack(&mut sender, Stream::Samples, first + 10, due);
        }
    }
    assert_eq!(sender.session(), SessionState::Live);
}

#[test]
fn a_cloud_that_pauses_for_a_day_is_asked_with_one_batch_each_time() {
    let mut sender = live(vec![line(Stream::Samples, 1_000_000)]);
    let (mut now, mut sent) = (NOW, pump(&mut sender, NOW).len());
    let day = Millis(24 * 60 * 60 * 1000);
    while now < day {
        sender.handle_pause(Millis::from_secs(30), now);
        now = sender.poll_timeout().expect("the end of the pause");
        sender.handle_timeout(now);
        sent += pump(&mut sender, now).len();
    }
    // The window that was out, and then one for each half minute.
    assert!(sent <= 12 + 2 * 60 * 24, "{sent} batches in a day");
    ack(&mut sender, Stream::Samples, 10, now);
    assert!(pump(&mut sender, now).len() > 1, "taken once, it goes on as before");
}

#[test]
fn an_ack_beyond_what_is_sealed_releases_nothing_and_ends_the_name() {
    let mut sender = live(vec![line(Stream::Samples, 10)]);
    pump(&mut sender, NOW);
    ack(&mut sender, Stream::Samples, 11, NOW);
    assert_eq!(sender.poll_effect(), Some(SenderEffect::Reincarnate(LIFE)));
    assert_eq!(sender.poll_effect(), None);
}

#[test]
fn two_boots_that_take_turns_are_two_boxes() {
    let instance = InstanceId::new("a").expect("an id");
    let mut receiver = Receiver::resume(instance, NoChain, StoredGateway::default());
    let mut contested = |boot| {
        receiver.handle_hello(hello(BootId([boot; 16]), None));
        welcomed(&mut receiver).contested
    };
    assert_eq!([1, 1, 2, 2].map(&mut contested), [false; 4], "a restart is none");
    assert!(contested(1), "a boot that was over speaks again");
}
