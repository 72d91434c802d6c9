//! The client on a serial line that is not at its best: noise, echoes, strangers, late answers.

use crate::kit::{Line, TIMEOUT, framed, read, registers, words, write};
use fieldgate_modbus::client::{Echo, EncodeError, Framing, Ticket};
use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{ReadReply, ReadRequest, Table, UnitId};
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_model::Millis;

const SERIAL: [Framing; 2] = [Framing::Rtu, Framing::Ascii];

fn line(framing: Framing, echo: Echo) -> Line {
    Line::new(framing, 1, echo)
}

#[test]
fn a_request_goes_out_and_its_answer_comes_back_in_any_pieces() {
    let mut rtu = line(Framing::Rtu, Echo::None);
    assert_eq!(rtu.send(1, 0x11, &read(0x6B, 3)), b"\x11\x03\x00\x6B\x00\x03\x76\x87");
    for byte in b"\x11\x03\x06\xAE\x41\x56\x52\x43\x40\x49\xAD" {
        assert_eq!(rtu.done, []);
        rtu.bytes(&[*byte]);
    }
    assert_eq!(rtu.take_done(), [(1, words(&[0xAE41, 0x5652, 0x4340]))]);

    let mut ascii = line(Framing::Ascii, Echo::None);
    assert_eq!(ascii.send(1, 0x11, &read(0x6B, 3)), b":1103006B00037E\r\n");
    for byte in b":110306AE4156524340CC\r\n" {
        assert_eq!(ascii.done, []);
        ascii.bytes(&[*byte]);
    }
    assert_eq!(ascii.take_done(), [(1, words(&[0xAE41, 0x5652, 0x4340]))]);
    assert_eq!((rtu.client.counters().noise_bytes, ascii.client.counters().noise_bytes), (0, 0));
}

#[test]
fn the_line_is_quiet_for_the_gap_after_an_answer() {
    for framing in SERIAL {
        let mut line = line(framing, Echo::None);
        line.send(1, 1, &read(0, 1));
        assert!(!line.client.may_send(line.now));
        line.bytes(&registers(framing, 0, 1, &[7]));
        assert!(!line.client.may_send(line.now + Millis(3)));
        assert_eq!(line.client.poll_timeout(), Some(line.now + Millis(4)));
        assert!(line.client.may_send(line.now + Millis(4)));
        let early = line.client.send(Ticket(2), UnitId(1), &read(0, 1), TIMEOUT, line.now);
        assert_eq!(early, Err(EncodeError::LineBusy));
    }
}

#[test]
fn frames_of_other_units_and_noise_around_the_answer_are_counted_and_harm_nothing() {
    for framing in SERIAL {
        let mut line = line(framing, Echo::None);
        line.send(1, 1, &read(0, 1));
        line.bytes(&[0xFF, 0x00, 0x55]);
        line.bytes(&registers(framing, 0, 2, &[1, 2, 3]));
        line.bytes(&[0xAA]);
        line.bytes(&registers(framing, 0, 1, &[7]));
        assert_eq!(line.take_done(), [(1, words(&[7]))]);
        let counters = line.client.counters();
        assert_eq!((counters.foreign, counters.noise_bytes, counters.answers), (1, 4, 1));
    }
}

#[test]
fn another_client_that_asks_the_same_unit_is_foreign() {
    for framing in SERIAL {
        let mut line = line(framing, Echo::None);
        line.send(1, 1, &read(0, 1));
        line.bytes(&framed(framing, 0, 1, &[3, 0, 9, 0, 2]));
        line.wait(100);
        assert_eq!(line.take_done(), [(1, Err(Fault::NoAnswer))]);
        assert_eq!((line.client.counters().foreign, line.client.counters().late), (1, 0));
    }
}

#[test]
fn a_short_timeout_of_a_scan_has_a_short_quiet_time() {
    let mut line = line(Framing::Rtu, Echo::None);
    let asked = line.client.send(Ticket(1), UnitId(1), &read(0, 1), Millis(32), line.now);
    assert_eq!(asked, Ok(()));
    line.wait(39);
    assert!(!line.client.may_send(line.now));
    line.wait(1);
    assert!(line.client.may_send(line.now));
}

#[test]
fn a_wrong_checksum_is_said_so_only_once_no_right_answer_came_in_time() {
    for framing in SERIAL {
        let mut wrong = registers(framing, 0, 1, &[7]);
        let at = if framing == Framing::Rtu { 4 } else { 9 };
        wrong[at] ^= 1;
        let mut line = line(framing, Echo::None);
        line.send(1, 1, &read(0, 1));
        line.bytes(&wrong);
        assert_eq!(line.done, []);
        line.wait(100);
        assert_eq!(line.take_done(), [(1, Err(Fault::Checksum))], "{framing:?}");
        line.wait(20);
        line.send(2, 1, &read(0, 1));
        line.bytes(&wrong);
        line.bytes(&registers(framing, 0, 1, &[7]));
        assert_eq!(line.take_done(), [(2, words(&[7]))], "{framing:?}");
        assert_eq!(line.client.counters().checksum, 1);
    }
}

