//! The tail: records that were taken in and are not sealed yet, in memory and pure.
//!
//! # Invariants
//!
//! - Order of arrival is kept within each stream, and within each signal; what one flush takes is put
//!   in the order of signals, which is how a replay finds it.
//! - What a flush did not make durable stays here and goes with the next one, so a disk that refuses
//!   loses nothing while memory lasts; beyond [`TAIL_MAX`] the oldest samples give way, counted.

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
    /// Adds what came in later; gives how many of the oldest samples had to go for it.
    pub fn extend(&mut self, later: Self) -> u64 {
        self.samples.extend(later.samples);
        self.events.extend(later.events);
        self.outcomes.extend(later.outcomes);
        self.alarms.extend(later.alarms);
        self.maps.extend(later.maps);
        let excess = self.samples.len().saturating_sub(TAIL_MAX);
        self.samples.drain(..excess);
        excess as u64
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        let Self { samples, events, outcomes, alarms, maps } = self;
        let is_bare = samples.is_empty() && events.is_empty() && outcomes.is_empty();
        is_bare && alarms.is_empty() && maps.is_empty()
    }

    /// Whether it waits for the next flush; anything but samples does not.
    pub fn is_urgent(&self) -> bool {
        !self.events.is_empty() || !self.outcomes.is_empty() || !self.alarms.is_empty()
    }
}

/// Records that are not sealed, and how many of them are already durable as fragments.
#[derive(Debug, Default)]
pub(super) struct Tail {
    records: Intake,
    flushed: [usize; 3],
    since: Option<Millis>,
    last_at: Millis,
    dropped: u64,
}

impl Tail {
    pub(super) fn push(&mut self, intake: Intake, now: Millis) {
        self.since.get_or_insert(now);
        self.last_at = self.last_at.max(now);
        let excess = self.records.extend(intake);
        self.flushed[2] = self.flushed[2].saturating_sub(usize::try_from(excess).unwrap_or(0));
        self.dropped += excess;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
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
    pub(super) fn unflushed(&mut self, catalogue: CatalogueId) -> Vec<Content> {
        let [outcomes, events, samples] = self.flushed;
        let Intake { samples: s, events: e, outcomes: o, .. } = &mut self.records;
        // Stable: samples of one signal stay in the order of arrival.
        s[samples..].sort_by_key(|sample| sample.signal);
        pieces(&o[outcomes..], &e[events..], &s[samples..], catalogue)
    }

    /// Everything, cut into batches.
    pub(super) fn unsealed(&self, catalogue: CatalogueId) -> Vec<Content> {
        let Intake { samples, events, outcomes, .. } = &self.records;
        pieces(outcomes, events, samples, catalogue)
    }

    /// These, which are the next that were not, are durable.
    pub(super) fn flush(&mut self, fragments: &[Content]) {
        for fragment in fragments {
            match fragment {
                Content::Outcomes(records) => self.flushed[0] += records.len(),
                Content::Events(records) => self.flushed[1] += records.len(),
                Content::Samples { samples, .. } => self.flushed[2] += samples.len(),
                Content::Gap(_) => {}
            }
        }
    }

    /// What devices have taught.
    pub(super) fn maps(&self) -> &BTreeMap<DeviceName, DeviceMap> {
        &self.records.maps
    }

    /// The maps of devices here are stored.
    pub(super) fn maps_saved(&mut self) {
        self.records.maps.clear();
    }

    /// The states of alarms here are durable, or others remember them.
    pub(super) fn alarms_saved(&mut self) {
        self.records.alarms.clear();
    }

    /// Every record is sealed.
    pub(super) fn sealed(&mut self) {
        let Intake { samples, events, outcomes, .. } = &mut self.records;
        samples.clear();
        events.clear();
        outcomes.clear();
        self.flushed = [0; 3];
        self.since = None;
    }

    /// Whether no record waits for a seal.
    pub(super) fn is_sealed(&self) -> bool {
        let Intake { samples, events, outcomes, .. } = &self.records;
        samples.is_empty() && events.is_empty() && outcomes.is_empty()
    }

    /// What was flushed is not durable any more: it is flushed again.
    pub(super) fn unflush(&mut self) {
        self.flushed = [0; 3];
    }

    /// What was flushed is in other hands now: only the rest stays.
    pub(super) fn forget_flushed(&mut self) {
        let [outcomes, events, samples] = std::mem::take(&mut self.flushed);
        self.records.outcomes.drain(..outcomes);
        self.records.events.drain(..events);
        self.records.samples.drain(..samples);
    }
}

/// The most bytes that a content takes.
pub(super) fn bytes_max(content: &Content) -> usize {
    ENVELOPE_BYTES_MAX
        + match content {
            Content::Samples { samples, .. } => samples.iter().map(sample_bytes_max).sum(),
            Content::Events(events) => events.iter().map(event_bytes).sum::<usize>(),
            Content::Outcomes(outcomes) => outcomes.iter().map(outcome_bytes).sum(),
            Content::Gap(_) => 0,
        }
}

/// A content of any length in pieces that fit a batch.
pub(super) fn cut_content(content: Content) -> Vec<Content> {
    match content {
        Content::Samples { catalogue, samples } => pieces(&[], &[], &samples, catalogue),
        Content::Events(events) => pieces(&[], &events, &[], CatalogueId([0; 32])),
        Content::Outcomes(outcomes) => pieces(&outcomes, &[], &[], CatalogueId([0; 32])),
        Content::Gap(_) => Vec::new(),
    }
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
        let flushed = tail.unflushed(CATALOGUE);
        tail.flush(&flushed);
        tail.push(intake(vec![sample(1, 20)]), Millis(20));
        let of = |samples| vec![Content::Samples { catalogue: CATALOGUE, samples }];
        assert_eq!(tail.unflushed(CATALOGUE), of(vec![sample(1, 20)]));
        assert_eq!(tail.unsealed(CATALOGUE), of(vec![sample(1, 10), sample(1, 20)]));
        assert_eq!(tail.age(Millis(25)), Millis(15));
        tail.forget_flushed();
        assert_eq!(tail.unsealed(CATALOGUE), of(vec![sample(1, 20)]));
    }

    #[test]
    fn batches_are_cut_from_the_order_in_which_they_were_flushed() {
        let mut tail = Tail::default();
        let mut flushed = Vec::new();
        for flush in 0..4_u64 {
            let samples = (0..500).map(|n| sample(u32::from(n % 2 == 0), flush * 1_000 + n));
            tail.push(intake(samples.collect()), Millis(0));
            let pieces = tail.unflushed(CATALOGUE);
            tail.flush(&pieces);
            flushed.extend(pieces.into_iter().flat_map(|piece| match piece {
                Content::Samples { samples, .. } => samples,
                Content::Events(_) | Content::Outcomes(_) | Content::Gap(_) => Vec::new(),
            }));
        }
        for batch in tail.unsealed(CATALOGUE) {
            let Content::Samples { samples, .. } = batch else { panic!("{batch:?}") };
            let mut expected: Vec<Sample> = flushed.drain(..samples.len()).collect();
            expected.sort_by_key(|sample| sample.signal);
            assert_eq!(samples, expected);
        }
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
    fn while_the_disk_refuses_the_oldest_samples_give_way_and_are_counted() {
        let mut tail = Tail::default();
        tail.push(intake((0..60_000).map(|at| sample(1, at)).collect()), Millis(0));
        assert_eq!((tail.samples(), tail.dropped()), (50_000, 10_000));
    }
}
