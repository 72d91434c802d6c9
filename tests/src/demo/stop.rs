//! Ctrl-C and SIGTERM: the demo ends what it has started before it ends itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Whether somebody has asked us to stop.
#[derive(Clone)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens from here on.
    pub(crate) fn on_signals() -> Result<Self> {
        let stop = Self(Arc::default());
        let asked = stop.0.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Registered before the thread runs, so that no signal falls between the two.
        let guard = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
        drop(guard);
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            asked.store(true, Ordering::Relaxed);
        });
        Ok(stop)
    }

    /// Whether it was asked.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
