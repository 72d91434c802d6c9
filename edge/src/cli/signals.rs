//! The signals that stop a verb which would go on for ever.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;

/// SIGTERM and SIGINT, caught from the moment this exists.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Catches the signals; within a runtime only.
    pub(super) fn catch() -> Result<Self, Failure> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next of them.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
