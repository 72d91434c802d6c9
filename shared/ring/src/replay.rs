//! From records back to batches, and whether ring and database still belong together.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use fieldgate_model::{
    AlarmKey, Batch, BootId, CatalogueId, Content, Digest, EventRecord, IncarnationId, Millis,
    OutcomeRecord, Position, Sample, Stream, UtcMillis,
};

use crate::block::PairId;
use crate::entry::{AlarmMark, Entry, LineMark, Seal};
use crate::recover::Recovery;

/// A sealed batch and the chain before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sealed {
    /// The batch.
    pub batch: Batch,
    /// The chain at its first position.
    pub before: Digest,
}

/// Why the buffer cannot go on under the name that it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What was written is not there as it was written.
    Damaged,
    /// One of the two is older than the other knows it to be.
    WentBack,
    /// One of the two is gone.
    Missing,
}

/// What a database says that is not new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreView {
    /// Whose it is.
    pub pair: PairId,
    /// It has taken every record through this one.
    pub through: u64,
}

/// What to do with a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Records beyond this one are replayed.
    pub replay_after: u64,
    /// Why a new incarnation is needed.
    pub fault: Option<Fault>,
    /// The ring is written on as it is; otherwise a new one begins with `next_sequence`.
    pub keeps_ring: bool,
    /// Whose ring it is or will be; `None`: of nobody yet.
    pub pair: Option<PairId>,
    /// The number of the next record.
    pub next_sequence: u64,
}

/// Compares what the two know of each other. `ring_was_there`: a file stood in its place.
pub fn plan(store: Option<StoreView>, ring: Option<&Recovery>, ring_was_there: bool) -> Plan {
    let gone = if ring_was_there { Fault::Damaged } else { Fault::Missing };
    match (store, ring) {
        (None, None) => Plan {
            replay_after: 0,
            fault: ring_was_there.then_some(Fault::Damaged),
            keeps_ring: false,
            pair: None,
            next_sequence: 1,
        },
        (None, Some(ring)) => Plan {
            replay_after: 0,
            fault: Some(Fault::Missing),
            keeps_ring: true,
            pair: Some(ring.pair),
            next_sequence: ring.newest() + 1,
        },
        (Some(StoreView { pair, through }), None) => Plan {
            replay_after: through,
            fault: Some(gone),
            keeps_ring: false,
            pair: Some(pair),
            next_sequence: through + 1,
        },
        (Some(StoreView { pair, through }), Some(ring)) if pair != ring.pair => Plan {
            // It has no record of ours, and what it has may be nowhere else.
            replay_after: 0,
            fault: Some(Fault::WentBack),
            keeps_ring: false,
            pair: Some(pair),
            next_sequence: through.max(ring.newest()) + 1,
        },
        (Some(StoreView { pair, through }), Some(ring)) => {
            let is_behind = ring.newest() < through;
            let has_hole = through + 1 < ring.oldest();
            let went_back = (is_behind || has_hole).then_some(Fault::WentBack);
            Plan {
                replay_after: through,
                fault: ring.is_torn.then_some(Fault::Damaged).or(went_back),
                keeps_ring: !is_behind && !ring.is_torn,
                pair: Some(pair),
                next_sequence: through.max(ring.newest()) + 1,
            }
        }
    }
}

/// What an entry amounts to, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Replayed {
    /// So stood the lines when everything before was taken.
    Lines(Vec<LineMark>),
    /// A batch, as it was sealed.
    Sealed(Sealed),
    /// A batch was sealed, and what was flushed for it is gone.
    Lost(Seal),
}

/// Goes through entries, oldest first.
#[derive(Debug, Default)]
pub struct Replay {
    outcomes: Vec<OutcomeRecord>,
    events: Vec<EventRecord>,
    samples: Vec<(CatalogueId, Sample)>,
    alarm_by_key: BTreeMap<AlarmKey, AlarmMark>,
    last: Option<(BootId, Millis, Option<UtcMillis>)>,
}

