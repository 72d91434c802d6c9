//! What holds for a client whatever happens on its line: bytes, answers right and wrong, silence
//! and closed links, in an order that is itself read from bytes.
//!
//! The first byte of a script says how the client talks; each further one is a step, its lower
//! three bits what happens, its upper five how. `corpus.rs` and `tests/fuzz/` run it.

use std::collections::BTreeMap;

use fieldgate_modbus::client::{Client, ClientEffect, ClientOptions, Echo, Framing, Ticket};
use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::frame::{self, rtu, tcp};
use fieldgate_modbus::pdu::EncodeError;
use fieldgate_modbus::register::{ReadRequest, Table, UnitId, WriteRequest};
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_model::Millis;

const TIMEOUT: Millis = Millis(100);
const GAP: Millis = Millis(4);
/// A request may wait for a late answer to its unit's last one, and for the line to be quiet after
/// it, before its own time begins. A broadcast takes less, and waits for nothing.
const LATEST: Millis = Millis(2 * TIMEOUT.0 + GAP.0);
/// Steps of one script: what comes after them finds nothing that these did not.
const STEPS_MAX: usize = 300;
/// A question that only one answer fits, and that answer.
const LAST_ANSWER: &[u8] = &[4, 4, 0x7A, 0x7B, 0x7C, 0x7D];

/// A line with its client, and what is known of it from outside.
struct Line {
    client: Client,
    framing: Framing,
    now: Millis,
    next_ticket: u64,
    /// When each transaction that is not over began.
    open: BTreeMap<u64, Millis>,
    /// Frames that went out and have had no answer yet, with the PDU that would be one.
    unanswered: Vec<(Vec<u8>, &'static [u8])>,
    /// Answers to requests that were sent and have not gone out yet, the oldest first.
    held: Vec<&'static [u8]>,
    over: u64,
    transmitted: u64,
    last: Option<Result<Reply, Fault>>,
}

/// Runs the script; there are no pieces but those that it names.
pub(crate) fn client(script: &[u8], _: &mut dyn FnMut() -> usize) {
    let Some((first, mut steps)) = script.split_first() else { return };
    let mut line = Line::new(*first);
    for _ in 0..STEPS_MAX {
        let Some((step, rest)) = steps.split_first() else { break };
        steps = line.step(step & 7, step >> 3, rest);
        line.check();
    }
    line.wait(Millis(2 * LATEST.0));
    assert!(line.open.is_empty(), "{:?} never ended", line.open);
    line.check_counters();
    line.comes_back();
}

impl Line {
    fn new(options: u8) -> Self {
        let framing = [Framing::Tcp, Framing::Rtu, Framing::Ascii][usize::from(options % 3)];
        let echo = [Echo::Auto, Echo::Expect, Echo::None][usize::from(options / 3 % 3)];
        let in_flight_max = usize::from(options / 9 % 8);
        Self {
            client: Client::new(ClientOptions { framing, in_flight_max, gap: GAP, echo }),
            framing,
            now: Millis(1_000),
            next_ticket: 0,
            open: BTreeMap::new(),
            unanswered: Vec::new(),
            held: Vec::new(),
            over: 0,
            transmitted: 0,
            last: None,
        }
    }

