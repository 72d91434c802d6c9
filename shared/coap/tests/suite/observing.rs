//! Observations: what is given on, when they are refreshed, and how they end.

use fieldgate_coap::block::{Block, BlockSize};
use fieldgate_coap::code::Code;
use fieldgate_coap::endpoint::{Effect, EndpointOptions, Limits, Loss, ObservationId};
use fieldgate_coap::message::{Kind, Message, MessageId};
use fieldgate_coap::option::OptionNumber;
use fieldgate_coap::request::{Failure, Request};
use fieldgate_model::Millis;

use crate::kit::{Bench, answer, apart, peer, with};

const PATIENCE: Millis = Millis::from_secs(100);

/// An observation whose registration is under way.
fn begin(bench: &mut Bench) -> (ObservationId, Message) {
    let request = Request::get(["time"]);
    let id = bench.endpoint.observe(peer(1), request, PATIENCE, bench.now).expect("room");
    (id, bench.sent_one(peer(1)))
}

/// An observation that has had its first answer, number 10.
fn observed(bench: &mut Bench) -> (ObservationId, Message) {
    let (id, sent) = begin(bench);
    bench.hear(peer(1), &numbered(answer(&sent, Code::CONTENT, b"10"), 10));
    assert_eq!(given(bench), [b"10"]);
    (id, sent)
}

fn numbered(message: Message, place: u32) -> Message {
    with(message, OptionNumber::OBSERVE, place)
}

/// A notification under a message id of its own, which is its place while that is small.
fn notification(sent: &Message, kind: Kind, place: u32) -> Message {
    let id = u16::try_from(place % 65_521).expect("16 bits");
    let payload = place.to_string();
    numbered(apart(sent, kind, id, Code::CONTENT, payload.as_bytes()), place)
}

/// The payloads that were given on since the last look.
#[track_caller]
fn given(bench: &mut Bench) -> Vec<Vec<u8>> {
    let given = bench.happened().into_iter().map(|effect| {
        let Effect::Notified { response, .. } = effect else { panic!("{effect:?}") };
        response.payload
    });
    given.collect()
}

