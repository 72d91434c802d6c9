//! What the gateway knows of the time of day, and how it is told.

use fieldgate_model::{Millis, UtcMillis};
use fieldgate_protocol::clock::SystemClock;
use tokio::sync::{mpsc, watch};

/// What the cloud said of the time.
#[derive(Debug, Clone, Copy)]
pub struct CloudWord {
    /// The time of day when it was heard.
    pub utc: UtcMillis,
    /// How far off it may be.
    pub error: Millis,
    /// When it was heard.
    pub at: Millis,
}

/// What is known of the time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockStatus {
    /// UTC minus monotonic time; a hint for labels.
    pub offset: Option<UtcMillis>,
    /// What the system clock is worth.
    pub system: SystemClock,
    /// How often it was stepped while it was believed.
    pub steps: u64,
    /// What a clock must show to have been set at all.
    pub floor: UtcMillis,
}

/// The way to the timekeeper; clones reach the same one.
#[derive(Debug, Clone)]
pub struct TimeHandle {
    /// Tells what the cloud said.
    pub words: mpsc::Sender<CloudWord>,
    /// What is known.
    pub status: watch::Receiver<ClockStatus>,
}
