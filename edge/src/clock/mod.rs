//! The clocks of this machine: the one place of the daemon that asks what time it is.
//!
//! # Invariants
//!
//! - [`Clock::now`] never goes backwards within one [`Clock::boot_id`], and counts while the
//!   machine sleeps, so that a deadline also passes on a closed lid.

mod status;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fieldgate_model::{BootId, Millis, UtcMillis};
use rustix::time::{ClockId, clock_gettime};

pub use self::status::{ClockStatus, CloudWord, TimeHandle};

/// Where Linux names the boot (`man 4 random`).
const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// Milliseconds since boot, suspend included (`CLOCK_BOOTTIME`).
    pub fn now(&self) -> Millis {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let millis = u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000;
        Millis(seconds.saturating_mul(1000).saturating_add(millis))
    }

    /// Processor time that the calling thread has used.
    pub fn of_thread() -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    /// What the machine believes the time of day to be; anyone may set it at any moment.
    pub fn utc(&self) -> UtcMillis {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis)
            }
        };
        UtcMillis(millis)
    }

    /// Which boot [`Clock::now`] counts from.
    ///
    /// Where the kernel does not tell, it is random: times of two runs are then never compared,
    /// which is safe where comparing them wrongly is not.
    pub fn boot_id() -> BootId {
        let told = std::fs::read_to_string(BOOT_ID_PATH).ok();
        told.as_deref().and_then(parse_boot_id).unwrap_or_else(|| {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).expect("the kernel has random bytes once it has booted");
            BootId(bytes)
        })
    }
}

/// The id in a text like `3c1f…-…`, dashes wherever they stand.
fn parse_boot_id(text: &str) -> Option<BootId> {
    let mut digits = text.trim().chars().filter(|c| *c != '-').map(|c| c.to_digit(16));
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    digits.next().is_none().then_some(BootId(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_is_read_as_the_kernel_writes_it() {
        let id = parse_boot_id("00112233-4455-6677-8899-aabbccddeeff\n");
        assert_eq!(
            id.map(|id| id.to_string()).as_deref(),
            Some("00112233445566778899aabbccddeeff")
        );
        for wrong in ["", "00112233", "00112233-4455-6677-8899-aabbccddeeff00", "x"] {
            assert_eq!(parse_boot_id(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_boot_is_the_same_each_time_it_is_asked() {
        assert_eq!(Clock::boot_id(), Clock::boot_id());
    }

    #[test]
    fn the_clock_runs_forward() {
        let before = Clock.now();
        assert!(before > Millis(0));
        assert!(Clock.now() >= before);
        assert!(Clock.utc() > UtcMillis(1_700_000_000_000));
    }
}
