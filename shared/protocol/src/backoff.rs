//! A delay that doubles with every failure and starts over after a success.

use fieldgate_model::Millis;

/// Doubling delay between two bounds. Jitter is the shell's: randomness has no place here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    min: Millis,
    max: Millis,
    current: Millis,
}

impl Backoff {
    /// Starts at `min`, never exceeds `max`.
    pub const fn new(min: Millis, max: Millis) -> Self {
        Self { min, max, current: min }
    }

    /// The delay in force, which the next failure doubles.
    pub fn fail(&mut self) -> Millis {
        let delay = self.current;
        self.current = Millis(self.current.0.saturating_mul(2)).min(self.max);
        delay
    }

    /// Starts over.
    pub fn succeed(&mut self) {
        self.current = self.min;
    }

    /// The delay that the next failure would cost.
    pub const fn current(&self) -> Millis {
        self.current
    }
}
