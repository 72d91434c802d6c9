//! One TCP link and one transaction on it, with every way it can fail.
//!
//! # Limits
//!
//! tokio-modbus carries the frames. It is strictly serial, and it cannot tell a late reply to an
//! earlier request from a wrong reply to this one: it reads one frame and gives up. So the link
//! is *poisoned* by a timeout or a broken answer, and is dropped and opened again; a value can
//! then never be taken for the answer to another question. A gateway with many units pays one
//! connect for each timeout of one of them. A frame that announces more than it brings ends with
//! the timeout, as [`Fault::NoAnswer`].
//!
//! # Invariants
//!
//! - A link that is handed back has no request open on it.
//! - A write reaches the wire at most once, and not at or after its deadline.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::time::Duration;

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{ReadReply, ReadRequest, Table, UnitId, WriteRequest};
use fieldgate_model::Millis;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_modbus::client::{Client as _, Context, tcp};
use tokio_modbus::slave::SlaveContext as _;
use tokio_modbus::{Error, Request, Response, Slave};

use crate::clock::Clock;

/// Where the link leads.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    /// For opening the link, and again for one transaction on it.
    pub(super) timeout: Duration,
}

/// An open link without a request on it.
pub(super) struct Link {
    context: Context,
    /// An answer has come over it, so it may since have been closed for idling.
    is_proven: bool,
}

/// What to ask.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    Read(ReadRequest),
    Write { request: WriteRequest, deadline: Option<Millis> },
}

/// What came back.
#[derive(Debug)]
pub(super) enum Reply {
    Read(ReadReply),
    Written,
}

/// Why nothing came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    Fault(Fault),
    /// The deadline had passed; nothing was sent.
    Expired,
}

/// The one link of a bus, open or not.
pub(super) struct Line {
    pub(super) endpoint: Endpoint,
    pub(super) clock: Clock,
    pub(super) link: Option<Link>,
}

impl Line {
    /// Asks `unit`, opening the link if need be.
    pub(super) async fn transact(&mut self, unit: UnitId, ask: &Ask) -> Result<Reply, Failure> {
        let was_proven = self.link.as_ref().is_some_and(|link| link.is_proven);
        let answer = self.attempt(unit, ask).await;
        match (&answer, ask) {
            // A server may close a link that idles between two polls, and the next request only
            // finds out. Nothing was heard, so a read may be asked again; a write may have been
            // carried out.
            (Err(Failure::Fault(Fault::LinkLost)), Ask::Read(_)) if was_proven => {
                self.attempt(unit, ask).await
            }
            _ => answer,
        }
    }

    async fn attempt(&mut self, unit: UnitId, ask: &Ask) -> Result<Reply, Failure> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.endpoint.open().await.map_err(Failure::Fault)?,
        };
        link.context.set_slave(Slave(unit.0));
        if let Ask::Write { deadline: Some(deadline), .. } = ask
            && self.clock.now() >= *deadline
        {
            self.link = Some(link);
            return Err(Failure::Expired);
        }
        let deadline = Instant::now() + self.endpoint.timeout;
        let call = timeout_at(deadline, link.context.call(to_wire(ask))).await;
        let answer = match call {
            Err(_elapsed) => Err(Fault::NoAnswer),
            Ok(Err(error)) => Err(fault_of(&error)),
            Ok(Ok(Err(code))) => Err(Fault::Exception(code.into())),
            Ok(Ok(Ok(response))) => from_wire(ask, response).ok_or(Fault::Malformed),
        };
        match answer {
            Ok(_) | Err(Fault::Exception(_)) => {
                link.is_proven = true;
                self.link = Some(link);
            }
            Err(
                Fault::NoAnswer
                | Fault::NoLink
                | Fault::LinkLost
                | Fault::Checksum
                | Fault::Malformed,
            ) => {}
        }
        answer.map_err(Failure::Fault)
    }
}

