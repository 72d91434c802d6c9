//! The tail: records that were taken in and are not sealed yet, in memory and pure.
//!
//! # Invariants
//!
//! - Order of arrival is kept within each stream.
//! - What a commit did not make durable stays here and goes with the next one, so a disk that
//!   refuses loses nothing while memory lasts; beyond [`TAIL_MAX`] the oldest samples give way,
//!   counted.

use std::collections::BTreeMap;

use fieldgate_model::{
    AlarmKey, CatalogueId, Content, DeviceName, EventRecord, Millis, OutcomeRecord, Sample, Stream,
};
use fieldgate_rules::alarm::StoredAlarm;
use fieldgate_wire::{
    ENVELOPE_BYTES_MAX, MESSAGE_BYTES_MAX, event_bytes, outcome_bytes, sample_bytes_max,
};

use super::maps::DeviceMap;

/// Samples kept in memory while the disk refuses: some minutes of a busy gateway, about 4 MiB.
const TAIL_MAX: usize = 50_000;
/// Samples of one batch: the smallest count at which the encoding is near its best.
pub(super) const BATCH_SAMPLES_MAX: usize = 1_000;
/// Content of one batch at worst.
const BATCH_BYTES_MAX: usize = MESSAGE_BYTES_MAX - ENVELOPE_BYTES_MAX;

/// What comes in with one call.
#[derive(Debug, Default)]
pub struct Intake {
    /// Samples, in order of arrival.
    pub samples: Vec<Sample>,
    /// Events, in order of arrival.
    pub events: Vec<EventRecord>,
    /// Outcomes, in order of arrival.
    pub outcomes: Vec<OutcomeRecord>,
    /// States of alarms that the events speak of; durable in the same commit.
    pub alarms: BTreeMap<AlarmKey, StoredAlarm>,
    /// What devices have taught about reading them; it can wait, and be lost.
    pub maps: BTreeMap<DeviceName, DeviceMap>,
}

impl Intake {
    /// Whether it waits for the next flush; anything but samples does not.
    pub fn is_urgent(&self) -> bool {
        !self.events.is_empty() || !self.outcomes.is_empty() || !self.alarms.is_empty()
    }
}

/// Records that are not sealed, and how many of them are already durable as fragments.
#[derive(Debug, Default)]
pub(super) struct Tail {
    records: Intake,
    /// How many records of each stream have left the front since the start.
    left: [u64; 3],
    flushed: [usize; 3],
    since: Option<Millis>,
    last_at: Millis,
    dropped: u64,
}

