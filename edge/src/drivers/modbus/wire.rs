//! The line of a bus: its link, opened and closed, and the client that speaks on it.
//!
//! Who drives it awaits [`Wire::event`], hands what happened to [`Wire::apply`], and then takes
//! what has ended from [`Wire::poll_done`].
//!
//! # Invariants
//!
//! - One request is one write, unless the system takes it in pieces.
//! - An open link is read all the time: an end is noticed when it comes, not at the next request,
//!   and bytes that nobody asked for never wait in front of an answer.
//! - Every ticket ends exactly once, also when the link does.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use fieldgate_modbus::client::{
    Client, ClientEffect, ClientOptions, Framing, LineCounters, Ticket,
};
use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::line::LineSettings;
use fieldgate_modbus::register::UnitId;
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_model::Millis;
use tokio::sync::broadcast;

use super::link::{Link, Moved, OpenError};
use super::timing::{line_time, quiet_time};
use crate::config::{Echo, Endpoint};
use crate::drivers::{Direction, Tapped};

/// What one look at the line may bring: several of the longest frames.
const READ_MAX: usize = 2_048;

/// What a line is made of.
#[derive(Debug, Clone)]
pub(super) struct WireSetup {
    pub(super) endpoint: Endpoint,
    /// How long opening may take.
    pub(super) patience: Millis,
    /// Quiet time that the devices want between two transactions.
    pub(super) pause: Millis,
    /// What others are told who want the port.
    pub(super) purpose: String,
}

/// A line.
pub(super) struct Wire {
    setup: WireSetup,
    framing: Framing,
    line: Option<LineSettings>,
    state: State,
    client: Client,
    /// Requests that go out together: what answers that came in one piece have made room for.
    outgoing: Vec<u8>,
    /// What the system has not taken yet.
    unsent: Vec<u8>,
    buffer: Box<[u8; READ_MAX]>,
    /// Bytes came since the last request or outcome.
    is_answering: bool,
    /// The link ended in the middle of an answer.
    is_cut: bool,
    /// An answer has come over this link, so its end may mean no more than that it idled.
    is_proven: bool,
    /// On TCP nothing is sent before; the client itself sees to it on a serial line.
    quiet_until: Millis,
    tap: Option<Tapping>,
}

/// Where bytes are shown to whoever listens.
struct Tapping {
    bus: Arc<str>,
    sender: broadcast::Sender<Arc<Tapped>>,
    last: Option<Instant>,
}

enum State {
    Closed,
    Opening(Pin<Box<dyn Future<Output = Result<Link, OpenError>> + Send>>),
    Open(Link),
}

/// What happened on the line.
pub(super) enum WireEvent {
    Opened(Result<Link, OpenError>),
    Moved(Moved),
}

/// What became of the link.
pub(super) enum Change {
    None,
    Opened,
    Refused(OpenError),
    /// The other end, or the system, closed it.
    Lost,
}

impl Wire {
    pub(super) fn new(setup: WireSetup) -> Self {
        let (framing, in_flight_max, echo) = match &setup.endpoint {
            Endpoint::ModbusTcp { in_flight, .. } => (Framing::Tcp, *in_flight, Echo::None),
            Endpoint::ModbusRtuOverTcp { .. } => (Framing::Rtu, 1, Echo::None),
            Endpoint::ModbusRtu(serial) => (Framing::Rtu, 1, serial.echo),
            Endpoint::ModbusAscii(serial) => (Framing::Ascii, 1, serial.echo),
        };
        let line = setup.endpoint.serial().map(|serial| serial.line);
        let gap = quiet_time(line, framing, setup.pause);
        let client = Client::new(ClientOptions { framing, in_flight_max, gap, echo });
        Self {
            setup,
            framing,
            line,
            state: State::Closed,
            client,
            outgoing: Vec::new(),
            unsent: Vec::new(),
            buffer: Box::new([0; READ_MAX]),
            is_answering: false,
            is_cut: false,
            is_proven: false,
            quiet_until: Millis(0),
            tap: None,
        }
    }

