//! The client's side of a line: requests become transactions, and whatever comes back becomes
//! exactly one outcome each.
//!
//! # Invariants
//!
//! - Each ticket taken by [`Client::send`] ends in exactly one [`ClientEffect::Done`], at the latest
//!   when its deadline is handled.
//! - An answer is given to the request it belongs to or to none. On TCP the transaction id says
//!   which; on a serial line, where frames have no id, a unit that was silent is not asked again
//!   before its late answer has come or has had as much time as the answer.
//! - What is held does not grow with what comes in.

mod echo;
mod serial;
mod tcp;

use std::collections::VecDeque;

use fieldgate_model::Millis;

pub use crate::counters::LineCounters;
pub use crate::frame::Framing;
pub use crate::pdu::EncodeError;

use crate::fault::Fault;
use crate::register::UnitId;
use crate::request::{Reply, Request};
use serial::SerialLine;
use tcp::TcpLine;

/// Whether the adapter hears what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Echo {
    /// Found out from what comes back.
    Auto,
    /// It does: each frame comes back once.
    Expect,
    /// It does not.
    None,
}

/// How to talk on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientOptions {
    /// How frames are told apart.
    pub framing: Framing,
    /// Most requests in flight; 1 on anything but [`Framing::Tcp`].
    pub in_flight_max: usize,
    /// Silence between an answer and the next request on a serial line.
    pub gap: Millis,
    /// Whether own requests come back on a serial line.
    pub echo: Echo,
}

/// The caller's name for a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What the caller must do next, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEffect {
    /// Put these bytes on the line.
    Transmit(Vec<u8>),
    /// This transaction is over.
    Done {
        /// Which.
        ticket: Ticket,
        /// The answer, or why there is none.
        outcome: Result<Reply, Fault>,
    },
    /// Close the link, call [`Client::handle_closed`] and open it again: frames can no longer be
    /// told apart, or everybody on it is silent.
    Reopen,
}

/// One line with its transactions.
#[derive(Debug)]
pub struct Client {
    line: Line,
    shared: Shared,
}

#[derive(Debug)]
enum Line {
    Tcp(TcpLine),
    Serial(Box<SerialLine>),
}

/// What both kinds of line report to.
#[derive(Debug, Default)]
struct Shared {
    counters: LineCounters,
    effects: VecDeque<ClientEffect>,
    silence: Silence,
    /// Asked to reopen, and the link is not yet closed.
    reopening: bool,
}

/// Timeouts in a row with not one byte between them.
#[derive(Debug, Default)]
struct Silence {
    /// Requests that were in flight together count as one: it may have been one short stall.
    timeouts: u32,
    counted_at: Option<Millis>,
    /// Units that have answered on this link, and not been silent since.
    heard: Units,
}

/// A set of unit ids.
#[derive(Debug, Default)]
struct Units([u128; 2]);

impl Client {
    /// A client on a link that has just been opened.
    pub fn new(options: ClientOptions) -> Self {
        let line = match options.framing {
            Framing::Tcp => Line::Tcp(TcpLine::new(options.in_flight_max)),
            Framing::Rtu | Framing::Ascii => Line::Serial(Box::new(SerialLine::new(options))),
        };
        Self { line, shared: Shared::default() }
    }

    /// Whether a request can go out: a slot is free, and the line has been quiet for long enough.
    pub fn may_send(&self, now: Millis) -> bool {
        !self.shared.reopening
            && match &self.line {
                Line::Tcp(line) => line.may_send(),
                Line::Serial(line) => line.may_send(now),
            }
    }

    /// Begins a transaction that is over `timeout` after `now` at the latest; on a serial line,
    /// after the moment at which the request goes out. The caller adds to `timeout` what both
    /// frames take on the line. Refused with [`EncodeError::LineBusy`] unless
    /// [`Client::may_send`].
    pub fn send(
        &mut self,
        ticket: Ticket,
        unit: UnitId,
        request: &Request,
        timeout: Millis,
        now: Millis,
    ) -> Result<(), EncodeError> {
        if !self.may_send(now) {
            return Err(EncodeError::LineBusy);
        }
        let order = Order { ticket, unit, request, timeout, now };
        match &mut self.line {
            Line::Tcp(line) => line.send(order, &mut self.shared),
            Line::Serial(line) => line.send(order, &mut self.shared),
        }
    }

