//! Log lines about what others do wrong: one a second at most, since they decide how often.

use fieldgate_model::{Millis, UtcMillis};

/// A person can read one line a second.
const PERIOD: Millis = Millis::from_secs(1);

/// Holds back what would flood the log.
#[derive(Default)]
pub(super) struct Complaints {
    next_at: UtcMillis,
    held_back: u64,
}

impl Complaints {
    /// How many were held back since the last line, if one may be written at `now`.
    pub(super) fn admit(&mut self, now: UtcMillis) -> Option<u64> {
        if now < self.next_at {
            self.held_back += 1;
            return None;
        }
        self.next_at = now + PERIOD;
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_becomes_one_line_a_second_that_counts_the_rest() {
        let mut complaints = Complaints::default();
        let admitted: Vec<_> =
            [0, 1, 999, 1000, 1001].map(|at| complaints.admit(UtcMillis(at))).into();
        assert_eq!(admitted, [Some(0), None, None, Some(2), None]);
    }
}
