//! Times: a monotonic one that decides, and a UTC one that labels.
//!
//! Scheduling, timeouts and the order of samples use [`Millis`], which no clock step can disturb.
//! [`UtcMillis`] is what people and other systems read. `std::time` is not used because its
//! instants cannot be stored, sent or simulated.

use core::ops::{Add, Sub};

/// Milliseconds since the boot of the machine, suspend included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// A duration of whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1000)
    }

    /// The time from `earlier` to here, zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Millis {
    type Output = Self;

    fn add(self, rhs: Self) -> Self {
        Self(self.0.saturating_add(rhs.0))
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct UtcMillis(pub i64);

impl Add<Millis> for UtcMillis {
    type Output = Self;

    fn add(self, rhs: Millis) -> Self {
        Self(self.0.saturating_add(i64::try_from(rhs.0).unwrap_or(i64::MAX)))
    }
}

impl Sub<Millis> for UtcMillis {
    type Output = Self;

    fn sub(self, rhs: Millis) -> Self {
        Self(self.0.saturating_sub(i64::try_from(rhs.0).unwrap_or(i64::MAX)))
    }
}
