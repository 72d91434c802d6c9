//! Devices that push: known ones, once, answered when it is durable.

use fieldgate_coap::code::Code;
use fieldgate_coap::endpoint::{
    EXCHANGE_LIFETIME, Effect, EndpointOptions, NON_LIFETIME, Push, PushId, Rate,
};
use fieldgate_coap::message::{Kind, Message, MessageId};
use fieldgate_coap::option::{ContentFormat, OptionNumber};
use fieldgate_model::Millis;

use crate::kit::{Bench, peer, pushed, serving, with};

const CON: Kind = Kind::Confirmable;
const NON: Kind = Kind::NonConfirmable;

fn server() -> Bench {
    Bench::new(serving())
}

/// What was pushed since the last look.
#[track_caller]
fn pushes(bench: &mut Bench) -> Vec<(PushId, Push)> {
    let pushes = bench.happened().into_iter().map(|effect| {
        let Effect::Pushed { push, request, .. } = effect else { panic!("{effect:?}") };
        (push, request)
    });
    pushes.collect()
}

/// The answer to a push that the shell answers at once.
fn answered(bench: &mut Bench, message: &Message, code: Code) -> Message {
    bench.hear(peer(1), message);
    let (push, _) = pushes(bench).pop().expect("it came");
    bench.endpoint.reply(push, code, bench.now);
    bench.sent_one(peer(1))
}

#[test]
fn a_push_is_given_on_as_it_was_meant_and_answered_when_it_is_durable() {
    let mut bench = server();
    let message = with(pushed(CON, 7, &["up", "ä"], b"21.5"), OptionNumber::CONTENT_FORMAT, 50);
    bench.hear(peer(1), &message);
    assert!(bench.sent().is_empty(), "not before it is durable");
    let (push, request) = pushes(&mut bench).pop().expect("it came");
    assert_eq!(
        (request.path, request.payload),
        (vec!["up".to_owned(), "ä".to_owned()], b"21.5".to_vec())
    );
    assert_eq!(request.content_format, Some(ContentFormat::JSON));
    bench.endpoint.reply(push, Code::CHANGED, bench.now);
    let reply = bench.sent_one(peer(1));
    assert_eq!(
        (reply.kind, reply.code, reply.id),
        (Kind::Acknowledgement, Code::CHANGED, MessageId(7))
    );
    assert_eq!(reply.token, message.token);
    // Answered once, it stays answered.
    bench.endpoint.reply(push, Code::INTERNAL_ERROR, bench.now);
    assert!(bench.sent().is_empty());
}

#[test]
fn a_push_that_takes_long_to_be_durable_is_acknowledged_before_and_answered_apart() {
    let mut bench = server();
    let message = pushed(CON, 7, &["up"], b"a payload that is long enough for answers");
    bench.hear(peer(1), &message);
    bench.pass(Millis(999));
    assert!(bench.sent().is_empty());
    bench.pass(Millis(1));
    assert_eq!(bench.sent_one(peer(1)), Message::empty(Kind::Acknowledgement, MessageId(7)));
    // The device has not heard it.
    bench.hear(peer(1), &message);
    assert_eq!(bench.sent_one(peer(1)), Message::empty(Kind::Acknowledgement, MessageId(7)));
    bench.pass(Millis::from_secs(5));
    let (push, _) = pushes(&mut bench).pop().expect("it came once");
    bench.endpoint.reply(push, Code::CHANGED, bench.now);
    let reply = bench.sent_one(peer(1));
    assert_eq!((reply.kind, reply.code, reply.token), (CON, Code::CHANGED, message.token));
    bench.pass(Millis::from_secs(3));
    assert_eq!(bench.sent_one(peer(1)), reply, "until it is acknowledged");
    bench.hear(peer(1), &Message::empty(Kind::Acknowledgement, reply.id));
    bench.pass(Millis::from_secs(100));
    assert!(bench.sent().is_empty());
}

#[test]
fn a_push_that_is_not_confirmable_is_answered_in_its_way() {
    let mut bench = server();
    let message = pushed(NON, 7, &["up"], b"21.5");
    let reply = answered(&mut bench, &message, Code::CHANGED);
    assert_eq!((reply.kind, reply.code, reply.token), (NON, Code::CHANGED, message.token));
    bench.hear(peer(1), &message);
    assert!(bench.sent().is_empty() && bench.happened().is_empty());
    bench.pass(NON_LIFETIME);
    bench.hear(peer(1), &message);
    assert_eq!(pushes(&mut bench).len(), 1, "it means another one by then");
}

