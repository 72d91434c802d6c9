//! The one thread that writes, and the handle by which everybody reaches it.
//!
//! # Invariants
//!
//! - Jobs run one at a time, in the order in which they were queued.
//! - A full queue makes the caller wait: nothing is dropped here.

use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::{Store, StoreError};

/// A few jobs wait while one runs; more would only make their callers' waiting invisible.
const QUEUE_MAX: usize = 64;

type Job = Box<dyn FnOnce(&mut dyn Store) + Send>;

/// A handle on the writing thread. When the last one is dropped, the thread ends.
#[derive(Clone)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Gives `store` to a thread of its own. Joining it waits until the queue is empty.
    pub fn start(
        mut store: impl Store + 'static,
    ) -> std::io::Result<(Self, thread::JoinHandle<()>)> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE_MAX);
        let thread = thread::Builder::new().name("store".to_owned()).spawn(move || {
            while let Some(job) = queue.blocking_recv() {
                job(&mut store);
            }
        })?;
        Ok((Self { jobs }, thread))
    }

    /// Runs `operation` on the writing thread and returns what it returned.
    ///
    /// Once queued it runs even if the caller goes away.
    pub async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |store| {
            // A caller that went away does not want the answer.
            drop(answer.send(operation(store)));
        });
        self.jobs.send(job).await.map_err(|_| StoreError::Stopped)?;
        answered.await.map_err(|_| StoreError::Stopped)?
    }
}