impl Tail {
    pub(super) fn push(&mut self, intake: Intake, now: Millis) {
        self.since.get_or_insert(now);
        self.last_at = self.last_at.max(now);
        self.records.samples.extend(intake.samples);
        self.records.events.extend(intake.events);
        self.records.outcomes.extend(intake.outcomes);
        self.records.alarms.extend(intake.alarms);
        self.records.maps.extend(intake.maps);
        let excess = self.records.samples.len().saturating_sub(TAIL_MAX);
        if excess > 0 {
            self.records.samples.drain(..excess);
            self.left[2] += excess as u64;
            self.flushed[2] = self.flushed[2].saturating_sub(excess);
            self.dropped += excess as u64;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let Intake { samples, events, outcomes, alarms, maps } = &self.records;
        let is_bare = samples.is_empty() && events.is_empty() && outcomes.is_empty();
        is_bare && alarms.is_empty() && maps.is_empty()
    }

    pub(super) fn samples(&self) -> usize {
        self.records.samples.len()
    }

    /// Samples that gave way because neither disk nor memory had room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How long the oldest record has waited.
    pub(super) fn age(&self, now: Millis) -> Millis {
        self.since.map_or(Millis(0), |since| now.since(since))
    }

    /// When the youngest record came in.
    pub(super) fn last_at(&self) -> Millis {
        self.last_at
    }

    pub(super) fn alarms(&self) -> &BTreeMap<AlarmKey, StoredAlarm> {
        &self.records.alarms
    }

    /// What is not durable yet, cut into pieces that fit a batch.
    pub(super) fn unflushed(&self, catalogue: CatalogueId) -> Vec<Content> {
        let [outcomes, events, samples] = self.flushed;
        let Intake { samples: s, events: e, outcomes: o, .. } = &self.records;
        pieces(&o[outcomes..], &e[events..], &s[samples..], catalogue)
    }

    /// Everything, cut into batches.
    pub(super) fn unsealed(&self, catalogue: CatalogueId) -> Vec<Content> {
        let Intake { samples, events, outcomes, .. } = &self.records;
        pieces(outcomes, events, samples, catalogue)
    }

    /// Everything here is durable as fragments.
    pub(super) fn flushed(&mut self) {
        let Intake { samples, events, outcomes, .. } = &self.records;
        self.flushed = [outcomes.len(), events.len(), samples.len()];
    }

    /// What devices have taught.
    pub(super) fn maps(&self) -> &BTreeMap<DeviceName, DeviceMap> {
        &self.records.maps
    }

    /// The states of alarms and the maps of devices here are durable.
    pub(super) fn states_saved(&mut self) {
        self.records.alarms.clear();
        self.records.maps.clear();
    }

    /// Where the tail ends at this moment, counted from the start.
    pub(super) fn end(&self) -> TailEnd {
        let Intake { samples, events, outcomes, .. } = &self.records;
        let lengths = [outcomes.len(), events.len(), samples.len()];
        TailEnd([0, 1, 2].map(|stream| self.left[stream] + lengths[stream] as u64))
    }

    /// Everything up to `end` is sealed; what came in after it is neither sealed nor flushed.
    pub(super) fn sealed(&mut self, end: TailEnd) {
        let ready = [0, 1, 2].map(|stream| end.0[stream].saturating_sub(self.left[stream]));
        let Intake { samples, events, outcomes, .. } = &mut self.records;
        let gone = [
            drop_front(outcomes, ready[0]),
            drop_front(events, ready[1]),
            drop_front(samples, ready[2]),
        ];
        self.left = [0, 1, 2].map(|stream| self.left[stream] + gone[stream]);
        self.flushed = [0; 3];
        if self.records.samples.is_empty() {
            self.since = None;
        }
    }
}

/// A place in the tail that stays the same whatever leaves its front meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TailEnd([u64; 3]);

fn drop_front<T>(records: &mut Vec<T>, count: u64) -> u64 {
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(records.len());
    records.drain(..count);
    count as u64
}

/// The stream that a content belongs to; a gap says itself which.
pub(super) fn stream_of(content: &Content) -> Option<Stream> {
    match content {
        Content::Samples { .. } => Some(Stream::Samples),
        Content::Events(_) => Some(Stream::Events),
        Content::Outcomes(_) => Some(Stream::Outcomes),
        Content::Gap(_) => None,
    }
}

/// Number of records, and times of the earliest and the latest.
pub(super) fn span(content: &Content) -> (u64, Millis, Millis) {
    fn of(times: impl Iterator<Item = Millis> + Clone) -> (u64, Millis, Millis) {
        let (first, last) = (times.clone().min(), times.clone().max());
        (times.count() as u64, first.unwrap_or_default(), last.unwrap_or_default())
    }
    match content {
        Content::Samples { samples, .. } => of(samples.iter().map(|sample| sample.at)),
        Content::Events(events) => of(events.iter().map(|record| record.at)),
        Content::Outcomes(outcomes) => of(outcomes.iter().map(|record| record.at)),
        Content::Gap(gap) => (0, gap.from, gap.to),
    }
}

fn pieces(
    outcomes: &[OutcomeRecord],
    events: &[EventRecord],
    samples: &[Sample],
    catalogue: CatalogueId,
) -> Vec<Content> {
    let outcomes = cut(outcomes, outcome_bytes).map(|piece| Content::Outcomes(piece.to_vec()));
    let events = cut(events, event_bytes).map(|piece| Content::Events(piece.to_vec()));
    let samples = cut(samples, sample_bytes_max).map(|piece| {
        let mut samples = piece.to_vec();
        // Stable: samples of one signal stay in the order of arrival.
        samples.sort_by_key(|sample| sample.signal);
        Content::Samples { catalogue, samples }
    });
    outcomes.chain(events).chain(samples).collect()
}

/// Records in pieces that fit a batch, by count and by bytes; a piece has at least one.
fn cut<T>(records: &[T], bytes: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    let mut rest = records;
    std::iter::from_fn(move || {
        let mut left = BATCH_BYTES_MAX;
        let fits = |record: &&T| {
            let enough = bytes(record) <= left;
            left = left.saturating_sub(bytes(record));
            enough
        };
        let count = rest.iter().take(BATCH_SAMPLES_MAX).take_while(fits).count().max(1);
        let (piece, after) = rest.split_at_checked(count)?;
        rest = after;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use fieldgate_model::{Quality, SignalIndex, Value};

    use super::*;

    const CATALOGUE: CatalogueId = CatalogueId([7; 32]);

    fn sample(signal: u32, at: u64) -> Sample {
        let value = Some(Value::Unsigned(at));
        Sample { signal: SignalIndex(signal), at: Millis(at), value, quality: Quality::Good }
    }

    fn intake(samples: Vec<Sample>) -> Intake {
        Intake { samples, ..Intake::default() }
    }

    #[test]
    fn a_flush_holds_only_what_no_flush_held_before_and_a_seal_holds_all() {
        let mut tail = Tail::default();
        tail.push(intake(vec![sample(1, 10)]), Millis(10));
        tail.flushed();
        tail.push(intake(vec![sample(1, 20)]), Millis(20));
        let of = |samples| vec![Content::Samples { catalogue: CATALOGUE, samples }];
        assert_eq!(tail.unflushed(CATALOGUE), of(vec![sample(1, 20)]));
        assert_eq!(tail.unsealed(CATALOGUE), of(vec![sample(1, 10), sample(1, 20)]));
        assert_eq!(tail.age(Millis(25)), Millis(15));
    }

    #[test]
    fn a_batch_is_ordered_by_signal_and_within_a_signal_by_arrival() {
        let mut tail = Tail::default();
        tail.push(intake(vec![sample(2, 9), sample(1, 9), sample(2, 8)]), Millis(10));
        let contents = tail.unsealed(CATALOGUE);
        let samples = vec![sample(1, 9), sample(2, 9), sample(2, 8)];
        assert_eq!(contents, [Content::Samples { catalogue: CATALOGUE, samples }]);
    }

    #[test]
    fn long_texts_make_smaller_batches() {
        let text = |at| Sample { value: Some(Value::Text("x".repeat(4_000))), ..sample(1, at) };
        let mut tail = Tail::default();
        tail.push(intake((0..30).map(text).collect()), Millis(0));
        let counts: Vec<u64> = tail.unsealed(CATALOGUE).iter().map(|c| span(c).0).collect();
        assert_eq!(counts, [16, 14]);
    }

    #[test]
    fn what_came_in_after_a_seal_began_stays() {
        let mut tail = Tail::default();
        tail.push(intake(vec![sample(1, 10)]), Millis(10));
        let end = tail.end();
        tail.push(intake((20..60_000).map(|at| sample(1, at)).collect()), Millis(20));
        tail.sealed(end);
        assert_eq!(tail.samples(), 50_000, "the sealed one had left by itself");
        tail.sealed(tail.end());
        assert_eq!(tail.samples(), 0);
    }

    #[test]
    fn while_the_disk_refuses_the_oldest_samples_give_way_and_are_counted() {
        let mut tail = Tail::default();
        tail.push(intake((0..60_000).map(|at| sample(1, at)).collect()), Millis(0));
        assert_eq!((tail.samples(), tail.dropped()), (50_000, 10_000));
    }
}
