//! What a parser may use up, and the handle that cuts it off from outside.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What one run of a parser may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Steps: calls, loop rounds and steps of a pattern, dearer once a run holds much memory.
    pub fuel: u64,
    /// Bytes a run may allocate, whether it keeps them or not.
    pub memory_bytes: usize,
    /// Signals in one answer.
    pub signals_max: usize,
    /// UTF-8 bytes of one text value.
    pub text_bytes_max: usize,
    /// Bytes of the state that a parser keeps for one device.
    pub state_bytes_max: usize,
}

impl Limits {
    /// For a parser whose profile asks for nothing else.
    pub const DEFAULT: Self = Self {
        // Measured: a parser of 20 registers through `reg` uses 106 (tests/contract.rs holds it).
        // This leaves room for payloads of text, and an endless loop uses it up in milliseconds.
        fuel: 100_000,
        // A frame of 125 registers and its answer take some 20 KiB. Every operation that is not
        // counted step by step is at worst linear in this.
        memory_bytes: 1024 * 1024,
        // The largest SunSpec models in use have some 400 points.
        signals_max: 1000,
        // Serial numbers, versions and state texts; a register string has at most 250 bytes.
        text_bytes_max: 1024,
        // Counters and last values. It is kept for each device, a thousand devices keep 4 MB.
        state_bytes_max: 4096,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What one run, or loading, has used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Of [`Limits::fuel`].
    pub fuel: u64,
    /// Of [`Limits::memory_bytes`].
    pub memory_bytes: usize,
}

/// Cuts a running parser off when its time is up: from another thread, or by a clock that the shell
/// brings along.
///
/// It stays set until it is [`reset`](Self::reset), so that a cut between two runs is not lost.
#[derive(Clone, Default)]
pub struct Cancel {
    asked: Arc<AtomicBool>,
    backstop: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl Cancel {
    /// One that also asks `is_over` now and then while a parser runs, on the thread that runs it.
    pub fn with_backstop(is_over: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { asked: Arc::default(), backstop: Some(Arc::new(is_over)) }
    }

    /// The running parser, or the next, ends in [`Fault::Cancelled`](crate::Fault::Cancelled).
    pub fn cancel(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Parsers may run again.
    pub fn reset(&self) {
        self.asked.store(false, Ordering::Relaxed);
    }

    /// Whether parsers are cut off.
    pub fn is_cancelled(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Whether the shell's clock says that the time is up.
    pub(crate) fn is_over(&self) -> bool {
        self.backstop.as_ref().is_some_and(|is_over| is_over())
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel").field("asked", &self.asked).finish_non_exhaustive()
    }
}
