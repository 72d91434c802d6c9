//! What an attacker on the network can send, each with the outcome that it must have.

use fieldgate_coap::block::{Block, BlockSize};
use fieldgate_coap::code::Code;
use fieldgate_coap::endpoint::{EXCHANGE_LIFETIME, Effect};
use fieldgate_coap::message::{Kind, Message, MessageId, Token};
use fieldgate_coap::option::{OPTIONS_MAX, OptionNumber};
use fieldgate_coap::request::{Failure, Request};
use fieldgate_model::Millis;

use crate::kit::{Bench, answer, apart, peer, pushed, serving, with};

/// An endpoint that serves, with a request to peer 1 under way; that request.
fn busy() -> (Bench, Message) {
    let mut bench = Bench::new(serving());
    let (_, sent) = bench.ask(Request::get(["time"]));
    (bench, sent)
}

/// Nothing was sent, nothing happened, and the request that was under way can still be answered.
#[track_caller]
fn is_unharmed(bench: &mut Bench, sent: &Message) {
    assert_eq!((bench.sent(), bench.happened()), (Vec::new(), Vec::new()));
    bench.hear(peer(1), &answer(sent, Code::CONTENT, b"right"));
    assert_eq!(bench.outcome().expect("an answer").payload, b"right");
}

#[test]
fn c1_what_is_shorter_than_a_header_is_dropped() {
    let (mut bench, sent) = busy();
    for bytes in [&b""[..], b"\x40", b"\x40\x01", b"\x40\x01\x00", b"\x6e\x8d"] {
        bench.hear_bytes(peer(1), bytes);
    }
    assert_eq!(bench.endpoint.counters().malformed, 5);
    is_unharmed(&mut bench, &sent);
}

#[test]
fn c2_a_token_of_a_reserved_length_is_reset_if_confirmable() {
    for length in 9..=15 {
        let (mut bench, sent) = busy();
        let body = [b"\x01\x00\x09".as_slice(), &[0; 15]].concat();
        bench.hear_bytes(peer(1), &[vec![0x40 | length], body.clone()].concat());
        assert_eq!(bench.sent_one(peer(1)), Message::empty(Kind::Reset, MessageId(9)));
        for kind in [0x50, 0x60, 0x70] {
            bench.hear_bytes(peer(1), &[vec![kind | length], body.clone()].concat());
        }
        is_unharmed(&mut bench, &sent);
    }
}

#[test]
fn c3_options_that_lie_about_their_length_or_number_are_reset_if_confirmable() {
    for options in [&b"\xF0"[..], b"\x0F", b"\xB9abc", b"\xD0", b"\xE0\xFF\xFF", b"\x0E\xFF\xFFx"] {
        let (mut bench, sent) = busy();
        bench.hear_bytes(peer(1), &[b"\x40\x02\x00\x09", options].concat());
        assert_eq!(
            bench.sent_one(peer(1)),
            Message::empty(Kind::Reset, MessageId(9)),
            "{options:02x?}"
        );
        bench.hear_bytes(peer(1), &[b"\x50\x02\x00\x09", options].concat());
        is_unharmed(&mut bench, &sent);
    }
}

#[test]
fn c4_a_payload_marker_without_a_payload_is_a_format_error() {
    let (mut bench, sent) = busy();
    bench.hear_bytes(peer(1), b"\x40\x02\x00\x09\xFF");
    assert_eq!(bench.sent_one(peer(1)), Message::empty(Kind::Reset, MessageId(9)));
    is_unharmed(&mut bench, &sent);
}

#[test]
fn c5_another_version_is_ignored_without_a_word() {
    let (mut bench, sent) = busy();
    for first in [0x00, 0x80, 0xC0] {
        bench.hear_bytes(peer(1), &[first, 0x02, 0x00, 0x09]);
    }
    is_unharmed(&mut bench, &sent);
}

