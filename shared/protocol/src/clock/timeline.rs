//! UTC of a boot's monotonic times, from the anchors that are known by now.
//!
//! The monotonic clock of a boot runs through every step of the time of day, so all anchors of a
//! boot speak of one line: UTC is monotonic time plus an offset that only drifts. Anchors that do
//! not fit on one line cannot all be right.
//!
//! # Invariants
//!
//! - The result depends on the set of anchors alone, not on the order in which they became known.
//! - What the cloud says is believed; of the system clock only what fits to it. Without a word of
//!   the cloud the latest of the system clock is believed, since clocks are set right, not wrong.
//! - Later in monotonic time is never earlier in UTC.

use alloc::vec::Vec;

use fieldgate_model::{Millis, TimeSource, UtcMillis};

use super::drift;

/// Anchors closer than this say the same: the most exact of them speaks. Their errors, seconds at
/// worst, over this length bend the line by less than it rises.
const APART_MIN: Millis = Millis::from_secs(600);
/// An error beyond this is no anchor: the line could turn back within [`APART_MIN`].
const ERROR_MAX: Millis = Millis::from_secs(60);

/// UTC was `utc` at `at`, give or take `error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Anchor {
    /// Monotonic time of the boot.
    pub at: Millis,
    /// Time of day.
    pub utc: UtcMillis,
    /// How far off it may be.
    pub error: Millis,
    /// Who said so.
    pub source: TimeSource,
}

impl Anchor {
    /// UTC minus monotonic time, in milliseconds.
    const fn offset(&self) -> i64 {
        self.utc.0.saturating_sub(self.at.0.cast_signed())
    }

    /// Whether both can be right.
    fn fits(&self, other: &Self) -> bool {
        let apart = Millis(self.at.0.abs_diff(other.at.0));
        let bound = drift(apart).saturating_add(self.error.0).saturating_add(other.error.0);
        self.offset().abs_diff(other.offset()) <= bound
    }
}

/// The line of one boot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timeline {
    /// Ascending in monotonic time, each fitting to its neighbours.
    believed: Vec<Anchor>,
}

impl Timeline {
    /// The line that the anchors of one boot describe.
    pub fn of(anchors: impl IntoIterator<Item = Anchor>) -> Self {
        let mut all: Vec<Anchor> =
            anchors.into_iter().filter(|anchor| anchor.error <= ERROR_MAX).collect();
        all.sort_unstable();
        all.dedup();
        let cloud: Vec<Anchor> =
            all.iter().copied().filter(|anchor| anchor.source == TimeSource::Cloud).collect();
        if !cloud.is_empty() {
            all.retain(|anchor| anchor.source == TimeSource::Cloud || vouched(anchor, &cloud));
        }
        Self { believed: fitting(&most_exact(&all)) }
    }

    /// UTC at a monotonic time; `None` while nothing is known of this boot.
    pub fn utc_at(&self, at: Millis) -> Option<UtcMillis> {
        let (first, last) = (self.believed.first()?, self.believed.last()?);
        let next = self.believed.partition_point(|anchor| anchor.at <= at);
        let before = next.checked_sub(1).and_then(|index| self.believed.get(index));
        let offset = match (before, self.believed.get(next)) {
            (None, _) => first.offset(),
            (Some(_), None) => last.offset(),
            (Some(before), Some(after)) => between(before, after, at),
        };
        Some(UtcMillis(at.0.cast_signed().saturating_add(offset)))
    }

    /// Where this line lies at least `by` from `before`: the span of monotonic times whose labels
    /// are to be written anew. `None` if it lies nowhere that far.
    pub fn moved_from(&self, before: &Self, by: Millis) -> Option<(Millis, Millis)> {
        let mut bends: Vec<Millis> =
            self.believed.iter().chain(&before.believed).map(|anchor| anchor.at).collect();
        bends.sort_unstable();
        bends.dedup();
        // Both lines are straight between two bends, so they lie apart most at one of the two.
        let is_apart = |at: &Millis| match (self.utc_at(*at), before.utc_at(*at)) {
            (Some(new), Some(old)) => new.0.abs_diff(old.0) >= by.0,
            (new, old) => new != old,
        };
        let first = bends.iter().position(is_apart)?;
        let last = bends.iter().rposition(is_apart)?;
        let from = first.checked_sub(1).and_then(|index| bends.get(index)).copied();
        let to = bends.get(last + 1).copied();
        Some((from.unwrap_or(Millis(0)), to.unwrap_or(Millis(u64::MAX))))
    }

