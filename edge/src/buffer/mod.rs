//! The buffer: everything taken in, durable until the cloud has committed it.
//!
//! One thread owns `buffer.db`. *Flushed* records are durable and have no position; *sealed* ones
//! have a position and a place in the hash chain and may be sent. Alarms, outcomes and other events
//! are flushed and sealed at once; samples wait for the window that the configuration states.
//!
//! # Invariants
//!
//! - Nothing is announced in [`Buffer::lines`] before it is durable.
//! - After `kill -9` everything flushed is there; what was only in memory is declared by a `restart`
//!   event.
//! - A disk that refuses never stops the intake: the tail stays in memory, bounded, and every tick
//!   tries again with a freshly opened file, since a failed fsync must not be retried on the same.

mod error;
mod file;
mod maps;
mod seal;
mod tail;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;

use fieldgate_model::{
    AlarmKey, BootId, Catalogue, CatalogueId, DeviceName, Digest, GatewayId, IncarnationId, Millis,
    Position, Stream,
};
use fieldgate_protocol::uplink::HeldLine;
use fieldgate_rules::alarm::StoredAlarm;
use tokio::sync::{mpsc, oneshot, watch};

pub use self::error::BufferError;
pub use self::maps::{DeviceMap, stored_maps};
pub use self::tail::Intake;
use self::worker::{Request, Worker};
use crate::clock::{Clock, ClockStatus};

/// Requests that may wait for the disk. The engine waits when it is full, the buses do not.
const REQUESTS_MAX: usize = 256;

/// What the buffer needs to know to start.
#[derive(Debug, Clone)]
pub struct BufferOptions {
    /// Its folder.
    pub folder: PathBuf,
    /// Hard cap of the file, WAL included.
    pub max_bytes: u64,
    /// How long a sample may wait in memory: what a power cut may take.
    pub flush: Millis,
    /// How long a sample may wait for its place in the stream.
    pub seal_after: Millis,
    /// The signals in force.
    pub catalogue: Catalogue,
    /// Whose streams these are.
    pub gateway: GatewayId,
    /// The running boot.
    pub boot: BootId,
    /// Its clock.
    pub clock: Clock,
    /// The time of day for labels.
    pub time: watch::Receiver<ClockStatus>,
}

/// What the buffer found when it opened.
#[derive(Debug)]
pub struct Recovered {
    /// The alarms as they were.
    pub alarms: Vec<(AlarmKey, StoredAlarm)>,
    /// What devices have taught about reading them.
    pub maps: BTreeMap<DeviceName, DeviceMap>,
    /// This gateway has run before.
    pub has_run: bool,
    /// The last run did not stop in order.
    pub unclean: bool,
    /// A damaged file was moved here.
    pub set_aside: Option<PathBuf>,
}

/// Figures of the buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BufferStats {
    /// Bytes of file and WAL.
    pub bytes: u64,
    /// The cap.
    pub max_bytes: u64,
    /// Sealed batches that are held, released or not.
    pub batches: u64,
    /// Records of the tail that are not sealed.
    pub tail: u64,
    /// Samples that gave way because neither disk nor memory had room.
    pub dropped: u64,
    /// Commits since the start.
    pub commits: u64,
    /// What the disk said last, while it refuses.
    pub failing: Option<String>,
}

/// Handle of the buffer; clones talk to the same thread.
#[derive(Debug, Clone)]
pub struct Buffer {
    requests: mpsc::Sender<Request>,
    lines: watch::Receiver<Vec<HeldLine>>,
    stats: watch::Receiver<BufferStats>,
}

impl Buffer {
    /// Opens the file, recovers what the last run left, and starts the thread.
    pub fn open(options: BufferOptions) -> Result<(Self, Recovered), BufferError> {
        std::fs::create_dir_all(&options.folder)
            .map_err(|source| BufferError::Folder { path: options.folder.clone(), source })?;
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let (worker, recovered) = Worker::open(options)?;
        let (lines, stats) = (worker.lines(), worker.stats());
        std::thread::Builder::new()
            .name("buffer".to_owned())
            .spawn(move || worker.run(inbox))
            .map_err(|source| BufferError::Thread { source })?;
        Ok((Self { requests, lines, stats }, recovered))
    }

    /// Takes records in. Returns when the thread has them, not when they are durable.
    pub async fn append(&self, intake: Intake) -> Result<(), BufferError> {
        self.send(Request::Append { intake, durable: None }).await
    }

    /// Takes records in and returns when they are durable.
    pub async fn append_durably(&self, intake: Intake) -> Result<(), BufferError> {
        self.ask(|durable| Request::Append { intake, durable: Some(durable) }).await
    }

    /// Flushes and seals what is due.
    pub async fn tick(&self) -> Result<(), BufferError> {
        self.send(Request::Tick).await
    }

    /// The encoded batch that starts at `first`, and where it ends.
    pub async fn load(
        &self,
        incarnation: IncarnationId,
        stream: Stream,
        first: Position,
    ) -> Result<Option<(Vec<u8>, Position)>, BufferError> {
        self.ask(|reply| Request::Load { incarnation, stream, first, reply }).await
    }

    /// The hash chain at a boundary between batches; `None` where there is none.
    pub async fn chain_at(
        &self,
        incarnation: IncarnationId,
        stream: Stream,
        at: Position,
    ) -> Result<Option<Digest>, BufferError> {
        self.ask(|reply| Request::ChainAt { incarnation, stream, at, reply }).await
    }

    /// Times of the first and last record that gave way before they were released.
    pub async fn lost_span(
        &self,
        incarnation: IncarnationId,
        stream: Stream,
    ) -> Result<(Millis, Millis), BufferError> {
        self.ask(|reply| Request::LostSpan { incarnation, stream, reply }).await
    }

    /// An encoded catalogue.
    pub async fn catalogue(&self, id: CatalogueId) -> Result<Option<Vec<u8>>, BufferError> {
        self.ask(|reply| Request::Catalogue { id, reply }).await
    }

    /// Everything below `before` may be evicted. Durable with the next commit: losing it only
    /// sends again what the cloud knows.
    pub async fn release(
        &self,
        incarnation: IncarnationId,
        stream: Stream,
        before: Position,
    ) -> Result<(), BufferError> {
        self.send(Request::Release { incarnation, stream, before }).await
    }

    /// Goes on in a new incarnation with everything unreleased of `incarnation`.
    pub async fn reincarnate(&self, incarnation: IncarnationId) -> Result<(), BufferError> {
        self.ask(|reply| Request::Reincarnate { incarnation, reply }).await
    }

    /// Seals everything, marks the stop as clean, and ends the thread.
    pub async fn stop(&self) -> Result<(), BufferError> {
        self.ask(|reply| Request::Stop { reply }).await
    }

    /// What is held, as of the last commit.
    pub fn lines(&self) -> watch::Receiver<Vec<HeldLine>> {
        self.lines.clone()
    }

    /// Figures, as of the last commit.
    pub fn stats(&self) -> watch::Receiver<BufferStats> {
        self.stats.clone()
    }

    async fn send(&self, request: Request) -> Result<(), BufferError> {
        self.requests.send(request).await.map_err(|_| BufferError::Stopped)
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, BufferError> {
        let (reply, answer) = oneshot::channel();
        self.send(request(reply)).await?;
        answer.await.map_err(|_| BufferError::Stopped)
    }
}
