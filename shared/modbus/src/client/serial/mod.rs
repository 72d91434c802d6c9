//! Transactions on a serial line, or on a TCP connection to one: one at a time, and quiet between.

use fieldgate_model::Millis;

use super::echo::{Copy, Known};
use super::{ClientOptions, Order, Shared, Ticket};
use crate::fault::Fault;
use crate::frame::rtu::Patience;
use crate::frame::{self, Framing};
use crate::pdu::{self, EncodeError, Length};
use crate::register::UnitId;
use crate::request::{Reply, Request};

mod wire;

use wire::{Heard, Wire};

/// To everybody on the line, and answered by nobody.
const BROADCAST: UnitId = UnitId(0);
/// What devices need to carry out a broadcast before the next request (MODBUS over Serial Line
/// V1.02, section 2.4.1: 100 to 200 ms).
const TURNAROUND: Millis = Millis(200);
/// Longer than a USB adapter holds back what it has received (16 ms), so that a late answer and the
/// next request do not meet on the line.
const QUIET_AFTER_SILENCE: Millis = Millis(20);
/// Of a shorter timeout only this part is added: a scan asks hundreds of units that are not there.
const QUIET_PER_TIMEOUT: u64 = 4;
/// A line that is never quiet is used nevertheless: its noise is then found between the frames.
const QUIET_MAX: Millis = Millis(500);
/// Units whose late answers are looked out for; one more takes the place of the oldest.
const SUSPECTS_MAX: usize = 16;
/// Timeouts in a row without a byte after which the link is opened anew: a scan of unit ids may
/// well meet fifteen that are not there, and behind a TCP converter nothing else finds a dead link.
const SILENT_MAX: u32 = 16;
/// Bytes taken in at a time, so that what is held stays small whatever the shell reads at once.
const CHUNK: usize = 256;

#[derive(Debug)]
pub(super) struct SerialLine {
    framing: Framing,
    gap: Millis,
    echo: Known,
    wire: Wire,
    state: State,
    suspects: Vec<Suspect>,
}

#[derive(Debug)]
enum State {
    /// Nothing is asked. From `free_at` on something may be; noise moves it, not beyond `free_max`.
    Idle { free_at: Option<Millis>, free_max: Millis },
    /// A request waits for a late answer to its unit's last one.
    Held { asked: Asked, bytes: Vec<u8>, until: Millis },
    /// A request is out.
    Asking { asked: Asked, deadline: Millis, seen: Seen },
    /// A broadcast is out, and devices carry it out.
    Turnaround { asked: Asked, until: Millis },
}

#[derive(Debug)]
struct Asked {
    ticket: Ticket,
    unit: UnitId,
    request: Request,
    /// Its PDU, to know its echo by.
    pdu: Vec<u8>,
    timeout: Millis,
}

/// What has come since the request went out.
#[derive(Debug, Default)]
struct Seen {
    /// The first copy of the request.
    copy: Option<Copy>,
    /// A frame of the asked unit that is no answer.
    unfit: bool,
    /// The beginning of an answer, without a right checksum.
    garbled: bool,
}

/// A unit whose answer did not come in time and may still.
#[derive(Debug)]
struct Suspect {
    unit: UnitId,
    until: Millis,
}

impl SerialLine {
    pub(super) fn new(options: ClientOptions) -> Self {
        Self {
            framing: options.framing,
            gap: options.gap,
            echo: options.echo.into(),
            wire: Wire::new(options.framing),
            state: State::Idle { free_at: None, free_max: Millis(0) },
            suspects: Vec::new(),
        }
    }

    pub(super) fn may_send(&self, now: Millis) -> bool {
        match self.state {
            State::Idle { free_at, .. } => free_at.is_none_or(|at| at <= now),
            State::Held { .. } | State::Asking { .. } | State::Turnaround { .. } => false,
        }
    }

    pub(super) fn held_until(&self, unit: UnitId, now: Millis) -> Option<Millis> {
        let waits = |suspect: &&Suspect| suspect.unit == unit && suspect.until > now;
        self.suspects.iter().find(waits).map(|suspect| suspect.until)
    }

    pub(super) fn send(
        &mut self,
        order: Order<'_>,
        shared: &mut Shared,
    ) -> Result<(), EncodeError> {
        if order.unit == BROADCAST && !matches!(order.request, Request::Write(_)) {
            return Err(EncodeError::BroadcastRead);
        }
        let mut pdu = Vec::with_capacity(5);
        pdu::encode_request(order.request, &mut pdu)?;
        let mut bytes = Vec::with_capacity(8);
        frame::encode(self.framing, 0, order.unit, &mut bytes, |out| {
            out.extend_from_slice(&pdu);
            Ok::<(), EncodeError>(())
        })?;
        let Order { ticket, unit, timeout, now, .. } = order;
        let asked = Asked { ticket, unit, request: order.request.clone(), pdu, timeout };
        self.suspects.retain(|suspect| suspect.until > now);
        match self.held_until(unit, now) {
            Some(until) => self.state = State::Held { asked, bytes, until },
            None => self.transmit(asked, bytes, now, shared),
        }
        Ok(())
    }

