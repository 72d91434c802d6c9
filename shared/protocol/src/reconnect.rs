//! When to connect again after a connection has ended or none could be made.
//!
//! # Invariants
//!
//! - A connection that ends soon after it came up does not count as a success: two boxes that push
//!   each other off, or a cloud that lets everybody in and does nothing, cost one attempt a minute.

use fieldgate_model::Millis;

use crate::Backoff;

/// First wait when nobody answers.
const ABSENT_MIN: Millis = Millis(500);
/// A gateway is back soon after its cloud is, and a thousand of them knock 70 times a second.
const ABSENT_MAX: Millis = Millis(15_000);
/// First wait after a connection that ended early.
const BROKEN_MIN: Millis = Millis(500);
/// Two gateways of one identity are a nuisance once a minute, not once a second.
const BROKEN_MAX: Millis = Millis(60_000);
/// A connection that has lasted so long was a good one.
const GOOD_AFTER: Millis = Millis(60_000);

/// Decides how long to wait before the next attempt. Jitter is the shell's.
#[derive(Debug)]
pub struct Reconnect {
    absent: Backoff,
    broken: Backoff,
    up_at: Option<Millis>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            absent: Backoff::new(ABSENT_MIN, ABSENT_MAX),
            broken: Backoff::new(BROKEN_MIN, BROKEN_MAX),
            up_at: None,
        }
    }
}

impl Reconnect {
    /// A connection stands.
    pub fn handle_up(&mut self, now: Millis) {
        self.up_at = Some(now);
        self.absent.succeed();
    }

    /// The connection has ended, or the attempt has failed: how long to wait.
    pub fn handle_down(&mut self, now: Millis) -> Millis {
        match self.up_at.take() {
            None => self.absent.fail(),
            Some(up_at) => {
                if GOOD_AFTER <= now.since(up_at) {
                    self.broken.succeed();
                }
                self.broken.fail()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;
    const DAY: u64 = 24 * 60 * MINUTE;

    /// Attempts in each minute of a day, when a connection lasts for `lasts`, if one comes up.
    fn day(lasts: Option<u64>) -> alloc::vec::Vec<u32> {
        let mut reconnect = Reconnect::default();
        let mut attempts = alloc::vec![0; 24 * 60];
        let mut now = 0;
        while now < DAY {
            attempts[usize::try_from(now / MINUTE).expect("a minute of a day")] += 1;
            if let Some(lasts) = lasts {
                reconnect.handle_up(Millis(now));
                now += lasts;
            }
            now += reconnect.handle_down(Millis(now)).0;
        }
        attempts
    }

    #[test]
    fn a_cloud_that_is_away_for_a_day_is_looked_for_four_times_a_minute() {
        let attempts = day(None);
        assert!(attempts[2..].iter().all(|count| (4..=5).contains(count)), "{attempts:?}");
    }

    #[test]
    fn connections_that_break_at_once_for_a_day_come_once_a_minute() {
        let attempts = day(Some(100));
        assert!(attempts[3..].iter().all(|count| *count <= 1), "{attempts:?}");
    }

    #[test]
    fn a_connection_that_has_lasted_is_replaced_at_once() {
        let mut reconnect = Reconnect::default();
        for _ in 0..9 {
            reconnect.handle_up(Millis(0));
            reconnect.handle_down(Millis(1));
        }
        reconnect.handle_up(Millis(0));
        assert_eq!(reconnect.handle_down(Millis(MINUTE)), BROKEN_MIN);
    }
}
