//! Ring and database together: a flush goes to the ring, and what it sealed to the database in bulk.
//!
//! # Invariants
//!
//! - What is announced is durable: in the ring, or in the database.
//! - Positions and chain are assigned here and nowhere else while the gateway runs.
//! - Without a ring every flush is a commit of the database; without a database the ring takes what
//!   fits it. Only without both does anything wait in memory alone.

use std::collections::{BTreeMap, VecDeque};

use fieldgate_model::{
    AlarmKey, BootId, CatalogueId, Content, Digest, IncarnationId, Millis, Position, Stream,
    UtcMillis,
};
use fieldgate_protocol::uplink::HeldLine;
use fieldgate_ring::{AlarmMark, Entry, Fault, LineMark, PairId, Sealed};
use fieldgate_rules::alarm::StoredAlarm;

use super::BufferOptions;
use super::ballast::Ballast;
use super::commit::Kept;
use super::file::{BufferFile, is_damage, is_full};
use super::ring_file::{AppendError, RingFile};
use super::tail::Tail;

/// Bytes of fragments that one record takes: what fits a message, so that replay reads no more.
const ENTRY_BYTES_MAX: usize = 64 * 1024;
/// What is common to all that one commit writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) boot: BootId,
    pub(super) at: Millis,
    pub(super) utc_offset: Option<UtcMillis>,
    pub(super) catalogue: CatalogueId,
}

/// Why something could not be made durable.
#[derive(Debug)]
pub(super) enum StoreError {
    /// The disk refuses; it may come back.
    Disk(String),
    /// What is there is not what should be there: the store has to be opened anew.
    Fault(Fault),
}

pub(super) struct Store {
    pub(super) options: BufferOptions,
    /// `None` after a failure, until it could be opened again.
    pub(super) file: Option<BufferFile>,
    /// `None` after a failure, until the database has everything and a new one could be made.
    pub(super) ring: Option<RingFile>,
    pub(super) ballast: Ballast,
    pub(super) pair: PairId,
    pub(super) current: IncarnationId,
    /// The number of the newest record, synced or burned.
    pub(super) newest: u64,
    /// Everything through this record is sealed.
    pub(super) sealed_through: u64,
    /// The database has everything through this record.
    pub(super) taken_through: u64,
    pub(super) taken_at: Millis,
    /// Sealed and not in the database, oldest first.
    pub(super) sealed: VecDeque<Kept>,
    pub(super) alarms: BTreeMap<AlarmKey, StoredAlarm>,
    pub(super) releases: Vec<(IncarnationId, Stream, Position)>,
    /// All that is held.
    pub(super) lines: Vec<HeldLine>,
    /// Everything that is sealed is durable, and may be spoken of.
    pub(super) is_announced: bool,
    /// The next record says how the lines stand.
    pub(super) tells_lines: bool,
    pub(super) commits: u64,
    /// What the database says, while it cannot take what the ring holds.
    pub(super) trouble: Option<String>,
}

impl Store {
    /// Makes the tail durable, and seals it if asked. What the ring cannot take is sealed for the
    /// database, and durable once that has taken it: see [`Store::is_announced`].
    pub(super) fn flush(&mut self, tail: &mut Tail, seal: bool, moment: &Moment) {
        let seal = seal || self.ring.as_ref().is_none_or(RingFile::is_half_full);
        // First, as it puts what is new into the order in which a replay finds it.
        let pieces = tail.unflushed(moment.catalogue);
        let sealed = if seal { self.seal(tail, moment) } else { Vec::new() };
        if pieces.is_empty() && sealed.is_empty() && tail.alarms().is_empty() {
            return;
        }
        let entries = self.entries(pieces, &sealed, tail, moment);
        let is_written = entries.into_iter().all(|entry| self.write(&entry, tail));
        self.alarms.extend(tail.alarms().iter().map(|(key, stored)| (key.clone(), *stored)));
        tail.alarms_saved();
        if !is_written {
            let sealed = self.seal(tail, moment);
            self.keep(sealed);
            self.is_announced = false;
            tail.sealed();
        } else if seal {
            self.keep(sealed);
            tail.sealed();
        }
        if tail.is_sealed() {
            self.sealed_through = self.newest;
        }
    }