    pub(super) fn handle_bytes(&mut self, bytes: &[u8], now: Millis, shared: &mut Shared) {
        for chunk in bytes.chunks(CHUNK) {
            self.wire.push(chunk);
            self.listen(now, shared);
        }
        if let State::Idle { free_at, free_max } = &mut self.state {
            if let Some(at) = free_at {
                *at = (*at).max((now + self.gap).min(*free_max));
            } else {
                (*free_at, *free_max) = (Some(now + self.gap), now + QUIET_MAX);
            }
        }
        shared.counters.noise_bytes = self.wire.noise();
    }

    pub(super) fn handle_closed(&mut self, now: Millis, shared: &mut Shared) {
        let idle = State::Idle { free_at: None, free_max: now };
        match core::mem::replace(&mut self.state, idle) {
            State::Idle { .. } => {}
            State::Held { asked, .. }
            | State::Asking { asked, .. }
            | State::Turnaround { asked, .. } => {
                shared.done(asked.ticket, asked.unit, Err(Fault::LinkLost));
            }
        }
        self.sweep(shared);
        self.suspects.clear();
        self.echo.forget();
    }

    pub(super) fn handle_timeout(&mut self, now: Millis, shared: &mut Shared) {
        match &mut self.state {
            State::Idle { free_at, .. } => {
                if free_at.is_some_and(|at| at <= now) {
                    *free_at = None;
                    self.sweep(shared);
                }
            }
            State::Held { until, .. } if *until <= now => self.release(now, shared),
            State::Asking { deadline, .. } if *deadline <= now => self.give_up(now, shared),
            State::Turnaround { until, .. } if *until <= now => {
                self.finish(Ok(Reply::Written), now, shared);
            }
            State::Held { .. } | State::Asking { .. } | State::Turnaround { .. } => {}
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Millis> {
        match self.state {
            State::Idle { free_at, .. } => free_at,
            State::Held { until, .. } | State::Turnaround { until, .. } => Some(until),
            State::Asking { deadline, .. } => Some(deadline),
        }
    }

    fn transmit(&mut self, asked: Asked, bytes: Vec<u8>, now: Millis, shared: &mut Shared) {
        self.sweep(shared);
        self.wire.expect();
        shared.transmit(bytes);
        self.state = if asked.unit == BROADCAST {
            State::Turnaround { asked, until: now + TURNAROUND }
        } else {
            let deadline = now + asked.timeout;
            State::Asking { asked, deadline, seen: Seen::default() }
        };
    }

    /// Takes what has come, as far as it can be told.
    fn listen(&mut self, now: Millis, shared: &mut Shared) {
        loop {
            let asked = match &self.state {
                State::Asking { asked, .. } => Some(asked),
                State::Idle { .. } | State::Held { .. } | State::Turnaround { .. } => None,
            };
            let patience = if asked.is_some() { Patience::Answer } else { Patience::Whole };
            let Some(heard) = self.wire.next(patience, asked) else { return };
            self.hear(heard, now, shared);
        }
    }

    fn hear(&mut self, heard: Heard, now: Millis, shared: &mut Shared) {
        match &mut self.state {
            State::Asking { asked, seen, .. } => {
                if let Some(outcome) = seen.take(asked, heard, &mut self.echo, shared) {
                    self.finish(outcome, now, shared);
                }
            }
            State::Held { asked, until, .. }
                if heard.is_reply_from(asked.unit)
                    && self.suspects.iter().any(|suspect| suspect.unit == asked.unit) =>
            {
                // The late answer is here, so there is nothing more to wait for. Any more of them
                // would be strange, and must not put the request off again.
                *until = now + self.gap;
                self.suspects.retain(|suspect| suspect.unit != asked.unit);
                shared.counters.late += 1;
            }
            State::Turnaround { asked, .. } if heard.is(asked.unit, &asked.pdu) => {
                shared.counters.echoes += 1;
            }
            State::Idle { .. } | State::Held { .. } | State::Turnaround { .. } => {
                self.overhear(&heard, shared);
            }
        }
    }

    /// Counts a frame that nobody asked for.
    fn overhear(&mut self, heard: &Heard, shared: &mut Shared) {
        let suspect = self.suspects.iter().position(|suspect| heard.is_reply_from(suspect.unit));
        match suspect {
            Some(at) => {
                self.suspects.remove(at);
                shared.counters.late += 1;
            }
            None => shared.counters.foreign += u64::from(heard.is_frame()),
        }
    }

    /// The request that was held goes out.
    fn release(&mut self, now: Millis, shared: &mut Shared) {
        let idle = State::Idle { free_at: None, free_max: now };
        match core::mem::replace(&mut self.state, idle) {
            State::Held { asked, bytes, .. } => {
                self.suspects.retain(|suspect| suspect.unit != asked.unit);
                self.transmit(asked, bytes, now, shared);
            }
            other @ (State::Idle { .. } | State::Asking { .. } | State::Turnaround { .. }) => {
                self.state = other;
            }
        }
    }

    /// The deadline has passed: what came is all that will.
    fn give_up(&mut self, now: Millis, shared: &mut Shared) {
        while let State::Asking { asked, .. } = &self.state {
            let Some(heard) = self.wire.next(Patience::None, Some(asked)) else { break };
            self.hear(heard, now, shared);
        }
        let State::Asking { asked, seen, .. } = &mut self.state else { return };
        seen.garbled |= self.wire.take_garbled();
        let outcome = match seen {
            Seen { copy: Some(Copy::Either), .. } => pdu::decode_reply(&asked.request, &asked.pdu),
            Seen { unfit: true, .. } => Err(Fault::Malformed),
            Seen { garbled: true, .. } => Err(Fault::Checksum),
            Seen { .. } => Err(Fault::NoAnswer),
        };
        if outcome == Err(Fault::NoAnswer) {
            shared.silence.timeouts += 1;
        }
        if matches!(outcome, Err(Fault::NoAnswer | Fault::Malformed)) {
            let suspect = Suspect { unit: asked.unit, until: now + asked.timeout };
            if self.suspects.len() == SUSPECTS_MAX {
                self.suspects.remove(0);
            }
            self.suspects.push(suspect);
        }
        self.finish(outcome, now, shared);
        if shared.silence.timeouts >= SILENT_MAX {
            shared.reopen();
        }
    }

    /// The transaction is over, and the line is to be quiet.
    fn finish(&mut self, outcome: Result<Reply, Fault>, now: Millis, shared: &mut Shared) {
        let asked = match &self.state {
            State::Idle { .. } => return,
            State::Held { asked, .. }
            | State::Asking { asked, .. }
            | State::Turnaround { asked, .. } => asked,
        };
        let quiet = match outcome {
            Ok(_) | Err(Fault::Exception(_)) => self.gap,
            Err(_) => {
                let part = Millis(asked.timeout.0 / QUIET_PER_TIMEOUT);
                self.gap.max(QUIET_AFTER_SILENCE.min(part))
            }
        };
        shared.done(asked.ticket, asked.unit, outcome);
        self.state = State::Idle { free_at: Some(now + quiet), free_max: now + quiet + QUIET_MAX };
    }

    /// Nobody waits for what is left: it is counted and thrown away.
    fn sweep(&mut self, shared: &mut Shared) {
        while let Some(heard) = self.wire.next(Patience::None, None) {
            self.overhear(&heard, shared);
        }
        shared.counters.noise_bytes = self.wire.noise();
    }
}

impl Seen {
    /// What `heard` makes of the transaction: its outcome, or nothing yet.
    fn take(
        &mut self,
        asked: &Asked,
        heard: Heard,
        echo: &mut Known,
        shared: &mut Shared,
    ) -> Option<Result<Reply, Fault>> {
        let (unit, pdu) = match heard {
            Heard::Garbled(unit, pdu) => {
                self.garbled |= asked.begins(unit, &pdu);
                return None;
            }
            Heard::Frame(unit, pdu) => (unit, pdu),
        };
        let is_copy = pdu == asked.pdu;
        if unit != asked.unit || !is_copy && !is_reply(&pdu) {
            shared.counters.foreign += 1;
            return None;
        }
        let could_answer = || pdu::decode_reply(&asked.request, &asked.pdu).is_ok();
        if self.copy.is_none() && is_copy {
            let copy = echo.judge(could_answer());
            self.copy = Some(copy);
            match copy {
                Copy::Echo => {
                    echo.learn_heard();
                    shared.counters.echoes += 1;
                    return None;
                }
                Copy::Either => return None,
                Copy::Answer => {}
            }
        }
        let outcome = pdu::decode_reply(&asked.request, &pdu);
        if outcome == Err(Fault::Malformed) {
            self.unfit = true;
            shared.counters.late += 1;
            return None;
        }
        match self.copy {
            Some(Copy::Either) => {
                echo.learn_heard();
                shared.counters.echoes += 1;
            }
            None if !could_answer() => echo.learn_not_heard(),
            None | Some(Copy::Echo | Copy::Answer) => {}
        }
        Some(outcome)
    }
}

impl Asked {
    /// Whether what comes from `unit` with `pdu` begins like an answer.
    fn begins(&self, unit: UnitId, pdu: &[u8]) -> bool {
        let function = pdu.first().map(|function| function & !pdu::EXCEPTION_BIT);
        unit == self.unit && function == Some(self.request.function())
    }
}

/// Whether `pdu` has the form of a reply: another client's request to the same unit has not.
fn is_reply(pdu: &[u8]) -> bool {
    pdu::reply_length(pdu) == Length::Bytes(pdu.len())
}
