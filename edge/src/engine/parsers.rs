//! Parser threads: each parser source runs on a thread of its own, with a share of its own.
//!
//! # Invariants
//!
//! - A slow or hostile parser delays nobody but the devices that use it: frames for it wait in a
//!   bounded queue, and what does not fit is counted and skipped.
//! - Three overruns in a row disable a parser; its signals say so until the next start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fieldgate_modbus::register::{ReadReply, Table};
use fieldgate_model::{Cause, DeviceName, Millis};
use fieldgate_rules::plan::Image;
use fieldgate_rules::profile::ParserSpec;
use fieldgate_script::{Block, Cancel, DeviceState, Frame, Limits, Parser, Reading, ScriptError};
use tokio::sync::{mpsc, oneshot};

use super::EngineError;
use crate::clock::Clock;
use crate::drivers::DeviceIndex;
use crate::drivers::host::{Payload, Taken};

/// Frames that may wait for one parser: ten seconds of a device at 200 ms.
const WAITING_MAX: usize = 50;
/// Overruns in a row that disable a parser.
const OVERRUNS_MAX: u32 = 3;
/// Wall time after which a run is cut off. Fuel ends it long before on any machine that is not
/// starved; this is the backstop for one that is.
const WALL_MAX: Millis = Millis(2_000);

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

/// What a parser made of a frame.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) device: DeviceIndex,
    pub(super) at: Millis,
    pub(super) readings: Result<Vec<Reading>, Failure>,
    /// Who waits until what came of it is stored.
    pub(super) taken: Option<oneshot::Sender<Taken>>,
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

/// The threads, one a parser source.
pub(super) struct Parsers {
    threads: BTreeMap<String, Thread>,
    /// `None` once no more frames will come.
    results: Option<mpsc::Sender<Parsed>>,
    clock: Clock,
}

struct Thread {
    jobs: mpsc::Sender<Job>,
    cancel: Cancel,
    /// Monotonic milliseconds at which the current run began, 0 between runs.
    running_since: Arc<AtomicU64>,
}

impl Parsers {
    pub(super) fn new(results: mpsc::Sender<Parsed>, clock: Clock) -> Self {
        Self { threads: BTreeMap::new(), results: Some(results), clock }
    }

    /// Starts the thread of this parser, if it is not running.
    pub(super) fn start(&mut self, spec: &ParserSpec) -> Result<(), EngineError> {
        if self.threads.contains_key(&spec.source) {
            return Ok(());
        }
        let Some(results) = self.results.clone() else { return Ok(()) };
        let (jobs, inbox) = mpsc::channel(WAITING_MAX);
        let (loaded, outcome) = std::sync::mpsc::sync_channel(1);
        let running_since = Arc::new(AtomicU64::new(0));
        let runner = Runner { since: Arc::clone(&running_since), results, clock: self.clock };
        let (file, source) = (spec.file.clone(), spec.source.clone());
        std::thread::Builder::new()
            .name(format!("parser {file}"))
            .spawn(move || match Parser::load(&file, &source, Limits::DEFAULT) {
                Ok(parser) => {
                    // The starter waits for this one message and cannot have gone.
                    drop(loaded.send(Ok(parser.cancel())));
                    runner.run(parser, inbox);
                }
                Err(error) => drop(loaded.send(Err(error))),
            })
            .map_err(|source| EngineError::Thread { source })?;
        let cancel = outcome
            .recv()
            .map_err(|_| EngineError::ParserDied { file: spec.file.clone() })?
            .map_err(|source| EngineError::Parser { source })?;
        self.threads.insert(spec.source.clone(), Thread { jobs, cancel, running_since });
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
        self.threads.get(&spec.source).is_some_and(|thread| thread.jobs.try_send(job).is_ok())
    }

    /// No more frames will come: the threads end with what they have, and the results with them.
    pub(super) fn close(&mut self) {
        self.threads.clear();
        self.results = None;
    }

    /// Cuts off what has run for too long.
    pub(super) fn enforce(&self, now: Millis) {
        for thread in self.threads.values() {
            let since = thread.running_since.load(Ordering::Relaxed);
            if since != 0 && now.since(Millis(since)) > WALL_MAX {
                thread.cancel.cancel();
            }
        }
    }
}

/// The life of one parser thread.
struct Runner {
    since: Arc<AtomicU64>,
    results: mpsc::Sender<Parsed>,
    clock: Clock,
}

impl Runner {
    fn run(self, mut parser: Parser, mut inbox: mpsc::Receiver<Job>) {
        let mut states: BTreeMap<DeviceIndex, DeviceState> = BTreeMap::new();
        let mut overruns = 0;
        while let Some(job) = inbox.blocking_recv() {
            let readings = if overruns >= OVERRUNS_MAX {
                Err(Failure::Disabled)
            } else {
                self.since.store(self.clock.now().0.max(1), Ordering::Relaxed);
                let state = states.entry(job.device).or_default();
                let readings = match &job.content {
                    Content::Image(image) => parser.run(&frame(&job.name, job.at, image), state),
                    Content::Payload { resource, payload } => {
                        parser.run(&message(&job.name, job.at, resource, payload), state)
                    }
                };
                self.since.store(0, Ordering::Relaxed);
                parser.cancel().reset();
                overruns = match &readings {
                    Err(error) if error.is_overrun() => overruns + 1,
                    Ok(_) | Err(_) => 0,
                };
                readings.map_err(Failure::Script)
            };
            let parsed = Parsed { device: job.device, at: job.at, readings, taken: job.taken };
            if self.results.blocking_send(parsed).is_err() {
                return;
            }
        }
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
