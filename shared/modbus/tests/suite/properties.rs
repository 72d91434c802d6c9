//! Lines on which anything happens at any time: what is answered is answered rightly.

use fieldgate_modbus::client::{Client, ClientEffect, ClientOptions, Echo, Framing, Ticket};
use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::frame::{rtu, tcp};
use fieldgate_modbus::register::UnitId;
use fieldgate_model::Millis;

use crate::kit::{Line, TIMEOUT, framed, read, registers, words};
use crate::rng::Rng;

/// Enough to meet every order of three events on each of a dozen places.
const SEEDS: u64 = 300;
const STEPS: usize = 200;

/// What a device gives: each request is answered with the address it asks for, so that an answer
/// to another question can be seen.
struct Question {
    ticket: u64,
    unit: u8,
    id: u16,
}

impl Question {
    fn word(&self) -> u16 {
        u16::try_from(self.ticket % 60_000).expect("below 60,000")
    }
}

#[test]
fn on_tcp_no_answer_ever_goes_to_another_request_in_whatever_order_they_come() {
    let (mut answered, mut late) = (0, 0);
    for seed in 0..SEEDS {
        let rng = &mut Rng::new(seed);
        let in_flight_max = 1 + rng.below(8);
        let mut line = Line::new(Framing::Tcp, in_flight_max, Echo::Auto);
        // Each stays here for as long as its answer, late or not, has not come.
        let mut open: Vec<Question> = Vec::new();
        let mut ticket = 0;
        for _ in 0..STEPS {
            match rng.below(5) {
                0 | 1 if line.client.may_send(line.now) => {
                    ticket += 1;
                    let unit = 1 + rng.byte() % 4;
                    let word = u16::try_from(ticket % 60_000).expect("below 60,000");
                    let sent = line.send(ticket, unit, &read(word, 1));
                    let id = u16::from_be_bytes([sent[0], sent[1]]);
                    open.push(Question { ticket, unit, id });
                }
                2 | 3 if !open.is_empty() => {
                    let question = open.swap_remove(rng.below(open.len()));
                    let word = question.word();
                    let mut bytes = registers(Framing::Tcp, question.id, question.unit, &[word]);
                    if rng.once_in(3) {
                        bytes.extend(rng.bytes(5));
                    }
                    let (first, second) = bytes.split_at(rng.below(bytes.len()));
                    line.bytes(first);
                    line.bytes(second);
                }
                _ => line.wait(u64::from(rng.byte() % 60)),
            }
            for (ticket, outcome) in line.take_done() {
                let word = u16::try_from(ticket % 60_000).expect("below 60,000");
                match outcome {
                    Err(fault) => assert_eq!(fault, Fault::NoAnswer, "seed {seed}"),
                    right => {
                        assert_eq!(right, words(&[word]), "seed {seed}");
                        answered += 1;
                    }
                }
            }
            if line.reopens > 0 {
                line.reopens = 0;
                line.client.handle_closed(line.now);
                open.clear();
                line.collect();
                line.done.clear();
            }
        }
        late += line.client.counters().late;
    }
    assert!(answered > 5_000 && late > 500, "{answered} answered, {late} late");
}

#[test]
fn an_rtu_answer_is_found_behind_any_noise() {
    for seed in 0..20_000 {
        let rng = &mut Rng::new(seed);
        let mut line = Line::new(Framing::Rtu, 1, Echo::Auto);
        let count = 1 + u16::from(rng.byte() % 125);
        let values: Vec<u16> = (0..count).map(|at| at ^ 0x5A5A).collect();
        line.send(1, 1, &read(0, count));
        let noise = [4, 30, 300, 900][rng.below(4)];
        let mut bytes = rng.bytes(noise);
        // Noise that begins like the answer itself is the worst.
        if rng.once_in(2) {
            bytes.extend_from_slice(&[1, 3, rng.byte()]);
        }
        bytes.extend(registers(Framing::Rtu, 0, 1, &values));
        for piece in bytes.chunks(1 + rng.below(40)) {
            line.bytes(piece);
        }
        assert_eq!(line.take_done(), [(1, words(&values))], "seed {seed}");
    }
}