    /// How far [`Timeline::utc_at`] may be off: the error of the nearest anchor and the drift since.
    pub fn error_at(&self, at: Millis) -> Option<Millis> {
        let of = |anchor: &Anchor| {
            Millis(anchor.error.0.saturating_add(drift(Millis(anchor.at.0.abs_diff(at.0)))))
        };
        self.believed.iter().map(of).min()
    }
}

/// Whether the cloud's anchors nearest to one of the system clock bear it out.
fn vouched(anchor: &Anchor, cloud: &[Anchor]) -> bool {
    let next = cloud.partition_point(|known| known.at <= anchor.at);
    let before = next.checked_sub(1).and_then(|index| cloud.get(index));
    before.into_iter().chain(cloud.get(next)).all(|known| known.fits(anchor))
}

/// One anchor a stretch of [`APART_MIN`]: the most exact, of several the latest.
fn most_exact(anchors: &[Anchor]) -> Vec<Anchor> {
    let mut kept: Vec<Anchor> = Vec::new();
    let mut began = Millis(0);
    for anchor in anchors {
        match kept.last_mut() {
            Some(last) if anchor.at.since(began) < APART_MIN => {
                if anchor.error <= last.error {
                    *last = *anchor;
                }
            }
            Some(_) | None => {
                began = anchor.at;
                kept.push(*anchor);
            }
        }
    }
    kept
}

/// Those that fit to the latest, from it backwards.
fn fitting(anchors: &[Anchor]) -> Vec<Anchor> {
    let mut kept: Vec<Anchor> = Vec::new();
    for anchor in anchors.iter().rev() {
        let fits = kept.last().is_none_or(|later: &Anchor| {
            later.fits(anchor) && anchor.utc < later.utc && later.at.since(anchor.at).0 > 0
        });
        if fits {
            kept.push(*anchor);
        }
    }
    kept.reverse();
    kept
}