    /// One step; returns what it left of the script.
    fn step<'a>(&mut self, kind: u8, how: u8, rest: &'a [u8]) -> &'a [u8] {
        match kind {
            0 => self.send(how),
            1 => {
                let length = match how {
                    // A step has no room for more.
                    31 => rest.len(),
                    _ => usize::from(how).min(rest.len()),
                };
                let (bytes, rest) = rest.split_at(length);
                self.client.handle_bytes(bytes, self.now);
                self.collect();
                return rest;
            }
            // Within a gap, or across a deadline.
            2 => self.wait(Millis(u64::from(if how < 16 { how } else { (how - 15) * 10 }))),
            3 => self.answer(how),
            4 => {
                let last = self.unanswered.last().map(|(sent, _)| sent.clone());
                self.client.handle_bytes(&last.unwrap_or_default(), self.now);
                self.collect();
            }
            5 => self.exception(how),
            6 => {
                if let Some(at) = self.client.poll_timeout() {
                    self.wait(Millis(at.0.saturating_sub(self.now.0)));
                }
            }
            _ => self.close(),
        }
        rest
    }

    fn send(&mut self, how: u8) {
        let (request, answer) = question(how >> 2);
        let unit = UnitId(how & 3);
        let ticket = self.next_ticket;
        let may = self.client.may_send(self.now);
        match self.client.send(Ticket(ticket), unit, &request, TIMEOUT, self.now) {
            Ok(()) => {
                assert!(may);
                self.next_ticket += 1;
                self.open.insert(ticket, self.now);
                self.held.push(answer);
            }
            Err(EncodeError::LineBusy) => assert!(!may),
            Err(EncodeError::BroadcastRead) => assert_eq!(unit, UnitId(0)),
            Err(other) => panic!("{request:?} is in order: {other}"),
        }
        self.collect();
    }

    /// The right answer to a request that went out, unless `how` says what is wrong with it.
    fn answer(&mut self, how: u8) {
        let newest = how & 1 != 0;
        let Some(at) = (if newest { self.unanswered.len().checked_sub(1) } else { Some(0) }) else {
            return;
        };
        if self.unanswered.is_empty() {
            return;
        }
        let (sent, answer) = self.unanswered.remove(at);
        let mut bytes = self.reply_to(&sent, answer);
        let middle = bytes.len() / 2;
        match how >> 1 {
            0..=3 => {}
            4 => bytes.truncate(middle),
            5 => bytes[middle] ^= 1,
            6 => bytes.extend_from_within(..),
            7 => bytes.extend([0, 0]),
            8 => bytes.splice(..0, sent).for_each(drop),
            9 => bytes.splice(..0, [0xFF, 0x3A]).for_each(drop),
            10 => bytes[0] ^= 1,
            _ => {
                bytes.drain(..middle);
            }
        }
        self.client.handle_bytes(&bytes, self.now);
        self.collect();
    }

    fn exception(&mut self, code: u8) {
        let Some((sent, answer)) = self.unanswered.pop() else { return };
        let function = answer.first().copied().unwrap_or_default();
        let bytes = self.reply_to(&sent, &[function | 0x80, code]);
        self.client.handle_bytes(&bytes, self.now);
        self.collect();
    }

    /// The frame in which the unit that `sent` asks would give `pdu`.
    fn reply_to(&self, sent: &[u8], pdu: &[u8]) -> Vec<u8> {
        let (id, unit) = match self.framing {
            Framing::Tcp => (u16::from_be_bytes([sent[0], sent[1]]), sent[6]),
            Framing::Rtu => (0, sent[0]),
            // Units of these scripts have one digit.
            Framing::Ascii => (0, sent[2] - b'0'),
        };
        let mut out = Vec::new();
        let done = frame::encode(self.framing, id, UnitId(unit), &mut out, |out| {
            out.extend_from_slice(pdu);
            Ok::<(), EncodeError>(())
        });
        done.map(|()| out).expect("nothing fails")
    }

    fn close(&mut self) {
        self.client.handle_closed(self.now);
        self.collect();
        assert!(self.open.is_empty(), "{:?} outlived their link", self.open);
        self.unanswered.clear();
        self.held.clear();
    }

    /// Time passes, and each timer is handled when it is due.
    fn wait(&mut self, time: Millis) {
        let until = self.now + time;
        while let Some(at) = self.client.poll_timeout().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.client.handle_timeout(self.now);
            self.collect();
            let next = self.client.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a timer that was handled is due");
        }
        self.now = until;
    }

    fn collect(&mut self) {
        let mut reopen = false;
        while let Some(effect) = self.client.poll_effect() {
            match effect {
                ClientEffect::Transmit(bytes) => {
                    assert!(bytes.len() <= 1 + 2 * (rtu::ADU_MAX.max(tcp::ADU_MAX)));
                    let answer = if self.held.is_empty() { &[][..] } else { self.held.remove(0) };
                    self.unanswered.push((bytes, answer));
                    self.transmitted += 1;
                }
                ClientEffect::Done { ticket, outcome } => {
                    let began = self.open.remove(&ticket.0);
                    assert!(began.is_some(), "{ticket:?} is over twice");
                    self.over += 1;
                    self.last = Some(outcome);
                }
                ClientEffect::Reopen => reopen = true,
            }
        }
        if reopen {
            assert!(!self.client.may_send(self.now));
            self.close();
        }
    }

    fn check(&self) {
        for (ticket, began) in &self.open {
            assert!(self.now < *began + LATEST, "{ticket} began at {began:?}: {:?}", self.now);
        }
        assert!(self.client.poll_timeout().is_some() || self.open.is_empty());
    }

    /// Each transaction is counted once, as what it came to.
    fn check_counters(&self) {
        let counters = self.client.counters();
        let exceptions: u64 = counters.exceptions.values().sum();
        let failed =
            counters.timeouts + counters.checksum + counters.malformed + counters.links_lost;
        assert_eq!(counters.answers + exceptions + failed, self.over);
        assert_eq!(counters.requests, self.transmitted);
    }

    /// Whatever was before, behind another link the next answer is the right one.
    fn comes_back(&mut self) {
        self.close();
        self.wait(LATEST);
        let read = ReadRequest { table: Table::InputRegister, start: 0, count: 2 };
        let sent = self.client.send(
            Ticket(self.next_ticket),
            UnitId(5),
            &Request::Read(read),
            TIMEOUT,
            self.now,
        );
        assert_eq!(sent, Ok(()));
        self.open.insert(self.next_ticket, self.now);
        self.held.push(LAST_ANSWER);
        self.collect();
        self.answer(0);
        let words = fieldgate_modbus::register::ReadReply::Registers(vec![0x7A7B, 0x7C7D]);
        assert_eq!(self.last, Some(Ok(Reply::Read(words))));
    }
}

/// One of eight questions, and the PDU that answers it.
fn question(which: u8) -> (Request, &'static [u8]) {
    let read = |table, count| Request::Read(ReadRequest { table, start: 0, count });
    match which {
        0 => (read(Table::HoldingRegister, 2), &[3, 4, 0, 1, 0, 2]),
        1 => (read(Table::Coil, 9), &[1, 2, 0xFF, 1]),
        2 => (Request::Write(WriteRequest::Register { offset: 1, word: 3 }), &[6, 0, 1, 0, 3]),
        3 => (
            Request::Write(WriteRequest::Registers { start: 0, words: vec![1, 2] }),
            &[16, 0, 0, 0, 2],
        ),
        4 => (Request::ReportServerId, &[17, 3, 1, 0xFF, 0x41]),
        5 => (Request::DeviceId { level: 1, object: 0 }, &[43, 14, 1, 1, 0, 0, 1, 0, 1, 0x41]),
        6 => (
            Request::ReadWrite {
                read: ReadRequest { table: Table::HoldingRegister, start: 0, count: 1 },
                start: 4,
                words: vec![7],
            },
            &[23, 2, 0, 9],
        ),
        _ => (read(Table::DiscreteInput, 1), &[2, 1, 1]),
    }
}
