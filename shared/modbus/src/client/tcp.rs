//! Transactions on Modbus TCP: several in flight, told apart by their ids.

use std::collections::VecDeque;

use fieldgate_model::Millis;

use super::{Order, Shared, Ticket};
use crate::fault::Fault;
use crate::frame::{self, Frame, Framing, tcp};
use crate::pdu::{self, EXCEPTION_BIT, EncodeError, Length};
use crate::register::UnitId;
use crate::request::Request;

/// Most requests in flight: what the largest gateways queue (MODBUS Messaging on TCP/IP
/// Implementation Guide V1.0b, section 4.4.1, asks servers for 1 to 16), with room above.
const IN_FLIGHT_MAX: usize = 64;
/// Ids of unanswered requests that are remembered. Only after as many more timeouts could one be
/// given again while its answer is still on its way.
const RETIRED_MAX: usize = 256;
/// Two full frames of bytes that start no header: there are no frames in this stream.
const GARBAGE_MAX: usize = 2 * tcp::ADU_MAX;
/// Timeouts in a row without a byte after which the link is opened anew, if nobody on it has
/// answered since: one lost segment makes one timeout, a dead connection makes all of them.
const SILENT_MAX: u32 = 3;
/// The same, although somebody has answered before and was not asked since.
const SILENT_ANYWAY: u32 = 16;
/// Bytes taken in at a time, so that what is held stays small whatever the shell reads at once.
const CHUNK: usize = 2 * tcp::ADU_MAX;

#[derive(Debug)]
pub(super) struct TcpLine {
    in_flight_max: usize,
    flights: Vec<Flight>,
    /// Ids whose deadline has passed unanswered, the oldest first.
    retired: VecDeque<u16>,
    next_id: u16,
    deframer: tcp::Deframer,
}

#[derive(Debug)]
struct Flight {
    id: u16,
    ticket: Ticket,
    unit: UnitId,
    request: Request,
    sent_at: Millis,
    deadline: Millis,
}

impl TcpLine {
    pub(super) fn new(in_flight_max: usize) -> Self {
        Self {
            in_flight_max: in_flight_max.clamp(1, IN_FLIGHT_MAX),
            flights: Vec::new(),
            retired: VecDeque::new(),
            next_id: 1,
            deframer: tcp::Deframer::default(),
        }
    }

    pub(super) fn may_send(&self) -> bool {
        self.flights.len() < self.in_flight_max
    }

    pub(super) fn send(
        &mut self,
        order: Order<'_>,
        shared: &mut Shared,
    ) -> Result<(), EncodeError> {
        let id = self.free_id();
        let mut bytes = Vec::with_capacity(12);
        frame::encode(Framing::Tcp, id, order.unit, &mut bytes, |out| {
            pdu::encode_request(order.request, out)
        })?;
        self.next_id = id.wrapping_add(1);
        self.flights.push(Flight {
            id,
            ticket: order.ticket,
            unit: order.unit,
            request: order.request.clone(),
            sent_at: order.now,
            deadline: order.now + order.timeout,
        });
        shared.transmit(bytes);
        Ok(())
    }

    pub(super) fn handle_bytes(&mut self, bytes: &[u8], shared: &mut Shared) {
        for chunk in bytes.chunks(CHUNK) {
            self.deframer.push(chunk);
            self.take_frames(shared);
        }
        if self.deframer.garbage() > GARBAGE_MAX {
            shared.reopen();
        }
    }

    pub(super) fn handle_closed(&mut self, shared: &mut Shared) {
        for flight in self.flights.drain(..) {
            shared.done(flight.ticket, flight.unit, Err(Fault::LinkLost));
        }
        self.retired.clear();
        self.deframer.clear();
    }

    pub(super) fn handle_timeout(&mut self, now: Millis, shared: &mut Shared) {
        let over = |flight: &mut Flight| flight.deadline <= now;
        for flight in self.flights.extract_if(.., over) {
            if self.retired.len() == RETIRED_MAX {
                self.retired.pop_front();
            }
            self.retired.push_back(flight.id);
            shared.silence.count(flight.sent_at, now);
            shared.done(flight.ticket, flight.unit, Err(Fault::NoAnswer));
        }
        // What was waited for may have been a frame that is not as long as it says, and whole
        // answers may lie behind its beginning.
        self.take_frames(shared);
        let silence = &shared.silence;
        if silence.timeouts >= SILENT_ANYWAY
            || silence.timeouts >= SILENT_MAX && silence.heard.is_empty()
        {
            shared.reopen();
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Millis> {
        self.flights.iter().map(|flight| flight.deadline).min()
    }

    fn take_frames(&mut self, shared: &mut Shared) {
        while self.take_frame(shared) {}
        shared.counters.stray_bytes = self.deframer.stray();
        shared.counters.resyncs = self.deframer.resyncs();
    }

    /// Handles the next frame, if there is a whole one.
    fn take_frame(&mut self, shared: &mut Shared) -> bool {
        let flights = &self.flights;
        let awaited = |id: u16| flights.iter().any(|flight| flight.id == id);
        let answers = |frame: Frame<'_>| flights.iter().any(|flight| flight.fits(frame));
        let Some(frame) = self.deframer.poll_frame(awaited, answers) else { return false };
        if let Some(at) = self.flights.iter().position(|flight| flight.id == frame.id) {
            let flight = self.flights.remove(at);
            let outcome = if flight.unit == frame.unit {
                pdu::decode_reply(&flight.request, frame.pdu)
            } else {
                Err(Fault::Malformed)
            };
            shared.done(flight.ticket, flight.unit, outcome);
        } else if let Some(at) = self.retired.iter().position(|id| *id == frame.id) {
            self.retired.remove(at);
            shared.counters.late += 1;
        } else {
            shared.counters.foreign += 1;
        }
        true
    }

    /// The next id that neither is in flight nor may still be answered.
    fn free_id(&self) -> u16 {
        let taken = |id: u16| {
            self.flights.iter().any(|flight| flight.id == id) || self.retired.contains(&id)
        };
        let mut id = self.next_id;
        while taken(id) {
            id = id.wrapping_add(1);
        }
        id
    }
}

impl Flight {
    /// Whether `frame` is in order as an answer to this request.
    fn fits(&self, frame: Frame<'_>) -> bool {
        let function = frame.pdu.first().map(|function| function & !EXCEPTION_BIT);
        frame.id == self.id
            && frame.unit == self.unit
            && function == Some(self.request.function())
            && pdu::reply_length(frame.pdu) == Length::Bytes(frame.pdu.len())
    }
}
