//! The clocks of a world: true time, the edge's two and the cloud's one.
//!
//! # Invariants
//!
//! - A monotonic clock belongs to a boot of a box: a process that dies takes nothing of it along.
//! - Whoever sets a time of day sets nothing else.

use fieldgate_model::{BootId, Millis, UtcMillis};

use super::World;
use crate::disk::true_utc;
use crate::happening::Happening;
use crate::reference::boot;
use crate::rng::Rng;

const HOUR: i64 = 3_600_000;
const YEAR: i64 = 365 * 24 * HOUR;
/// Longest sleep: a weekend.
const SLEEP_MAX: usize = 3 * 24 * 3_600_000;

/// One box between two boots.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine {
    pub(super) boot: BootId,
    /// When its monotonic clock was 0, in the world's time.
    zero: Millis,
    /// How far its time of day is off.
    error: i64,
}

#[derive(Debug)]
pub(super) struct Clocks {
    /// The world's time.
    pub(super) now: Millis,
    pub(super) machine: Machine,
    /// How far the cloud's time of day is off.
    cloud_error: i64,
}

impl Clocks {
    pub(super) fn new(boot: BootId) -> Self {
        let machine = Machine { boot, zero: Millis(0), error: 0 };
        Self { now: Millis(1_000), machine, cloud_error: 0 }
    }

    /// The edge's monotonic clock.
    pub(super) fn edge_now(&self) -> Millis {
        Millis(self.now.0 - self.machine.zero.0)
    }

    pub(super) fn edge_utc(&self) -> UtcMillis {
        UtcMillis(true_utc(self.now).0 + self.machine.error)
    }

    pub(super) fn cloud_utc(&self) -> UtcMillis {
        UtcMillis(true_utc(self.now).0 + self.cloud_error)
    }

    /// The world's time at a time of the edge's monotonic clock.
    pub(super) fn world_of(&self, edge: Millis) -> Millis {
        Millis(self.machine.zero.0 + edge.0)
    }

    pub(super) fn heal(&mut self) {
        (self.machine.error, self.cloud_error) = (0, 0);
    }

    /// A box that has been up for a second, with whatever its battery has kept.
    pub(super) fn booted(&self, id: BootId, rng: &mut Rng) -> Machine {
        let error = if rng.one_in(2) { self.error(rng) } else { 0 };
        Machine { boot: id, zero: Millis(self.now.0 - 1_000), error }
    }

    /// A year either way, an hour back, or 1970.
    fn error(&self, rng: &mut Rng) -> i64 {
        match rng.below(4) {
            0 => YEAR,
            1 => -YEAR,
            2 => -HOUR,
            _ => -true_utc(self.now).0,
        }
    }
}

impl World {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives what moves clocks only")]
    pub(super) fn disturb_clocks(&mut self, happening: Happening) {
        match happening {
            Happening::EdgeClockSteps => {
                self.clocks.machine.error = self.clocks.error(&mut self.rng);
            }
            Happening::CloudClockSteps => {
                self.clocks.cloud_error = self.clocks.error(&mut self.rng);
            }
            _ => {
                let longest = [60_000, SLEEP_MAX][self.rng.below(2)];
                self.clocks.now = Millis(self.clocks.now.0 + 1 + self.rng.below(longest) as u64);
            }
        }
    }

    pub(super) fn boot_anew(&mut self) {
        self.fresh += 1;
        self.clocks.machine = self.clocks.booted(boot(self.fresh), &mut self.rng);
    }
}
