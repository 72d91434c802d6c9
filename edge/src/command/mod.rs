//! Commands: the shell around the executor. Persist, act, report, in the order the machine says.
//!
//! # Invariants
//!
//! - What the journal refuses is written once more when it is open again; until then nothing follows
//!   from it, and the owner's repetition finds it waiting.
//! - The journal has returned before the bus is asked to write, and before an outcome is reported.
//! - This task owns the executor; the uplink goes on while a device is slow to answer.

mod error;
mod payload;
mod targets;
mod write;

use std::time::Duration;

use fieldgate_model::{
    Command, CommandId, CommandStep, Event, EventRecord, Millis, Outcome, OutcomeRecord, UtcMillis,
};
use fieldgate_protocol::command::{Entry, EntryState, Executor, ExecutorEffect};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

pub use self::error::WriteError;
pub use self::targets::Targets;
pub(crate) use self::write::Wanted;
pub use self::write::{Sent, Written, write};
use crate::buffer::{Buffer, Intake};
use crate::clock::Clock;
use crate::journal::{Journal, JournalError};

/// Commands that may wait for the executor; the owner sends again what does not fit.
pub const COMMANDS_MAX: usize = 8;

/// How soon a journal that has refused is asked again: a full disk is not emptied faster.
const JOURNAL_AGAIN: Duration = Duration::from_secs(1);

/// The time of day as the owner's Welcome anchored it: UTC at monotonic zero.
pub type UtcOffset = Option<UtcMillis>;

/// What the command task needs.
pub struct CommandSetup {
    /// Where entries become durable.
    pub journal: Journal,
    /// Commands that were open when the daemon stopped.
    pub open: Vec<Entry>,
    /// Where outcomes go.
    pub buffer: Buffer,
    /// What can be written.
    pub targets: Targets,
    /// The owner's time of day.
    pub utc_offset: watch::Receiver<UtcOffset>,
    /// Whether the gateway's identity is in doubt; right before the time of day is.
    pub doubted: watch::Receiver<bool>,
    /// The clock.
    pub clock: Clock,
}

/// What the journal says of a command that was sent again.
pub type Answered = (CommandId, EntryState);

enum Wake {
    Command(Option<Command>),
    Result(CommandId, Outcome),
    Anchored,
    JournalAgain,
    Doubt,
}

struct Task {
    setup: CommandSetup,
    executor: Executor,
    running: JoinSet<(CommandId, Outcome)>,
    answers: mpsc::Sender<Answered>,
    /// Steps that are durable in the journal and not told yet.
    steps: Vec<EventRecord>,
}

/// Runs until `commands` is closed and what has started is through.
pub async fn run(
    mut setup: CommandSetup,
    mut commands: mpsc::Receiver<Command>,
    answers: mpsc::Sender<Answered>,
) {
    let open = std::mem::take(&mut setup.open);
    let mut task = Task {
        // Nothing is judged by a time of day that no owner has vouched for since the start.
        executor: Executor::resume(Vec::new(), None),
        setup,
        running: JoinSet::new(),
        answers,
        steps: Vec::new(),
    };
    // What was started before the crash is closed at once; what was only received waits for UTC.
    let mut waiting = Some(open).filter(|open| !open.is_empty());
    loop {
        let anchored = task.utc().is_some();
        if anchored && let Some(open) = waiting.take() {
            let doubted = *task.setup.doubted.borrow();
            task.executor = if doubted {
                Executor::resume_in_doubt(open)
            } else {
                Executor::resume(open, task.utc())
            };
        }
        task.drain().await;
        let wake = tokio::select! {
            Some(ended) = task.running.join_next() => match ended {
                Ok((id, outcome)) => Wake::Result(id, outcome),
                Err(error) => {
                    tracing::error!(%error, "a command's execution died");
                    continue;
                }
            },
            changed = task.setup.utc_offset.changed(), if !anchored => match changed {
                Ok(()) => Wake::Anchored,
                Err(_) => return,
            },
            command = commands.recv(), if anchored => Wake::Command(command),
            Ok(()) = task.setup.doubted.changed(), if anchored => Wake::Doubt,
            () = sleep(JOURNAL_AGAIN), if task.executor.is_refused() => Wake::JournalAgain,
        };
        match wake {
            Wake::Command(Some(command)) => task.take(command).await,
            Wake::Command(None) => break,
            Wake::Result(id, outcome) => task.executor.handle_result(&id, outcome),
            Wake::Anchored => {}
            Wake::Doubt => {
                let doubted = *task.setup.doubted.borrow();
                task.executor.handle_doubt(doubted);
            }
            Wake::JournalAgain => task.executor.handle_reopened(),
        }
    }
    while let Some(Ok((id, outcome))) = task.running.join_next().await {
        task.executor.handle_result(&id, outcome);
        task.drain().await;
    }
}