    /// Shows every byte to whoever listens.
    pub(super) fn show(&mut self, bus: Arc<str>, sender: broadcast::Sender<Arc<Tapped>>) {
        self.tap = Some(Tapping { bus, sender, last: None });
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// An answer has come over the link that is open.
    pub(super) fn is_proven(&self) -> bool {
        self.is_proven
    }

    pub(super) fn counters(&self) -> &LineCounters {
        self.client.counters()
    }

    /// Begins to open the link, if it is closed; the outcome is an event.
    pub(super) fn open(&mut self) {
        if !self.is_closed() {
            return;
        }
        let mut setup = self.setup.clone();
        // The settings may have been changed since.
        if let (Endpoint::ModbusRtu(serial) | Endpoint::ModbusAscii(serial), Some(line)) =
            (&mut setup.endpoint, self.line)
        {
            serial.line = line;
        }
        self.state = State::Opening(Box::pin(async move {
            Link::open(&setup.endpoint, setup.patience, &setup.purpose).await
        }));
    }

    /// Closes the link; what is in flight ends as lost.
    pub(super) fn close(&mut self, now: Millis) {
        self.state = State::Closed;
        self.is_cut = self.is_answering;
        self.is_answering = false;
        self.is_proven = false;
        self.outgoing.clear();
        self.unsent.clear();
        self.client.handle_closed(now);
    }

    /// Goes on with other settings of a serial line.
    pub(super) fn set_line(&mut self, line: LineSettings, now: Millis) -> Result<(), OpenError> {
        if self.line.is_none() {
            return Ok(());
        }
        self.line = Some(line);
        if let State::Open(link) = &mut self.state
            && let Err(error) = link.set_line(line)
        {
            self.close(now);
            return Err(error);
        }
        Ok(())
    }

    /// The next thing that happens on the line; never, if it is closed. May be cancelled.
    pub(super) async fn event(&mut self) -> WireEvent {
        match &mut self.state {
            State::Closed => std::future::pending().await,
            State::Opening(opening) => WireEvent::Opened(opening.await),
            State::Open(link) => {
                WireEvent::Moved(link.exchange(&self.unsent, self.buffer.as_mut_slice()).await)
            }
        }
    }

    pub(super) fn apply(&mut self, event: WireEvent, now: Millis) -> Change {
        match event {
            WireEvent::Opened(Ok(link)) => {
                self.state = State::Open(link);
                Change::Opened
            }
            WireEvent::Opened(Err(error)) => {
                self.state = State::Closed;
                Change::Refused(error)
            }
            WireEvent::Moved(Moved::Read(Ok(0) | Err(_)) | Moved::Written(Err(_))) => {
                self.close(now);
                Change::Lost
            }
            WireEvent::Moved(Moved::Read(Ok(count))) => {
                let bytes = &self.buffer[..count];
                if let Some(tap) = &mut self.tap {
                    tap.show(Direction::Received, bytes, now);
                }
                self.is_answering = true;
                self.client.handle_bytes(bytes, now);
                Change::None
            }
            WireEvent::Moved(Moved::Written(Ok(count))) => {
                self.unsent.drain(..count);
                Change::None
            }
        }
    }

    /// Whether a request would go out at once.
    pub(super) fn may_send(&self, now: Millis) -> bool {
        self.is_open()
            && self.unsent.is_empty()
            && now >= self.quiet_until
            && self.client.may_send(now)
    }

    /// Until when a request to `unit` would be held back for the late answer to its last one.
    pub(super) fn held_until(&self, unit: UnitId, now: Millis) -> Option<Millis> {
        self.client.held_until(unit, now)
    }

    /// Sends a request, which [`Wire::may_send`] must have agreed to. `patience` is for the device;
    /// the time on the line is added.
    pub(super) fn send(
        &mut self,
        ticket: Ticket,
        unit: UnitId,
        request: &Request,
        patience: Millis,
        now: Millis,
    ) -> Result<(), Fault> {
        let timeout = patience + line_time(self.line, self.framing, request);
        self.is_answering = false;
        let sent = self.client.send(ticket, unit, request, timeout, now);
        // What cannot be put into a frame is what no device could answer.
        sent.map_err(|_| Fault::Malformed)
    }

    /// When [`Wire::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Millis> {
        if !self.is_open() {
            return None;
        }
        let quiet = (self.quiet_until > Millis(0)).then_some(self.quiet_until);
        [quiet, self.client.poll_timeout()].into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Millis) {
        if now >= self.quiet_until {
            self.quiet_until = Millis(0);
        }
        self.client.handle_timeout(now);
    }

