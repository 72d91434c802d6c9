//! The engine: owner of what answers mean. Frames in, samples, events and alarms out.
//!
//! Decoding and alarms are function calls here; only parsers have threads, since only they can be
//! slow. What comes out goes into the buffer with one call, so that a value and the alarm it raised
//! cannot be torn apart.

mod device;
mod parsers;
mod task;

use fieldgate_model::{AlarmTransition, DeviceName, EventRecord, Millis, Sample, SignalIndex};
use fieldgate_script::ScriptError;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::parsers::frame;
pub use self::task::{EngineInputs, EngineSetup, run};

/// Requests that may wait; each is answered within one turn of the engine's loop.
pub const REQUESTS_MAX: usize = 16;

/// Why the engine could not start.
#[derive(Debug, Error)]
pub enum EngineError {
    /// A parser's thread cannot be started.
    #[error("start a parser's thread")]
    Thread {
        /// Why not.
        source: std::io::Error,
    },
    /// A parser's thread ended before it had loaded its source.
    #[error("load the parser `{file}`: its thread died")]
    ParserDied {
        /// The file.
        file: String,
    },
    /// A parser cannot be loaded.
    #[error("load a parser")]
    Parser {
        /// Which one, where and why.
        source: ScriptError,
    },
}

/// What the engine can be asked.
#[derive(Debug)]
pub enum EngineRequest {
    /// The newest values, stored or not.
    Snapshot {
        /// Only those taken after this time.
        since: Option<Millis>,
        /// Where the answer goes.
        reply: oneshot::Sender<Snapshot>,
    },
    /// Put an event into the buffer's stream.
    Record(EventRecord),
}

/// The newest values of a gateway.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The newest sample of each signal, in the order of the catalogue.
    pub samples: Vec<Sample>,
    /// The last transitions of the active alarms.
    pub alarms: Vec<AlarmTransition>,
    /// What the parsers said last, where they failed.
    pub parser_errors: Vec<(DeviceName, String)>,
    /// Frames that no parser took, and readings that no profile declares.
    pub skipped: u64,
    /// Samples with a time of their own that had come before, and were not stored again.
    pub duplicates: u64,
}

/// Handle of the engine.
#[derive(Debug, Clone)]
pub struct Engine {
    requests: mpsc::Sender<EngineRequest>,
}

impl Engine {
    /// The handle whose requests arrive at the other end of this channel.
    pub const fn new(requests: mpsc::Sender<EngineRequest>) -> Self {
        Self { requests }
    }

    /// The newest values taken after `since`, all without it. Empty once the engine has stopped.
    pub async fn snapshot(&self, since: Option<Millis>) -> Snapshot {
        let (reply, answer) = oneshot::channel();
        if self.requests.send(EngineRequest::Snapshot { since, reply }).await.is_err() {
            return Snapshot::default();
        }
        answer.await.unwrap_or_default()
    }

    /// Puts an event into the buffer's stream, unless the engine has stopped.
    pub async fn record(&self, event: EventRecord) {
        if self.requests.send(EngineRequest::Record(event)).await.is_err() {
            tracing::debug!("an event came after the engine had stopped");
        }
    }
}

/// Place in the catalogue of each device's first signal.
fn bases(counts: impl Iterator<Item = usize>) -> Vec<SignalIndex> {
    let mut next = 0;
    counts
        .map(|count| {
            let base = SignalIndex(next);
            next += u32::try_from(count).unwrap_or(u32::MAX);
            base
        })
        .collect()
}
