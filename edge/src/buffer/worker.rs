//! The buffer's thread: takes requests, decides when to commit, and keeps going when the disk
//! does not.

use std::path::PathBuf;

use fieldgate_model::{
    CatalogueId, Digest, Event, EventRecord, IncarnationId, Millis, Position, Stream,
};
use fieldgate_protocol::uplink::HeldLine;
use tokio::sync::{mpsc, oneshot, watch};

use super::file::BufferFile;
use super::seal::Commit;
use super::tail::{BATCH_SAMPLES_MAX, Intake, Tail, TailEnd};
use super::{BufferError, BufferOptions, BufferStats, Recovered};

/// The file's name in its folder.
pub(super) const FILE: &str = "buffer.db";

/// What the thread can be asked.
#[derive(Debug)]
pub(super) enum Request {
    Append {
        intake: Intake,
        durable: Option<oneshot::Sender<()>>,
    },
    Tick,
    Load {
        incarnation: IncarnationId,
        stream: Stream,
        first: Position,
        reply: oneshot::Sender<Option<(Vec<u8>, Position)>>,
    },
    ChainAt {
        incarnation: IncarnationId,
        stream: Stream,
        at: Position,
        reply: oneshot::Sender<Option<Digest>>,
    },
    LostSpan {
        incarnation: IncarnationId,
        stream: Stream,
        reply: oneshot::Sender<(Millis, Millis)>,
    },
    Catalogue {
        id: CatalogueId,
        reply: oneshot::Sender<Option<Vec<u8>>>,
    },
    Release {
        incarnation: IncarnationId,
        stream: Stream,
        before: Position,
    },
    Reincarnate {
        incarnation: IncarnationId,
        reply: oneshot::Sender<()>,
    },
    Stop {
        reply: oneshot::Sender<()>,
    },
}

pub(super) struct Worker {
    options: BufferOptions,
    /// `None` after a failure, until the file could be opened again.
    file: Option<BufferFile>,
    catalogue: CatalogueId,
    tail: Tail,
    /// A commit failed, which does not mean that it did not happen.
    unsure: Option<Unsure>,
    /// The file may hold fragments of what is in the tail as not flushed.
    doubtful: bool,
    releases: Vec<(IncarnationId, Stream, Position)>,
    /// Who waits for the next commit.
    waiting: Vec<oneshot::Sender<()>>,
    lines: watch::Sender<Vec<HeldLine>>,
    stats: watch::Sender<BufferStats>,
}

/// A commit of which nobody knows whether it happened.
#[derive(Debug, Clone, Copy)]
struct Unsure {
    seal: bool,
    /// What of the tail it covered.
    end: TailEnd,
    /// What was sealed before it.
    before: u64,
}

