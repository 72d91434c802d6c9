//! Requests: repeated, acknowledged, answered at once or apart, refused, and ended in any case.

use fieldgate_coap::code::{Code, Method};
use fieldgate_coap::endpoint::{EXCHANGE_LIFETIME, Effect, EndpointOptions, Limits};
use fieldgate_coap::message::{Kind, Message, MessageId};
use fieldgate_coap::option::{ContentFormat, OptionNumber};
use fieldgate_coap::request::{Failure, ProtocolFault, RefusedRequest, Request};
use fieldgate_model::Millis;

use crate::kit::{Bench, answer, apart, peer, with};

fn get() -> Request {
    Request::get(["time"])
}

fn non() -> Request {
    Request { confirmable: false, ..get() }
}

#[test]
fn a_request_says_what_is_meant_and_its_answer_what_came() {
    let mut bench = Bench::usual();
    let request = Request {
        method: Method::Put,
        path: vec!["a/b".to_owned(), String::new(), "ä".to_owned()],
        query: vec!["unit=K".to_owned()],
        accept: Some(ContentFormat::CBOR),
        content_format: Some(ContentFormat::JSON),
        payload: b"{}".to_vec(),
        ..get()
    };
    let (_, sent) = bench.ask(request);
    assert_eq!((sent.kind, sent.code, sent.token.bytes().len()), (Kind::Confirmable, Code(3), 8));
    let path: Vec<_> = sent.options.all(OptionNumber::URI_PATH).collect();
    assert_eq!(path, [&b"a/b"[..], b"", "ä".as_bytes()]);
    assert_eq!(sent.options.first(OptionNumber::URI_QUERY), Some(&b"unit=K"[..]));
    assert_eq!(sent.options.uint(OptionNumber::ACCEPT), Some(60));
    assert_eq!(sent.options.uint(OptionNumber::CONTENT_FORMAT), Some(50));
    let reply = with(
        with(answer(&sent, Code::CHANGED, b"ok"), OptionNumber::MAX_AGE, 5),
        OptionNumber::CONTENT_FORMAT,
        0,
    );
    bench.hear(peer(1), &reply);
    let response = bench.outcome().expect("an answer");
    assert_eq!((response.code, response.payload.as_slice()), (Code::CHANGED, &b"ok"[..]));
    assert_eq!(response.max_age, Millis::from_secs(5));
    assert_eq!(response.content_format, Some(ContentFormat::TEXT));
    assert_eq!(bench.endpoint.poll_timeout(), None, "nothing is left to wait for");
}

