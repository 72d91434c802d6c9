//! The reading side of the store: a few threads with read-only connections of their own.
//!
//! # Invariants
//!
//! - A reader can change nothing: its connection is opened read-only.
//! - What belongs to a tenant is asked for with that tenant, in the same statement.
//! - A full queue refuses with [`QueryError::Busy`]; nobody waits invisibly.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use fieldgate_model::{
    AlarmState, CatalogueId, CatalogueSignal, DeviceName, GatewayId, IdError, IncarnationId,
    Millis, Position, Quality, SignalName, TenantId, UtcMillis, Value,
};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{mpsc, oneshot};

use super::{Bucket, CommandState, Scopes};

/// Jobs that may wait in one lane. At some milliseconds a job, more would be a second of waiting.
const LANE_QUEUE_MAX: usize = 64;

/// As long as other processes wait for each other (`PRAGMA busy_timeout`).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Every lane is full.
    #[error("readers are busy")]
    Busy,
    /// The readers have stopped.
    #[error("readers are stopped")]
    Stopped,
    /// A thread could not be started.
    #[error("cannot start a reader")]
    Start(#[source] std::io::Error),
    /// A row does not hold what the schema promises.
    #[error("stored {0} is damaged")]
    Damaged(&'static str),
    /// The database failed.
    #[error("database failed")]
    Database(#[from] rusqlite::Error),
}

/// Who stands behind a token or a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The token's id; `None` for a console session.
    pub token: Option<String>,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it may do.
    pub scopes: Scopes,
    /// Until when it is good.
    pub expires_at: Option<UtcMillis>,
    /// It was revoked.
    pub revoked: bool,
    /// Its tenant is suspended.
    pub suspended: bool,
}

/// A gateway as its tenant sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayView {
    /// Its id.
    pub id: GatewayId,
    /// Its label.
    pub name: String,
    /// Since when it exists.
    pub created_at: UtcMillis,
    /// Name and version of its daemon.
    pub software: Option<String>,
    /// Number of its configuration.
    pub generation: u64,
    /// Number of the ownership.
    pub epoch: u64,
    /// Its identity is in doubt.
    pub contested: bool,
    /// Why: `twin`, `forked` or `journal_lost`.
    pub doubt: Option<String>,
    /// Since when it is no more.
    pub decommissioned_at: Option<UtcMillis>,
    /// Its latest catalogue.
    pub catalogue: Option<CatalogueId>,
    /// When it introduced itself last.
    pub last_hello_at: Option<UtcMillis>,
    /// When it was last heard of.
    pub last_seen_at: Option<UtcMillis>,
    /// Time of its newest committed sample.
    pub data_until: Option<UtcMillis>,
    /// Alarms that are active.
    pub active_alarms: u32,
}

/// A signal's stable name inside its gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalKey {
    /// The device.
    pub device: DeviceName,
    /// Its signal.
    pub signal: SignalName,
}

/// A signal of one gateway: what `{gateway}.{device}.{signal}` names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignalId {
    /// The gateway.
    pub gateway: GatewayId,
    /// The signal in it.
    pub key: SignalKey,
}

impl SignalId {
    /// The id of a text; ids have no dot, so dots part them.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().unwrap_or_default();
        let gateway = GatewayId::new(part())?;
        let device = DeviceName::new(part())?;
        Ok(Self { gateway, key: SignalKey { device, signal: SignalName::new(part())? } })
    }
}

impl std::fmt::Display for SignalId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.gateway, self.key.device, self.key.signal)
    }
}

/// Where a sample stands in the order in which history is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SamplePlace {
    /// It has a time.
    Placed(UtcMillis, IncarnationId, Position),
    /// No UTC is known for it; told after all others.
    Unplaced(IncarnationId, Position),
}

/// Which part of a signal's history is wanted.
#[derive(Debug, Clone)]
pub struct SampleQuery {
    /// The signal.
    pub signal: SignalId,
    /// From here on.
    pub from: Option<UtcMillis>,
    /// Up to before here.
    pub to: Option<UtcMillis>,
    /// Beyond this one.
    pub after: Option<SamplePlace>,
    /// Also those without a time.
    pub unplaced: bool,
}

/// One stored sample of one signal.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSample {
    /// Its place.
    pub place: SamplePlace,
    /// Its raw value.
    pub value: Option<Value>,
    /// How far it can be trusted.
    pub quality: Quality,
    /// What its catalogue says of the signal: type, unit, scale.
    pub signal: Arc<CatalogueSignal>,
    /// When the cloud committed its batch.
    pub committed_at: UtcMillis,
}

impl StoredSample {
    /// Its time, if UTC is known.
    pub fn at(&self) -> Option<UtcMillis> {
        match self.place {
            SamplePlace::Placed(at, ..) => Some(at),
            SamplePlace::Unplaced(..) => None,
        }
    }
}