#[test]
fn an_answer_that_was_cut_short_is_a_wrong_checksum() {
    for framing in SERIAL {
        let mut line = line(framing, Echo::None);
        line.send(1, 1, &read(0, 2));
        let whole = registers(framing, 0, 1, &[7, 8]);
        line.bytes(&whole[..whole.len() - 3]);
        line.wait(100);
        assert_eq!(line.take_done(), [(1, Err(Fault::Checksum))], "{framing:?}");
    }
}

#[test]
fn an_answer_to_another_question_is_malformed_at_the_deadline_and_not_before() {
    for framing in SERIAL {
        let mut line = line(framing, Echo::None);
        line.send(1, 1, &read(0, 2));
        line.bytes(&registers(framing, 0, 1, &[1, 2, 3]));
        assert_eq!(line.done, []);
        line.bytes(&registers(framing, 0, 1, &[7, 8]));
        assert_eq!(line.take_done(), [(1, words(&[7, 8]))]);
        line.wait(10);
        line.send(2, 1, &read(0, 2));
        line.bytes(&registers(framing, 0, 1, &[1, 2, 3]));
        line.wait(100);
        assert_eq!(line.take_done(), [(2, Err(Fault::Malformed))]);
        assert_eq!((line.client.counters().late, line.client.counters().malformed), (2, 1));
    }
}

#[test]
fn a_unit_that_was_silent_is_asked_again_only_once_its_late_answer_is_out_of_the_way() {
    for framing in SERIAL {
        let mut line = line(framing, Echo::None);
        line.send(1, 1, &read(0, 1));
        line.wait(130);
        assert_eq!(line.take_done(), [(1, Err(Fault::NoAnswer))]);
        let until = line.now + Millis(70);
        assert_eq!(line.client.held_until(UnitId(1), line.now), Some(until));
        assert_eq!(line.client.held_until(UnitId(2), line.now), None);
        assert_eq!(line.client.held_until(UnitId(1), until), None);
        assert_eq!(line.send(2, 1, &read(5, 1)), b"", "its late answer could come any moment");
        line.wait(30);
        line.bytes(&registers(framing, 0, 1, &[0xBAD]));
        assert_eq!((line.done.len(), line.client.counters().late), (0, 1));
        let before = line.sent.len();
        line.wait(4);
        assert_eq!(line.sent.len(), before + 1, "it has come, so the request goes out");
        line.bytes(&registers(framing, 0, 1, &[5]));
        assert_eq!(line.take_done(), [(2, words(&[5]))]);
    }
}

#[test]
fn a_unit_that_never_stops_answering_does_not_put_off_the_request_that_waits_for_it() {
    for framing in SERIAL {
        let mut line = line(framing, Echo::None);
        line.send(1, 1, &read(0, 1));
        line.wait(130);
        assert_eq!(line.send(2, 1, &read(5, 1)), b"");
        let before = line.sent.len();
        line.bytes(&registers(framing, 0, 1, &[0xBAD]));
        for _ in 0..4 {
            line.wait(1);
            line.bytes(&registers(framing, 0, 1, &[0xBAD]));
        }
        assert_eq!(line.sent.len(), before + 1, "it goes out a gap after the first of them");
        assert_eq!(line.client.counters().late, 1);
    }
}

#[test]
fn a_late_answer_does_not_keep_another_unit_waiting() {
    for framing in SERIAL {
        let mut line = line(framing, Echo::None);
        line.send(1, 1, &read(0, 1));
        line.wait(120);
        assert_ne!(line.send(2, 2, &read(0, 1)), b"");
        line.bytes(&registers(framing, 0, 1, &[0xBAD]));
        line.bytes(&registers(framing, 0, 2, &[7]));
        assert_eq!(line.take_done(), [(1, Err(Fault::NoAnswer)), (2, words(&[7]))]);
    }
}

#[test]
fn what_comes_in_the_quiet_time_is_thrown_away_and_lengthens_it() {
    for framing in SERIAL {
        let mut line = line(framing, Echo::None);
        line.send(1, 1, &read(0, 1));
        line.wait(119);
        assert!(!line.client.may_send(line.now));
        line.bytes(&registers(framing, 0, 1, &[0xBAD]));
        line.wait(1);
        assert!(!line.client.may_send(line.now));
        line.wait(3);
        assert!(line.client.may_send(line.now));
        assert_eq!(line.client.counters().late, 1);
        assert_ne!(line.send(2, 1, &read(0, 1)), b"", "the late answer is known to have come");
    }
}

#[test]
fn a_line_that_babbles_without_end_is_used_nevertheless() {
    let mut line = line(Framing::Rtu, Echo::None);
    let mut waited = 0;
    line.bytes(&[0x55]);
    while !line.client.may_send(line.now) {
        line.bytes(&[0x55]);
        line.wait(1);
        waited += 1;
        assert!(waited < 600, "it waits for ever");
    }
}