#[track_caller]
fn lost(bench: &mut Bench) -> Loss {
    match bench.happened().pop() {
        Some(Effect::Lost { loss, .. }) => loss,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_change_is_given_on_and_acknowledged_as_it_was_sent() {
    let mut bench = Bench::usual();
    let (_, sent) = observed(&mut bench);
    assert_eq!(sent.options.uint(OptionNumber::OBSERVE), Some(0));
    bench.hear(peer(1), &notification(&sent, Kind::Confirmable, 11));
    assert_eq!(bench.sent_one(peer(1)), Message::empty(Kind::Acknowledgement, MessageId(11)));
    bench.hear(peer(1), &notification(&sent, Kind::NonConfirmable, 12));
    assert!(bench.sent().is_empty());
    assert_eq!(given(&mut bench), [b"11", b"12"]);
}

#[test]
fn what_comes_again_or_late_is_not_given_on() {
    let mut bench = Bench::usual();
    let (_, sent) = observed(&mut bench);
    for _ in 0..2 {
        bench.hear(peer(1), &notification(&sent, Kind::Confirmable, 12));
        // Ours was lost, so it is acknowledged again.
        bench.sent_one(peer(1));
    }
    bench.hear(peer(1), &notification(&sent, Kind::NonConfirmable, 11));
    assert_eq!(given(&mut bench), [b"12"]);
    assert_eq!((bench.endpoint.counters().duplicates, bench.endpoint.counters().stale), (1, 1));
    // Places wrap.
    for place in [0x80_0000, 0xFF_FFFF, 0, 1] {
        bench.hear(peer(1), &notification(&sent, Kind::NonConfirmable, place));
    }
    assert_eq!(given(&mut bench).len(), 4);
    bench.hear(peer(1), &notification(&sent, Kind::NonConfirmable, 0xFF_FFFE));
    assert!(given(&mut bench).is_empty());
}

#[test]
fn what_nobody_observes_is_refused_with_a_reset() {
    for kind in [Kind::Confirmable, Kind::NonConfirmable] {
        let mut bench = Bench::usual();
        let (_, sent) = observed(&mut bench);
        let mut foreign = notification(&sent, kind, 99);
        foreign.token = fieldgate_coap::message::Token::new([1; 8]);
        bench.hear(peer(1), &foreign);
        assert_eq!(bench.sent_one(peer(1)), Message::empty(Kind::Reset, MessageId(99)));
        // Of another peer, with the right token.
        bench.hear(peer(2), &notification(&sent, kind, 98));
        assert_eq!(bench.sent_one(peer(2)), Message::empty(Kind::Reset, MessageId(98)));
        assert!(bench.happened().is_empty());
    }
}

#[test]
fn silence_beyond_max_age_is_answered_with_a_new_registration_under_the_same_token() {
    let mut bench = Bench::usual();
    let (_, sent) = begin(&mut bench);
    let first = with(answer(&sent, Code::CONTENT, b"a"), OptionNumber::MAX_AGE, 20);
    bench.hear(peer(1), &numbered(first, 500));
    given(&mut bench);
    bench.pass(Millis::from_secs(25) + Millis(0));
    assert!(bench.sent().iter().all(|_| false), "not before Max-Age and 5 s");
    bench.pass(Millis::from_secs(10));
    let again = bench.sent().remove(0).1;
    assert_eq!(again.options.uint(OptionNumber::OBSERVE), Some(0));
    assert_eq!(again.token, sent.token);
    assert_ne!(again.id, sent.id);
    // The server has restarted: its places begin anew.
    bench.hear(peer(1), &numbered(answer(&again, Code::CONTENT, b"b"), 1));
    assert_eq!(given(&mut bench), [b"b"]);
    bench.hear(peer(1), &notification(&again, Kind::NonConfirmable, 2));
    assert_eq!(given(&mut bench), [b"2"]);
}

#[test]
fn registrations_are_spread_so_that_not_all_come_at_once() {
    let mut bench = Bench::usual();
    let mut times = Vec::new();
    for number in 1..=40 {
        let request = Request::get(["time"]);
        bench.endpoint.observe(peer(number), request, PATIENCE, bench.now).expect("room");
        let sent = bench.sent_one(peer(number));
        bench.hear(peer(number), &numbered(answer(&sent, Code::CONTENT, b"a"), 1));
    }
    let begun = bench.now;
    while bench.now.since(begun) < Millis::from_secs(75) {
        bench.pass(Millis(1_000));
        let again = bench.sent();
        times.extend(again.iter().map(|_| bench.now.since(begun).0));
        for (to, message) in again {
            bench.hear(to, &numbered(answer(&message, Code::CONTENT, b"a"), 2));
        }
    }
    assert_eq!(times.len(), 40);
    assert!(times.iter().all(|time| (65_000..=75_000).contains(time)), "{times:?}");
    times.dedup();
    assert!(times.len() >= 7, "{times:?}");
}

#[test]
fn a_resource_that_holds_for_a_day_is_still_asked_for_a_sign_of_life() {
    let limits = Limits { liveness: Millis::from_secs(30), ..Limits::default() };
    let mut bench = Bench::new(EndpointOptions { limits, ..EndpointOptions::default() });
    let (_, sent) = begin(&mut bench);
    let first = with(answer(&sent, Code::CONTENT, b"a"), OptionNumber::MAX_AGE, 86_400);
    bench.hear(peer(1), &numbered(first, 1));
    bench.pass(Millis::from_secs(29));
    assert!(bench.sent().is_empty());
    bench.pass(Millis::from_secs(1));
    bench.sent_one(peer(1));
}

#[test]
fn a_server_that_is_gone_is_told_and_left() {
    let mut bench = Bench::usual();
    let (_, sent) = observed(&mut bench);
    bench.pass(Millis::from_secs(75 + 100));
    assert_eq!(lost(&mut bench), Loss::Failed(Failure::Timeout));
    bench.sent();
    // It comes back and notifies those whom it knew.
    bench.hear(peer(1), &notification(&sent, Kind::NonConfirmable, 900));
    assert_eq!(bench.sent_one(peer(1)), Message::empty(Kind::Reset, MessageId(900)));
    assert!(bench.happened().is_empty());
    assert_eq!(bench.endpoint.poll_timeout(), None);
}

#[test]
fn every_way_to_lose_an_observation_is_told_apart() {
    for (reply, loss) in [
        (answer as fn(&Message, Code, &[u8]) -> Message, Loss::NotObservable),
        (|sent, _, _| answer(sent, Code::NOT_FOUND, b""), Loss::Refused(Code::NOT_FOUND)),
        (|sent, _, _| Message::empty(Kind::Reset, sent.id), Loss::Failed(Failure::Reset)),
    ] {
        let mut bench = Bench::usual();
        let (_, sent) = begin(&mut bench);
        bench.hear(peer(1), &reply(&sent, Code::CONTENT, b"once"));
        assert_eq!(lost(&mut bench), loss);
        assert_eq!(bench.endpoint.poll_timeout(), None);
    }
    let mut bench = Bench::usual();
    begin(&mut bench);
    bench.endpoint.handle_unreachable(peer(1), bench.now);
    assert_eq!(lost(&mut bench), Loss::Failed(Failure::Unreachable));
    // The resource is gone while it is observed.
    let (_, sent) = observed(&mut bench);
    bench.hear(peer(1), &apart(&sent, Kind::Confirmable, 7, Code::NOT_FOUND, b""));
    bench.sent_one(peer(1));
    assert_eq!(lost(&mut bench), Loss::Refused(Code::NOT_FOUND));
    // The last notification is one, and says that it is the last by what it lacks.
    let (_, sent) = observed(&mut bench);
    bench.hear(peer(1), &apart(&sent, Kind::NonConfirmable, 8, Code::CONTENT, b"last"));
    let happened = bench.happened();
    assert!(
        matches!(&happened[0], Effect::Notified { response, .. } if response.payload == b"last")
    );
    assert!(matches!(happened[1], Effect::Lost { loss: Loss::NotObservable, .. }));
}

#[test]
fn an_observation_that_is_ended_says_so_to_its_peer_and_hears_no_more() {
    let mut bench = Bench::usual();
    let (id, sent) = observed(&mut bench);
    bench.endpoint.forget(id, bench.now);
    let end = bench.sent_one(peer(1));
    assert_eq!(end.options.uint(OptionNumber::OBSERVE), Some(1));
    assert_eq!((end.token, end.code), (sent.token, Code(1)));
    bench.hear(peer(1), &answer(&end, Code::CONTENT, b"13"));
    bench.hear(peer(1), &notification(&sent, Kind::NonConfirmable, 14));
    assert_eq!(bench.sent_one(peer(1)), Message::empty(Kind::Reset, MessageId(14)));
    assert!(bench.happened().is_empty());
    assert_eq!(bench.endpoint.poll_timeout(), None);
    // Before the registration was answered.
    let (id, _) = begin(&mut bench);
    bench.endpoint.forget(id, bench.now);
    bench.endpoint.handle_unreachable(peer(1), bench.now);
    bench.pass(Millis::from_secs(200));
    assert!(bench.happened().is_empty());
    assert_eq!(bench.endpoint.poll_timeout(), None);
}

#[test]
fn a_notification_that_overtakes_the_answer_to_a_registration_is_given_on_and_the_older_is_not() {
    let mut bench = Bench::usual();
    let (_, sent) = observed(&mut bench);
    bench.pass(Millis::from_secs(75));
    let again = bench.sent().remove(0).1;
    bench.hear(peer(1), &notification(&sent, Kind::NonConfirmable, 11));
    assert_eq!(given(&mut bench), [b"11"]);
    bench.hear(peer(1), &notification(&sent, Kind::NonConfirmable, 9));
    assert!(given(&mut bench).is_empty(), "it is older, and not the answer");
    // The answer comes apart.
    bench.hear(peer(1), &Message::empty(Kind::Acknowledgement, again.id));
    bench.hear(peer(1), &notification(&sent, Kind::Confirmable, 1));
    assert_eq!(given(&mut bench), [b"1"]);
}

#[test]
fn a_long_notification_is_fetched_whole_and_the_newest_wins() {
    let size = BlockSize::at_most(16);
    let head = |sent: &Message, place: u32, payload: &[u8]| {
        let mut message = notification(sent, Kind::NonConfirmable, place);
        message.payload = payload.to_vec();
        Block { number: 0, more: true, size }.add(&mut message.options, OptionNumber::BLOCK2);
        message
    };
    let rest = |request: &Message, payload: &[u8]| {
        let mut message = answer(request, Code::CONTENT, payload);
        Block { number: 1, more: false, size }.add(&mut message.options, OptionNumber::BLOCK2);
        message
    };
    let mut bench = Bench::usual();
    let (_, sent) = observed(&mut bench);
    bench.hear(peer(1), &head(&sent, 11, &[b'a'; 16]));
    let fetch = bench.sent_one(peer(1));
    assert_ne!(fetch.token, sent.token);
    assert_eq!(fetch.options.uint(OptionNumber::OBSERVE), None);
    assert!(bench.happened().is_empty());
    bench.hear(peer(1), &rest(&fetch, b"aa"));
    assert_eq!(given(&mut bench), [[b'a'; 18]]);
    // Another one comes while the rest is under way.
    bench.hear(peer(1), &head(&sent, 12, &[b'b'; 16]));
    let old = bench.sent_one(peer(1));
    bench.hear(peer(1), &head(&sent, 13, &[b'c'; 16]));
    let new = bench.sent_one(peer(1));
    bench.hear(peer(1), &rest(&old, b"bb"));
    bench.hear(peer(1), &rest(&new, b"cc"));
    assert_eq!(given(&mut bench), [[b'c'; 18]]);
}