    /// Bytes came, in any pieces.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Millis) {
        if bytes.is_empty() {
            return;
        }
        self.shared.counters.bytes_received += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.shared.silence.timeouts = 0;
        match &mut self.line {
            Line::Tcp(line) => line.handle_bytes(bytes, &mut self.shared),
            Line::Serial(line) => line.handle_bytes(bytes, now, &mut self.shared),
        }
    }

    /// The link broke or was closed: everything in flight ends as [`Fault::LinkLost`], and the next
    /// request goes out on another link.
    pub fn handle_closed(&mut self, now: Millis) {
        match &mut self.line {
            Line::Tcp(line) => line.handle_closed(&mut self.shared),
            Line::Serial(line) => line.handle_closed(now, &mut self.shared),
        }
        self.shared.silence = Silence::default();
        self.shared.reopening = false;
    }

    /// It is `now`.
    pub fn handle_timeout(&mut self, now: Millis) {
        match &mut self.line {
            Line::Tcp(line) => line.handle_timeout(now, &mut self.shared),
            Line::Serial(line) => line.handle_timeout(now, &mut self.shared),
        }
    }

    /// When [`Client::handle_timeout`] is due: a deadline, or the line becomes free.
    pub fn poll_timeout(&self) -> Option<Millis> {
        match &self.line {
            Line::Tcp(line) => line.poll_timeout(),
            Line::Serial(line) => line.poll_timeout(),
        }
    }

    /// What to do next.
    pub fn poll_effect(&mut self) -> Option<ClientEffect> {
        self.shared.effects.pop_front()
    }

    /// What the line has done so far.
    pub fn counters(&self) -> &LineCounters {
        &self.shared.counters
    }
}

/// What [`Client::send`] was asked for.
#[derive(Clone, Copy)]
struct Order<'a> {
    ticket: Ticket,
    unit: UnitId,
    request: &'a Request,
    timeout: Millis,
    now: Millis,
}

impl Shared {
    fn transmit(&mut self, bytes: Vec<u8>) {
        self.counters.requests += 1;
        self.counters.bytes_sent += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.effects.push_back(ClientEffect::Transmit(bytes));
    }

    fn done(&mut self, ticket: Ticket, unit: UnitId, outcome: Result<Reply, Fault>) {
        match &outcome {
            Ok(_) => {
                self.counters.answers += 1;
                self.silence.heard.insert(unit);
            }
            Err(Fault::Exception(code)) => {
                *self.counters.exceptions.entry(*code).or_default() += 1;
                self.silence.heard.insert(unit);
            }
            Err(Fault::NoAnswer) => {
                self.counters.timeouts += 1;
                self.silence.heard.remove(unit);
            }
            Err(Fault::Checksum) => self.counters.checksum += 1,
            Err(Fault::Malformed) => self.counters.malformed += 1,
            Err(Fault::LinkLost | Fault::NoLink) => self.counters.links_lost += 1,
        }
        self.effects.push_back(ClientEffect::Done { ticket, outcome });
    }

    fn reopen(&mut self) {
        if !self.reopening {
            self.reopening = true;
            self.counters.reopens += 1;
            self.effects.push_back(ClientEffect::Reopen);
        }
    }
}

impl Silence {
    /// A request that went out at `sent_at` was not answered until `now`.
    fn count(&mut self, sent_at: Millis, now: Millis) {
        if self.counted_at.is_none_or(|counted_at| counted_at <= sent_at) {
            self.timeouts += 1;
            self.counted_at = Some(now);
        }
    }
}

impl Units {
    fn insert(&mut self, unit: UnitId) {
        self.0[usize::from(unit.0 >> 7)] |= 1 << (unit.0 & 0x7F);
    }

    fn remove(&mut self, unit: UnitId) {
        self.0[usize::from(unit.0 >> 7)] &= !(1 << (unit.0 & 0x7F));
    }

    fn is_empty(&self) -> bool {
        self.0 == [0, 0]
    }
}