impl Worker {
    pub(super) fn open(options: BufferOptions) -> Result<(Self, Recovered), BufferError> {
        let (mut file, set_aside) = BufferFile::open(&path(&options), &options.gateway)?;
        let recovered = Recovered {
            alarms: file.alarms().map_err(|source| file.error(source))?,
            maps: file.maps(&options.catalogue).map_err(|source| file.error(source))?,
            has_run: false,
            unclean: false,
            set_aside,
        };
        let last = file.last_run().map_err(|source| file.error(source))?;
        file.seal_fragments().map_err(|source| file.error(source))?;
        let catalogue =
            file.save_catalogue(&options.catalogue).map_err(|source| file.error(source))?;
        let mut worker = Self {
            catalogue,
            file: Some(file),
            tail: Tail::default(),
            unsure: None,
            doubtful: false,
            releases: Vec::new(),
            waiting: Vec::new(),
            lines: watch::Sender::new(Vec::new()),
            stats: watch::Sender::new(BufferStats::default()),
            options,
        };
        let unclean = last.is_some_and(|last| !last.clean);
        if let Some(last) = last.filter(|last| !last.clean) {
            let same_boot = last.boot == worker.options.boot;
            worker.note_restart(same_boot.then_some(last.last_durable));
        }
        worker.commit(true, false);
        Ok((worker, Recovered { has_run: last.is_some(), unclean, ..recovered }))
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
                // Closed before the answer: whoever stops the buffer may then touch the file.
                drop(self.file.take());
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
                answer(reply, self.read(|file| file.load(incarnation, stream, first)).flatten());
            }
            Request::ChainAt { incarnation, stream, at, reply } => {
                answer(reply, self.read(|file| file.chain_at(incarnation, stream, at)).flatten());
            }
            Request::LostSpan { incarnation, stream, reply } => {
                let span = self.read(|file| file.lost_span(incarnation, stream));
                answer(reply, span.unwrap_or_default());
            }
            Request::Catalogue { id, reply } => {
                answer(reply, self.read(|file| file.catalogue(id)).flatten());
            }
            Request::Release { incarnation, stream, before } => {
                self.releases.push((incarnation, stream, before));
            }
            Request::Reincarnate { incarnation, reply } => {
                if let Some(file) = &mut self.file
                    && let Err(source) = file.reincarnate(incarnation)
                {
                    self.fail(&source);
                }
                self.publish();
                answer(reply, ());
            }
            Request::Stop { .. } => unreachable!("the loop ends with it"),
        }
    }

    fn tick(&mut self) {
        if self.tail.is_empty() && self.releases.is_empty() && self.file.is_some() {
            return;
        }
        let seal = self.tail.age(self.options.clock.now()) >= self.options.seal_after;
        self.commit(seal, false);
    }

    fn commit(&mut self, seal: bool, clean: bool) {
        if self.file.is_none() {
            match BufferFile::open(&path(&self.options), &self.options.gateway) {
                Ok((file, _)) => self.file = Some(file),
                Err(error) => return self.note_failure(crate::telemetry::chain(&error)),
            }
            self.settle();
        }
        // What a doubtful flush has left as fragments goes with the seal that holds it too.
        let seal = seal || std::mem::take(&mut self.doubtful);
        let end = self.tail.end();
        let before = self.sealed();
        let Some(file) = &mut self.file else { return };
        let clock = self.options.clock;
        let now = clock.now();
        let commit = Commit {
            tail: &self.tail,
            catalogue: self.catalogue,
            boot: self.options.boot,
            utc_offset: self.options.time.borrow().offset,
            seal,
            releases: &self.releases,
            max_bytes: self.options.max_bytes,
            clean,
            now: self.tail.last_at().max(now),
        };
        if let Err(source) = file.commit(&commit) {
            self.unsure = Some(Unsure { seal, end, before });
            return self.fail(&source);
        }
        if seal {
            self.tail.sealed(end);
        } else {
            self.tail.flushed();
        }
        self.tail.states_saved();
        self.releases.clear();
        self.stats.send_modify(|stats| {
            stats.commits += 1;
            stats.failing = None;
        });
        self.publish();
        // Last, so that who waited finds the lines as they are.
        for waiter in self.waiting.drain(..) {
            answer(waiter, ());
        }
    }

    /// Finds out whether a commit that failed had happened all the same: a seal shows by lines that
    /// have grown, and sealing its records again would double them; a flush does not show, so its
    /// fragments are replaced by a seal of everything.
    fn settle(&mut self) {
        let Some(unsure) = self.unsure.take() else { return };
        self.doubtful = true;
        if unsure.seal && unsure.before < self.sealed() {
            self.tail.sealed(unsure.end);
        }
    }

    /// How many records are sealed in the incarnation that is written to.
    fn sealed(&mut self) -> u64 {
        self.read(BufferFile::sealed).unwrap_or_default()
    }

    /// Tells the others what is held and how big it is.
    fn publish(&mut self) {
        if let Some(lines) = self.read(BufferFile::lines) {
            self.lines.send_if_modified(|held| {
                let changed = *held != lines;
                *held = lines;
                changed
            });
        }
        let size = self.read(BufferFile::size);
        self.stats.send_modify(|stats| {
            if let Some((bytes, _, batches)) = size {
                (stats.bytes, stats.batches) = (bytes, batches);
            }
            stats.max_bytes = self.options.max_bytes;
            stats.tail = self.tail.samples() as u64;
            stats.dropped = self.tail.dropped();
        });
    }

    fn read<T>(&mut self, query: impl FnOnce(&BufferFile) -> rusqlite::Result<T>) -> Option<T> {
        match query(self.file.as_ref()?) {
            Ok(found) => Some(found),
            Err(source) => {
                self.fail(&source);
                None
            }
        }
    }

    /// What fsync has refused once may be lost although a second fsync succeeds: the file is
    /// closed, and opened again by the next commit, which brings everything from memory.
    fn fail(&mut self, source: &rusqlite::Error) {
        self.file = None;
        self.note_failure(source.to_string());
    }

    fn note_failure(&self, what: String) {
        tracing::error!(what, "the buffer's disk refuses, samples stay in memory");
        self.stats.send_modify(|stats| stats.failing = Some(what));
    }

    fn note_restart(&mut self, last_durable: Option<Millis>) {
        let at = self.options.clock.now();
        let event = EventRecord { at, event: Event::Restart { last_durable } };
        self.tail.push(Intake { events: vec![event], ..Intake::default() }, at);
    }
}

fn path(options: &BufferOptions) -> PathBuf {
    options.folder.join(FILE)
}

/// Whoever asked may have given up waiting.
fn answer<T>(reply: oneshot::Sender<T>, with: T) {
    drop(reply.send(with));
}
