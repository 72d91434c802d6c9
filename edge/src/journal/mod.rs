//! `control.db`: the gateway's fence and its journal of commands, on a thread of its own.
//!
//! # Invariants
//!
//! - What a call has returned for survives a power cut (WAL, `synchronous=FULL`).
//! - After a failure the file is opened anew: an fsync is never tried again on what refused it.
//! - A journal that was lost while the buffer was not is noticed: commands are withheld, since one
//!   that ran before cannot be told from one that did not.

mod file;
mod logged;

use std::path::{Path, PathBuf};

use fieldgate_model::{CommandId, Doubt, UtcMillis};
use fieldgate_protocol::Fence;
use fieldgate_protocol::command::{Entry, EntryState};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use self::file::JournalFile;
pub(crate) use self::file::journal_state;
pub use self::logged::Logged;

/// Requests that may wait: more than there are open commands.
const REQUESTS_MAX: usize = 128;

/// Why the journal could not do what was asked.
#[derive(Debug, Error)]
pub enum JournalError {
    /// SQLite said no.
    #[error("use the database `{path}`")]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A stored row cannot be read.
    #[error("read a row of the database `{path}`: {what}")]
    Row {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// It remembers as many commands as it may, and none of them can be forgotten yet.
    #[error("remember one more command: {0} may still be sent again")]
    Full(usize),
    /// The journal's thread cannot be started.
    #[error("start the journal's thread")]
    Thread {
        /// Why not.
        source: std::io::Error,
    },
    /// The journal's thread has ended.
    #[error("the journal has stopped")]
    Stopped,
}

/// What the journal found when it opened.
#[derive(Debug)]
pub struct Resumed {
    /// Whom the gateway obeys.
    pub fence: Fence,
    /// Commands whose outcome is not in its stream yet, oldest first.
    pub open: Vec<Entry>,
    /// Why no command may run, if there is a reason.
    pub doubt: Option<Doubt>,
}

enum Request {
    SaveFence(Fence, oneshot::Sender<Result<(), JournalError>>),
    SaveDoubt(Option<Doubt>, oneshot::Sender<Result<(), JournalError>>),
    SaveEntry(Box<Entry>, Option<UtcMillis>, oneshot::Sender<Result<(), JournalError>>),
    Reported(CommandId, Option<UtcMillis>, oneshot::Sender<Result<(), JournalError>>),
    Newest(u32, oneshot::Sender<Result<Vec<Logged>, JournalError>>),
    Find(CommandId, oneshot::Sender<Result<Option<Logged>, JournalError>>),
    State(CommandId, oneshot::Sender<Result<Option<EntryState>, JournalError>>),
}

/// Handle of the journal; clones talk to the same thread.
#[derive(Debug, Clone)]
pub struct Journal {
    requests: mpsc::Sender<Request>,
}

impl Journal {
    /// Opens `control.db` in `folder`. `expected`: this gateway has run before, so a missing file
    /// is a lost one.
    pub fn open(folder: &Path, expected: bool) -> Result<(Self, Resumed), JournalError> {
        let (file, resumed) = JournalFile::open(&folder.join("control.db"), expected)?;
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || serve(file, inbox))
            .map_err(|source| JournalError::Thread { source })?;
        Ok((Self { requests }, resumed))
    }

    /// Makes the fence durable.
    pub async fn save_fence(&self, fence: Fence) -> Result<(), JournalError> {
        self.ask(|reply| Request::SaveFence(fence, reply)).await
    }

    /// Makes a doubt durable, or that there is none any more.
    pub async fn save_doubt(&self, doubt: Option<Doubt>) -> Result<(), JournalError> {
        self.ask(|reply| Request::SaveDoubt(doubt, reply)).await
    }

    /// Makes an entry durable, in place of an earlier state of the same command, with the time of
    /// the step.
    pub async fn save_entry(
        &self,
        entry: Entry,
        at: Option<UtcMillis>,
    ) -> Result<(), JournalError> {
        self.ask(|reply| Request::SaveEntry(Box::new(entry), at, reply)).await
    }

    /// The outcome of this command is durable in its stream. Forgets what is too old by `now`.
    pub async fn reported(
        &self,
        id: CommandId,
        now: Option<UtcMillis>,
    ) -> Result<(), JournalError> {
        self.ask(|reply| Request::Reported(id, now, reply)).await
    }

    /// The commands that arrived last, newest first.
    pub async fn newest(&self, count: u32) -> Result<Vec<Logged>, JournalError> {
        self.ask(|reply| Request::Newest(count, reply)).await
    }

    /// One command with its steps.
    pub async fn find(&self, id: CommandId) -> Result<Option<Logged>, JournalError> {
        self.ask(|reply| Request::Find(id, reply)).await
    }

    /// How far a command is; `None` if its id has never been seen, or not for a long time.
    pub async fn state(&self, id: CommandId) -> Result<Option<EntryState>, JournalError> {
        self.ask(|reply| Request::State(id, reply)).await
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, JournalError>>) -> Request,
    ) -> Result<T, JournalError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| JournalError::Stopped)?;
        answer.await.map_err(|_| JournalError::Stopped)?
    }
}

fn serve(mut file: JournalFile, mut inbox: mpsc::Receiver<Request>) {
    while let Some(request) = inbox.blocking_recv() {
        // Whoever asked may have given up waiting; what was asked is done all the same.
        match request {
            Request::SaveFence(fence, reply) => drop(reply.send(file.save_fence(&fence))),
            Request::SaveDoubt(doubt, reply) => drop(reply.send(file.save_doubt(doubt))),
            Request::SaveEntry(entry, at, reply) => drop(reply.send(file.save_entry(&entry, at))),
            Request::Reported(id, now, reply) => drop(reply.send(file.reported(&id, now))),
            Request::Newest(count, reply) => drop(reply.send(file.newest(count))),
            Request::Find(id, reply) => drop(reply.send(file.find(&id))),
            Request::State(id, reply) => drop(reply.send(file.state(&id))),
        }
    }
}
