//! The gateway's half: starts each command at most once, over any restart and resend.
//!
//! # Invariants
//!
//! - Received is durable before anything else happens with a command, Started before the wire
//!   write, Closed before its outcome is reported.
//! - Started without Closed after a restart is `interrupted` and never runs again, unless the
//!   command is marked `retry_safe`.
//! - Expiry is checked when a command starts, and again by the bus at the moment of the write.
//! - In doubt of the gateway's identity nothing starts, and what had not started is `interrupted`.
//! - A device works on one command at a time, in the order of arrival.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use fieldgate_model::{Action, Command, CommandId, DeviceName, Outcome, UtcMillis};

/// Open commands at once. An operator who needs more is a script that went wrong.
const OPEN_MAX: usize = 64;

/// A command in the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What is asked.
    pub command: Command,
    /// How far it is.
    pub state: EntryState,
}

/// How far a command is. Each state is durable before the next begins.
#[derive(Debug, Clone, PartialEq)]
pub enum EntryState {
    /// It has arrived.
    Received,
    /// It may have reached the wire.
    Started,
    /// It has ended.
    Closed(Outcome),
}

/// What the caller must do next, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum ExecutorEffect {
    /// Make this entry durable, then call [`Executor::handle_persisted`], or
    /// [`Executor::handle_refused`].
    Persist(Entry),
    /// Do it, then call [`Executor::handle_result`].
    Execute(Command),
    /// Append the outcome to its stream, make that durable, then call
    /// [`Executor::handle_reported`].
    Report(CommandId, Outcome),
    /// Tell the owner what the journal says of a command it has sent again.
    Answer(CommandId, EntryState),
    /// There are too many open commands, or the gateway doubts its identity: this one was not
    /// taken; the owner will send it again.
    Refuse(CommandId),
}

#[derive(Debug)]
struct Open {
    entry: Entry,
    /// The entry's state is being made durable.
    persisting: bool,
    /// The journal has refused it, or nobody knows whether it did.
    refused: bool,
    /// It was started before a restart, so it may have reached the wire already.
    again: bool,
}

impl Open {
    fn new(entry: Entry) -> Self {
        Self { entry, persisting: false, refused: false, again: false }
    }
}

/// The state of a gateway's open commands.
#[derive(Debug, Default)]
pub struct Executor {
    /// In the order of arrival.
    open: VecDeque<Open>,
    /// The gateway's identity is in doubt: nothing starts.
    doubted: bool,
    effects: VecDeque<ExecutorEffect>,
}

impl Executor {
    /// Resumes from the journal: every entry whose outcome is not in its stream yet, oldest first.
    pub fn resume(entries: Vec<Entry>, utc: Option<UtcMillis>) -> Self {
        let mut executor = Self::default();
        for entry in entries {
            executor.open.push_back(Open::new(entry));
        }
        for index in 0..executor.open.len() {
            let entry = &executor.open[index].entry;
            match &entry.state {
                EntryState::Received => {}
                EntryState::Started if entry.command.retry_safe => {
                    executor.run_again(index, utc);
                }
                EntryState::Started => {
                    executor.persist(index, EntryState::Closed(Outcome::Interrupted));
                }
                EntryState::Closed(outcome) => {
                    let report = ExecutorEffect::Report(entry.command.id.clone(), outcome.clone());
                    executor.effects.push_back(report);
                }
            }
        }
        executor.start_waiting(utc);
        executor
    }

    /// Resumes in doubt of the gateway's identity: its disk may have gone back in time, or have a
    /// twin, so that what the journal says has not run may have run.
    pub fn resume_in_doubt(entries: Vec<Entry>) -> Self {
        let mut executor = Self { doubted: true, ..Self::default() };
        for entry in entries {
            executor.open.push_back(Open::new(entry));
        }
        for index in 0..executor.open.len() {
            let entry = &executor.open[index].entry;
            if let EntryState::Closed(outcome) = &entry.state {
                let report = ExecutorEffect::Report(entry.command.id.clone(), outcome.clone());
                executor.effects.push_back(report);
            } else {
                executor.persist(index, EntryState::Closed(Outcome::Interrupted));
            }
        }
        executor
    }

    /// The gateway's identity is in doubt from now on, or not any more. In doubt nothing starts;
    /// what has started goes on, since nobody can take it back.
    pub fn handle_doubt(&mut self, doubted: bool) {
        self.doubted = doubted;
        if !doubted {
            return;
        }
        for index in 0..self.open.len() {
            let Open { entry, persisting, .. } = &mut self.open[index];
            let waits = match entry.state {
                EntryState::Received => true,
                EntryState::Started => *persisting,
                EntryState::Closed(_) => false,
            };
            if waits {
                self.open[index].refused = false;
                self.persist(index, EntryState::Closed(Outcome::Interrupted));
            }
        }
    }

    /// The owner sends a command. `known` is what the journal holds under its id.
    pub fn handle_command(
        &mut self,
        command: Command,
        known: Option<EntryState>,
        utc: Option<UtcMillis>,
    ) {
        if let Some(open) = self.open.iter().find(|open| open.entry.command.id == command.id) {
            let answer = ExecutorEffect::Answer(command.id, open.entry.state.clone());
            // An entry that is not durable yet is no answer; its outcome will come.
            if !open.persisting {
                self.effects.push_back(answer);
            }
        } else if let Some(state) = known {
            self.effects.push_back(ExecutorEffect::Answer(command.id, state));
        } else if self.open.len() >= OPEN_MAX || self.doubted {
            self.effects.push_back(ExecutorEffect::Refuse(command.id));
        } else {
            let entry = Entry { command, state: EntryState::Received };
            self.open.push_back(Open::new(entry));
            self.persist(self.open.len() - 1, EntryState::Received);
            self.start_waiting(utc);
        }
    }

