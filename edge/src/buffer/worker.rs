//! The buffer's thread: takes requests, decides when to commit, and keeps going when the disk
//! does not.

use std::fs::{File, TryLockError};

use fieldgate_model::{CatalogueId, Event, EventRecord, Gap, GapReason, Millis, ResetCause};
use fieldgate_protocol::uplink::HeldLine;
use fieldgate_ring::Fault;
use tokio::sync::{mpsc, oneshot, watch};

use super::file::LastRun;
use super::request::Request;
use super::ring_file::RingFile;
use super::start::{self, Found};
use super::store::{Moment, Store, StoreError};
use super::tail::{BATCH_SAMPLES_MAX, Intake, Tail};
use super::{BufferError, BufferOptions, BufferStats, Recovered};

/// How often the files are looked for in their places.
const LOOK_EVERY: Millis = Millis::from_secs(20);
/// Batches that are verified with one tick, while there is nothing better to do: a million in a day
/// at a tick a second, and a millisecond or two each time.
const VERIFIED_AT_ONCE: u32 = 12;

pub(super) struct Worker {
    options: BufferOptions,
    /// `None` while the files cannot be opened.
    store: Option<Store>,
    /// The folder is ours as long as this is open.
    _lock: File,
    catalogue: CatalogueId,
    tail: Tail,
    /// Who waits for the next commit.
    waiting: Vec<oneshot::Sender<()>>,
    looked_at: Millis,
    /// The batch that was verified last; `None` once all were.
    verified: Option<i64>,
    lines: watch::Sender<Vec<HeldLine>>,
    stats: watch::Sender<BufferStats>,
}

impl Worker {
    pub(super) fn open(options: BufferOptions) -> Result<(Self, Recovered), BufferError> {
        let lock = lock(&options)?;
        let mut worker = Self {
            catalogue: fieldgate_wire::catalogue_id(&options.catalogue),
            store: None,
            _lock: lock,
            tail: Tail::default(),
            waiting: Vec::new(),
            looked_at: options.clock.now(),
            verified: Some(0),
            lines: watch::Sender::new(Vec::new()),
            stats: watch::Sender::new(BufferStats::default()),
            options,
        };
        let mut recovered = Recovered {
            alarms: Vec::new(),
            maps: std::collections::BTreeMap::new(),
            has_run: false,
            unclean: false,
            reset: None,
            set_aside: None,
        };
        match start::open(&worker.options, None) {
            Ok((store, found)) => {
                worker.store = Some(store);
                let Found { alarms, maps, last, reset, set_aside } = found;
                recovered = Recovered {
                    alarms: alarms.into_iter().collect(),
                    maps,
                    has_run: last.is_some(),
                    unclean: last.is_some_and(|last| !last.clean),
                    reset,
                    set_aside,
                };
                worker.note_start(last, reset);
            }
            Err(error) if error.is_refusal() => return Err(error),
            // Nobody polls better for a daemon that does not start: what comes in waits in memory.
            Err(error) => worker.note_failure(crate::telemetry::chain(&error)),
        }
        worker.commit(true, false);
        Ok((worker, recovered))
    }

    pub(super) fn lines(&self) -> watch::Receiver<Vec<HeldLine>> {
        self.lines.subscribe()
    }

    pub(super) fn stats(&self) -> watch::Receiver<BufferStats> {
        self.stats.subscribe()
    }

