//! Requests and answers in blocks.

use fieldgate_coap::block::{Block, BlockSize};
use fieldgate_coap::code::{Code, Method};
use fieldgate_coap::endpoint::{EndpointOptions, Limits};
use fieldgate_coap::message::Message;
use fieldgate_coap::option::OptionNumber;
use fieldgate_coap::request::{Failure, ProtocolFault, Request, Response};

use crate::kit::{Bench, answer, peer};

fn size(bytes: usize) -> BlockSize {
    BlockSize::at_most(bytes)
}

fn block(number: u32, more: bool, bytes: usize) -> Block {
    Block { number, more, size: size(bytes) }
}

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).expect("below 251")).collect()
}

/// The answer to a request with a block option, and an `ETag` if it is given one.
fn part(
    request: &Message,
    number: OptionNumber,
    block: Block,
    payload: &[u8],
    etag: &[u8],
) -> Message {
    let code = if number == OptionNumber::BLOCK1 { Code::CONTINUE } else { Code::CONTENT };
    let mut reply = answer(request, code, payload);
    block.add(&mut reply.options, number);
    if !etag.is_empty() {
        reply.options.add(OptionNumber::ETAG, etag);
    }
    reply
}

/// Answers each request for a block of `whole`, until there is an outcome.
fn serve(
    bench: &mut Bench,
    mut request: Message,
    whole: &[u8],
    bytes: usize,
) -> Result<Response, Failure> {
    for number in 0.. {
        let wanted = Block::of(&request.options, OptionNumber::BLOCK2);
        let expected = (number > 0).then(|| block(number, false, bytes));
        assert!(wanted == expected || number == 0, "{wanted:?}");
        let place = usize::try_from(number).expect("small") * bytes;
        let piece = &whole[place..(place + bytes).min(whole.len())];
        let more = place + piece.len() < whole.len();
        let reply = part(&request, OptionNumber::BLOCK2, block(number, more, bytes), piece, b"v1");
        bench.hear(peer(1), &reply);
        if !more {
            break;
        }
        assert!(bench.happened().is_empty());
        request = bench.sent_one(peer(1));
    }
    bench.outcome()
}

#[test]
fn an_answer_in_blocks_is_put_together() {
    for (length, bytes) in [(0, 64), (64, 64), (65, 64), (5_000, 1_024), (1_000, 16)] {
        let mut bench = Bench::usual();
        let (_, request) = bench.ask(Request::get(["big"]));
        assert_eq!(Block::of(&request.options, OptionNumber::BLOCK2), None);
        let response = serve(&mut bench, request, &text(length), bytes).expect("an answer");
        assert_eq!(response.payload, text(length), "{length} in {bytes}");
        assert_eq!(response.etag.as_deref(), Some(&b"v1"[..]));
    }
}

#[test]
fn smaller_blocks_can_be_asked_for_from_the_start() {
    let mut bench = Bench::usual();
    let request = Request { block_size: Some(size(64)), ..Request::get(["big"]) };
    let (_, request) = bench.ask(request);
    let asked = Block::of(&request.options, OptionNumber::BLOCK2);
    assert_eq!(asked, Some(block(0, false, 64)));
    let response = serve(&mut bench, request, &text(200), 64).expect("an answer");
    assert_eq!(response.payload.len(), 200);
}

#[test]
fn blocks_that_do_not_fit_together_end_the_transfer() {
    let order = |wanted, got| Failure::Protocol(ProtocolFault::BlockOrder { wanted, got });
    let length = |bytes| Failure::Protocol(ProtocolFault::BlockLength { size: 64, bytes });
    let changed = Failure::Protocol(ProtocolFault::Changed);
    for (second, bytes, etag, failure) in [
        (block(2, true, 64), 64, b"v1", order(1, 2)),
        (block(0, true, 64), 64, b"v1", order(1, 0)),
        (block(1, true, 32), 32, b"v1", order(1, 1)),
        (block(1, true, 64), 63, b"v1", length(63)),
        (block(1, false, 64), 65, b"v1", length(65)),
        (block(1, false, 64), 1, b"v2", changed),
    ] {
        let mut bench = Bench::usual();
        let (_, request) = bench.ask(Request::get(["big"]));
        let first = part(&request, OptionNumber::BLOCK2, block(0, true, 64), &text(64), b"v1");
        bench.hear(peer(1), &first);
        let request = bench.sent_one(peer(1));
        bench.hear(peer(1), &part(&request, OptionNumber::BLOCK2, second, &text(bytes), etag));
        assert_eq!(bench.outcome(), Err(failure), "{second}");
        assert_eq!(bench.endpoint.poll_timeout(), None, "nothing is kept");
    }
}

#[test]
fn an_error_in_the_middle_is_the_answer() {
    let mut bench = Bench::usual();
    let (_, request) = bench.ask(Request::get(["big"]));
    let first = part(&request, OptionNumber::BLOCK2, block(0, true, 64), &text(64), b"v1");
    bench.hear(peer(1), &first);
    let request = bench.sent_one(peer(1));
    bench.hear(peer(1), &answer(&request, Code::NOT_FOUND, b""));
    assert_eq!(bench.outcome().expect("an answer").code, Code::NOT_FOUND);
}