#[test]
fn a_confirmable_request_is_repeated_four_times_at_doubling_intervals_and_ends_once() {
    let mut bench = Bench::usual();
    let (_, first) = bench.ask(get());
    let (mut times, mut before) = (Vec::new(), bench.now);
    while let Some(at) = bench.endpoint.poll_timeout() {
        bench.pass(at.since(bench.now));
        for (_, again) in bench.sent() {
            assert_eq!(again, first);
            times.push(bench.now.since(before).0);
            before = bench.now;
        }
        if !bench.happened().is_empty() {
            break;
        }
    }
    assert_eq!(times.len(), 4, "{times:?}");
    assert!((2_000..=3_000).contains(&times[0]), "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] == 2 * pair[0]), "{times:?}");
    // MAX_TRANSMIT_WAIT: 31 times the first timeout.
    assert_eq!(bench.now.since(before).0, 16 * times[0]);
    let counters = *bench.endpoint.counters();
    assert_eq!((counters.retransmissions, counters.timeouts, counters.requests), (4, 1, 1));
    assert_eq!(bench.endpoint.poll_timeout(), None);
}

#[test]
fn a_request_that_is_not_confirmable_is_sent_once() {
    let mut bench = Bench::usual();
    let (_, sent) = bench.ask(non());
    assert_eq!(sent.kind, Kind::NonConfirmable);
    bench.pass(Millis::from_secs(599));
    assert_eq!((bench.sent().len(), bench.happened().len()), (0, 0));
    bench.pass(Millis::from_secs(1));
    assert_eq!(bench.outcome(), Err(Failure::Timeout));
}

#[test]
fn an_empty_acknowledgement_ends_repetition_and_the_answer_may_come_much_later() {
    for kind in [Kind::Confirmable, Kind::NonConfirmable] {
        let mut bench = Bench::usual();
        let (_, sent) = bench.ask(get());
        bench.hear(peer(1), &Message::empty(Kind::Acknowledgement, sent.id));
        bench.pass(Millis::from_secs(300));
        assert_eq!((bench.sent().len(), bench.happened().len()), (0, 0));
        let reply = apart(&sent, kind, 900, Code::CONTENT, b"late");
        bench.hear(peer(1), &reply);
        assert_eq!(bench.outcome().expect("an answer").payload, b"late");
        let acknowledged = bench.sent();
        if kind == Kind::Confirmable {
            let expected = Message::empty(Kind::Acknowledgement, MessageId(900));
            assert_eq!(acknowledged, [(peer(1), expected)]);
            // Our acknowledgement was lost.
            bench.hear(peer(1), &reply);
            assert_eq!(bench.sent(), acknowledged);
            assert!(bench.happened().is_empty());
        } else {
            assert!(acknowledged.is_empty());
        }
    }
}

#[test]
fn an_answer_that_overtakes_its_acknowledgement_ends_repetition_too() {
    let mut bench = Bench::usual();
    let (_, sent) = bench.ask(get());
    bench.hear(peer(1), &apart(&sent, Kind::Confirmable, 5, Code::CONTENT, b"fast"));
    assert_eq!(bench.outcome().expect("an answer").payload, b"fast");
    bench.hear(peer(1), &Message::empty(Kind::Acknowledgement, sent.id));
    bench.sent();
    bench.pass(Millis::from_secs(400));
    assert!(bench.sent().is_empty() && bench.happened().is_empty());
}

#[test]
fn a_reset_ends_a_request_at_once() {
    for request in [get(), non()] {
        let mut bench = Bench::usual();
        let (_, sent) = bench.ask(request);
        bench.hear(peer(1), &Message::empty(Kind::Reset, sent.id));
        assert_eq!(bench.outcome(), Err(Failure::Reset));
        assert_eq!(bench.endpoint.poll_timeout(), None);
    }
}

#[test]
fn what_is_told_to_be_unreachable_ends_what_it_was_asked_and_no_more() {
    let mut bench = Bench::usual();
    bench.ask(get());
    let deadline = bench.now + Millis::from_secs(9);
    bench.endpoint.request(peer(2), get(), deadline, bench.now).expect("room");
    bench.endpoint.handle_unreachable(peer(1), bench.now);
    assert_eq!(bench.outcome(), Err(Failure::Unreachable));
    bench.pass(Millis::from_secs(9));
    assert_eq!(bench.outcome(), Err(Failure::Timeout));
}

#[test]
fn a_deadline_ends_a_request_wherever_it_is() {
    let mut bench = Bench::usual();
    let deadline = bench.now + Millis(500);
    let first = bench.endpoint.request(peer(1), get(), deadline, bench.now).expect("room");
    let second = bench.endpoint.request(peer(1), get(), deadline, bench.now).expect("room");
    bench.pass(Millis(499));
    assert!(bench.happened().is_empty());
    bench.pass(Millis(1));
    let ended = bench.happened().into_iter().map(|effect| {
        let Effect::Done { exchange, outcome } = effect else { panic!("{effect:?}") };
        (exchange, outcome)
    });
    let ended: Vec<_> = ended.collect();
    assert_eq!(ended, [(first, Err(Failure::Timeout)), (second, Err(Failure::Timeout))]);
    bench.pass(Millis::from_secs(300));
    assert_eq!(bench.sent().len(), 1, "the first, once");
    assert!(bench.happened().is_empty());
}

#[test]
fn a_request_waits_until_the_one_before_it_is_acknowledged() {
    let mut bench = Bench::usual();
    let (_, first) = bench.ask(get());
    let deadline = bench.now + Millis::from_secs(60);
    for _ in 0..2 {
        bench.endpoint.request(peer(1), get(), deadline, bench.now).expect("room");
    }
    assert!(bench.sent().is_empty(), "NSTART is 1");
    // Nobody else waits for it.
    bench.endpoint.request(peer(2), get(), deadline, bench.now).expect("room");
    bench.sent_one(peer(2));
    bench.hear(peer(1), &Message::empty(Kind::Acknowledgement, first.id));
    let second = bench.sent_one(peer(1));
    assert_ne!(second.token, first.token);
    assert_ne!(second.id, first.id);
    bench.hear(peer(1), &answer(&second, Code::CONTENT, b""));
    bench.sent_one(peer(1));
}

#[test]
fn more_than_may_wait_is_refused() {
    let limits = Limits { waiting_max: 2, exchanges_max: 4, payload_max: 100, ..Limits::default() };
    let mut bench = Bench::new(EndpointOptions { limits, ..EndpointOptions::default() });
    let deadline = bench.now + Millis::from_secs(60);
    let mut ask = |to, request| bench.endpoint.request(peer(to), request, deadline, bench.now);
    for _ in 0..3 {
        ask(1, get()).expect("room");
    }
    assert_eq!(ask(1, get()), Err(RefusedRequest::Busy), "of one peer");
    ask(2, get()).expect("room");
    assert_eq!(ask(3, get()), Err(RefusedRequest::Busy), "of all");
    for (request, refused) in [
        (Request { payload: vec![0; 101], ..get() }, RefusedRequest::TooLarge { max: 100 }),
        (Request::get(["x".repeat(256)]), RefusedRequest::Path),
        (Request::get(vec!["segment"; 200]), RefusedRequest::Path),
        (Request { query: vec!["q".repeat(256)], ..get() }, RefusedRequest::Path),
    ] {
        assert_eq!(ask(4, request), Err(refused));
    }
}

#[test]
fn an_answer_that_must_be_understood_and_is_not_is_refused() {
    let odd = OptionNumber(65_001);
    let mut bench = Bench::usual();
    let (_, sent) = bench.ask(get());
    bench.hear(peer(1), &with(answer(&sent, Code::CONTENT, b"x"), odd, 1));
    let fault = Failure::Protocol(ProtocolFault::CriticalOption(odd));
    assert_eq!(bench.outcome(), Err(fault));
    // Apart and confirmable, the peer is told.
    let (_, sent) = bench.ask(get());
    bench.hear(peer(1), &with(apart(&sent, Kind::Confirmable, 3, Code::CONTENT, b"x"), odd, 1));
    assert_eq!(bench.sent_one(peer(1)), Message::empty(Kind::Reset, MessageId(3)));
    assert_eq!(bench.outcome(), Err(fault));
    // What need not be understood is passed over.
    let (_, sent) = bench.ask(get());
    bench.hear(peer(1), &with(answer(&sent, Code::CONTENT, b"x"), OptionNumber(65_002), 1));
    assert_eq!(bench.outcome().expect("an answer").payload, b"x");
}

#[test]
fn a_ping_is_answered_with_a_reset() {
    let mut bench = Bench::usual();
    bench.hear(peer(9), &Message::empty(Kind::Confirmable, MessageId(77)));
    assert_eq!(bench.sent_one(peer(9)), Message::empty(Kind::Reset, MessageId(77)));
}

#[test]
fn whoever_wants_to_know_of_all_is_told_of_each_until_the_time_is_over() {
    let mut bench = Bench::usual();
    let group = "224.0.1.187:5683".parse().expect("an address");
    let deadline = bench.now + Millis::from_secs(2);
    let exchange = bench.endpoint.ask_group(group, get(), deadline, bench.now).expect("room");
    let sent = bench.sent_one(group);
    assert_eq!(sent.kind, Kind::NonConfirmable);
    for number in [3, 4] {
        bench.hear(peer(number), &apart(&sent, Kind::NonConfirmable, 8, Code::CONTENT, b"</>"));
    }
    let who: Vec<_> = bench
        .happened()
        .into_iter()
        .map(|effect| {
            let Effect::Answered { exchange: of, peer, more: false, .. } = effect else {
                panic!("{effect:?}")
            };
            (of, peer)
        })
        .collect();
    assert_eq!(who, [(exchange, peer(3)), (exchange, peer(4))]);
    bench.pass(Millis::from_secs(2));
    assert_eq!(bench.happened().len(), 1);
    assert_eq!(bench.endpoint.counters().timeouts, 0);
    // One address is asked in the same way, and answers for itself alone.
    let deadline = bench.now + Millis::from_secs(2);
    bench.endpoint.ask_group(peer(1), get(), deadline, bench.now).expect("room");
    let sent = bench.sent_one(peer(1));
    bench.hear(peer(2), &apart(&sent, Kind::NonConfirmable, 9, Code::CONTENT, b"</>"));
    assert!(bench.happened().is_empty());
    bench.hear(peer(1), &apart(&sent, Kind::NonConfirmable, 9, Code::CONTENT, b"</>"));
    assert_eq!(bench.happened().len(), 1);
}

#[test]
fn a_message_id_is_not_used_again_before_its_time() {
    let mut bench = Bench::usual();
    let mut last = None;
    for _ in 0..61_000 {
        let (_, sent) = bench.ask(get());
        bench.hear(peer(1), &answer(&sent, Code::CONTENT, b""));
        bench.outcome().expect("an answer");
        last = Some(sent.id);
    }
    // Sooner or later there is none left; then a request waits, and goes out when its time has come.
    let deadline = bench.now + Millis::from_secs(600);
    for _ in 0..5_000 {
        bench.endpoint.request(peer(1), get(), deadline, bench.now).expect("room");
        let Some((_, sent)) = bench.sent().pop() else { break };
        bench.hear(peer(1), &answer(&sent, Code::CONTENT, b""));
        bench.outcome().expect("an answer");
        last = Some(sent.id);
    }
    assert!(bench.sent().is_empty() && last.is_some());
    bench.pass(Millis(EXCHANGE_LIFETIME.0 - 1));
    assert!(bench.sent().is_empty());
    bench.pass(Millis(1));
    bench.sent_one(peer(1));
}
