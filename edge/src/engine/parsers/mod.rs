//! Parser threads: each parser file runs on a thread of its own, with a share of its own.
//!
//! # Invariants
//!
//! - A slow or hostile parser delays nobody but the devices that use it: its thread stands behind
//!   the others in the scheduler, frames for it wait in a bounded queue, and what does not fit is
//!   counted and skipped.
//! - Three overruns in a row disable a parser; its devices raise an alarm, until it is reloaded or
//!   the daemon starts anew.
//! - A frame is parsed by exactly one version of a parser. What an older one than the present has
//!   made is dropped.

mod backstop;
mod compare;
mod kept;
#[cfg(test)]
mod tests;
mod thread;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fieldgate_modbus::register::{ReadReply, Table};
use fieldgate_model::{Cause, DeviceName, Millis};
use fieldgate_rules::plan::Image;
use fieldgate_rules::profile::ParserSpec;
use fieldgate_script::{Block, Frame, Reading, ScriptError};
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::backstop::Backstop;
pub(crate) use self::compare::{Comparison, Swap};
pub(crate) use self::kept::{Blocks, KeptFrame};
use self::thread::{Load, Order, Runner};
use super::EngineError;
use crate::drivers::DeviceIndex;
use crate::drivers::host::{Payload, Taken};

/// Frames that may wait for one parser: ten seconds of a device at 200 ms.
const WAITING_MAX: usize = 50;
/// Places in the queue that no frame takes: a parser whose queue is full can still be looked at, and
/// replaced.
const RESERVED: usize = 4;
/// Overruns in a row that disable a parser.
pub(super) const OVERRUNS_MAX: u32 = 3;

/// A frame on its way to a parser.
#[derive(Debug)]
struct Job {
    device: DeviceIndex,
    name: DeviceName,
    at: Millis,
    content: Content,
    taken: Option<oneshot::Sender<Taken>>,
}

/// What a parser gets to see.
#[derive(Debug)]
pub(super) enum Content {
    /// The answers of one poll of a Modbus device.
    Image(Image),
    /// What one resource answered or sent.
    Payload {
        /// Its path.
        resource: String,
        /// What.
        payload: Payload,
    },
}

impl Content {
    fn frame<'a>(&'a self, device: &'a DeviceName, at: Millis) -> Frame<'a> {
        match self {
            Self::Image(image) => frame(device, at, image),
            Self::Payload { resource, payload } => message(device, at, resource, payload),
        }
    }
}

/// What a parser made of a frame.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) device: DeviceIndex,
    pub(super) at: Millis,
    pub(super) readings: Result<Vec<Reading>, Failure>,
    /// Who waits until what came of it is stored.
    pub(super) taken: Option<oneshot::Sender<Taken>>,
    /// Overruns of the parser in a row, this one included.
    pub(super) overruns: u32,
    version: u64,
    present: Arc<AtomicU64>,
}

impl Parsed {
    /// Whether another version of the parser has taken over since.
    pub(super) fn is_late(&self) -> bool {
        self.version != self.present.load(Ordering::Acquire)
    }
}

/// Why there are no readings.
#[derive(Debug)]
pub(super) enum Failure {
    /// The script failed on this frame.
    Script(ScriptError),
    /// It had failed too often before.
    Disabled,
}

impl Failure {
    pub(super) fn cause(&self) -> Cause {
        match self {
            Self::Script(error) => super::device::cause_of(error),
            Self::Disabled => Cause::ScriptLimit,
        }
    }
}

/// The threads, one a parser file.
pub(super) struct Parsers {
    threads: BTreeMap<String, Vec<Thread>>,
    /// `None` once no more frames will come.
    results: Option<mpsc::Sender<Parsed>>,
    load: Load,
}

struct Thread {
    /// The source that the profile had when the daemon started. Two files of one name, one of them
    /// in the binary, are two parsers.
    source: String,
    orders: mpsc::Sender<Order>,
}

impl Parsers {
    pub(super) fn new(results: mpsc::Sender<Parsed>) -> Self {
        Self::with_loader(results, |file, source, cancel| {
            fieldgate_script::load(file, source, fieldgate_script::Limits::DEFAULT, cancel)
        })
    }

    /// The same with executors of another kind.
    fn with_loader(results: mpsc::Sender<Parsed>, load: Load) -> Self {
        Self { threads: BTreeMap::new(), results: Some(results), load }
    }

