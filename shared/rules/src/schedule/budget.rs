//! What units that give nothing may cost the others.
//!
//! # Invariants
//!
//! - In no minute do the transactions on the budget lose more than its share of that minute; one
//!   whose timeout alone is longer than that goes only if nothing else was lost for a minute.
//! - One transaction on the budget at a time.
//! - After losing `t` nothing but first tries is on the budget until the share is paid: for a
//!   tenth of the bus that is `9 t`. First tries wait for `t`, so that at a start with some dead
//!   units those behind them are found soon.

use std::collections::VecDeque;

use fieldgate_model::Millis;

use super::load::WINDOW;
use super::work::ScheduleOptions;

/// Losses are kept by the second.
const STEP: Millis = Millis(1_000);

#[derive(Debug)]
pub(super) struct Budget {
    share: u64,
    in_flight_max: u64,
    /// What may be lost in a window.
    limit: Millis,
    /// Lost in the window, the oldest first.
    losses: VecDeque<Loss>,
    /// A transaction on the budget is in flight.
    pub(super) is_out: bool,
    again_at: Millis,
    first_try_at: Millis,
}

/// What was lost in one second.
#[derive(Debug)]
struct Loss {
    /// The end of that second.
    end: Millis,
    all: Millis,
    /// The part of it that jobs have lost.
    by_jobs: Millis,
}

impl Budget {
    pub(super) fn new(options: ScheduleOptions) -> Self {
        let share = u64::from(options.dead_share.clamp(1, 100));
        let in_flight_max = options.in_flight_max.max(1) as u64;
        Self {
            share,
            in_flight_max,
            limit: Millis(WINDOW.0 * share / 100 * in_flight_max),
            losses: VecDeque::new(),
            is_out: false,
            again_at: Millis(0),
            first_try_at: Millis(0),
        }
    }

    /// How long the bus must be free of losses after `lost`, so that the share is kept.
    pub(super) fn pay_back(&self, lost: Millis) -> Millis {
        Millis((lost.0 * (100 - self.share) / self.share).div_ceil(self.in_flight_max))
    }

    /// How long a unit that wasted `lost` stays on probation. It adds up, and is as long as the
    /// loss and its pay-back together, so that one that goes on wasting never gets out.
    pub(super) fn probation(&self, lost: Millis) -> Millis {
        lost + self.pay_back(lost)
    }

    /// From when on a unit that wasted time may be polled; `None` while another one is.
    pub(super) fn again_at(&self, timeout: Millis) -> Option<Millis> {
        Some(self.room_at(timeout)?.max(self.again_at))
    }

    /// From when on a unit never heard of may be polled.
    pub(super) fn first_try_at(&self, timeout: Millis) -> Option<Millis> {
        Some(self.room_at(timeout)?.max(self.first_try_at))
    }

    /// From when on a job may be tried on a silent unit: it need not wait for its turn, but jobs
    /// may use up only half of the budget, so that there is always something left for probes. What
    /// probes lose is no part of that half, or else many dead units would keep jobs out for ever.
    pub(super) fn job_at(&self, timeout: Millis) -> Option<Millis> {
        let half = Millis(self.limit.0 / 2);
        let own = self.free_at(timeout, half, |loss| loss.by_jobs);
        Some(self.room_at(timeout)?.max(own))
    }

    /// A transaction on the budget lost this much.
    pub(super) fn lose(&mut self, lost: Millis, is_job: bool, now: Millis) {
        while self.losses.front().is_some_and(|first| first.end + WINDOW <= now) {
            self.losses.pop_front();
        }
        let end = Millis((now.0 / STEP.0 + 1) * STEP.0);
        let by_jobs = if is_job { lost } else { Millis(0) };
        match self.losses.back_mut() {
            Some(newest) if newest.end == end => {
                newest.all = newest.all + lost;
                newest.by_jobs = newest.by_jobs + by_jobs;
            }
            Some(_) | None => self.losses.push_back(Loss { end, all: lost, by_jobs }),
        }
        let paid = now + self.pay_back(lost);
        self.again_at = self.again_at.max(paid);
        let is_long = lost > self.limit;
        let first_try_at =
            if is_long { paid } else { now + Millis(lost.0.div_ceil(self.in_flight_max)) };
        self.first_try_at = self.first_try_at.max(first_try_at);
    }

    fn room_at(&self, timeout: Millis) -> Option<Millis> {
        (!self.is_out).then(|| self.free_at(timeout, self.limit, |loss| loss.all))
    }

    /// From when on another `timeout` goes into `limit`, or nothing at all is left in the window.
    fn free_at(&self, timeout: Millis, limit: Millis, part: impl Fn(&Loss) -> Millis) -> Millis {
        let mut sum: u64 = self.losses.iter().map(|loss| part(loss).0).sum();
        let mut at = Millis(0);
        for loss in self.losses.iter().filter(|loss| part(loss) > Millis(0)) {
            if sum + timeout.0 <= limit.0 {
                break;
            }
            sum -= part(loss).0;
            at = loss.end + WINDOW;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_never_loses_more_than_the_share() {
        let mut budget = Budget::new(ScheduleOptions::default());
        for second in 0..5 {
            // Jobs have half of six seconds.
            assert_eq!(budget.job_at(Millis(500)) == Some(Millis(0)), second <= 2, "{second}");
            budget.lose(Millis(1_000), true, Millis(1_000 * second));
        }
        assert_eq!(budget.first_try_at(Millis(1_000)), Some(Millis(5_000)));
        budget.lose(Millis(1_000), false, Millis(5_000));
        // Six seconds of a minute are gone; the first of them leaves the window at 61,000.
        assert_eq!(budget.first_try_at(Millis(1_000)), Some(Millis(61_000)));
        assert_eq!(budget.first_try_at(Millis(1_001)), Some(Millis(62_000)));
        assert_eq!(budget.again_at(Millis(1_000)), Some(Millis(61_000)));
        // Five of them went to jobs, which may have three.
        assert_eq!(budget.job_at(Millis(1_000)), Some(Millis(63_000)));
        budget.is_out = true;
        assert_eq!(budget.first_try_at(Millis(1)), None);
    }

    #[test]
    fn a_timeout_beyond_the_share_goes_alone_and_pays_in_full() {
        let mut budget = Budget::new(ScheduleOptions::default());
        assert_eq!(budget.first_try_at(Millis(10_000)), Some(Millis(0)));
        budget.lose(Millis(10_000), false, Millis(10_000));
        assert_eq!(budget.first_try_at(Millis(10_000)), Some(Millis(100_000)));
    }
}
