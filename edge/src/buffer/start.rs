//! Opening a buffer: what the last run left is put together again, and what does not fit is told.
//!
//! # Invariants
//!
//! - Ring and database are believed as far as they agree. Where they do not, a new incarnation is
//!   opened, and what is known to be missing becomes gaps of the old one.
//! - Nothing is announced, and no position given away, before the first commit of the run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fieldgate_model::{
    AlarmKey, BootId, Content, DeviceName, Digest, GatewayId, IncarnationId, Millis, ResetCause,
    Stream,
};
use fieldgate_ring::{
    Entry, Fault, LineMark, PairId, Plan, Recovery, Replay, Replayed, Sealed, StoreView, recover,
};
use fieldgate_rules::alarm::StoredAlarm;
use rusqlite::{Transaction, TransactionBehavior, params};

use super::aside::set_aside;
use super::ballast::Ballast;
use super::commit::{self, Fit, Kept};
use super::error::BufferError;
use super::file::{BufferFile, LastRun, Watermark, is_damage};
use super::maps::DeviceMap;
use super::ring_file::{self, RingFile, born};
use super::store::Store;
use super::{BufferOptions, tail};

/// What was found.
pub(super) struct Found {
    pub(super) alarms: BTreeMap<AlarmKey, StoredAlarm>,
    pub(super) maps: BTreeMap<DeviceName, DeviceMap>,
    /// The run before, if there was one.
    pub(super) last: Option<LastRun>,
    /// Why there is a new incarnation, other than for another identity.
    pub(super) reset: Option<ResetCause>,
    pub(super) set_aside: Option<PathBuf>,
}

/// Opens the buffer. `distrust`: what the run has found out about its files.
pub(super) fn open(
    options: &BufferOptions,
    distrust: Option<Fault>,
) -> Result<(Store, Found), BufferError> {
    let ring_path = options.folder.join(super::RING);
    let image = ring_file::read(&ring_path)
        .map_err(|source| BufferError::Ring { path: ring_path.clone(), source })?;
    let recovery = image.as_deref().and_then(recover);
    let ring_was_there = image.is_some();
    drop(image);
    let (mut file, was_there, mut set_aside) =
        open_file(options, distrust == Some(Fault::Damaged))?;
    let failed = |file: &BufferFile, source| file.error(source);
    let watermark = file.watermark().map_err(|source| failed(&file, source))?;
    let is_fresh = !was_there || set_aside.is_some();
    let view = watermark.map(|watermark| watermark.view);
    let recovery = recovery.filter(|ring| is_ours(ring, view, &options.gateway));
    let mut plan = fieldgate_ring::plan(view, recovery.as_ref(), ring_was_there);
    if !is_fresh && view.is_none() && !ring_was_there {
        // Of before there was a ring.
        plan.fault = None;
    }
    let fault = if set_aside.is_some() { Some(Fault::Damaged) } else { plan.fault.or(distrust) };
    let copied = watermark.is_some_and(|watermark| is_copy(options, watermark));
    let reset = fault.map(cause).or(copied.then_some(ResetCause::Copied));
    let replayed = replay(recovery.as_ref(), plan.replay_after, &ring_path)?;
    let last = last_run(&file, &replayed, view, recovery.as_ref()).map_err(|s| failed(&file, s))?;
    let pair = plan.pair.unwrap_or_else(|| new_pair(&options.gateway));
    let newest = plan.next_sequence - 1;
    let begin = Begin { options, pair, newest, reset, replayed };
    let reset = begin.commit(&mut file).map_err(|source| failed(&file, source))?;
    if !plan.keeps_ring && ring_was_there {
        set_aside = set_aside.or(Some(super::aside::set_aside(&ring_path)?));
    }
    let alarms = file.alarms().map_err(|source| failed(&file, source))?;
    let maps = file.maps(&options.catalogue).map_err(|source| failed(&file, source))?;
    let store = join(options, file, pair, plan, recovery.as_ref())?;
    let had_run = last.is_some() || is_fresh && (ring_was_there || set_aside.is_some());
    let last = last.or_else(|| had_run.then_some(LAST_UNKNOWN));
    Ok((store, Found { alarms, maps, last, reset, set_aside }))
}

/// There was a run, of which nothing is known but that.
const LAST_UNKNOWN: LastRun =
    LastRun { boot: BootId([0; 16]), clean: false, last_durable: Millis(0) };