#[test]
fn on_a_serial_line_a_late_answer_is_never_the_next_one() {
    let (mut answered, mut late) = (0, 0);
    for seed in 0..SEEDS {
        let rng = &mut Rng::new(seed);
        let framing = [Framing::Rtu, Framing::Ascii][rng.below(2)];
        let mut line = Line::new(framing, 1, Echo::None);
        // An answer that did not come within its deadline may come within as much time again.
        let mut owed: Vec<(Millis, Question)> = Vec::new();
        let mut sent = 0;
        for ticket in 1..60 {
            while !line.client.may_send(line.now) || line.sent.len() < sent {
                line.wait(1);
            }
            let unit = 1 + rng.byte() % 2;
            let word = u16::try_from(ticket).expect("below 60");
            sent += 1;
            line.send(ticket, unit, &read(word, 1));
            let mut asked_at = (line.sent.len() == sent).then_some(line.now);
            let delay = Millis(u64::from(rng.byte()) * 3 / 4);
            let mut pending = Some(Question { ticket, unit, id: 0 });
            while line.done.is_empty() {
                line.wait(1);
                asked_at = asked_at.or((line.sent.len() == sent).then_some(line.now));
                if let Some(asked_at) = asked_at
                    && let Some(question) = pending.take()
                {
                    owed.push((asked_at + delay, question));
                }
                answer_what_is_due(&mut line, &mut owed, framing, rng);
            }
            for (ticket, outcome) in line.take_done() {
                match outcome {
                    Err(fault) => assert_eq!(fault, Fault::NoAnswer, "seed {seed}"),
                    right => {
                        let word = u16::try_from(ticket).expect("below 60");
                        assert_eq!(right, words(&[word]), "seed {seed}");
                        answered += 1;
                    }
                }
            }
        }
        late += line.client.counters().late;
    }
    assert!(answered > 5_000 && late > 1_000, "{answered} answered, {late} late");
}

fn answer_what_is_due(
    line: &mut Line,
    owed: &mut Vec<(Millis, Question)>,
    framing: Framing,
    rng: &mut Rng,
) {
    for (_, question) in owed.extract_if(.., |(at, _)| *at <= line.now).collect::<Vec<_>>() {
        if rng.once_in(5) {
            line.bytes(&[0x55, 0xFF]);
        }
        line.bytes(&registers(framing, 0, question.unit, &[question.word()]));
    }
}

#[test]
fn any_bytes_at_any_time_end_each_transaction_once_and_by_its_deadline() {
    for seed in 0..SEEDS {
        let rng = &mut Rng::new(seed);
        let framing = [Framing::Tcp, Framing::Rtu, Framing::Ascii][rng.below(3)];
        let echo = [Echo::Auto, Echo::Expect, Echo::None][rng.below(3)];
        let options = ClientOptions { framing, in_flight_max: 4, gap: Millis(4), echo };
        let mut client = Client::new(options);
        let mut now = Millis(0);
        let mut open: Vec<(u64, Millis)> = Vec::new();
        for ticket in 0..200 {
            if client.may_send(now) {
                client
                    .send(Ticket(ticket), UnitId(1), &read(0, 2), TIMEOUT, now)
                    .expect("it may be sent");
                // On a serial line the request may first wait for a late answer to the last.
                open.push((ticket, now + TIMEOUT + TIMEOUT));
            }
            match rng.below(4) {
                0 => client.handle_bytes(&rng.bytes(900), now),
                1 => {
                    let mut bytes =
                        framed(framing, u16::from(rng.byte() % 9), 1, &[3, 4, 0, 0, 0, 0]);
                    let at = rng.below(bytes.len());
                    bytes[at] ^= rng.byte();
                    client.handle_bytes(&bytes, now);
                }
                _ => {
                    now = now + Millis(u64::from(rng.byte() % 40));
                    client.handle_timeout(now);
                }
            }
            while let Some(effect) = client.poll_effect() {
                match effect {
                    ClientEffect::Transmit(bytes) => {
                        assert!(bytes.len() <= rtu::ADU_MAX.max(tcp::ADU_MAX));
                    }
                    ClientEffect::Done { ticket, .. } => {
                        let at = open.iter().position(|(open, _)| *open == ticket.0);
                        open.remove(at.expect("it is over for the first time"));
                    }
                    ClientEffect::Reopen => {
                        assert!(!client.may_send(now));
                        client.handle_closed(now);
                    }
                }
            }
            assert!(open.iter().all(|(_, deadline)| now <= *deadline + Millis(40)), "seed {seed}");
            assert!(client.poll_timeout().is_some() || open.is_empty(), "seed {seed}");
        }
    }
}
