//! The engine: owner of what answers mean. Frames in, samples, events and alarms out.
//!
//! Decoding and alarms are function calls here; only parsers have threads, since only they can be
//! slow. What comes out goes into the buffer with one call, so that a value and the alarm it raised
//! cannot be torn apart.

mod device;
mod parsers;
mod task;

use fieldgate_model::{AlarmTransition, DeviceName, EventRecord, Millis, Sample, SignalIndex};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::parsers::{Backstop, Blocks, Comparison, KeptFrame, Swap, frame};
pub use self::task::{EngineInputs, EngineSetup, run};

/// Requests that may wait; each is answered within one turn of the engine's loop.
const REQUESTS_MAX: usize = 16;

/// Why the engine could not start.
#[derive(Debug, Error)]
pub enum EngineError {
    /// A parser's thread cannot be started.
    #[error("start a parser's thread")]
    Thread {
        /// Why not.
        source: std::io::Error,
    },
}

/// What the engine can be asked.
#[derive(Debug)]
pub(crate) enum EngineRequest {
    /// The newest values, stored or not.
    Snapshot {
        /// Only those taken after this time.
        since: Option<Millis>,
        /// Where the answer goes.
        reply: oneshot::Sender<Snapshot>,
    },
    /// Put an event into the buffer's stream.
    Record(EventRecord),
    /// About the parsers.
    Parser(ParserRequest),
}

/// What the engine can be asked about its parsers. A reply that is dropped is the answer of a parser
/// that is too busy.
#[derive(Debug)]
pub(crate) enum ParserRequest {
    /// The files that run.
    Files(oneshot::Sender<Vec<String>>),
    /// The frames that a parser keeps.
    Kept {
        /// Its file.
        file: String,
        /// Where they go.
        reply: oneshot::Sender<Vec<KeptFrame>>,
    },
    /// Become another version.
    Swap {
        /// Its file.
        file: String,
        /// What, and how.
        swap: Swap,
    },
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

/// The requests of every [`Engine`] handle, for [`run`].
#[derive(Debug)]
pub struct EngineRequests(mpsc::Receiver<EngineRequest>);

/// Handle of the engine.
#[derive(Debug, Clone)]
pub struct Engine {
    requests: mpsc::Sender<EngineRequest>,
}

impl Engine {
    /// The handle, and where its requests arrive.
    pub fn channel() -> (Self, EngineRequests) {
        let (requests, arriving) = mpsc::channel(REQUESTS_MAX);
        (Self { requests }, EngineRequests(arriving))
    }

    /// The newest values taken after `since`, all without it. Empty once the engine has stopped.
    pub async fn snapshot(&self, since: Option<Millis>) -> Snapshot {
        let (reply, answer) = oneshot::channel();
        if self.requests.send(EngineRequest::Snapshot { since, reply }).await.is_err() {
            return Snapshot::default();
        }
        answer.await.unwrap_or_default()
    }

    /// The parser files that run.
    pub(crate) async fn parser_files(&self) -> Vec<String> {
        let (reply, answer) = oneshot::channel();
        self.ask(ParserRequest::Files(reply), answer).await.unwrap_or_default()
    }

    /// The frames that a parser keeps; `None` if it is too busy or there is none.
    pub(crate) async fn kept_frames(&self, file: String) -> Option<Vec<KeptFrame>> {
        let (reply, answer) = oneshot::channel();
        self.ask(ParserRequest::Kept { file, reply }, answer).await
    }

    /// Has a parser become another version; `None` if it is too busy or there is none.
    pub(crate) async fn swap_parser(
        &self,
        file: String,
        source: String,
        force: bool,
    ) -> Option<Comparison> {
        let (reply, answer) = oneshot::channel();
        let swap = Swap { source, force, reply };
        self.ask(ParserRequest::Swap { file, swap }, answer).await
    }

    async fn ask<T>(&self, request: ParserRequest, answer: oneshot::Receiver<T>) -> Option<T> {
        self.requests.send(EngineRequest::Parser(request)).await.ok()?;
        answer.await.ok()
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