#[test]
fn c6_an_answer_counts_only_from_the_peer_that_was_asked_with_its_token_and_message_id() {
    let (mut bench, sent) = busy();
    let right = answer(&sent, Code::CONTENT, b"forged");
    let mut other_port = peer(1);
    other_port.set_port(5_684);
    for (from, message) in [
        (peer(2), right.clone()),
        (other_port, right.clone()),
        (peer(1), Message { token: Token::new([0; 8]), ..right.clone() }),
        (peer(1), Message { token: Token::default(), ..right.clone() }),
        (peer(1), Message { id: MessageId(sent.id.0.wrapping_add(1)), ..right.clone() }),
        (peer(2), Message::empty(Kind::Reset, sent.id)),
        (peer(2), Message::empty(Kind::Acknowledgement, sent.id)),
        (peer(2), apart(&sent, Kind::NonConfirmable, 3, Code::CONTENT, b"forged")),
    ] {
        bench.hear(from, &message);
    }
    assert_eq!(bench.endpoint.counters().foreign, 8);
    is_unharmed(&mut bench, &sent);
    // And it is still repeated: nobody but the peer can acknowledge it.
    let (_, sent) = bench.ask(Request::get(["time"]));
    bench.hear(peer(2), &Message::empty(Kind::Acknowledgement, sent.id));
    bench.pass(Millis::from_secs(3));
    assert_eq!(bench.sent_one(peer(1)), sent);
}

#[test]
fn c6_tokens_have_eight_bytes_and_no_order() {
    let mut bench = Bench::usual();
    let mut tokens = std::collections::BTreeSet::new();
    for _ in 0..1_000 {
        let (_, sent) = bench.ask(Request::get(["time"]));
        assert_eq!(sent.token.bytes().len(), 8);
        assert!(tokens.insert(sent.token));
        bench.hear(peer(1), &answer(&sent, Code::CONTENT, b""));
        bench.outcome().expect("an answer");
    }
    let ones: u32 = tokens.iter().flat_map(Token::bytes).map(|byte| byte.count_ones()).sum();
    assert!((31_000..33_000).contains(&ones), "{ones} of 64,000 bits");
}

#[test]
fn c7_a_replayed_message_id_has_one_effect_and_the_same_answer() {
    let mut bench = Bench::new(serving());
    let message = pushed(Kind::Confirmable, 7, &["up"], b"21.5");
    bench.hear(peer(1), &message);
    let Some(Effect::Pushed { push, .. }) = bench.happened().pop() else { panic!("it came") };
    bench.endpoint.reply(push, Code::CHANGED, bench.now);
    let reply = bench.sent_one(peer(1));
    bench.pass(Millis(EXCHANGE_LIFETIME.0 - 1));
    bench.hear(peer(1), &message);
    assert_eq!(bench.sent_one(peer(1)), reply);
    assert!(bench.happened().is_empty());
}

#[test]
fn c8_an_answer_in_blocks_without_end_is_cut_off_and_freed() {
    let (mut bench, mut sent) = busy();
    for number in 0..65 {
        let mut reply = answer(&sent, Code::CONTENT, &[0; 1_024]);
        Block { number, more: true, size: BlockSize::MAX }
            .add(&mut reply.options, OptionNumber::BLOCK2);
        bench.hear(peer(1), &reply);
        let Some((_, next)) = bench.sent().pop() else { break };
        sent = next;
    }
    assert_eq!(bench.outcome(), Err(Failure::TooLarge));
    assert_eq!(bench.endpoint.poll_timeout(), None, "nothing is kept");
}

#[test]
fn c9_an_old_notification_never_replaces_a_newer_one() {
    let mut bench = Bench::usual();
    let request = Request::get(["time"]);
    bench.endpoint.observe(peer(1), request, Millis::from_secs(9), bench.now).expect("room");
    let sent = bench.sent_one(peer(1));
    bench.hear(peer(1), &with(answer(&sent, Code::CONTENT, b"new"), OptionNumber::OBSERVE, 2));
    for (id, place) in [(1, 1), (2, 2), (3, 0xFF_FFFE)] {
        let old = apart(&sent, Kind::NonConfirmable, id, Code::CONTENT, b"old");
        bench.hear(peer(1), &with(old, OptionNumber::OBSERVE, place));
    }
    assert_eq!(bench.happened().len(), 1);
    // Beyond Max-Age it is asked for, and if that fails, said to be lost.
    bench.pass(Millis::from_secs(75 + 9));
    assert!(matches!(bench.happened()[..], [Effect::Lost { .. }]));
}

#[test]
fn c10_an_option_that_must_be_understood_and_is_not_is_refused() {
    let mut bench = Bench::new(serving());
    bench.hear(peer(1), &with(pushed(Kind::Confirmable, 7, &["up"], b"x"), OptionNumber(9), 1));
    assert_eq!(bench.sent_one(peer(1)).code, Code::BAD_OPTION);
    bench.hear(peer(1), &with(pushed(Kind::NonConfirmable, 8, &["up"], b"x"), OptionNumber(9), 1));
    assert!(bench.sent().is_empty() && bench.happened().is_empty());
}