#[test]
fn a_message_that_comes_again_has_the_same_answer_and_no_second_effect() {
    let mut bench = server();
    let message = pushed(CON, 7, &["up"], b"21.5");
    let reply = answered(&mut bench, &message, Code::CHANGED);
    for _ in 0..3 {
        bench.pass(Millis::from_secs(80));
        bench.hear(peer(1), &message);
        assert_eq!(bench.sent_one(peer(1)), reply);
    }
    assert!(bench.happened().is_empty());
    bench.pass(EXCHANGE_LIFETIME);
    bench.hear(peer(1), &message);
    assert_eq!(pushes(&mut bench).len(), 1);
}

#[test]
fn another_message_under_the_same_id_is_another_push() {
    // A device that restarts counts from 0 again.
    let mut bench = server();
    answered(&mut bench, &pushed(CON, 0, &["up"], b"before"), Code::CHANGED);
    let reply = answered(&mut bench, &pushed(CON, 0, &["up"], b"after"), Code::CHANGED);
    assert_eq!(reply.id, MessageId(0));
}

#[test]
fn the_same_content_is_the_same_push_only_while_its_answer_may_be_missing() {
    let mut bench = server();
    let message = |id| pushed(CON, id, &["up"], b"21.5");
    // While it waits: both are answered with what becomes of the one.
    bench.hear(peer(1), &message(1));
    bench.hear(peer(1), &message(2));
    let waiting = pushes(&mut bench);
    assert_eq!(waiting.len(), 1);
    bench.endpoint.reply(waiting[0].0, Code::CHANGED, bench.now);
    let replies: Vec<_> = bench.sent().into_iter().map(|(_, it)| (it.id.0, it.code)).collect();
    assert_eq!(replies, [(1, Code::CHANGED), (2, Code::CHANGED)]);
    // Answered, and nothing speaks against its arrival: the same value has been measured again.
    bench.hear(peer(1), &message(3));
    let (push, _) = pushes(&mut bench).pop().expect("another one");
    bench.endpoint.reply(push, Code::CHANGED, bench.now);
    bench.sent();
    // It came again after that, so its answer had not arrived; then the device gave up.
    bench.hear(peer(1), &message(3));
    bench.pass(Millis::from_secs(95));
    bench.sent();
    bench.hear(peer(1), &message(4));
    assert_eq!(bench.sent_one(peer(1)).code, Code::CHANGED);
    assert!(bench.happened().is_empty());
    assert_eq!(bench.endpoint.counters().same_content, 2);
    // Other content, or the same elsewhere, or from another one, is never the same.
    for (from, path, payload) in [(1, "up", "21.6"), (1, "down", "21.5"), (2, "up", "21.5")] {
        bench.hear(peer(from), &pushed(CON, 9, &[path], payload.as_bytes()));
        assert_eq!(pushes(&mut bench).len(), 1, "{from} {path} {payload}");
        bench.pass(Millis::from_secs(300));
    }
}

#[test]
fn a_refusal_of_the_shell_is_told_and_may_be_tried_again() {
    let mut bench = server();
    let reply = answered(&mut bench, &pushed(CON, 1, &["up"], b"x"), Code::UNAVAILABLE);
    assert_eq!(reply.code, Code::UNAVAILABLE);
    bench.hear(peer(1), &pushed(CON, 2, &["up"], b"x"));
    assert_eq!(pushes(&mut bench).len(), 1);
}

#[test]
fn who_is_not_known_is_told_so_and_costs_no_memory() {
    let mut bench = server();
    let message = pushed(CON, 7, &["up"], b"x");
    bench.hear(peer(200), &message);
    let reply = bench.sent_one(peer(200));
    assert_eq!(
        (reply.kind, reply.code, reply.id),
        (Kind::Acknowledgement, Code::UNAUTHORIZED, message.id)
    );
    assert!(reply.encode().expect("short").len() <= message.encode().expect("short").len());
    bench.hear(peer(200), &pushed(NON, 8, &["up"], b"x"));
    assert!(bench.sent().is_empty() && bench.happened().is_empty());
    assert_eq!(bench.endpoint.counters().unknown_peers, 2);
    assert_eq!(bench.endpoint.poll_timeout(), None);
    // Where nobody is served, that is all that is said.
    let mut bench = Bench::usual();
    bench.hear(peer(1), &message);
    assert_eq!(bench.sent_one(peer(1)), Message::empty(Kind::Reset, message.id));
}