    /// Writes one record; false if it is not durable.
    fn write(&mut self, entry: &Entry, tail: &mut Tail) -> bool {
        let Some(ring) = &mut self.ring else { return false };
        match ring.append(&entry.encode()) {
            Ok(sequence) => {
                self.newest = sequence;
                self.commits += 1;
                self.tells_lines &= entry.lines.is_none();
                tail.flush(&entry.fragments);
                true
            }
            Err(AppendError::Full) => false,
            Err(AppendError::Io(error)) => {
                tracing::error!(%error, "the ring is given up");
                // Nobody knows what of the record is there: its number is not used again.
                self.newest += 1;
                self.ring = None;
                false
            }
        }
    }

    /// Everything below may be evicted. It is durable with the next commit of the database: losing
    /// it only sends again what the cloud knows.
    pub(super) fn release(&mut self, incarnation: IncarnationId, stream: Stream, before: Position) {
        let name = (incarnation, stream);
        for line in self.lines.iter_mut().filter(|line| (line.incarnation, line.stream) == name) {
            line.released = line.released.max(before.min(line.stored));
        }
        self.releases.retain(|(incarnation, stream, _)| (*incarnation, *stream) != name);
        self.releases.push((incarnation, stream, before));
    }

    /// Goes on in a new incarnation with everything unreleased of this one.
    pub(super) fn rename(
        &mut self,
        incarnation: IncarnationId,
        moment: &Moment,
    ) -> Result<(), StoreError> {
        self.take(&BTreeMap::new(), moment, false)?;
        let Some(file) = &mut self.file else { return Ok(()) };
        if let Err(source) = file.rename(incarnation) {
            return Err(self.fail(&source));
        }
        self.current = file.current.1;
        self.reload_lines()
    }

    pub(super) fn load(
        &mut self,
        incarnation: IncarnationId,
        stream: Stream,
        first: Position,
    ) -> Result<Option<(Vec<u8>, Position)>, StoreError> {
        let is_it = |kept: &&Kept| {
            let seal = kept.seal;
            (seal.incarnation, seal.stream, seal.first) == (incarnation, stream, first)
        };
        if let Some(kept) = self.sealed.iter().find(is_it) {
            return Ok(Some((kept.body.clone(), kept.seal.next)));
        }
        self.read(|file| file.load(incarnation, stream, first)).map(Option::flatten)
    }

    pub(super) fn chain_at(
        &mut self,
        incarnation: IncarnationId,
        stream: Stream,
        at: Position,
    ) -> Result<Option<Digest>, StoreError> {
        let of_line =
            |kept: &&Kept| (kept.seal.incarnation, kept.seal.stream) == (incarnation, stream);
        let here = self.sealed.iter().filter(of_line).find_map(|kept| {
            let before = (kept.seal.first == at).then_some(kept.seal.before);
            before.or((kept.seal.next == at).then_some(kept.seal.chain))
        });
        match here {
            Some(chain) => Ok(Some(chain)),
            None => self.read(|file| file.chain_at(incarnation, stream, at)).map(Option::flatten),
        }
    }

    /// Asks the database; nothing if it cannot be used now.
    pub(super) fn read<T>(
        &mut self,
        query: impl FnOnce(&BufferFile) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let Some(file) = &self.file else { return Ok(None) };
        match query(file) {
            Ok(found) => Ok(Some(found)),
            Err(source) => Err(self.fail(&source)),
        }
    }

    /// Whether files have gone or been exchanged behind our back.
    pub(super) fn check_places(&self) -> Result<(), StoreError> {
        let is_here = self.file.as_ref().is_none_or(BufferFile::is_in_place)
            && self.ring.as_ref().is_none_or(RingFile::is_in_place);
        if is_here { Ok(()) } else { Err(StoreError::Fault(Fault::Missing)) }
    }

    /// Bytes of everything on the disk.
    pub(super) fn bytes(&self) -> Option<u64> {
        let (held, _) = self.file.as_ref()?.size().ok()?;
        let ring = self.ring.as_ref().map_or(0, RingFile::bytes);
        Some(held + ring + self.ballast.bytes())
    }