/// The database, or a fresh one in the place of one that cannot be trusted; whether a file was there,
/// and where it went.
fn open_file(
    options: &BufferOptions,
    is_damaged: bool,
) -> Result<(BufferFile, bool, Option<PathBuf>), BufferError> {
    let path = options.folder.join(super::FILE);
    let was_there = path.exists();
    if is_damaged && was_there {
        let aside = set_aside(&path)?;
        return Ok((BufferFile::open(&path, &options.gateway)?, was_there, Some(aside)));
    }
    match BufferFile::open(&path, &options.gateway) {
        Err(BufferError::Database { source, .. }) if is_damage(&source) => {
            let aside = set_aside(&path)?;
            Ok((BufferFile::open(&path, &options.gateway)?, was_there, Some(aside)))
        }
        other => other.map(|file| (file, was_there, None)),
    }
}

/// A ring that belongs to neither this database nor this gateway holds another's samples.
fn is_ours(ring: &Recovery, view: Option<StoreView>, gateway: &GatewayId) -> bool {
    view.is_some_and(|view| view.pair == ring.pair) || ring.pair.0[8..] == mark_of(gateway)
}

/// A name for a ring and its database, which says whose they are.
fn new_pair(gateway: &GatewayId) -> PairId {
    let mut id = [0; 16];
    getrandom::fill(&mut id[..8]).expect("the kernel has random bytes once it has booted");
    id[8..].copy_from_slice(&mark_of(gateway));
    PairId(id)
}

fn mark_of(gateway: &GatewayId) -> [u8; 8] {
    let zero = IncarnationId([0; 16]);
    let Digest(digest) = fieldgate_wire::chain_start(gateway, zero, Stream::Samples);
    let mut mark = [0; 8];
    mark.copy_from_slice(&digest[..8]);
    mark
}

/// Whether the files are younger than they say of themselves.
fn is_copy(options: &BufferOptions, watermark: Watermark) -> bool {
    let differs = |name, known: Option<i64>| {
        let now = born(&options.folder.join(name));
        known.zip(now).is_some_and(|(known, now)| known != now)
    };
    differs(super::FILE, watermark.file_born) || differs(super::RING, watermark.ring_born)
}

const fn cause(fault: Fault) -> ResetCause {
    match fault {
        Fault::Damaged => ResetCause::Damaged,
        Fault::WentBack => ResetCause::WentBack,
        Fault::Missing => ResetCause::Missing,
    }
}

/// What the ring has and the database has not.
struct Replaying {
    items: Vec<Replayed>,
    replay: Replay,
}

fn replay(
    recovery: Option<&Recovery>,
    after: u64,
    path: &std::path::Path,
) -> Result<Replaying, BufferError> {
    let mut replaying = Replaying { items: Vec::new(), replay: Replay::default() };
    let records = recovery.map(|recovery| recovery.records.as_slice()).unwrap_or_default();
    for record in records.iter().filter(|record| after < record.sequence) {
        let entry = Entry::decode(&record.body)
            .map_err(|_| BufferError::NewerRing { path: path.to_owned() })?;
        replaying.items.extend(replaying.replay.entry(entry));
    }
    Ok(replaying)
}

/// How the run before ended: the ring knows better, unless the database has all of it.
fn last_run(
    file: &BufferFile,
    replayed: &Replaying,
    view: Option<StoreView>,
    recovery: Option<&Recovery>,
) -> rusqlite::Result<Option<LastRun>> {
    let stored = file.last_run()?;
    let has_more =
        recovery.is_some_and(|ring| view.is_none_or(|view| view.through < ring.newest()));
    let newer = replayed.replay.last().filter(|_| has_more);
    let of_ring = newer.map(|(boot, at, _)| LastRun { boot, clean: false, last_durable: at });
    Ok(of_ring.or(stored))
}

/// The first commit of a run.
struct Begin<'a> {
    options: &'a BufferOptions,
    pair: PairId,
    newest: u64,
    reset: Option<ResetCause>,
    replayed: Replaying,
}

impl Begin<'_> {
    /// Stores what the ring had; gives why there is a new incarnation, if there is one.
    fn commit(self, file: &mut BufferFile) -> rusqlite::Result<Option<ResetCause>> {
        let Self { options, pair, newest, mut reset, replayed } = self;
        let gateway = &options.gateway;
        let (boot, at, utc_offset) =
            replayed.replay.last().unwrap_or((options.boot, Millis(0), None));
        file.save_catalogue(&options.catalogue)?;
        let (mut current, was_begun) = (file.current, file.is_begun());
        let transaction = file.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for item in replayed.items {
            let fit = adopt(&transaction, gateway, boot, item)?;
            if fit == Fit::Hole {
                reset = reset.or(Some(ResetCause::WentBack));
            }
        }
        if reset.is_some() || !was_begun {
            current = commit::begin_incarnation(&transaction, gateway)?;
        }
        let mut contents = old_fragments(&transaction)?;
        let unsealed = replayed.replay.unsealed();
        contents.extend(unsealed.into_iter().map(|content| (boot, utc_offset, content)));
        for (boot, utc_offset, content) in contents {
            for piece in tail::cut_content(content) {
                append_new(&transaction, gateway, current, (boot, utc_offset), piece)?;
            }
        }
        let marks = replayed.replay.alarms().map(|mark| {
            let (state, occurrence) = (mark.state, mark.occurrence);
            let stored = StoredAlarm { state, occurrence, transition: mark.transition };
            (mark.key.clone(), stored)
        });
        commit::save_alarms(&transaction, &marks.collect())?;
        commit::save_run(&transaction, options.boot, false, options.clock.now().max(at))?;
        let view = StoreView { pair, through: newest };
        let born = |name| born(&options.folder.join(name));
        commit::save_watermark(&transaction, view, born(super::FILE), born(super::RING))?;
        transaction.commit()?;
        file.current = current;
        Ok(reset)
    }
}

