//! The command task: persist, act, report, in the order the machine says.

use fieldgate_model::{Command, CommandId, Millis, Outcome, OutcomeRecord, UtcMillis};
use fieldgate_protocol::command::{Entry, EntryState, Executor, ExecutorEffect};
use fieldgate_wire::{Answer, JournalState, UpKind};

use super::{Edge, Ground};
use crate::fault::Fault;
use crate::step::{PowerCut, Step};

/// A write on its way to a device.
#[derive(Debug)]
pub(super) struct Running {
    command: Command,
    deadline: Millis,
}

impl Edge {
    /// Whether commands wait until somebody readopts the gateway.
    pub(super) fn is_doubted(&self, ground: &Ground<'_>) -> bool {
        self.contested || ground.disk.doubt.is_some()
    }

    /// Tells the command task, if it has resumed.
    pub(super) fn tell_doubt(&mut self, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        let doubted = self.is_doubted(ground);
        if self.open.is_none() && self.doubted != doubted {
            self.executor.handle_doubt(doubted);
        }
        self.doubted = doubted;
        self.act(ground)
    }

    fn utc(&self, now: Millis) -> Option<UtcMillis> {
        self.utc_offset.map(|offset| offset + now)
    }

    /// The command task: takes what waits, and does what the executor wants.
    pub(crate) fn work(&mut self, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        let utc = self.utc(ground.now);
        if utc.is_none() {
            return Ok(());
        }
        if let Some(open) = self.open.take() {
            self.executor = if self.is_doubted(ground) {
                Executor::resume_in_doubt(open)
            } else {
                Executor::resume(open, utc)
            };
        }
        self.act(ground)?;
        while let Some(command) = self.commands.pop_front() {
            let known = ground.disk.entry(&command.id).cloned();
            self.executor.handle_command(command, known, self.utc(ground.now));
            self.act(ground)?;
        }
        Ok(())
    }

    /// A journal that has refused is opened again, and asked again.
    pub(super) fn try_journal_again(&mut self, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        if self.executor.is_refused() {
            self.executor.handle_reopened();
            self.act(ground)?;
        }
        Ok(())
    }

    fn act(&mut self, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        while let Some(effect) = self.executor.poll_effect() {
            match effect {
                ExecutorEffect::Persist(entry) => self.persist(entry, ground)?,
                ExecutorEffect::Execute(command) => self.execute(command, ground)?,
                ExecutorEffect::Report(id, outcome) => self.report(id, outcome, ground)?,
                ExecutorEffect::Answer(command, state) => {
                    ground.fuse.before(Step::Answer)?;
                    // Behind a connection that is not welcomed nobody may be told anything.
                    if self.sender.is_live() {
                        let answer = Answer::Command { command, state: journal_state(&state) };
                        ground.publish(UpKind::Answer, fieldgate_wire::encode_answer(&answer));
                    }
                    ground.fuse.after(Step::Answer)?;
                }
                ExecutorEffect::Refuse(_) => {
                    ground.fuse.before(Step::Refuse)?;
                    ground.fuse.after(Step::Refuse)?;
                }
            }
        }
        Ok(())
    }

    fn persist(&mut self, entry: Entry, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        let id = entry.command.id.clone();
        let step = match entry.state {
            EntryState::Received => Step::PersistReceived,
            EntryState::Started => Step::PersistStarted,
            EntryState::Closed(_) => Step::PersistClosed,
        };
        let mut staged = ground.disk.clone();
        staged.save_entry(entry);
        if let Some(fault) = ground.journal_faults.take() {
            if fault == Fault::Done {
                ground.commit(step, staged)?;
            }
            self.executor.handle_refused(&id);
            return Ok(());
        }
        ground.commit(step, staged)?;
        self.executor.handle_persisted(&id, self.utc(ground.now));
        Ok(())
    }

    fn execute(&mut self, command: Command, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        ground.fuse.before(Step::Execute)?;
        ground.reference.begins(&command.id, ground.disk);
        let utc = self.utc(ground.now).unwrap_or_default();
        let left = u64::try_from(command.not_after.0.saturating_sub(utc.0)).unwrap_or(0);
        let deadline = ground.now + Millis(left);
        self.running.push(Running { command, deadline });
        Ok(())
    }

    /// The bus gets to the oldest write, if there is one, and the device answers it.
    pub(crate) fn device_answers(&mut self, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        if self.running.is_empty() {
            return Ok(());
        }
        let Running { command, deadline } = self.running.remove(0);
        let outcome = if ground.now < deadline {
            ground.reference.tell(|| format!("         the device takes {}", command.id));
            ground.reference.executed(&command, ground.disk, ground.world);
            ground.fuse.after(Step::Execute)?;
            Outcome::Done { read_back: None }
        } else {
            Outcome::Expired
        };
        self.executor.handle_result(&command.id, outcome);
        self.act(ground)
    }

    fn report(
        &mut self,
        id: CommandId,
        outcome: Outcome,
        ground: &mut Ground<'_>,
    ) -> Result<(), PowerCut> {
        ground.fuse.before(Step::Report)?;
        ground.reference.reported(&id, ground.disk);
        self.tail.outcomes.push(OutcomeRecord { at: ground.now, command: id.clone(), outcome });
        self.waiting.push(id);
        self.commit(true, ground)?;
        ground.fuse.after(Step::Report)
    }

    pub(super) fn mark_reported(
        &mut self,
        id: &CommandId,
        ground: &mut Ground<'_>,
    ) -> Result<(), PowerCut> {
        ground.reference.marked_reported(id, ground.disk);
        let mut staged = ground.disk.clone();
        let row = staged.journal.iter_mut().find(|(entry, _)| entry.command.id == *id);
        if let Some((_, reported)) = row {
            *reported = true;
        }
        match ground.journal_faults.take() {
            // It is reported again after a restart; the cloud knows the id.
            Some(Fault::Undone) => {}
            Some(Fault::Done) | None => ground.commit(Step::MarkReported, staged)?,
        }
        self.executor.handle_reported(id);
        Ok(())
    }
}

fn journal_state(state: &EntryState) -> JournalState {
    match state {
        EntryState::Received => JournalState::Received,
        EntryState::Started => JournalState::Started,
        EntryState::Closed(outcome) => JournalState::Closed(outcome.clone()),
    }
}

/// What the owner is told of an entry, as the entry has it.
pub(crate) fn entry_state(state: JournalState) -> EntryState {
    match state {
        JournalState::Received => EntryState::Received,
        JournalState::Started => EntryState::Started,
        JournalState::Closed(outcome) => EntryState::Closed(outcome),
    }
}