#[test]
fn c11_a_thousand_unknown_sources_get_no_more_than_they_sent_and_cost_nothing() {
    let mut bench = Bench::new(serving());
    let mut received = 0;
    for number in 0..1_000_u16 {
        let [high, low] = number.to_be_bytes();
        let source = std::net::SocketAddr::from(([203, 0, high, low], 40_000));
        let mut get = pushed(Kind::Confirmable, number, &[".well-known", "core"], b"");
        get.code = Code(1);
        let bytes = get.encode().expect("short");
        received += bytes.len();
        bench.hear_bytes(source, &bytes);
    }
    let sent = bench.sent_bytes();
    let bytes: usize = sent.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(sent.len() <= 50 && bytes < received, "{} with {bytes} for {received}", sent.len());
    assert_eq!(bench.endpoint.counters().unknown_peers, 1_000);
    assert!(bench.happened().is_empty());
    assert_eq!(bench.endpoint.poll_timeout(), None, "nothing is remembered of them");
}

#[test]
fn c12_paths_that_lead_elsewhere_or_are_no_text_are_refused() {
    let mut bench = Bench::new(serving());
    for (path, code) in [
        (&[&b".."[..], b"etc"][..], Code::BAD_REQUEST),
        (&[b"."], Code::BAD_REQUEST),
        (&[b""], Code::NOT_FOUND),
        (&[], Code::NOT_FOUND),
        (&[b"\xC3"], Code::BAD_REQUEST),
        (&[b"up\xFF"], Code::BAD_REQUEST),
    ] {
        let mut message = pushed(Kind::Confirmable, 7, &[], b"x");
        for segment in path {
            message.options.add(OptionNumber::URI_PATH, *segment);
        }
        bench.hear(peer(1), &message);
        assert_eq!(bench.sent_one(peer(1)).code, code, "{path:02x?}");
        assert!(bench.happened().is_empty());
    }
}

#[test]
fn c14_an_acknowledgement_without_an_answer_ends_once_at_the_deadline() {
    let (mut bench, sent) = busy();
    bench.hear(peer(1), &Message::empty(Kind::Acknowledgement, sent.id));
    bench.pass(Millis::from_secs(599));
    assert!(bench.happened().is_empty() && bench.sent().is_empty());
    bench.pass(Millis::from_secs(3_600));
    assert_eq!(bench.outcome(), Err(Failure::Timeout));
    assert!(bench.sent().is_empty());
}

#[test]
fn a_bomb_of_options_is_refused_before_anything_is_made_of_it() {
    let (mut bench, sent) = busy();
    let bomb = [&b"\x40\x02\x00\x09"[..], &[0x00; 1_000]].concat();
    bench.hear_bytes(peer(1), &bomb);
    assert_eq!(bench.sent_one(peer(1)), Message::empty(Kind::Reset, MessageId(9)));
    is_unharmed(&mut bench, &sent);
    let allowed = [&b"\x50\x02\x00\x09"[..], &[0x00; OPTIONS_MAX]].concat();
    assert!(Message::decode(&allowed).is_ok());
}

#[test]
fn a_flood_of_notifications_that_nobody_asked_for_leaves_nothing_behind() {
    let (mut bench, sent) = busy();
    for id in 0..10_000 {
        let foreign = Message { token: Token::new([3; 8]), ..sent.clone() };
        let flood = apart(&foreign, Kind::NonConfirmable, id, Code::CONTENT, b"x");
        bench.hear(peer(1), &with(flood, OptionNumber::OBSERVE, 1));
    }
    let resets = bench.sent_bytes();
    assert!(resets.iter().all(|(_, bytes)| bytes.len() == 4), "never more than came");
    is_unharmed(&mut bench, &sent);
    assert_eq!(bench.endpoint.poll_timeout(), None);
}

#[test]
fn a_flood_of_pushes_of_a_known_device_is_bounded_in_what_is_kept_and_given_on() {
    let mut bench = Bench::new(serving());
    let mut given = 0;
    for id in 0..20_000_u16 {
        bench.hear(peer(1), &pushed(Kind::Confirmable, id, &["up"], &id.to_be_bytes()));
        for effect in bench.happened() {
            if let Effect::Pushed { push, .. } = effect {
                bench.endpoint.reply(push, Code::CHANGED, bench.now);
                given += 1;
            }
        }
        bench.pass(Millis(5));
        bench.sent_bytes();
    }
    // 100 s at four a second, and the burst; never more than one peer may have remembered.
    assert!((400..=420).contains(&given), "{given}");
}
