//! The client on Modbus TCP: several requests in flight, late answers, gateways that add bytes.

use crate::kit::{Line, TIMEOUT, framed, read, registers, words, write};
use fieldgate_modbus::client::{Echo, EncodeError, Framing, Ticket};
use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::UnitId;
use fieldgate_modbus::request::Reply;
use fieldgate_model::Millis;

fn line(in_flight_max: usize) -> Line {
    Line::new(Framing::Tcp, in_flight_max, Echo::Auto)
}

fn answer(id: u16, unit: u8, values: &[u16]) -> Vec<u8> {
    registers(Framing::Tcp, id, unit, values)
}

#[test]
fn a_request_goes_out_and_its_answer_comes_back_in_any_pieces() {
    let mut line = line(1);
    let sent = line.send(1, 0x11, &read(0x6B, 3));
    assert_eq!(sent, b"\x00\x01\x00\x00\x00\x06\x11\x03\x00\x6B\x00\x03");
    for byte in b"\x00\x01\x00\x00\x00\x09\x11\x03\x06\xAE\x41\x56\x52\x43\x40" {
        assert_eq!(line.done, []);
        line.bytes(&[*byte]);
    }
    assert_eq!(line.take_done(), [(1, words(&[0xAE41, 0x5652, 0x4340]))]);
    assert_eq!(line.client.counters().stray_bytes, 0);
}

#[test]
fn answers_out_of_order_find_their_requests() {
    let mut line = line(3);
    for ticket in 1..=3 {
        line.send(ticket, 1, &read(0, 1));
    }
    assert!(!line.client.may_send(line.now));
    let fourth = line.client.send(Ticket(4), UnitId(1), &read(0, 1), TIMEOUT, line.now);
    assert_eq!(fourth, Err(EncodeError::LineBusy));
    let mut bytes = answer(3, 1, &[33]);
    bytes.extend(answer(1, 1, &[11]));
    bytes.extend(answer(2, 1, &[22]));
    line.bytes(&bytes);
    assert_eq!(line.take_done(), [(3, words(&[33])), (1, words(&[11])), (2, words(&[22]))]);
}

#[test]
fn a_late_answer_is_counted_and_given_to_nobody() {
    let mut line = line(1);
    line.send(1, 1, &read(0, 1));
    line.wait(100);
    line.send(2, 1, &read(5, 1));
    line.bytes(&answer(1, 1, &[0xBAD]));
    assert_eq!(line.take_done(), [(1, Err(Fault::NoAnswer))]);
    line.bytes(&answer(2, 1, &[5]));
    assert_eq!(line.take_done(), [(2, words(&[5]))]);
    assert_eq!((line.client.counters().late, line.client.counters().timeouts), (1, 1));
}

#[test]
fn an_id_whose_answer_may_still_come_is_not_given_again() {
    let mut line = line(1);
    line.send(0, 1, &read(0, 1));
    line.wait(100);
    for ticket in 1..=70_000 {
        let sent = line.send(ticket, 1, &read(0, 1));
        let id = u16::from_be_bytes([sent[0], sent[1]]);
        assert_ne!(id, 1, "the first request may still be answered");
        line.bytes(&answer(id, 1, &[2]));
    }
    line.send(70_001, 1, &read(0, 1));
    line.take_done();
    line.bytes(&answer(1, 1, &[0xBAD]));
    assert_eq!((line.done.len(), line.client.counters().late), (0, 1));
}

#[test]
fn an_id_that_was_never_given_is_foreign() {
    let mut line = line(1);
    line.send(1, 1, &read(0, 1));
    line.bytes(&answer(77, 1, &[0xBAD]));
    assert_eq!((line.done.len(), line.client.counters().foreign), (0, 1));
    line.bytes(&answer(1, 1, &[1]));
    assert_eq!(line.take_done(), [(1, words(&[1]))]);
}

#[test]
fn a_right_id_with_another_unit_or_function_or_length_is_malformed() {
    for (unit, pdu) in [
        (2, &[3, 2, 0, 7][..]),
        (1, &[4, 2, 0, 7]),
        (1, &[3, 4, 0, 7, 0, 8]),
        (1, &[3, 2, 0]),
        (1, &[3, 2, 0, 7, 0]),
        (1, &[0x84, 2]),
        (1, &[0x83]),
    ] {
        let mut line = line(1);
        line.send(1, 1, &read(0, 1));
        line.bytes(&framed(Framing::Tcp, 1, unit, pdu));
        assert_eq!(line.take_done(), [(1, Err(Fault::Malformed))], "{pdu:?}");
        line.send(2, 1, &read(0, 1));
        line.bytes(&answer(2, 1, &[7]));
        assert_eq!(line.take_done(), [(2, words(&[7]))]);
    }
}

