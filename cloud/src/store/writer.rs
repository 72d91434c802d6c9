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

type Operation = Box<dyn FnOnce(&mut dyn Store) + Send>;

/// What the thread is asked.
enum Job {
    Run(Operation),
    Stop,
}

/// A handle on the writing thread, which ends when it is told to or when the last handle is dropped.
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
            while let Some(Job::Run(job)) = queue.blocking_recv() {
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
        let job = Box::new(move |store: &mut dyn Store| {
            // A caller that went away does not want the answer.
            drop(answer.send(operation(store)));
        });
        self.jobs.send(Job::Run(job)).await.map_err(|_| StoreError::Stopped)?;
        answered.await.map_err(|_| StoreError::Stopped)?
    }

    /// Ends the thread after the jobs that are queued. A stream that somebody still reads holds a
    /// handle for as long as it likes, and must not keep the service from stopping.
    pub async fn stop(&self) {
        if self.jobs.send(Job::Stop).await.is_err() {
            tracing::debug!("the store thread has ended by itself");
        }
    }
}