    /// The entry handed out last for this command is durable.
    pub fn handle_persisted(&mut self, id: &CommandId, utc: Option<UtcMillis>) {
        let Some(open) = self.find(id) else { return };
        open.persisting = false;
        match &open.entry.state {
            EntryState::Received => self.start_waiting(utc),
            EntryState::Started => {
                let execute = ExecutorEffect::Execute(open.entry.command.clone());
                self.effects.push_back(execute);
            }
            EntryState::Closed(outcome) => {
                let report = ExecutorEffect::Report(id.clone(), outcome.clone());
                self.effects.push_back(report);
                self.start_waiting(utc);
            }
        }
    }

    /// The journal did not take the entry handed out last for this command, or nobody knows whether
    /// it did: nothing follows from it before [`Executor::handle_reopened`].
    pub fn handle_refused(&mut self, id: &CommandId) {
        if let Some(open) = self.find(id) {
            open.refused = true;
        }
    }

    /// Whether the journal has refused something that is still to be written.
    pub fn is_refused(&self) -> bool {
        self.open.iter().any(|open| open.refused)
    }

    /// The journal may take entries again: what it refused is handed out once more. One that had
    /// been written all the same is only written over by itself.
    pub fn handle_reopened(&mut self) {
        for open in self.open.iter_mut().filter(|open| open.refused) {
            open.refused = false;
            self.effects.push_back(ExecutorEffect::Persist(open.entry.clone()));
        }
    }

    /// The journal has no room for the command: it is as if it had not arrived, and comes again.
    pub fn handle_not_persisted(&mut self, id: &CommandId) {
        self.open.retain(|open| {
            open.entry.command.id != *id || open.entry.state != EntryState::Received
        });
    }

    /// An execution has ended.
    pub fn handle_result(&mut self, id: &CommandId, outcome: Outcome) {
        let started =
            |open: &Open| open.entry.command.id == *id && open.entry.state == EntryState::Started;
        if let Some(index) = self.open.iter().position(started) {
            // That its time is over by now says nothing of the run before the restart.
            let unknown = self.open[index].again && outcome == Outcome::Expired;
            let outcome = if unknown { Outcome::Interrupted } else { outcome };
            self.persist(index, EntryState::Closed(outcome));
        }
    }

    /// The outcome is durable in its stream: the journal's row serves only repeated ids from now.
    pub fn handle_reported(&mut self, id: &CommandId) {
        self.open.retain(|open| {
            open.entry.command.id != *id || !matches!(open.entry.state, EntryState::Closed(_))
        });
    }

    /// The next thing to do, if any.
    pub fn poll_effect(&mut self) -> Option<ExecutorEffect> {
        self.effects.pop_front()
    }

    /// Commands that are not closed.
    pub fn open_count(&self) -> usize {
        let closed = |open: &&Open| !matches!(open.entry.state, EntryState::Closed(_));
        self.open.iter().filter(closed).count()
    }

    /// The states of all entries held, for tests and screens.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.open.iter().map(|open| &open.entry)
    }

    /// Starts the oldest durable command of every device that is idle.
    fn start_waiting(&mut self, utc: Option<UtcMillis>) {
        let mut busy: BTreeSet<DeviceName> = BTreeSet::new();
        for open in &self.open {
            if open.entry.state == EntryState::Started {
                busy.insert(device(&open.entry.command).clone());
            }
        }
        for index in 0..self.open.len() {
            let open = &self.open[index];
            if open.persisting || open.entry.state != EntryState::Received {
                continue;
            }
            if is_expired(&open.entry.command, utc) {
                self.persist(index, EntryState::Closed(Outcome::Expired));
            } else if busy.insert(device(&open.entry.command).clone()) {
                self.persist(index, EntryState::Started);
            }
        }
    }

    fn run_again(&mut self, index: usize, utc: Option<UtcMillis>) {
        self.open[index].again = true;
        let command = &self.open[index].entry.command;
        if is_expired(command, utc) {
            self.persist(index, EntryState::Closed(Outcome::Interrupted));
        } else {
            let execute = ExecutorEffect::Execute(command.clone());
            self.effects.push_back(execute);
        }
    }

    fn persist(&mut self, index: usize, state: EntryState) {
        let open = &mut self.open[index];
        open.entry.state = state;
        open.persisting = true;
        self.effects.push_back(ExecutorEffect::Persist(open.entry.clone()));
    }

    fn find(&mut self, id: &CommandId) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| open.entry.command.id == *id)
    }
}

fn device(command: &Command) -> &DeviceName {
    match &command.action {
        Action::Write { device, .. } => device,
    }
}

/// A gateway that has never known UTC cannot tell: it must not run what may be too late.
fn is_expired(command: &Command, utc: Option<UtcMillis>) -> bool {
    utc.is_none_or(|utc| command.not_after <= utc)
}
