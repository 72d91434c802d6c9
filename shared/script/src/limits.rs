//! What a parser may use up, and the handle that cuts it off from outside.

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
        // Measured: a parser of 20 registers through `reg` uses 146 (tests/contract.rs holds it).
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

/// Cuts a running parser off from another thread, when wall time is up.
///
/// It stays set until it is [`reset`](Self::reset), so that a cut between two runs is not lost.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// The running parser, or the next, ends in [`Fault::Cancelled`](crate::Fault::Cancelled).
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Parsers may run again.
    pub fn reset(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether parsers are cut off.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
