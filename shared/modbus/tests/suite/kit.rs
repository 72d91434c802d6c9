//! What the client's tests share: a line that remembers what was sent and what came of it.

use fieldgate_modbus::client::{Client, ClientEffect, ClientOptions, Echo, Framing, Ticket};
use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::frame;
use fieldgate_modbus::register::{ReadReply, ReadRequest, Table, UnitId, WriteRequest};
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_model::Millis;

/// Deadline of every transaction of these tests.
pub(crate) const TIMEOUT: Millis = Millis(100);

/// A client and the time on its line.
pub(crate) struct Line {
    pub(crate) client: Client,
    pub(crate) now: Millis,
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) done: Vec<(u64, Result<Reply, Fault>)>,
    pub(crate) reopens: usize,
}

impl Line {
    pub(crate) fn new(framing: Framing, in_flight_max: usize, echo: Echo) -> Self {
        let options = ClientOptions { framing, in_flight_max, gap: Millis(4), echo };
        Self {
            client: Client::new(options),

            now: Millis(1_000),
            sent: Vec::new(),
            done: Vec::new(),
            reopens: 0,
        }
    }

    /// Sends, and returns the frame that went out; empty if it is held back.
    pub(crate) fn send(&mut self, ticket: u64, unit: u8, request: &Request) -> Vec<u8> {
        let before = self.sent.len();
        self.client
            .send(Ticket(ticket), UnitId(unit), request, TIMEOUT, self.now)
            .expect("the request can be sent");
        self.collect();
        self.sent.get(before).cloned().unwrap_or_default()
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.client.handle_bytes(bytes, self.now);
        self.collect();
    }

    pub(crate) fn wait(&mut self, millis: u64) {
        let until = self.now + Millis(millis);
        while let Some(at) = self.client.poll_timeout().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.client.handle_timeout(self.now);
            self.collect();
        }
        self.now = until;
    }

    /// What is over since the last look.
    pub(crate) fn take_done(&mut self) -> Vec<(u64, Result<Reply, Fault>)> {
        std::mem::take(&mut self.done)
    }

    pub(crate) fn collect(&mut self) {
        while let Some(effect) = self.client.poll_effect() {
            match effect {
                ClientEffect::Transmit(bytes) => self.sent.push(bytes),
                ClientEffect::Done { ticket, outcome } => self.done.push((ticket.0, outcome)),
                ClientEffect::Reopen => self.reopens += 1,
            }
        }
    }
}

/// A read of `count` holding registers from `start`.
pub(crate) fn read(start: u16, count: u16) -> Request {
    Request::Read(ReadRequest { table: Table::HoldingRegister, start, count })
}

/// FC 6.
pub(crate) fn write(offset: u16, word: u16) -> Request {
    Request::Write(WriteRequest::Register { offset, word })
}

/// What a read of registers brings.
#[expect(clippy::unnecessary_wraps, reason = "it stands where outcomes are compared")]
pub(crate) fn words(words: &[u16]) -> Result<Reply, Fault> {
    Ok(Reply::Read(ReadReply::Registers(words.to_vec())))
}

/// The frame of `pdu`.
pub(crate) fn framed(framing: Framing, id: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let done = frame::encode(framing, id, UnitId(unit), &mut out, |out| {
        out.extend_from_slice(pdu);
        Ok::<(), Fault>(())
    });
    done.map(|()| out).expect("nothing fails")
}

/// The reply to a read of registers.
pub(crate) fn registers(framing: Framing, id: u16, unit: u8, words: &[u16]) -> Vec<u8> {
    let mut pdu = vec![3, u8::try_from(2 * words.len()).expect("one reply")];
    pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    framed(framing, id, unit, &pdu)
}
