//! How long one run of a parser may hold a core.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fieldgate_script::Cancel;

use crate::clock::Clock;

/// Processor time of one run. Fuel ends a run after some tens of milliseconds on a machine of today,
/// and this is a few times that. It is counted on the thread and not on the wall, so that a run is
/// not cut off because the machine is busy with something else.
pub(crate) const RUN_MAX: Duration = Duration::from_millis(250);

/// Cuts off what has held its core for too long. Of one thread: the one that runs the parser.
#[derive(Debug)]
pub(crate) struct Backstop {
    /// Processor time of the thread at which the run is over, in microseconds.
    end: Arc<AtomicU64>,
}

impl Backstop {
    /// A backstop, and the handle that a parser is loaded with. The load counts as a run.
    pub(crate) fn new() -> (Self, Cancel) {
        let end = Arc::new(AtomicU64::new(0));
        let watched = Arc::clone(&end);
        let cancel = Cancel::with_backstop(move || spent() > watched.load(Ordering::Relaxed));
        let backstop = Self { end };
        backstop.begin();
        (backstop, cancel)
    }

    /// A run begins.
    pub(crate) fn begin(&self) {
        let allowed = u64::try_from(RUN_MAX.as_micros()).unwrap_or(u64::MAX);
        self.end.store(spent().saturating_add(allowed), Ordering::Relaxed);
    }
}

fn spent() -> u64 {
    u64::try_from(Clock::of_thread().as_micros()).unwrap_or(u64::MAX)
}
