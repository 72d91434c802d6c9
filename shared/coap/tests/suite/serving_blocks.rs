//! Devices that push in blocks.

use fieldgate_coap::block::{Block, BlockSize};
use fieldgate_coap::code::Code;
use fieldgate_coap::endpoint::{Effect, EndpointOptions, Limits};
use fieldgate_coap::message::{Kind, Message};
use fieldgate_coap::option::OptionNumber;
use fieldgate_model::Millis;

use crate::kit::{Bench, peer, pushed, serving, with};

fn size(bytes: usize) -> BlockSize {
    BlockSize::at_most(bytes)
}

fn part(id: u16, number: u32, more: bool, bytes: usize, payload: &[u8]) -> Message {
    let mut message = pushed(Kind::Confirmable, id, &["up"], payload);
    Block { number, more, size: size(bytes) }.add(&mut message.options, OptionNumber::BLOCK1);
    message
}

/// The code that a block is answered with, if it is at once.
fn code(bench: &mut Bench, from: u8, message: &Message) -> Option<Code> {
    bench.hear(peer(from), message);
    bench.sent().pop().map(|(_, reply)| reply.code)
}

fn pushes(bench: &mut Bench) -> Vec<Vec<u8>> {
    let happened = bench.happened().into_iter();
    happened
        .map(|effect| {
            let Effect::Pushed { push, request, .. } = effect else { panic!("{effect:?}") };
            bench.endpoint.reply(push, Code::CHANGED, bench.now);
            request.payload
        })
        .collect()
}

#[test]
fn a_push_in_blocks_is_given_on_whole_and_its_last_block_says_what_became_of_it() {
    let mut bench = Bench::new(serving());
    bench.hear(peer(1), &part(1, 0, true, 64, &[1; 64]));
    let reply = bench.sent_one(peer(1));
    assert_eq!(reply.code, Code::CONTINUE);
    let echoed = Block::of(&reply.options, OptionNumber::BLOCK1);
    assert_eq!(echoed, Some(Block { number: 0, more: true, size: size(64) }));
    // It is lost, and comes again.
    assert_eq!(code(&mut bench, 1, &part(1, 0, true, 64, &[1; 64])), Some(Code::CONTINUE));
    assert_eq!(code(&mut bench, 1, &part(2, 1, true, 64, &[2; 64])), Some(Code::CONTINUE));
    bench.hear(peer(1), &part(3, 2, false, 64, &[3; 2]));
    assert!(bench.sent().is_empty());
    assert_eq!(pushes(&mut bench), [[&[1; 64][..], &[2; 64], &[3; 2]].concat()]);
    let reply = bench.sent_one(peer(1));
    assert_eq!(reply.code, Code::CHANGED);
    let echoed = Block::of(&reply.options, OptionNumber::BLOCK1);
    assert_eq!(echoed, Some(Block { number: 2, more: false, size: size(64) }));
}

#[test]
fn blocks_that_do_not_fit_together_end_the_transfer() {
    for (second, expected) in [
        (part(2, 2, true, 64, &[2; 64]), Code::ENTITY_INCOMPLETE),
        (part(2, 1, true, 128, &[2; 128]), Code::ENTITY_INCOMPLETE),
        (part(2, 1, true, 64, &[2; 63]), Code::BAD_REQUEST),
        (part(2, 1, false, 64, &[2; 65]), Code::BAD_REQUEST),
        (with(part(2, 1, true, 64, &[2; 64]), OptionNumber::URI_QUERY, 1), Code::ENTITY_INCOMPLETE),
    ] {
        let mut bench = Bench::new(serving());
        assert_eq!(code(&mut bench, 1, &part(1, 0, true, 64, &[1; 64])), Some(Code::CONTINUE));
        assert_eq!(code(&mut bench, 1, &second), Some(expected), "{second:?}");
        let late = part(3, 1, false, 64, &[2; 64]);
        assert_eq!(code(&mut bench, 1, &late), Some(Code::ENTITY_INCOMPLETE), "it is gone");
        assert!(bench.happened().is_empty());
    }
    // Smaller blocks from the same place on are allowed.
    let mut bench = Bench::new(serving());
    code(&mut bench, 1, &part(1, 0, true, 64, &[1; 64]));
    assert_eq!(code(&mut bench, 1, &part(2, 2, true, 32, &[2; 32])), Some(Code::CONTINUE));
    let mut bench = Bench::new(serving());
    let mut reserved = pushed(Kind::Confirmable, 1, &["up"], b"x");
    reserved.options.add(OptionNumber::BLOCK1, [0x0F]);
    assert_eq!(code(&mut bench, 1, &reserved), Some(Code::BAD_OPTION));
}

#[test]
fn a_push_that_is_too_long_is_refused_with_what_would_not_be() {
    let limits = Limits { payload_max: 200, ..Limits::default() };
    let mut bench = Bench::new(EndpointOptions { limits, ..serving() });
    for number in 0..3 {
        let block = part(u16::try_from(number).expect("small"), number, true, 64, &[1; 64]);
        assert_eq!(code(&mut bench, 1, &block), Some(Code::CONTINUE));
    }
    bench.hear(peer(1), &part(9, 3, true, 64, &[1; 64]));
    let reply = bench.sent_one(peer(1));
    assert_eq!(reply.code, Code::ENTITY_TOO_LARGE);
    assert_eq!(reply.options.uint(OptionNumber::SIZE1), Some(200));
    // One that says so before is not even begun.
    let told = with(part(10, 0, true, 64, &[1; 64]), OptionNumber::SIZE1, 201);
    assert_eq!(code(&mut bench, 1, &told), Some(Code::ENTITY_TOO_LARGE));
}

#[test]
fn a_device_has_one_transfer_and_all_together_a_bounded_number() {
    let mut options = serving();
    if let Some(server) = &mut options.server {
        server.transfers_max = 2;
    }
    let mut bench = Bench::new(options);
    let begin = |id| part(id, 0, true, 16, &[1; 16]);
    assert_eq!(code(&mut bench, 1, &begin(1)), Some(Code::CONTINUE));
    assert_eq!(code(&mut bench, 2, &begin(1)), Some(Code::CONTINUE));
    assert_eq!(code(&mut bench, 3, &begin(1)), Some(Code::UNAVAILABLE));
    // A new one takes the place of the old one of the same device.
    assert_eq!(code(&mut bench, 1, &begin(2)), Some(Code::CONTINUE));
    code(&mut bench, 1, &part(3, 1, false, 16, &[2; 1]));
    assert_eq!(pushes(&mut bench).len(), 1);
    assert_eq!(code(&mut bench, 3, &begin(2)), Some(Code::CONTINUE));
    // What is left behind gives way.
    bench.pass(Millis::from_secs(93));
    assert_eq!(code(&mut bench, 4, &begin(1)), Some(Code::CONTINUE));
    assert_eq!(code(&mut bench, 5, &begin(1)), Some(Code::CONTINUE));
}

#[test]
fn a_long_transfer_is_not_taken_for_a_flood() {
    let mut bench = Bench::new(serving());
    for number in 0..1_000 {
        let block = part(u16::try_from(number).expect("small"), number, true, 32, &[1; 32]);
        assert_eq!(code(&mut bench, 1, &block), Some(Code::CONTINUE), "block {number}");
    }
    bench.hear(peer(1), &part(1_000, 1_000, false, 32, &[1; 1]));
    assert_eq!(pushes(&mut bench)[0].len(), 32_001);
}