/// Some samples in order, and whether there are more.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SamplePage {
    /// In the order of their places.
    pub samples: Vec<StoredSample>,
    /// There is at least one more.
    pub more: bool,
}

/// A signal's history, folded.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// In the order of time; stretches without samples are left out.
    pub buckets: Vec<Bucket>,
    /// How wide each is.
    pub width: Millis,
    /// More samples would have had to be read than a summary reads: what is told ends before them.
    pub cut: bool,
}

/// An occurrence of an alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmView {
    /// Grows with every occurrence; newest first is highest first.
    pub id: i64,
    /// The gateway.
    pub gateway: GatewayId,
    /// The device.
    pub device: String,
    /// The alarm's name in the profile.
    pub alarm: String,
    /// Which occurrence.
    pub occurrence: u64,
    /// `active` or `normal`.
    pub state: String,
    /// How urgent.
    pub severity: String,
    /// The watched signal.
    pub signal: String,
    /// Engineering value at the last transition.
    pub value: f64,
    /// The limit, in the same unit.
    pub limit: f64,
    /// For a person.
    pub message: String,
    /// When it became active.
    pub raised_at: Option<UtcMillis>,
    /// When it returned.
    pub returned_at: Option<UtcMillis>,
}

/// Which alarms or commands are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this gateway alone.
    pub gateway: Option<GatewayId>,
    /// Alarms in this state alone.
    pub alarm_state: Option<AlarmState>,
    /// Commands in this state alone.
    pub command_state: Option<CommandState>,
    /// Below this (time, id), newest first.
    pub before: Option<(i64, String)>,
    /// How many at most.
    pub limit: usize,
}

/// A day's usage of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageView {
    /// Whose.
    pub tenant: String,
    /// The gateway.
    pub gateway: String,
    /// UTC days since 1970-01-01.
    pub day: i64,
    /// Batches committed.
    pub batches: u64,
    /// Samples committed.
    pub samples: u64,
    /// Events and outcomes committed.
    pub events: u64,
    /// Bytes committed.
    pub bytes: u64,
}

/// A line of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditView {
    /// Its number.
    pub sequence: i64,
    /// When.
    pub at: UtcMillis,
    /// Who.
    pub actor: String,
    /// Did what.
    pub action: String,
    /// To what.
    pub target: String,
    /// With what.
    pub detail: String,
}

type Job = Box<dyn FnOnce(&Connection) + Send>;

#[derive(Debug)]
struct Lane {
    jobs: mpsc::Sender<Job>,
    waiting: Arc<AtomicUsize>,
}

/// A handle on the reading threads. When the last one is dropped, they end.
#[derive(Debug, Clone)]
pub struct Readers {
    lanes: Arc<[Lane]>,
}

impl Readers {
    /// Opens `count` read-only connections to the database at `path`, which must exist.
    pub fn open(path: &Path, count: usize) -> Result<Self, QueryError> {
        let lanes = (0..count.max(1)).map(|number| Lane::start(path, number));
        Ok(Self { lanes: lanes.collect::<Result<_, _>>()? })
    }

    /// Runs `question` on the reading thread that has least to do.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let lane = self
            .lanes
            .iter()
            .min_by_key(|lane| lane.waiting.load(Ordering::Relaxed))
            .ok_or(QueryError::Stopped)?;
        let (answer, answered) = oneshot::channel();
        let waiting = Arc::clone(&lane.waiting);
        waiting.fetch_add(1, Ordering::Relaxed);
        let job: Job = Box::new(move |connection| {
            // A caller that went away does not want the answer.
            drop(answer.send(in_one_snapshot(connection, question)));
            waiting.fetch_sub(1, Ordering::Relaxed);
        });
        if let Err(error) = lane.jobs.try_send(job) {
            lane.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(match error {
                mpsc::error::TrySendError::Full(_) => QueryError::Busy,
                mpsc::error::TrySendError::Closed(_) => QueryError::Stopped,
            });
        }
        answered.await.map_err(|_| QueryError::Stopped)?
    }
}

/// Between two statements a batch may become part of a block: one question sees it once.
fn in_one_snapshot<T>(
    connection: &Connection,
    question: impl FnOnce(&Connection) -> Result<T, QueryError>,
) -> Result<T, QueryError> {
    let snapshot = connection.unchecked_transaction()?;
    question(&snapshot)
}

impl Lane {
    fn start(path: &Path, number: usize) -> Result<Self, QueryError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let (jobs, mut queue) = mpsc::channel::<Job>(LANE_QUEUE_MAX);
        thread::Builder::new()
            .name(format!("store-reader-{number}"))
            .spawn(move || {
                while let Some(job) = queue.blocking_recv() {
                    job(&connection);
                }
            })
            .map_err(QueryError::Start)?;
        Ok(Self { jobs, waiting: Arc::default() })
    }
}
