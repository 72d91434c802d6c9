//! The command task: reads the table, asks the machine, writes, then publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fieldgate_model::{CommandId, GatewayId, Millis, Outcome, Owner, UtcMillis};
use fieldgate_protocol::command::{Decision, IssuerEvent, IssuerState, decide, is_silent};
use fieldgate_wire::{
    Answer, CommandMessage, DownKind, JournalState, Watch, encode_command, encode_watch,
};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::{CommandEvent, CommandsQueue};
use crate::clock::Clock;
use crate::downlink::Downlink;
use crate::store::{Closing, CommandState, OpenCommand, StoreError, Writer};

/// Deadlines are in seconds, so they are looked at every second.
const TICK: Duration = Duration::from_secs(1);

/// How soon a command is found whose wake-up was lost, or that another process accepted.
const SWEEP_EVERY: Millis = Millis::from_secs(10);

/// How soon a command is looked at again: as long as a sent one may be silent before it goes again.
const RESEND_AFTER: Millis = Millis::from_secs(30);

/// How long a gateway goes on telling the present after nobody has asked again.
const WATCH_FOR: Millis = Millis::from_secs(30);

/// Well before the watch runs out.
const WATCH_EVERY: Millis = Millis::from_secs(10);

/// The command task.
pub struct Commands {
    writer: Writer,
    down: Downlink,
    clock: Clock,
    /// Whom somebody is watching.
    watched: watch::Receiver<BTreeSet<GatewayId>>,
    /// The gateways that may be commanded, with the owner that they were welcomed by.
    owner_by_gateway: BTreeMap<GatewayId, Owner>,
    /// When to look at the commands of a gateway again.
    due_by_gateway: BTreeMap<GatewayId, UtcMillis>,
    sweep_at: UtcMillis,
    watch_at: UtcMillis,
    /// Told whenever a command was closed here.
    closed: Option<watch::Sender<u64>>,
}

/// Why the commands of a gateway are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// It was welcomed, or has been silent for long: also what was sent before goes again.
    Welcomed,
    /// There may be commands that were not sent.
    Look,
}

enum Wakeup {
    Event(Option<CommandEvent>),
    Watched,
    Tick,
}

impl Commands {
    /// A task that knows nothing yet; its first sweep finds what is open.
    pub fn new(
        writer: Writer,
        down: Downlink,
        clock: Clock,
        watched: watch::Receiver<BTreeSet<GatewayId>>,
    ) -> Self {
        Self {
            writer,
            down,
            clock,
            watched,
            owner_by_gateway: BTreeMap::new(),
            due_by_gateway: BTreeMap::new(),
            sweep_at: UtcMillis::default(),
            watch_at: UtcMillis::default(),
            closed: None,
        }
    }