    /// Seals the tail at the ends of the lines, in memory: nothing counts before it is durable.
    fn seal(&self, tail: &mut Tail, moment: &Moment) -> Vec<Sealed> {
        let mut ends: BTreeMap<Stream, (Position, Digest)> = BTreeMap::new();
        for line in self.lines.iter().filter(|line| line.incarnation == self.current) {
            ends.insert(line.stream, (line.stored, line.chain));
        }
        let mut sealed = Vec::new();
        for content in tail.unsealed(moment.catalogue) {
            let stream = super::tail::stream_of(&content);
            let Some((stored, chain)) = stream.and_then(|stream| ends.get_mut(&stream)) else {
                continue;
            };
            let (boot, utc_offset) = (moment.boot, moment.utc_offset);
            let (first, before) = (*stored, *chain);
            let made = fieldgate_ring::seal(self.current, first, before, content, boot, utc_offset);
            if let Some(made) = made {
                (*stored, *chain) = (made.batch.next, made.batch.chain);
                sealed.push(made);
            }
        }
        sealed
    }

    /// The records that one flush writes; the last one seals.
    fn entries(
        &self,
        pieces: Vec<Content>,
        sealed: &[Sealed],
        tail: &Tail,
        moment: &Moment,
    ) -> Vec<Entry> {
        let Moment { boot, at, utc_offset, catalogue: _ } = *moment;
        let empty = || {
            let (fragments, seals, alarms) = (Vec::new(), Vec::new(), Vec::new());
            Entry { boot, at, utc_offset, fragments, seals, alarms, lines: None }
        };
        let mut entries = vec![empty()];
        let mut bytes = 0;
        for piece in pieces {
            let more = super::tail::bytes_max(&piece);
            if bytes > 0 && bytes + more > ENTRY_BYTES_MAX {
                entries.push(empty());
                bytes = 0;
            }
            bytes += more;
            if let Some(last) = entries.last_mut() {
                last.fragments.push(piece);
            }
        }
        if self.tells_lines
            && let Some(first) = entries.first_mut()
        {
            first.lines = Some(self.marks());
        }
        if let Some(last) = entries.last_mut() {
            last.seals = sealed.iter().map(Sealed::mark).collect();
            last.alarms = tail.alarms().iter().map(alarm_mark).collect();
        }
        entries
    }

    /// How the lines stand.
    pub(super) fn marks(&self) -> Vec<LineMark> {
        let mark = |line: &HeldLine| LineMark {
            incarnation: line.incarnation,
            stream: line.stream,
            released: line.released,
            stored: line.stored,
            chain: line.chain,
        };
        self.lines.iter().map(mark).collect()
    }

    /// What was sealed is durable: it may be announced.
    fn keep(&mut self, sealed: Vec<Sealed>) {
        for sealed in sealed {
            let kept = Kept::of(&sealed);
            let name = (kept.seal.incarnation, kept.seal.stream);
            if let Some(line) =
                self.lines.iter_mut().find(|line| (line.incarnation, line.stream) == name)
            {
                (line.stored, line.chain) = (kept.seal.next, kept.seal.chain);
            }
            self.sealed.push_back(kept);
        }
    }

    pub(super) fn reload_lines(&mut self) -> Result<(), StoreError> {
        if let Some(lines) = self.read(BufferFile::lines)? {
            self.lines = lines;
        }
        Ok(())
    }

    /// Closes the database, and says what kind of failure it is.
    pub(super) fn fail(&mut self, source: &rusqlite::Error) -> StoreError {
        self.file = None;
        if is_full(source) {
            self.ballast.drop_it();
        }
        if is_damage(source) {
            StoreError::Fault(Fault::Damaged)
        } else {
            StoreError::Disk(source.to_string())
        }
    }
}

fn alarm_mark((key, stored): (&AlarmKey, &StoredAlarm)) -> AlarmMark {
    let StoredAlarm { state, occurrence, transition } = *stored;
    AlarmMark { key: key.clone(), state, occurrence, transition }
}