    pub(super) fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        while let Some(request) = inbox.blocking_recv() {
            if let Request::Stop { reply } = request {
                self.commit(true, true);
                // Closed before the answer: whoever stops the buffer may then touch the files.
                drop(self.store.take());
                drop(self);
                answer(reply, ());
                return;
            }
            self.serve(request);
        }
        self.commit(true, true);
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Append { intake, durable } => {
                let urgent = intake.is_urgent();
                self.tail.push(intake, self.options.clock.now());
                self.waiting.extend(durable);
                if urgent || !self.waiting.is_empty() || self.tail.samples() >= BATCH_SAMPLES_MAX {
                    self.commit(true, false);
                }
            }
            Request::Tick => self.tick(),
            Request::Load { incarnation, stream, first, reply } => {
                answer(reply, self.ask(|store| store.load(incarnation, stream, first)).flatten());
            }
            Request::ChainAt { incarnation, stream, at, reply } => {
                answer(reply, self.ask(|store| store.chain_at(incarnation, stream, at)).flatten());
            }
            Request::Lost { incarnation, stream, reply } => {
                let lost = self.ask(|store| store.read(|file| file.lost(incarnation, stream)));
                let (reason, at) = (GapReason::Damaged, Millis(0));
                let nothing = Gap { reason, from: at, to: at, summary: None };
                answer(reply, lost.flatten().flatten().unwrap_or(nothing));
            }
            Request::Catalogue { id, reply } => {
                answer(
                    reply,
                    self.ask(|store| store.read(|file| file.catalogue(id))).flatten().flatten(),
                );
            }
            Request::Release { incarnation, stream, before } => {
                if let Some(store) = &mut self.store {
                    store.release(incarnation, stream, before);
                }
            }
            Request::Reincarnate { incarnation, reply } => {
                let moment = self.moment();
                self.ask(|store| store.rename(incarnation, &moment));
                self.publish();
                answer(reply, ());
            }
            Request::Stop { .. } => unreachable!("the loop ends with it"),
        }
    }

    fn tick(&mut self) {
        let now = self.options.clock.now();
        if LOOK_EVERY <= now.since(self.looked_at) {
            self.looked_at = now;
            self.ask(|store| {
                store.ballast.restore();
                store.check_places()
            });
        }
        if !self.tail.is_empty() || self.store.as_ref().is_none_or(|store| store.is_due(now)) {
            let seal = self.tail.age(now) >= self.options.seal_after;
            self.commit(seal, false);
        } else if let Some(verified) = self.verified {
            let next =
                self.ask(|store| store.read(|file| file.verify_some(verified, VERIFIED_AT_ONCE)));
            self.verified = next.flatten().flatten();
        }
    }

    fn commit(&mut self, seal: bool, clean: bool) {
        // Files that had to be opened anew take at once what the old ones could not.
        if self.try_commit(seal, clean) || self.store.is_some() && self.try_commit(seal, clean) {
            self.publish();
            // Last, so that who waited finds the lines as they are.
            for waiter in self.waiting.drain(..) {
                answer(waiter, ());
            }
        }
    }

    fn try_commit(&mut self, seal: bool, clean: bool) -> bool {
        if self.store.is_none() {
            match start::open(&self.options, None) {
                Ok((store, found)) => self.resume(store, &found),
                Err(error) => {
                    self.note_failure(crate::telemetry::chain(&error));
                    return false;
                }
            }
        }
        let moment = self.moment();
        let Some(store) = &mut self.store else { return false };
        match flush_and_take(store, &mut self.tail, seal, clean, &moment) {
            Ok(()) => {
                let trouble = store.trouble.clone();
                self.stats.send_modify(|stats| stats.failing = trouble);
                true
            }
            Err(error) => {
                self.fail(error);
                false
            }
        }
    }

    fn moment(&self) -> Moment {
        let clock = self.options.clock;
        let now = clock.now();
        Moment {
            boot: self.options.boot,
            at: self.tail.last_at().max(now),
            utc_offset: self.options.time.borrow().offset,
            catalogue: self.catalogue,
        }
    }

    /// Asks the store; nothing if it cannot answer now.
    fn ask<T>(&mut self, ask: impl FnOnce(&mut Store) -> Result<T, StoreError>) -> Option<T> {
        match ask(self.store.as_mut()?) {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    fn fail(&mut self, error: StoreError) {
        match error {
            StoreError::Disk(what) => self.note_failure(what),
            StoreError::Fault(fault) => self.reset(fault),
        }
    }

    /// Opens everything anew, as after a crash, with what memory still has.
    fn reset(&mut self, fault: Fault) {
        let Some(mut old) = self.store.take() else { return };
        let kept: Vec<_> = old.sealed.drain(..).collect();
        if old.ring.as_ref().is_some_and(RingFile::is_in_place) {
            // The start seals what it finds in the ring.
            self.tail.forget_flushed();
        } else {
            self.tail.unflush();
        }
        drop(old);
        match start::open(&self.options, Some(fault)) {
            Ok((store, found)) => {
                self.resume(store, &found);
                let boot = self.options.boot;
                self.ask(|store| store.adopt(&kept, boot));
            }
            Err(error) => self.note_failure(crate::telemetry::chain(&error)),
        }
    }

    /// Goes on with files that were opened while the gateway runs.
    fn resume(&mut self, store: Store, found: &Found) {
        self.store = Some(store);
        self.verified = Some(0);
        if let Some(aside) = &found.set_aside {
            tracing::error!(file = %aside.display(), "the buffer was damaged and is set aside");
        }
        if let Some(cause) = found.reset {
            self.note(Event::Reset { cause });
        }
    }

    /// Tells the others what is held and how big it is.
    fn publish(&mut self) {
        if let Some(store) = self.store.as_ref().filter(|store| store.is_announced) {
            self.lines.send_if_modified(|held| {
                let changed = *held != store.lines;
                held.clone_from(&store.lines);
                changed
            });
        }
        let bytes = self.store.as_ref().and_then(Store::bytes);
        let batches = self.ask(|store| store.read(super::file::BufferFile::batches)).flatten();
        let store = self.store.as_ref();
        let waiting = store.map_or(0, |store| store.sealed.len() as u64);
        self.stats.send_modify(|stats| {
            stats.bytes = bytes.unwrap_or(stats.bytes);
            if let Some(batches) = batches {
                stats.batches = batches + waiting;
            }
            stats.commits = store.map_or(stats.commits, |store| store.commits);
            stats.max_bytes = self.options.max_bytes;
            stats.tail = self.tail.samples() as u64;
            stats.dropped = self.tail.dropped();
        });
    }

    fn note_failure(&self, what: String) {
        tracing::error!(what, "the buffer's disk refuses, samples stay in memory");
        self.stats.send_modify(|stats| stats.failing = Some(what));
    }

    /// Declares what the last run may have lost, and under which name this one goes on.
    fn note_start(&mut self, last: Option<LastRun>, reset: Option<ResetCause>) {
        if let Some(last) = last.filter(|last| !last.clean || reset.is_some()) {
            let same_boot = last.boot == self.options.boot;
            self.note(Event::Restart { last_durable: same_boot.then_some(last.last_durable) });
        }
        if let Some(cause) = reset {
            self.note(Event::Reset { cause });
        }
    }

    fn note(&mut self, event: Event) {
        let at = self.options.clock.now();
        let events = vec![EventRecord { at, event }];
        self.tail.push(Intake { events, ..Intake::default() }, at);
    }
}

/// Makes the tail durable, and has the database take what is due.
fn flush_and_take(
    store: &mut Store,
    tail: &mut Tail,
    seal: bool,
    clean: bool,
    moment: &Moment,
) -> Result<(), StoreError> {
    // While neither ring nor database take anything, memory keeps the tail and no more.
    if !store.is_announced {
        store.take(tail.maps(), moment, false)?;
    }
    store.flush(tail, seal, moment);
    if clean || !tail.maps().is_empty() || store.is_due(moment.at) {
        let taken = store.take(tail.maps(), moment, clean);
        match taken {
            Ok(()) => tail.maps_saved(),
            // What is in the ring is durable whatever the database says.
            Err(StoreError::Disk(what)) if store.is_announced => {
                tracing::warn!(what, "the database cannot take what the ring holds");
                store.trouble = Some(what);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Takes the folder for this process. The lock goes with the process, however that ends.
fn lock(options: &BufferOptions) -> Result<File, BufferError> {
    let path = options.folder.join(super::LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| BufferError::Lock { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BufferError::InUse { path: options.folder.clone() }),
        Err(TryLockError::Error(source)) => Err(BufferError::Lock { path, source }),
    }
}

/// Whoever asked may have given up waiting.
fn answer<T>(reply: oneshot::Sender<T>, with: T) {
    drop(reply.send(with));
}
