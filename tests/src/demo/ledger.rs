//! The count: what a device has answered against what the cloud has of it.
//!
//! The signal `reads` of a simulated device is the number of times that it has been read. So the
//! values 1, 2, … that were served are known, and each must be in the cloud exactly once, in order.

use std::collections::BTreeMap;

/// What a `kill -9` may have taken: answers that arrived within the stated window before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// The last count that was safe when the edge died.
    pub(crate) safe: u64,
    /// The count when it was dead.
    pub(crate) dead: u64,
}

/// What became of the answers of one device, or of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Answers that reached the edge.
    pub(crate) served: u64,
    /// Of them, in the cloud.
    pub(crate) in_cloud: u64,
    /// Of them, taken from memory by a kill, within the stated window.
    pub(crate) unflushed: u64,
    /// Of them, missing without an excuse.
    pub(crate) lost: u64,
    /// Samples too many in the cloud.
    pub(crate) duplicated: u64,
    /// Samples that stand behind a later one.
    pub(crate) disordered: u64,
}

impl Tally {
    /// Counts `values`, in the order in which the cloud tells them, against `served`.
    ///
    /// The last answer may have been on the wire when the edge was asked to stop; if it is missing
    /// it never reached the edge, and does not count as served.
    pub(crate) fn of(values: &[u64], served: u64, windows: &[Window]) -> Self {
        let mut times_by_value: BTreeMap<u64, u64> = BTreeMap::new();
        for value in values {
            *times_by_value.entry(*value).or_default() += 1;
        }
        let served = if times_by_value.contains_key(&served) { served } else { served.max(1) - 1 };
        let mut tally = Self { served, ..Self::default() };
        for value in 1..=served {
            let killed = windows.iter().any(|window| window.safe < value && value <= window.dead);
            match times_by_value.remove(&value) {
                Some(times) => {
                    tally.in_cloud += 1;
                    tally.duplicated += times - 1;
                }
                None if killed => tally.unflushed += 1,
                None => tally.lost += 1,
            }
        }
        // A value that no device has ever sent.
        tally.duplicated += times_by_value.values().sum::<u64>();
        tally.disordered = count(values.windows(2).filter(|pair| pair[1] < pair[0]).count());
        tally
    }

    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            served: self.served + other.served,
            in_cloud: self.in_cloud + other.in_cloud,
            unflushed: self.unflushed + other.unflushed,
            lost: self.lost + other.lost,
            duplicated: self.duplicated + other.duplicated,
            disordered: self.disordered + other.disordered,
        }
    }
}

/// Milliseconds at a share of the sorted values, such as 0.99; nearest rank.
pub(crate) fn percentile(values: &mut [i64], share: f64) -> Option<i64> {
    values.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank among thousands of values"
    )]
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied()
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILL: [Window; 1] = [Window { safe: 3, dead: 5 }];

    #[track_caller]
    fn check(values: &[u64], served: u64, windows: &[Window], expected: [u64; 6]) {
        let [served_too, in_cloud, unflushed, lost, duplicated, disordered] = expected;
        let expected =
            Tally { served: served_too, in_cloud, unflushed, lost, duplicated, disordered };
        assert_eq!(Tally::of(values, served, windows), expected, "of {values:?}");
    }

    #[test]
    fn each_value_once_and_in_order_is_clean() {
        check(&[1, 2, 3, 4], 4, &[], [4, 4, 0, 0, 0, 0]);
    }

    #[test]
    fn a_missing_value_is_lost_unless_a_kill_explains_it() {
        check(&[1, 2, 4, 5, 6], 6, &[], [6, 5, 0, 1, 0, 0]);
        check(&[1, 2, 3, 6], 6, &KILL, [6, 4, 2, 0, 0, 0]);
        check(&[1, 2, 4, 5, 6], 6, &KILL, [6, 5, 0, 1, 0, 0]);
    }

    #[test]
    fn an_answer_on_the_wire_at_the_stop_was_not_served() {
        check(&[1, 2, 3], 4, &[], [3, 3, 0, 0, 0, 0]);
        check(&[1, 2], 4, &[], [3, 2, 0, 1, 0, 0]);
    }

    #[test]
    fn a_value_twice_or_from_nowhere_is_doubled() {
        check(&[1, 2, 2, 3], 3, &[], [3, 3, 0, 0, 1, 0]);
        check(&[1, 2, 3, 9], 3, &[], [3, 3, 0, 0, 1, 0]);
    }

    #[test]
    fn a_value_behind_a_later_one_is_disordered() {
        check(&[1, 3, 2], 3, &[], [3, 3, 0, 0, 0, 1]);
    }

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let mut values: Vec<i64> = (1..=100).rev().collect();
        assert_eq!(percentile(&mut values, 0.5), Some(50));
        assert_eq!(percentile(&mut values, 0.99), Some(99));
        assert_eq!(percentile(&mut [7], 0.99), Some(7));
        assert_eq!(percentile(&mut [], 0.5), None);
    }
}