/// Has the database know what an entry of the ring tells.
fn adopt(
    transaction: &Transaction<'_>,
    gateway: &GatewayId,
    boot: BootId,
    item: Replayed,
) -> rusqlite::Result<Fit> {
    match item {
        Replayed::Lines(marks) => {
            let mut worst = Fit::Known;
            for mark in marks {
                if commit::note_line(transaction, gateway, boot, &mark)? == Fit::Hole {
                    worst = Fit::Hole;
                }
            }
            Ok(worst)
        }
        Replayed::Sealed(sealed) => commit::append(transaction, gateway, boot, &Kept::of(&sealed)),
        Replayed::Lost(seal) => {
            let (incarnation, stream, chain) = (seal.incarnation, seal.stream, seal.chain);
            let (released, stored) = (seal.first, seal.next);
            let mark = LineMark { incarnation, stream, released, stored, chain };
            commit::note_line(transaction, gateway, boot, &mark)
        }
    }
}

/// Seals records at the end of the line that is written to.
fn append_new(
    transaction: &Transaction<'_>,
    gateway: &GatewayId,
    (ordinal, incarnation): (i64, IncarnationId),
    (boot, utc_offset): (BootId, Option<fieldgate_model::UtcMillis>),
    content: Content,
) -> rusqlite::Result<()> {
    let Some(stream) = tail::stream_of(&content) else { return Ok(()) };
    let (stored, before) = transaction.query_row(
        "SELECT stored, stored_chain FROM line WHERE incarnation = ?1 AND stream = ?2",
        params![ordinal, stream.code()],
        |row| Ok((super::file::position(row.get(0)?), Digest(row.get(1)?))),
    )?;
    let sealed: Option<Sealed> =
        fieldgate_ring::seal(incarnation, stored, before, content, boot, utc_offset);
    if let Some(sealed) = sealed {
        commit::append(transaction, gateway, boot, &Kept::of(&sealed))?;
    }
    Ok(())
}

/// The tail as it was kept before there was a ring.
fn old_fragments(
    transaction: &Transaction<'_>,
) -> rusqlite::Result<Vec<(BootId, Option<fieldgate_model::UtcMillis>, Content)>> {
    let mut statement = transaction.prepare("SELECT body FROM fragment ORDER BY sequence")?;
    let bodies: Vec<Vec<u8>> =
        statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    transaction.execute("DELETE FROM fragment", [])?;
    // A fragment that cannot be read is damage within a page; the rest is still good.
    let batches = bodies.iter().filter_map(|body| fieldgate_wire::decode_batch(body).ok());
    Ok(batches.map(|batch| (batch.boot, batch.utc_offset, batch.content)).collect())
}

/// Puts both together, with a ring that is new where the old one is of no use.
fn join(
    options: &BufferOptions,
    file: BufferFile,
    pair: PairId,
    plan: Plan,
    recovery: Option<&Recovery>,
) -> Result<Store, BufferError> {
    let newest = plan.next_sequence - 1;
    let path = options.folder.join(super::RING);
    let kept = recovery.filter(|_| plan.keeps_ring);
    let ring = kept.and_then(|recovery| match RingFile::resume(&path, recovery, newest) {
        Ok(ring) => Some(ring),
        Err(error) => {
            tracing::error!(%error, "the ring cannot be opened, going on without");
            None
        }
    });
    let lines = file.lines().map_err(|source| file.error(source))?;
    Ok(Store {
        ballast: Ballast::open(options.folder.join(super::BALLAST), options.max_bytes),
        current: file.current.1,
        options: options.clone(),
        file: Some(file),
        ring,
        pair,
        newest,
        sealed_through: newest,
        taken_through: newest,
        taken_at: options.clock.now(),
        sealed: std::collections::VecDeque::new(),
        alarms: BTreeMap::new(),
        releases: Vec::new(),
        lines,
        is_announced: true,
        tells_lines: true,
        commits: 0,
        trouble: None,
    })
}