    /// Runs until every handle is dropped.
    pub async fn run(mut self, CommandsQueue { mut queue, closed }: CommandsQueue) {
        self.closed = Some(closed);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wakeup = tokio::select! {
                event = queue.recv() => Wakeup::Event(event),
                Ok(()) = self.watched.changed() => Wakeup::Watched,
                _ = ticks.tick() => Wakeup::Tick,
            };
            let result = match wakeup {
                Wakeup::Event(None) => return,
                Wakeup::Event(Some(event)) => self.apply(event).await,
                Wakeup::Watched => {
                    self.send_watches().await;
                    Ok(())
                }
                Wakeup::Tick => self.tick().await,
            };
            if let Err(error) = result {
                // The period comes back to it.
                tracing::warn!(error = &error as &dyn std::error::Error, "commands are delayed");
            }
        }
    }

    async fn apply(&mut self, event: CommandEvent) -> Result<(), StoreError> {
        match event {
            CommandEvent::Ready(gateway, owner) => {
                self.owner_by_gateway.insert(gateway.clone(), owner);
                if self.watched.borrow().contains(&gateway) {
                    self.send_watch(&gateway).await;
                }
                self.look(&gateway, Cause::Welcomed).await
            }
            CommandEvent::Gone(gateway) => {
                self.owner_by_gateway.remove(&gateway);
                Ok(())
            }
            CommandEvent::Wake(gateway) => self.look(&gateway, Cause::Look).await,
            CommandEvent::Answer(gateway, answer) => self.answer(gateway, answer).await,
        }
    }

    async fn answer(&mut self, gateway: GatewayId, answer: Answer) -> Result<(), StoreError> {
        match answer {
            Answer::Stale { owner, .. } => {
                tracing::info!(%gateway, ?owner, "gateway obeys another owner");
                self.owner_by_gateway.remove(&gateway);
                Ok(())
            }
            Answer::Command { command, state } => match state {
                JournalState::Received | JournalState::Started => Ok(()),
                JournalState::Closed(outcome) => self.close(&gateway, command, outcome).await,
            },
        }
    }

    async fn tick(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now();
        if self.watch_at <= now {
            self.send_watches().await;
        }
        if self.sweep_at <= now {
            self.sweep_at = now + SWEEP_EVERY;
            for gateway in self.writer.run(|store| store.gateways_with_open_commands()).await? {
                self.due_by_gateway.entry(gateway).or_insert(now);
            }
        }
        let due: Vec<_> = self.due_by_gateway.iter().filter(|(_, at)| **at <= now).collect();
        let due: Vec<_> = due.into_iter().map(|(gateway, _)| gateway.clone()).collect();
        for gateway in due {
            self.look(&gateway, Cause::Look).await?;
        }
        Ok(())
    }

    /// Looks at every open command of a gateway, and remembers when to look again. Whether it may be
    /// commanded is asked anew each time: its tenant may have been suspended since its Welcome.
    async fn look(&mut self, gateway: &GatewayId, cause: Cause) -> Result<(), StoreError> {
        let of = gateway.clone();
        let looked = self.writer.run(move |store| {
            let open = store.open_commands(&of)?;
            Ok((open, store.may_command(&of)?))
        });
        let (open, may_command) = looked.await?;
        let owner = self.owner_by_gateway.get(gateway).filter(|_| may_command).cloned();
        let mut due: Option<UtcMillis> = None;
        for command in &open {
            let now = self.clock.now();
            self.step((gateway, owner.as_ref()), command, cause, now).await?;
            // Unconfirmed ones wait for their gateway's return, however long that takes.
            if command.state != CommandState::Unconfirmed {
                let again = now + RESEND_AFTER;
                let over = command.command.not_after;
                let at = if now < over { over.min(again) } else { again };
                due = Some(due.map_or(at, |earlier| earlier.min(at)));
            }
        }
        match due {
            Some(at) => self.due_by_gateway.insert(gateway.clone(), at),
            None => self.due_by_gateway.remove(gateway),
        };
        Ok(())
    }

    async fn step(
        &self,
        (gateway, owner): (&GatewayId, Option<&Owner>),
        open: &OpenCommand,
        cause: Cause,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        let command = &open.command;
        let state = issuer_state(open.state);
        let event = match (owner, state, cause) {
            (Some(_), IssuerState::Accepted, _) | (Some(_), _, Cause::Welcomed) => {
                IssuerEvent::Ready
            }
            (Some(_), _, Cause::Look) if open.sent_at.is_some_and(|at| is_silent(at, now)) => {
                IssuerEvent::Ready
            }
            (Some(_), _, Cause::Look) | (None, _, _) => IssuerEvent::Tick,
        };
        // Silence is judged also when the command goes again.
        let ticked = decide(state, IssuerEvent::Tick, command.not_after, now);
        if ticked == Decision::Unconfirmed && cause == Cause::Look {
            return self.carry_out(gateway, open, ticked, owner).await;
        }
        let decision = decide(state, event, command.not_after, now);
        self.carry_out(gateway, open, decision, owner).await
    }

    async fn carry_out(
        &self,
        gateway: &GatewayId,
        open: &OpenCommand,
        decision: Decision,
        owner: Option<&Owner>,
    ) -> Result<(), StoreError> {
        let (id, now) = (open.command.id.clone(), self.clock.now());
        match decision {
            Decision::Send => {
                if self.writer.run(move |store| store.mark_sent(&id, now)).await? {
                    self.publish(gateway, open, owner).await;
                }
            }
            Decision::SendAgain => self.publish(gateway, open, owner).await,
            Decision::Expire => {
                tracing::info!(%gateway, command = %id, "command expired before it was sent");
                self.close(gateway, id, Outcome::Expired).await?;
            }
            Decision::Unconfirmed => {
                tracing::warn!(%gateway, command = %id, "gateway says nothing of a command");
                self.writer.run(move |store| store.mark_unconfirmed(&id, now)).await?;
            }
            // Withdrawn by the API in the store; closed by ingest in the store.
            Decision::Keep | Decision::Cancel | Decision::TooLate | Decision::Close => {}
        }
        Ok(())
    }

    async fn publish(&self, gateway: &GatewayId, open: &OpenCommand, owner: Option<&Owner>) {
        let Some(owner) = owner else { return };
        let message = CommandMessage { owner: owner.clone(), command: open.command.clone() };
        tracing::info!(%gateway, command = %open.command.id, "command published");
        self.down.send(gateway, DownKind::Command, encode_command(&message)).await;
    }

    async fn close(
        &self,
        gateway: &GatewayId,
        command: CommandId,
        outcome: Outcome,
    ) -> Result<(), StoreError> {
        let (gateway, now) = (gateway.clone(), self.clock.now());
        let closing = Closing { command, outcome, at: None };
        self.writer.run(move |store| store.close_command(&gateway, &closing, now)).await?;
        if let Some(closed) = &self.closed {
            closed.send_modify(|count| *count = count.wrapping_add(1));
        }
        Ok(())
    }

    async fn send_watches(&mut self) {
        self.watch_at = self.clock.now() + WATCH_EVERY;
        let watched = self.watched.borrow_and_update().clone();
        for gateway in watched {
            self.send_watch(&gateway).await;
        }
    }

    async fn send_watch(&self, gateway: &GatewayId) {
        let Some(owner) = self.owner_by_gateway.get(gateway) else { return };
        let watch = Watch { owner: owner.clone(), until: self.clock.now() + WATCH_FOR };
        self.down.send(gateway, DownKind::Watch, encode_watch(&watch)).await;
    }
}

const fn issuer_state(state: CommandState) -> IssuerState {
    match state {
        CommandState::Accepted => IssuerState::Accepted,
        CommandState::Sent => IssuerState::Sent,
        CommandState::Unconfirmed => IssuerState::Unconfirmed,
        CommandState::Done
        | CommandState::Failed
        | CommandState::Expired
        | CommandState::Cancelled
        | CommandState::Interrupted => IssuerState::Closed,
    }
}