#[test]
fn an_echo_is_learned_from_a_read_and_then_taken_off_a_write() {
    for framing in SERIAL {
        let mut line = line(framing, Echo::Auto);
        let sent = line.send(1, 1, &read(0, 1));
        line.bytes(&sent);
        line.bytes(&registers(framing, 0, 1, &[7]));
        assert_eq!(line.take_done(), [(1, words(&[7]))]);
        line.wait(4);
        let sent = line.send(2, 1, &write(0, 9));
        line.bytes(&sent);
        assert_eq!(line.done, [], "this is its echo and no answer");
        line.wait(100);
        assert_eq!(line.take_done(), [(2, Err(Fault::NoAnswer))]);
        line.wait(200);
        let sent = line.send(3, 1, &write(0, 9));
        line.bytes(&sent);
        line.bytes(&sent);
        assert_eq!(line.take_done(), [(3, Ok(Reply::Written))]);
        assert_eq!(line.client.counters().echoes, 3);
    }
}

#[test]
fn a_line_without_echo_is_learned_from_a_read_and_a_write_does_not_wait() {
    for framing in SERIAL {
        let mut line = line(framing, Echo::Auto);
        line.send(1, 1, &read(0, 1));
        line.bytes(&registers(framing, 0, 1, &[7]));
        line.wait(4);
        let sent = line.send(2, 1, &write(0, 9));
        line.bytes(&sent);
        assert_eq!(line.take_done(), [(1, words(&[7])), (2, Ok(Reply::Written))]);
    }
}

#[test]
fn the_first_write_on_an_unknown_line_waits_for_a_second_copy_and_believes_the_first() {
    for framing in SERIAL {
        let mut line = line(framing, Echo::Auto);
        let sent = line.send(1, 1, &write(0, 9));
        line.bytes(&sent);
        assert_eq!(line.done, []);
        line.wait(110);
        assert_eq!(line.take_done(), [(1, Ok(Reply::Written))]);
        let sent = line.send(2, 1, &write(0, 9));
        line.bytes(&sent);
        line.bytes(&sent);
        assert_eq!(line.take_done(), [(2, Ok(Reply::Written))]);
        assert_eq!(line.client.counters().echoes, 1);
    }
}

#[test]
fn a_read_whose_echo_has_the_form_of_an_answer_is_not_answered_by_it() {
    // 17 to 24 coils from 0x0300: the high byte of the address reads like a byte count of 3.
    let request = Request::Read(ReadRequest { table: Table::Coil, start: 0x0300, count: 20 });
    let mut line = line(Framing::Rtu, Echo::Expect);
    let sent = line.send(1, 1, &request);
    line.bytes(&sent);
    assert_eq!(line.done, []);
    line.bytes(&framed(Framing::Rtu, 0, 1, &[1, 3, 0xFF, 0xFF, 0x0F]));
    let all_on = Ok(Reply::Read(ReadReply::Bits(vec![true; 20])));
    assert_eq!(line.take_done(), [(1, all_on)]);
}

#[test]
fn a_broadcast_is_written_once_the_devices_had_time_for_it() {
    for framing in SERIAL {
        let mut line = line(framing, Echo::Auto);
        let sent = line.send(1, 0, &write(0, 9));
        line.bytes(&sent);
        line.wait(199);
        assert_eq!(line.done, []);
        line.wait(1);
        assert_eq!(line.take_done(), [(1, Ok(Reply::Written))]);
        line.wait(10);
        let refused = line.client.send(Ticket(2), UnitId(0), &read(0, 1), TIMEOUT, line.now);
        assert_eq!(refused, Err(EncodeError::BroadcastRead));
        assert!(line.client.may_send(line.now));
    }
}

#[test]
fn an_exception_is_an_answer() {
    for framing in SERIAL {
        let mut line = line(framing, Echo::Auto);
        line.send(1, 1, &read(0, 1));
        line.bytes(&framed(framing, 0, 1, &[0x83, 2]));
        assert_eq!(line.take_done(), [(1, Err(Fault::Exception(2)))]);
        assert_eq!(line.client.counters().exceptions.get(&2), Some(&1));
    }
}

#[test]
fn a_link_that_breaks_ends_what_is_in_flight() {
    for framing in SERIAL {
        let mut line = line(framing, Echo::Auto);
        line.send(1, 1, &read(0, 1));
        line.bytes(&registers(framing, 0, 1, &[7])[..4]);
        line.client.handle_closed(line.now);
        line.collect();
        assert_eq!(line.take_done(), [(1, Err(Fault::LinkLost))]);
        assert_eq!(line.client.poll_timeout(), None);
        line.send(2, 1, &read(0, 1));
        line.bytes(&registers(framing, 0, 1, &[8]));
        assert_eq!(line.take_done(), [(2, words(&[8]))]);
    }
}

#[test]
fn a_line_on_which_nobody_ever_answers_is_opened_anew() {
    let mut line = line(Framing::Rtu, Echo::Auto);
    for unit in 1..=16 {
        assert_eq!(line.reopens, 0);
        line.send(u64::from(unit), unit, &read(0, 1));
        line.wait(130);
    }
    assert_eq!(line.reopens, 1);
    assert!(!line.client.may_send(line.now));
    line.client.handle_closed(line.now);
    assert!(line.client.may_send(line.now));
}
