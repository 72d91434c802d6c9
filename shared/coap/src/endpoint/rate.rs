//! How often something may be: for long, and at once.

use fieldgate_model::Millis;

/// How often something may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// For long.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// What has been taken of it.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    taken: u64,
    at: Millis,
}

impl Bucket {
    /// Takes one, if there is one. Counted in thousandths.
    pub(super) fn take(&mut self, rate: Rate, now: Millis) -> bool {
        let back = now.since(self.at).0.saturating_mul(u64::from(rate.per_second));
        self.taken = self.taken.saturating_sub(back);
        self.at = now;
        let has_one = self.taken + 1_000 <= u64::from(rate.burst) * 1_000;
        self.taken += if has_one { 1_000 } else { 0 };
        has_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_its_rate_for_long() {
        let rate = Rate { per_second: 4, burst: 16 };
        let mut bucket = Bucket::default();
        let taken =
            |bucket: &mut Bucket, now| (0..100).filter(|_| bucket.take(rate, Millis(now))).count();
        assert_eq!(taken(&mut bucket, 1_000_000), 16);
        assert_eq!(taken(&mut bucket, 1_000_249), 0);
        assert_eq!(taken(&mut bucket, 1_000_250), 1);
        assert_eq!(taken(&mut bucket, 1_010_250), 16);
    }
}
