//! Time of day on a gateway whose clock may be unset, wrong, stepped or drifting.
//!
//! Everything that happens carries monotonic time of a boot; UTC is derived from anchors, on the
//! gateway for labels and in the cloud for good. [`Keeper`] decides on the gateway which clock to
//! believe and when to note an anchor; [`Timeline`] derives UTC from the anchors of one boot.

mod keeper;
mod timeline;

pub use keeper::{Keeper, KeeperEffect, SystemClock};
pub use timeline::{Anchor, Timeline};

use fieldgate_model::Millis;

/// Fastest that a monotonic clock may run away from UTC: 500 ppm is what the kernel can discipline
/// and more than any crystal in its temperature range has.
const DRIFT_PPM: u64 = 500;

/// How far two offsets of one boot may differ by drift over `apart`.
const fn drift(apart: Millis) -> u64 {
    apart.0.saturating_mul(DRIFT_PPM) / 1_000_000
}