#[test]
fn a_device_that_pushes_too_often_is_told_to_wait_and_delays_nobody() {
    let mut options = serving();
    if let Some(server) = &mut options.server {
        server.rate = Rate { per_second: 2, burst: 3 };
    }
    let mut bench = Bench::new(options);
    for id in 0..10 {
        bench.hear(peer(1), &pushed(CON, id, &["up"], &[u8::try_from(id).expect("small")]));
    }
    assert_eq!(pushes(&mut bench).len(), 3);
    let refused = bench.sent();
    assert_eq!(refused.len(), 7);
    assert!(refused.iter().all(|(_, reply)| reply.code == Code::TOO_MANY_REQUESTS));
    // From another port of the same device as well; another device is not concerned.
    let mut elsewhere = peer(1);
    elsewhere.set_port(99);
    bench.hear(elsewhere, &pushed(CON, 1, &["up"], b"e"));
    assert!(pushes(&mut bench).is_empty());
    bench.hear(peer(2), &pushed(CON, 1, &["up"], b"e"));
    assert_eq!(pushes(&mut bench).len(), 1);
    bench.pass(Millis(500));
    bench.hear(peer(1), &pushed(CON, 9, &["up"], &[9]));
    assert_eq!(pushes(&mut bench).len(), 1, "a refusal is not remembered");
}

#[test]
fn more_than_can_wait_is_refused_until_there_is_room() {
    let mut options = serving();
    if let Some(server) = &mut options.server {
        server.pushes_max = 2;
    }
    let mut bench = Bench::new(options);
    for number in 1..=3 {
        bench.hear(peer(number), &pushed(CON, 1, &["up"], b"x"));
    }
    let waiting = pushes(&mut bench);
    assert_eq!(waiting.len(), 2);
    assert_eq!(bench.sent_one(peer(3)).code, Code::UNAVAILABLE);
    bench.endpoint.reply(waiting[0].0, Code::CHANGED, bench.now);
    bench.hear(peer(3), &pushed(CON, 2, &["up"], b"x"));
    assert_eq!(pushes(&mut bench).len(), 1);
}

#[test]
fn what_is_asked_for_in_vain_is_refused_with_its_reason() {
    let get = Message { code: Code(1), ..pushed(CON, 7, &["up"], b"") };
    let mut bench = server();
    for (message, code) in [
        (get, Code::METHOD_NOT_ALLOWED),
        (pushed(CON, 7, &[], b"x"), Code::NOT_FOUND),
        (pushed(CON, 7, &["up", ""], b"x"), Code::NOT_FOUND),
        (pushed(CON, 7, &["up", "..", "x"], b"x"), Code::BAD_REQUEST),
        (with(pushed(CON, 7, &["up"], b"x"), OptionNumber(9), 1), Code::BAD_OPTION),
        (with(pushed(CON, 7, &["up"], b"x"), OptionNumber::PROXY_SCHEME, 1), Code::NO_PROXY),
    ] {
        bench.hear(peer(1), &message);
        assert_eq!(bench.sent_one(peer(1)).code, code, "{message:?}");
        assert!(bench.happened().is_empty());
    }
    let mut text = pushed(CON, 7, &[], b"x");
    text.options.add(OptionNumber::URI_PATH, [0xFF, 0xFE]);
    bench.hear(peer(1), &text);
    assert_eq!(bench.sent_one(peer(1)).code, Code::BAD_REQUEST);
    // An escape is the device's own name for its resource, and not a slash.
    bench.hear(peer(1), &pushed(CON, 8, &["%2f"], b"x"));
    assert_eq!(pushes(&mut bench)[0].1.path, ["%2f"]);
}

#[test]
fn nobody_gets_more_than_three_times_what_it_sent() {
    let mut bench = Bench::new(EndpointOptions { ..serving() });
    let message = pushed(CON, 7, &["u"], b"");
    let length = message.encode().expect("short").len();
    bench.hear(peer(1), &message);
    bench.pass(Millis::from_secs(2));
    let (push, _) = pushes(&mut bench).pop().expect("it came");
    bench.endpoint.reply(push, Code::CHANGED, bench.now);
    // Nobody acknowledges: the address was forged.
    bench.pass(Millis::from_secs(200));
    let bytes: usize = bench.sent_bytes().iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes <= 3 * length, "{bytes} for {length}");
    assert!(bench.endpoint.counters().amplification > 0);
}
