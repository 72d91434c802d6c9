//! How fast history goes: a token bucket over records, so that a backlog leaves room for the present
//! and a fleet that comes back together does not drown its cloud.

use fieldgate_model::Millis;

/// A token bucket. It holds a second's worth, so that what is sealed as it is polled never waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Records a second.
    rate: u64,
    /// When the bucket will be full again, in microseconds.
    full_at: u64,
}

/// What the bucket holds, in microseconds of its rate.
const BURST_US: u64 = 1_000_000;

impl Pace {
    /// `rate` records a second, at least one.
    pub const fn new(rate: u64) -> Self {
        Self { rate: if rate == 0 { 1 } else { rate }, full_at: 0 }
    }

    /// Records a second.
    pub const fn rate(&self) -> u64 {
        self.rate
    }

    /// Takes what has been sent; gives from when on more may go, `None` for at once.
    pub fn take(&mut self, records: u64, now: Millis) -> Option<Millis> {
        let now_us = now.0.saturating_mul(1000);
        let cost = records.saturating_mul(1_000_000) / self.rate;
        self.full_at = self.full_at.max(now_us).saturating_add(cost);
        let free_at = self.full_at.saturating_sub(BURST_US);
        (now_us < free_at).then(|| Millis(free_at.div_ceil(1000)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_goes_at_its_rate_after_one_burst() {
        let mut pace = Pace::new(10_000);
        let (mut now, mut sent) = (Millis(0), 0);
        while now < Millis(60_000) {
            sent += 1000;
            now = pace.take(1000, now).unwrap_or(now);
        }
        // A minute, the burst, and the batch that reached into the next millisecond.
        assert!((600_000..=611_000).contains(&sent), "{sent}");
    }

    #[test]
    fn what_comes_slower_than_the_rate_never_waits() {
        let mut pace = Pace::new(1000);
        for second in 0..1000 {
            assert_eq!(pace.take(1000, Millis(second * 1000)), None, "{second}");
        }
    }

    #[test]
    fn no_number_of_records_makes_it_wrap() {
        let mut pace = Pace::new(1);
        assert!(pace.take(u64::MAX, Millis(0)).is_some());
        assert!(pace.take(u64::MAX, Millis(1)).is_some());
    }
}