impl Task {
    fn utc(&self) -> Option<UtcMillis> {
        let offset = *self.setup.utc_offset.borrow();
        offset.map(|offset| offset + self.setup.clock.now())
    }

    async fn take(&mut self, command: Command) {
        match self.setup.journal.state(command.id.clone()).await {
            Ok(known) => self.executor.handle_command(command, known, self.utc()),
            Err(error) => tracing::error!(%error, command = %command.id, "command not taken"),
        }
    }

    async fn drain(&mut self) {
        while let Some(effect) = self.executor.poll_effect() {
            match effect {
                ExecutorEffect::Persist(entry) => self.persist(entry).await,
                ExecutorEffect::Execute(command) => self.execute(command),
                ExecutorEffect::Report(id, outcome) => self.report(id, outcome).await,
                ExecutorEffect::Answer(id, state) => {
                    // The uplink may be gone; the owner asks again when it is back.
                    drop(self.answers.try_send((id, state)));
                }
                ExecutorEffect::Refuse(id) => {
                    tracing::warn!(command = %id, "too many open commands, or in doubt: not taken");
                }
            }
        }
    }

    async fn persist(&mut self, entry: Entry) {
        let id = entry.command.id.clone();
        if let Err(error) = self.setup.journal.save_entry(entry.clone(), self.utc()).await {
            tracing::error!(error = crate::telemetry::chain(&error), command = %id, "the journal refuses");
            return match error {
                // It has no room for it, and has not taken it: the owner sends it again.
                JournalError::Full(_) => self.executor.handle_not_persisted(&id),
                JournalError::Database { .. }
                | JournalError::Row { .. }
                | JournalError::Thread { .. }
                | JournalError::Stopped => self.executor.handle_refused(&id),
            };
        }
        match entry.state {
            EntryState::Received => self.step(&id, CommandStep::Received),
            EntryState::Started => {
                self.step(&id, CommandStep::Started);
                self.tell_steps().await;
            }
            EntryState::Closed(_) => {}
        }
        self.executor.handle_persisted(&id, self.utc());
    }

    fn step(&mut self, id: &CommandId, step: CommandStep) {
        let event = Event::Command { command: id.clone(), step };
        self.steps.push(EventRecord { at: self.setup.clock.now(), event });
    }

    /// Has the steps told, without waiting for the disk: the journal has them.
    async fn tell_steps(&mut self) {
        let events = std::mem::take(&mut self.steps);
        let intake = Intake { events, ..Intake::default() };
        if let Err(error) = self.setup.buffer.append(intake).await {
            tracing::error!(%error, "a command's steps are not told");
        }
    }

    fn execute(&mut self, command: Command) {
        let (targets, clock) = (self.setup.targets.clone(), self.setup.clock);
        let now = clock.now();
        let left = self.utc().map_or(0, |utc| command.not_after.0.saturating_sub(utc.0));
        let deadline = now + Millis(u64::try_from(left).unwrap_or(0));
        self.running.spawn(async move {
            let outcome = write::carry_out(&targets, &command, deadline).await;
            (command.id, outcome)
        });
    }

    async fn report(&mut self, id: CommandId, outcome: Outcome) {
        tracing::info!(command = %id, outcome = outcome.as_str(), "command closed");
        let at = self.setup.clock.now();
        let record = OutcomeRecord { at, command: id.clone(), outcome };
        // One that never started has its arrival to tell.
        let events = std::mem::take(&mut self.steps);
        let intake = Intake { events, outcomes: vec![record], ..Intake::default() };
        if let Err(error) = self.setup.buffer.append_durably(intake).await {
            tracing::error!(%error, command = %id, "the outcome waits for the next start");
            return;
        }
        if let Err(error) = self.setup.journal.reported(id.clone(), self.utc()).await {
            // It will be reported again after a restart; the cloud knows the id.
            tracing::warn!(%error, command = %id, "the journal refuses");
        }
        self.executor.handle_reported(&id);
    }
}
