//! The buffer: everything taken in, durable until the cloud has committed it.
//!
//! One thread owns `buffer.ring` and `buffer.db`. *Flushed* records are durable and have no position;
//! *sealed* ones have a position and a place in the hash chain and may be sent. Alarms, outcomes and
//! other events are flushed and sealed at once; samples wait for the window that the configuration
//! states. A flush is one write into the ring; the database takes what is sealed in bulk.
//!
//! # Invariants
//!
//! - Nothing is announced in [`Buffer::lines`] before it is durable.
//! - After `kill -9` everything flushed is there; what was only in memory is declared by a `restart`
//!   event.
//! - Whatever happens to the files, a loss is declared: as a gap of its line, and by a `reset` event
//!   with the new incarnation that is opened then.
//! - A disk that refuses never stops the intake: the tail stays in memory, bounded, and every tick
//!   tries again with a freshly opened file, since a failed fsync must not be retried on the same.

mod aside;
mod ballast;
mod commit;
mod error;
mod file;
mod load;
mod maps;
mod rename;
mod request;
mod ring_file;
mod room;
mod start;
mod store;
mod tail;
mod take;
mod thin;
mod view;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;

use fieldgate_model::{
    AlarmKey, BootId, Catalogue, CatalogueId, DeviceName, Digest, Gap, GatewayId, IncarnationId,
    Millis, Position, ResetCause, Stream,
};
use fieldgate_protocol::uplink::HeldLine;
use fieldgate_ring::{BLOCK_BYTES, BLOCKS_MIN};
use fieldgate_rules::alarm::StoredAlarm;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

pub use self::error::BufferError;
pub use self::maps::{DeviceMap, stored_maps};
use self::request::Request;
pub use self::tail::Intake;
pub use self::view::{RingView, Seen, View, files};
use self::worker::Worker;
use crate::clock::{Clock, ClockStatus};

/// The database's name in the buffer's folder.
const FILE: &str = "buffer.db";
/// The ring's.
const RING: &str = "buffer.ring";
/// The ballast's.
const BALLAST: &str = "buffer.ballast";
/// What says that a process has the folder.
const LOCK: &str = "buffer.lock";
/// The largest ring: at a flush a second it holds a quarter of an hour, and a half of it is what a
/// lost ring can take along at most.
const RING_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// One part in so many of the cap is the ring at most.
const RING_PART: u64 = 16;
/// Requests that may wait for the disk. When it is full the engine keeps its samples and goes on.
const REQUESTS_MAX: usize = 256;

/// What the buffer needs to know to start.
#[derive(Debug, Clone)]
pub struct BufferOptions {
    /// Its folder.
    pub folder: PathBuf,
    /// Hard cap of all files, WAL, ring and ballast included.
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
    /// Why the buffer goes on in a new incarnation, if it does for a fault.
    pub reset: Option<ResetCause>,
    /// A damaged file was moved here.
    pub set_aside: Option<PathBuf>,
}

/// Figures of the buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BufferStats {
    /// Bytes of all files.
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

    /// Takes records in if the thread has time for them, and gives them back if not.
    pub fn try_append(&self, intake: Intake) -> Result<Option<Intake>, BufferError> {
        match self.requests.try_send(Request::Append { intake, durable: None }) {
            Ok(()) => Ok(None),
            Err(TrySendError::Full(Request::Append { intake, .. })) => Ok(Some(intake)),
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => Err(BufferError::Stopped),
        }
    }

    /// Whether the thread has time for a request.
    pub fn is_free(&self) -> bool {
        self.requests.capacity() > 0
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

    /// What is known of the records that a line held once and holds no more.
    pub async fn lost(
        &self,
        incarnation: IncarnationId,
        stream: Stream,
    ) -> Result<Gap, BufferError> {
        self.ask(|reply| Request::Lost { incarnation, stream, reply }).await
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

/// Blocks of the ring of a buffer with this cap.
fn ring_blocks(max_bytes: u64) -> usize {
    let bytes = (max_bytes / RING_PART).min(RING_BYTES_MAX);
    let blocks = usize::try_from(bytes).unwrap_or(usize::MAX) / BLOCK_BYTES;
    blocks.max(BLOCKS_MIN)
}