impl Replay {
    /// The next entry.
    pub fn entry(&mut self, entry: Entry) -> Vec<Replayed> {
        let mut replayed = Vec::new();
        if let Some(lines) = entry.lines {
            self.forget();
            replayed.push(Replayed::Lines(lines));
        }
        for content in entry.fragments {
            self.take(content);
        }
        self.last = Some((entry.boot, entry.at, entry.utc_offset));
        for mark in entry.alarms {
            self.alarm_by_key.insert(mark.key.clone(), mark);
        }
        if entry.seals.is_empty() {
            return replayed;
        }
        for seal in entry.seals {
            let sealed = self.content(seal).and_then(|content| {
                let (boot, utc_offset) = (entry.boot, entry.utc_offset);
                let sealed = self::seal(
                    seal.incarnation,
                    seal.first,
                    seal.before,
                    content,
                    boot,
                    utc_offset,
                )?;
                (sealed.batch.chain == seal.chain && sealed.batch.next == seal.next)
                    .then_some(sealed)
            });
            replayed.push(sealed.map_or(Replayed::Lost(seal), Replayed::Sealed));
        }
        self.forget();
        replayed
    }

    /// What is flushed and not sealed: contents of one stream and catalogue each, in order.
    pub fn unsealed(&self) -> Vec<Content> {
        let mut contents = Vec::new();
        if !self.outcomes.is_empty() {
            contents.push(Content::Outcomes(self.outcomes.clone()));
        }
        if !self.events.is_empty() {
            contents.push(Content::Events(self.events.clone()));
        }
        for run in self.samples.chunk_by(|(one, _), (other, _)| one == other) {
            let samples = run.iter().map(|(_, sample)| sample.clone()).collect();
            if let Some((catalogue, _)) = run.first() {
                contents.push(Content::Samples { catalogue: *catalogue, samples });
            }
        }
        contents
    }

    /// The states of alarms that the entries told.
    pub fn alarms(&self) -> impl Iterator<Item = &AlarmMark> {
        self.alarm_by_key.values()
    }

    /// Boot, time and UTC offset of the last entry.
    pub fn last(&self) -> Option<(BootId, Millis, Option<UtcMillis>)> {
        self.last
    }

    fn take(&mut self, content: Content) {
        match content {
            Content::Outcomes(records) => self.outcomes.extend(records),
            Content::Events(records) => self.events.extend(records),
            Content::Samples { catalogue, samples } => {
                self.samples.extend(samples.into_iter().map(|sample| (catalogue, sample)));
            }
            Content::Gap(_) => {}
        }
    }

    /// The records that a seal covers, from the front of what waits.
    fn content(&mut self, seal: Seal) -> Option<Content> {
        let count = usize::try_from(seal.next.0.checked_sub(seal.first.0)?).ok()?;
        match seal.stream {
            Stream::Outcomes => (count <= self.outcomes.len())
                .then(|| Content::Outcomes(self.outcomes.drain(..count).collect())),
            Stream::Events => (count <= self.events.len())
                .then(|| Content::Events(self.events.drain(..count).collect())),
            Stream::Samples => {
                let (catalogue, _) =
                    *self.samples.first().filter(|_| count <= self.samples.len())?;
                let samples = self.samples.drain(..count).map(|(_, sample)| sample).collect();
                Some(Content::Samples { catalogue, samples })
            }
        }
    }

    fn forget(&mut self) {
        self.outcomes.clear();
        self.events.clear();
        self.samples.clear();
    }
}

/// Makes a batch of records at the end of a line, ordering samples by signal; `None` of nothing.
pub fn seal(
    incarnation: IncarnationId,
    first: Position,
    before: Digest,
    mut content: Content,
    boot: BootId,
    utc_offset: Option<UtcMillis>,
) -> Option<Sealed> {
    let (stream, count) = match &mut content {
        Content::Samples { samples, .. } => {
            // Stable: samples of one signal stay in the order of arrival.
            samples.sort_by_key(|sample| sample.signal);
            (Stream::Samples, samples.len())
        }
        Content::Events(records) => (Stream::Events, records.len()),
        Content::Outcomes(records) => (Stream::Outcomes, records.len()),
        Content::Gap(_) => return None,
    };
    if count == 0 {
        return None;
    }
    let next = Position(first.0.checked_add(count as u64)?);
    let mut batch =
        Batch { incarnation, stream, first, next, chain: before, boot, utc_offset, content };
    batch.chain = fieldgate_wire::link(before, fieldgate_wire::leaf(&batch));
    Some(Sealed { batch, before })
}

impl Sealed {
    /// How the ring remembers it.
    pub fn mark(&self) -> Seal {
        let Batch { incarnation, stream, first, next, chain, .. } = self.batch;
        Seal { incarnation, stream, first, next, before: self.before, chain }
    }
}