    /// The next transaction that has ended. Once there is none, what the client wants to send has
    /// been sent.
    pub(super) fn poll_done(&mut self, now: Millis) -> Option<(Ticket, Result<Reply, Fault>)> {
        while let Some(effect) = self.client.poll_effect() {
            match effect {
                ClientEffect::Transmit(bytes) => {
                    if let Some(tap) = &mut self.tap {
                        tap.show(Direction::Sent, &bytes, now);
                    }
                    self.outgoing.extend(bytes);
                }
                ClientEffect::Reopen => self.close(now),
                ClientEffect::Done { ticket, outcome } => {
                    return Some((ticket, self.judge(outcome, now)));
                }
            }
        }
        self.transmit(now);
        // A link that broke on the way has ended transactions.
        if self.is_closed() { self.poll_ended(now) } else { None }
    }

    fn transmit(&mut self, now: Millis) {
        let State::Open(link) = &mut self.state else { return self.outgoing.clear() };
        if self.outgoing.is_empty() {
            return;
        }
        match link.try_write(&self.outgoing) {
            Ok(count) => self.unsent.extend_from_slice(&self.outgoing[count..]),
            Err(_) => return self.close(now),
        }
        self.outgoing.clear();
    }

    /// The next transaction that the end of the link has ended.
    fn poll_ended(&mut self, now: Millis) -> Option<(Ticket, Result<Reply, Fault>)> {
        while let Some(effect) = self.client.poll_effect() {
            if let ClientEffect::Done { ticket, outcome } = effect {
                return Some((ticket, self.judge(outcome, now)));
            }
        }
        None
    }

    /// A link that ends in the middle of an answer has brought one, and it was a wrong one.
    fn judge(&mut self, outcome: Result<Reply, Fault>, now: Millis) -> Result<Reply, Fault> {
        let has_answered = matches!(outcome, Ok(_) | Err(Fault::Exception(_)));
        self.is_proven |= has_answered && self.is_open();
        if self.line.is_none() && self.setup.pause > Millis(0) {
            self.quiet_until = now + self.setup.pause;
        }
        self.is_answering = false;
        if outcome == Err(Fault::NoAnswer) && !self.unsent.is_empty() {
            // Who takes no request cannot answer one, and all others would wait behind its bytes.
            self.close(now);
            return Err(Fault::LinkLost);
        }
        match outcome {
            Err(Fault::LinkLost) if self.is_cut => Err(Fault::Malformed),
            outcome => outcome,
        }
    }
}

impl Tapping {
    /// Costs nothing while nobody listens.
    fn show(&mut self, direction: Direction, bytes: &[u8], now: Millis) {
        if self.sender.receiver_count() == 0 {
            self.last = None;
            return;
        }
        let at = Instant::now();
        let gap = self.last.replace(at).map_or(0, |last| at.duration_since(last).as_micros());
        let gap_us = u64::try_from(gap).unwrap_or(u64::MAX);
        let bus = Arc::clone(&self.bus);
        let bytes = bytes.to_vec();
        let tapped = Tapped { bus, at: now, direction, peer: None, bytes, gap_us };
        // Who has just stopped listening misses nothing.
        drop(self.sender.send(Arc::new(tapped)));
    }
}