#[test]
fn bytes_after_each_frame_are_skipped_and_counted() {
    for extra in [&[0x12, 0x34][..], &[0; 2], &[0; 4], &[0; 7], &[0xFF; 40], &[0, 1, 0, 0, 0]] {
        let mut line = line(1);
        for ticket in 1..=300 {
            let sent = line.send(ticket, 1, &read(0, 2));
            let id = u16::from_be_bytes([sent[0], sent[1]]);
            let mut bytes = answer(id, 1, &[1, 2]);
            bytes.extend(extra);
            line.bytes(&bytes);
            assert_eq!(line.take_done(), [(ticket, words(&[1, 2]))], "{extra:?} after {id}");
        }
        let stray = u64::try_from(299 * extra.len()).expect("few");
        let counted = line.client.counters().stray_bytes;
        assert!(counted >= stray, "{counted} of {stray} for {extra:?}");
        assert_eq!(line.reopens, 0);
    }
}

#[test]
fn a_false_header_does_not_swallow_the_answer_behind_it() {
    let mut line = line(2);
    line.send(1, 1, &read(0, 1));
    // Plausible, of an id that nobody waits for, and claiming 200 bytes.
    line.bytes(&[0x99, 0x99, 0, 0, 0, 200, 1, 3]);
    line.bytes(&answer(1, 1, &[7]));
    assert_eq!(line.take_done(), [(1, words(&[7]))]);
}

#[test]
fn a_frame_that_claims_more_than_it_has_costs_its_own_answer_alone() {
    let mut line = line(1);
    line.send(1, 1, &read(0, 1));
    line.bytes(b"\x00\x01\x00\x00\x00\xFE\x01\x03\x02\x00\x07");
    line.wait(100);
    assert_eq!(line.take_done(), [(1, Err(Fault::NoAnswer))]);
    line.send(2, 1, &read(0, 1));
    line.bytes(&answer(2, 1, &[7]));
    assert_eq!(line.take_done(), [(2, words(&[7]))]);
}

#[test]
fn one_silent_unit_leaves_the_link_alone() {
    let mut line = line(1);
    line.send(0, 2, &read(0, 1));
    line.bytes(&answer(1, 2, &[1]));
    for ticket in 1..=10 {
        line.send(ticket, 9, &read(0, 1));
        line.wait(100);
    }
    assert_eq!((line.reopens, line.client.counters().timeouts), (0, 10));
}

#[test]
fn a_link_on_which_all_are_silent_is_opened_anew_once() {
    let mut line = line(1);
    line.send(0, 1, &read(0, 1));
    line.bytes(&answer(1, 1, &[1]));
    for ticket in 1..=3 {
        assert_eq!(line.reopens, 0);
        line.send(ticket, 1, &read(0, 1));
        line.wait(100);
    }
    assert_eq!(line.reopens, 1);
    assert!(!line.client.may_send(line.now));
    line.client.handle_closed(line.now);
    let sent = line.send(9, 1, &read(0, 1));
    line.bytes(&answer(u16::from_be_bytes([sent[0], sent[1]]), 1, &[7]));
    assert_eq!(line.take_done().last(), Some(&(9, words(&[7]))));
}

#[test]
fn requests_that_were_in_flight_together_are_silent_once() {
    let mut line = line(8);
    for round in 1..=3 {
        assert_eq!(line.reopens, 0);
        for ticket in 0..8 {
            line.send(round * 8 + ticket, 1, &read(0, 1));
            line.wait(1);
        }
        line.wait(100);
    }
    assert_eq!((line.reopens, line.client.counters().timeouts), (1, 24));
}

#[test]
fn a_stream_without_frames_is_opened_anew() {
    let mut line = line(1);
    line.send(1, 1, &read(0, 1));
    line.bytes(&[0x41; 5_000]);
    assert_eq!((line.reopens, line.client.counters().reopens), (1, 1));
    line.client.handle_closed(line.now);
    line.collect();
    assert_eq!(line.take_done(), [(1, Err(Fault::LinkLost))]);
    assert_eq!(line.client.poll_timeout(), None);
}

#[test]
fn a_deadline_is_each_requests_own() {
    let mut line = line(2);
    line.send(1, 1, &read(0, 1));
    line.wait(60);
    line.send(2, 2, &write(0, 1));
    assert_eq!(line.client.poll_timeout(), Some(line.now + Millis(40)));
    line.wait(40);
    assert_eq!(line.take_done(), [(1, Err(Fault::NoAnswer))]);
    line.bytes(&framed(Framing::Tcp, 2, 2, &[6, 0, 0, 0, 1]));
    assert_eq!(line.take_done(), [(2, Ok(Reply::Written))]);
}

#[test]
fn an_answer_behind_a_frame_that_says_it_is_longer_than_it_is_is_found_at_that_ones_deadline() {
    let mut line = line(2);
    line.send(1, 1, &read(0, 1));
    line.wait(60);
    line.send(2, 2, &read(0, 1));
    line.bytes(b"\x00\x01\x00\x00\x00\xFE\x01\x03\x02\x00\x07");
    line.bytes(&answer(2, 2, &[8]));
    assert_eq!(line.take_done(), [], "all of it may be the first answer");
    line.wait(40);
    assert_eq!(line.take_done(), [(1, Err(Fault::NoAnswer)), (2, words(&[8]))]);
    let counters = line.client.counters();
    assert_eq!((counters.stray_bytes, counters.resyncs), (11, 1));
}