    /// Starts the thread of this parser, if it is not running. It loads by itself; a parser that
    /// does not load says so for each frame, until it is reloaded.
    pub(super) fn start(&mut self, spec: &ParserSpec) -> Result<(), EngineError> {
        let of_file = self.threads.entry(spec.file.clone()).or_default();
        if of_file.iter().any(|thread| thread.source == spec.source) {
            return Ok(());
        }
        let Some(results) = self.results.clone() else { return Ok(()) };
        let (orders, inbox) = mpsc::channel(WAITING_MAX + RESERVED);
        let (file, source, load) = (spec.file.clone(), spec.source.clone(), self.load);
        std::thread::Builder::new()
            .name(format!("parser {file}"))
            .spawn(move || {
                thread::step_back();
                Runner::new(file, &source, load, results).run(inbox);
            })
            .map_err(|source| EngineError::Thread { source })?;
        of_file.push(Thread { source: spec.source.clone(), orders });
        Ok(())
    }

    /// Hands a frame to its parser; `false` if it has too many waiting.
    pub(super) fn hand(
        &self,
        spec: &ParserSpec,
        device: DeviceIndex,
        name: &DeviceName,
        at: Millis,
        content: Content,
        taken: Option<oneshot::Sender<Taken>>,
    ) -> bool {
        let job = Job { device, name: name.clone(), at, content, taken };
        let of_file = self.threads.get(&spec.file);
        let thread = of_file.and_then(|all| all.iter().find(|thread| thread.source == spec.source));
        thread.is_some_and(|thread| {
            thread.orders.capacity() > RESERVED && thread.orders.try_send(Order::Frame(job)).is_ok()
        })
    }

    /// Asks for the frames that the parsers of this file keep. Without an answer there is none, or
    /// it is too busy to tell.
    pub(super) fn kept(&self, file: &str, reply: oneshot::Sender<Vec<KeptFrame>>) {
        self.order(file, Order::Kept(reply));
    }

    /// Asks the parser of this file to become another. Without an answer there is none, or it is too
    /// busy.
    pub(super) fn swap(&self, file: &str, swap: Swap) {
        self.order(file, Order::Swap(swap));
    }

    /// The files that run.
    pub(super) fn files(&self) -> Vec<String> {
        self.threads.keys().cloned().collect()
    }

    fn order(&self, file: &str, order: Order) {
        // What cannot be delivered is dropped with its reply, which tells whoever waits.
        if let Some(thread) = self.threads.get(file).and_then(|of_file| of_file.last()) {
            drop(thread.orders.try_send(order));
        }
    }

    /// No more frames will come: the threads end with what they have, and the results with them.
    pub(super) fn close(&mut self) {
        self.threads.clear();
        self.results = None;
    }
}

/// A message as a script sees it.
pub(crate) fn message<'a>(
    device: &'a DeviceName,
    at: Millis,
    resource: &'a str,
    payload: &'a Payload,
) -> Frame<'a> {
    let mut frame = Frame::new(device, at);
    frame.payload = Some(&payload.bytes);
    frame.format = payload.format;
    frame.resource = Some(resource);
    frame
}

/// The frame as a script sees it; what could not be read is not in it.
pub(crate) fn frame<'a>(device: &'a DeviceName, at: Millis, image: &Image) -> Frame<'a> {
    let mut frame = Frame::new(device, at);
    for (request, reply) in image.replies() {
        match (request.table, reply) {
            (Table::HoldingRegister, Ok(ReadReply::Registers(words))) => {
                frame.hr.push(Block { start: request.start, items: words.clone() });
            }
            (Table::InputRegister, Ok(ReadReply::Registers(words))) => {
                frame.ir.push(Block { start: request.start, items: words.clone() });
            }
            (Table::Coil, Ok(ReadReply::Bits(bits))) => {
                frame.co.push(Block { start: request.start, items: bits.clone() });
            }
            (Table::DiscreteInput, Ok(ReadReply::Bits(bits))) => {
                frame.di.push(Block { start: request.start, items: bits.clone() });
            }
            (
                Table::HoldingRegister | Table::InputRegister | Table::Coil | Table::DiscreteInput,
                Ok(ReadReply::Registers(_) | ReadReply::Bits(_)) | Err(_),
            ) => {}
        }
    }
    frame
}
