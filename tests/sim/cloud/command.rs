//! The command task of the cloud: reads the table, asks the machine, writes, then publishes.

use fieldgate_model::{Command, CommandId, Outcome, UtcMillis};
use fieldgate_protocol::command::{Decision, IssuerEvent, IssuerState, decide, is_silent};
use fieldgate_wire::{CommandMessage, DownKind};

use super::{Base, Cloud};
use crate::disk::CloudCommand;
use crate::step::{PowerCut, Step};

impl Cloud {
    /// Looks at every open command. `welcomed`: also what was sent before goes again.
    pub(crate) fn look(&mut self, welcomed: bool, base: &mut Base<'_>) -> Result<(), PowerCut> {
        let now = base.utc;
        let open = |known: &&CloudCommand| known.state != IssuerState::Closed;
        let commands: Vec<CloudCommand> = base.disk.commands.iter().filter(open).cloned().collect();
        for known in commands {
            let (state, not_after) = (known.state, known.command.not_after);
            let ticked = decide(state, IssuerEvent::Tick, not_after, now);
            let decision = if ticked == Decision::Unconfirmed && !welcomed {
                ticked
            } else {
                let ready = self.owner.is_some()
                    && (welcomed
                        || state == IssuerState::Accepted
                        || known.sent_at.is_some_and(|at| is_silent(at, now)));
                let event = if ready { IssuerEvent::Ready } else { IssuerEvent::Tick };
                decide(state, event, not_after, now)
            };
            self.carry_out(&known.command, decision, now, base)?;
        }
        Ok(())
    }

    fn carry_out(
        &self,
        command: &Command,
        decision: Decision,
        now: UtcMillis,
        base: &mut Base<'_>,
    ) -> Result<(), PowerCut> {
        let id = &command.id;
        match decision {
            Decision::Send => {
                let marked = base.commit(Step::MarkSent, |disk| {
                    if let Some(known) = disk.command_mut(id) {
                        known.state = IssuerState::Sent;
                        known.sent_at = known.sent_at.or(Some(now));
                    }
                })?;
                if marked {
                    self.publish(command, base);
                }
            }
            Decision::SendAgain => {
                base.fuse.before(Step::PublishAgain)?;
                self.publish(command, base);
                base.fuse.after(Step::PublishAgain)?;
            }
            Decision::Expire => close(id, &Outcome::Expired, Step::Expire, base)?,
            Decision::Unconfirmed => {
                base.commit(Step::MarkUnconfirmed, |disk| {
                    if let Some(known) = disk.command_mut(id) {
                        known.state = IssuerState::Unconfirmed;
                    }
                })?;
            }
            Decision::Keep | Decision::Cancel | Decision::TooLate | Decision::Close => {}
        }
        Ok(())
    }

    fn publish(&self, command: &Command, base: &mut Base<'_>) {
        let Some(owner) = self.owner.clone() else { return };
        base.reference.command_leaves(&command.id, base.disk);
        let message = CommandMessage { owner, command: command.clone() };
        base.link.send_down(DownKind::Command, fieldgate_wire::encode_command(&message));
    }

    /// An operator withdraws a command.
    pub(crate) fn cancel(id: &CommandId, base: &mut Base<'_>) -> Result<(), PowerCut> {
        let Some(known) = base.disk.command_mut(id) else { return Ok(()) };
        let decision = decide(known.state, IssuerEvent::Cancel, known.command.not_after, base.utc);
        if decision == Decision::Cancel {
            close(id, &Outcome::Cancelled, Step::Cancel, base)?;
        }
        Ok(())
    }
}

/// Closes a command in the table, if it is open.
pub(super) fn close(
    id: &CommandId,
    outcome: &Outcome,
    step: Step,
    base: &mut Base<'_>,
) -> Result<(), PowerCut> {
    base.commit(step, |disk| disk.close(id, outcome)).map(drop)
}