impl Endpoint {
    async fn open(&self) -> Result<Link, Fault> {
        let connect = TcpStream::connect((self.host.as_str(), self.port));
        let Ok(Ok(stream)) = timeout(self.timeout, connect).await else {
            return Err(Fault::NoLink);
        };
        // A request is one small segment; waiting to fill it would only add latency.
        stream.set_nodelay(true).map_err(|_| Fault::NoLink)?;
        Ok(Link { context: tcp::attach(stream), is_proven: false })
    }
}

fn to_wire(ask: &Ask) -> Request<'_> {
    match ask {
        Ask::Read(ReadRequest { table, start, count }) => match table {
            Table::Coil => Request::ReadCoils(*start, *count),
            Table::DiscreteInput => Request::ReadDiscreteInputs(*start, *count),
            Table::InputRegister => Request::ReadInputRegisters(*start, *count),
            Table::HoldingRegister => Request::ReadHoldingRegisters(*start, *count),
        },
        Ask::Write { request, .. } => match request {
            WriteRequest::Coil { offset, on } => Request::WriteSingleCoil(*offset, *on),
            WriteRequest::Register { offset, word } => Request::WriteSingleRegister(*offset, *word),
            WriteRequest::Coils { start, states } => {
                Request::WriteMultipleCoils(*start, Cow::Borrowed(states))
            }
            WriteRequest::Registers { start, words } => {
                Request::WriteMultipleRegisters(*start, Cow::Borrowed(words))
            }
            WriteRequest::MaskRegister { offset, and, or } => {
                Request::MaskWriteRegister(*offset, *and, *or)
            }
        },
    }
}

/// The reply, if `response` is one to `ask`: the right table, the right length, the right echo.
fn from_wire(ask: &Ask, response: Response) -> Option<Reply> {
    match ask {
        Ask::Read(ReadRequest { table, count, .. }) => match (table, response) {
            (Table::Coil, Response::ReadCoils(bits))
            | (Table::DiscreteInput, Response::ReadDiscreteInputs(bits)) => {
                bits_of(bits, usize::from(*count))
            }
            (Table::InputRegister, Response::ReadInputRegisters(words))
            | (Table::HoldingRegister, Response::ReadHoldingRegisters(words)) => {
                let is_whole = words.len() == usize::from(*count);
                is_whole.then_some(Reply::Read(ReadReply::Registers(words)))
            }
            _ => None,
        },
        Ask::Write { request, .. } => {
            let is_echo = match (request, response) {
                (WriteRequest::Coil { offset, on }, Response::WriteSingleCoil(at, state)) => {
                    (*offset, *on) == (at, state)
                }
                (
                    WriteRequest::Register { offset, word },
                    Response::WriteSingleRegister(at, echo),
                ) => (*offset, *word) == (at, echo),
                (
                    WriteRequest::Coils { start, states },
                    Response::WriteMultipleCoils(at, count),
                ) => *start == at && states.len() == usize::from(count),
                (
                    WriteRequest::Registers { start, words },
                    Response::WriteMultipleRegisters(at, count),
                ) => *start == at && words.len() == usize::from(count),
                (
                    WriteRequest::MaskRegister { offset, and, or },
                    Response::MaskWriteRegister(at, echo_and, echo_or),
                ) => (*offset, *and, *or) == (at, echo_and, echo_or),
                _ => false,
            };
            is_echo.then_some(Reply::Written)
        }
    }
}

/// Bits travel in whole bytes; those that pad the last one mean nothing.
fn bits_of(mut bits: Vec<bool>, count: usize) -> Option<Reply> {
    if bits.len() != count.next_multiple_of(8) {
        return None;
    }
    bits.truncate(count);
    Some(Reply::Read(ReadReply::Bits(bits)))
}

/// tokio-modbus reports a frame that it cannot decode as a transport error, too, but then the
/// operating system has no number for it; a close is reported with whatever number was last.
fn fault_of(error: &Error) -> Fault {
    const BROKEN: [ErrorKind; 3] =
        [ErrorKind::NotConnected, ErrorKind::BrokenPipe, ErrorKind::WriteZero];
    match error {
        Error::Transport(io) if io.raw_os_error().is_some() || BROKEN.contains(&io.kind()) => {
            Fault::LinkLost
        }
        Error::Protocol(_) | Error::Transport(_) => Fault::Malformed,
    }
}