#[test]
fn an_answer_without_end_ends_at_the_longest_that_is_taken() {
    let limits = Limits { payload_max: 1_000, ..Limits::default() };
    let mut bench = Bench::new(EndpointOptions { limits, ..EndpointOptions::default() });
    let (_, mut request) = bench.ask(Request::get(["endless"]));
    for number in 0..15 {
        let reply = part(&request, OptionNumber::BLOCK2, block(number, true, 64), &text(64), b"");
        bench.hear(peer(1), &reply);
        request = bench.sent_one(peer(1));
    }
    bench.hear(peer(1), &part(&request, OptionNumber::BLOCK2, block(15, true, 64), &text(64), b""));
    assert_eq!(bench.outcome(), Err(Failure::TooLarge));
    // One that says so before is not even begun.
    let (_, request) = bench.ask(Request::get(["long"]));
    let mut reply = part(&request, OptionNumber::BLOCK2, block(0, true, 64), &text(64), b"");
    reply.options.add_uint(OptionNumber::SIZE2, 1_001);
    bench.hear(peer(1), &reply);
    assert_eq!(bench.outcome(), Err(Failure::TooLarge));
}

fn put(length: usize, bytes: usize) -> Request {
    Request {
        method: Method::Put,
        payload: text(length),
        block_size: Some(size(bytes)),
        ..Request::get(["big"])
    }
}

/// Takes a request in blocks, answering each but the last with `theirs` as the size; gives what came.
fn collect(bench: &mut Bench, mut request: Message, theirs: usize, is_named_last: bool) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let sent = Block::of(&request.options, OptionNumber::BLOCK1).expect("a block");
        assert_eq!(sent.offset(), whole.len(), "{sent}");
        assert_eq!(sent.number == 0, request.options.uint(OptionNumber::SIZE1).is_some());
        whole.extend_from_slice(&request.payload);
        if !sent.more {
            let mut reply = answer(&request, Code::CHANGED, b"");
            if is_named_last {
                sent.add(&mut reply.options, OptionNumber::BLOCK1);
            }
            bench.hear(peer(1), &reply);
            return whole;
        }
        let size = sent.size.min(size(theirs));
        let reply = part(&request, OptionNumber::BLOCK1, Block { size, ..sent }, b"", b"");
        bench.hear(peer(1), &reply);
        request = bench.sent_one(peer(1));
    }
}

#[test]
fn a_request_in_blocks_arrives_whole_in_the_size_that_the_peer_wants() {
    for (length, bytes, theirs, is_named_last) in [
        (65, 64, 64, true),
        (5_000, 1_024, 1_024, true),
        (5_000, 1_024, 1_024, false),
        (5_000, 1_024, 64, true),
        (300, 128, 32, false),
    ] {
        let mut bench = Bench::usual();
        let (_, request) = bench.ask(put(length, bytes));
        assert_eq!(collect(&mut bench, request, theirs, is_named_last), text(length));
        assert_eq!(bench.outcome().expect("an answer").code, Code::CHANGED);
        assert_eq!(bench.endpoint.poll_timeout(), None);
    }
}

#[test]
fn a_peer_that_refuses_the_size_is_asked_again_with_the_one_that_it_names() {
    let mut bench = Bench::usual();
    let (_, request) = bench.ask(put(200, 128));
    let mut reply = answer(&request, Code::ENTITY_TOO_LARGE, b"");
    block(0, false, 32).add(&mut reply.options, OptionNumber::BLOCK1);
    bench.hear(peer(1), &reply);
    let request = bench.sent_one(peer(1));
    let sent = Block::of(&request.options, OptionNumber::BLOCK1);
    assert_eq!(sent, Some(block(0, true, 32)));
    // If it refuses that as well, that is its answer.
    bench.hear(peer(1), &answer(&request, Code::ENTITY_TOO_LARGE, b""));
    assert_eq!(bench.outcome().expect("an answer").code, Code::ENTITY_TOO_LARGE);
}

#[test]
fn a_peer_that_takes_the_first_block_for_the_whole_is_found_out() {
    let mut bench = Bench::usual();
    let (_, request) = bench.ask(put(200, 64));
    bench.hear(peer(1), &answer(&request, Code::CHANGED, b""));
    assert_eq!(bench.outcome(), Err(Failure::Protocol(ProtocolFault::NoBlocks)));
    let (_, request) = bench.ask(put(10, 64));
    bench.hear(peer(1), &answer(&request, Code::CONTINUE, b""));
    let fault = ProtocolFault::Code(Code::CONTINUE);
    assert_eq!(bench.outcome(), Err(Failure::Protocol(fault)));
}

#[test]
fn an_error_of_any_block_is_the_answer() {
    let mut bench = Bench::usual();
    let (_, request) = bench.ask(put(200, 64));
    bench.hear(peer(1), &part(&request, OptionNumber::BLOCK1, block(0, true, 64), b"", b""));
    let request = bench.sent_one(peer(1));
    bench.hear(peer(1), &answer(&request, Code::ENTITY_INCOMPLETE, b""));
    assert_eq!(bench.outcome().expect("an answer").code, Code::ENTITY_INCOMPLETE);
}

#[test]
fn a_request_and_its_answer_can_both_be_in_blocks() {
    let mut bench = Bench::usual();
    let request = Request { method: Method::Post, ..put(100, 64) };
    let (_, request) = bench.ask(request);
    bench.hear(peer(1), &part(&request, OptionNumber::BLOCK1, block(0, true, 64), b"", b""));
    let request = bench.sent_one(peer(1));
    let mut reply = part(&request, OptionNumber::BLOCK2, block(0, true, 64), &text(64), b"");
    block(1, false, 64).add(&mut reply.options, OptionNumber::BLOCK1);
    bench.hear(peer(1), &reply);
    let request = bench.sent_one(peer(1));
    assert_eq!((request.code, request.payload.len()), (Code(2), 0));
    assert_eq!(Block::of(&request.options, OptionNumber::BLOCK1), None);
    bench.hear(peer(1), &part(&request, OptionNumber::BLOCK2, block(1, false, 64), &text(6), b""));
    assert_eq!(bench.outcome().expect("an answer").payload.len(), 70);
}