/// The offset at a time between two anchors, on the straight line.
fn between(before: &Anchor, after: &Anchor, at: Millis) -> i64 {
    let whole = i128::from(after.at.since(before.at).0).max(1);
    let part = i128::from(at.since(before.at).0);
    let step = i128::from(after.offset()) - i128::from(before.offset());
    let moved = i64::try_from(step * part / whole).unwrap_or(0);
    before.offset().saturating_add(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const DAY: u64 = 24 * HOUR;
    /// 2026-11-29T00:00:00Z.
    const NOON: i64 = 1_795_910_400_000;

    fn cloud(at: u64, offset: i64) -> Anchor {
        anchor(at, offset, 50, TimeSource::Cloud)
    }

    fn system(at: u64, offset: i64) -> Anchor {
        anchor(at, offset, 1_000, TimeSource::System)
    }

    fn anchor(at: u64, offset: i64, error: u64, source: TimeSource) -> Anchor {
        let utc = UtcMillis(at.cast_signed() + offset);
        Anchor { at: Millis(at), utc, error: Millis(error), source }
    }

    fn offset_at(anchors: &[Anchor], at: u64) -> Option<i64> {
        let utc = Timeline::of(anchors.iter().copied()).utc_at(Millis(at))?;
        Some(utc.0 - at.cast_signed())
    }

    #[test]
    fn without_an_anchor_nothing_is_placed() {
        assert_eq!(offset_at(&[], 5), None);
        let useless = Anchor { error: Millis(DAY), ..cloud(0, NOON) };
        assert_eq!(offset_at(&[useless], 5), None);
    }

    #[test]
    fn one_anchor_places_the_whole_boot_before_and_after_it() {
        for at in [0, HOUR, 400 * DAY] {
            assert_eq!(offset_at(&[cloud(HOUR, NOON)], at), Some(NOON), "{at}");
        }
    }

    #[test]
    fn a_drift_of_500_ppm_is_taken_out_between_two_anchors() {
        let drifted = i64::try_from(DAY / 2_000).expect("43 s");
        let anchors = [cloud(0, NOON), cloud(DAY, NOON + drifted)];
        assert_eq!(offset_at(&anchors, DAY / 2), Some(NOON + drifted / 2));
        assert_eq!(offset_at(&anchors, DAY / 4), Some(NOON + drifted / 4));
    }

    #[test]
    fn a_system_clock_that_the_cloud_does_not_bear_out_is_not_believed() {
        for wrong in [-NOON, 3_600_000, -3_600_000, 31_536_000_000, 300_000] {
            let anchors =
                [system(0, NOON + wrong), cloud(HOUR, NOON), system(2 * HOUR, NOON + 100)];
            assert_eq!(offset_at(&anchors, 0), Some(NOON), "{wrong}");
        }
    }

    #[test]
    fn a_system_clock_that_fits_goes_on_where_the_cloud_was_last_heard() {
        let anchors = [cloud(0, NOON), system(10 * DAY, NOON + 60_000)];
        assert_eq!(offset_at(&anchors, 10 * DAY), Some(NOON + 60_000));
    }

    #[test]
    fn without_the_cloud_the_latest_word_of_the_system_clock_rules_the_boot() {
        let anchors = [system(0, 946_684_800_000), system(HOUR, NOON), system(2 * HOUR, NOON + 40)];
        assert_eq!(offset_at(&anchors, 1_000), Some(NOON));
        assert_eq!(offset_at(&anchors, 3 * HOUR), Some(NOON + 40));
    }

    #[test]
    fn of_anchors_close_together_the_most_exact_speaks() {
        let slow = Anchor { error: Millis(9_000), ..cloud(60_000, NOON + 8_000) };
        assert_eq!(offset_at(&[cloud(0, NOON), slow], 30_000), Some(NOON));
        assert_eq!(offset_at(&[slow, cloud(120_000, NOON)], 30_000), Some(NOON));
    }

    #[test]
    fn years_beyond_2038_and_2106_are_years() {
        for offset in [2_147_483_648_000, 4_294_967_296_000] {
            assert_eq!(offset_at(&[cloud(HOUR, offset)], 0), Some(offset));
        }
    }

    #[test]
    fn the_error_grows_with_the_distance_to_the_nearest_anchor() {
        let line = Timeline::of([cloud(HOUR, NOON)]);
        assert_eq!(line.error_at(Millis(HOUR)), Some(Millis(50)));
        assert_eq!(line.error_at(Millis(HOUR + DAY)), Some(Millis(50 + 43_200)));
    }

    #[test]
    fn another_anchor_moves_what_lies_around_it_and_nothing_if_it_fits() {
        let before = Timeline::of([cloud(0, NOON), cloud(HOUR, NOON)]);
        let moved = |anchors: &[Anchor]| {
            let line = Timeline::of(anchors.iter().copied());
            line.moved_from(&before, Millis(500)).map(|(from, to)| (from.0, to.0))
        };
        let [a, b] = [cloud(0, NOON), cloud(HOUR, NOON)];
        assert_eq!(moved(&[a, b, cloud(2 * HOUR, NOON + 100)]), None);
        assert_eq!(moved(&[a, b, cloud(2 * HOUR, NOON + 1_500)]), Some((HOUR, u64::MAX)));
        assert_eq!(moved(&[a, b, cloud(2 * HOUR, NOON + 90_000)]), Some((0, u64::MAX)));
        let nothing = Timeline::default();
        assert_eq!(nothing.moved_from(&nothing, Millis(500)), None);
        assert_eq!(before.moved_from(&nothing, Millis(500)), Some((Millis(0), Millis(u64::MAX))));
    }

    #[test]
    fn the_order_of_the_anchors_does_not_matter_and_time_never_turns_back() {
        let mut state = 7_u64;
        let mut draw = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for round in 0..2_000 {
            let mut anchors: Vec<Anchor> = (0..draw(12))
                .map(|_| {
                    let spread = if draw(3) == 0 { DAY } else { 20_000 };
                    let offset = NOON + draw(spread).cast_signed() - (spread / 2).cast_signed();
                    let source = if draw(2) == 0 { TimeSource::Cloud } else { TimeSource::System };
                    anchor(draw(10 * HOUR), offset, draw(30_000), source)
                })
                .collect();
            let line = Timeline::of(anchors.iter().copied());
            anchors.reverse();
            assert_eq!(line, Timeline::of(anchors.iter().copied()), "round {round}");
            let times = (0..600).map(|step| line.utc_at(Millis(step * 60_000)));
            let times: Vec<_> = times.collect();
            assert!(times.is_sorted(), "round {round}: {line:?}");
        }
    }
}
