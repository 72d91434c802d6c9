//! The sync task: waits for the transport, the buffer, timers and answers, and applies the machine.

use std::time::Duration;

use fieldgate_model::{Doubt, IncarnationId, Millis, Position, Stream, UtcMillis};
use fieldgate_protocol::Fence;
use fieldgate_protocol::uplink::{HeldLine, Pace, Sender, SessionState};
use fieldgate_wire::{Answer, UpKind};
use tokio::sync::mpsc;

use super::incoming::Refused;
use super::mqtt::{self, LinkEvent, LinkSetup, Publisher};
use super::present::PresentFrame;
use super::status::{LineStatus, PauseStatus};
use super::{SyncOutputs, SyncSetup};
use crate::buffer::BufferError;
use crate::command::Answered;
use crate::journal::{JournalError, journal_state};

/// How often whoever looks on is shown what has changed.
const WATCHED_EVERY: Duration = Duration::from_millis(200);
/// How often it is told unasked while history is behind: what is live must not wait for it.
const BEHIND_EVERY: Duration = Duration::from_secs(1);
/// Records behind which history counts as behind: some seconds of a large gateway.
const BEHIND: u64 = 10_000;
/// Longest that a gateway with a backlog waits before it begins with it. A thousand that come back
/// together begin with a hundred a second.
const START_SPREAD_MAX: Millis = Millis::from_secs(10);

enum Wake {
    Link(Option<LinkEvent>),
    Lines,
    Timeout,
    Answer(Option<Answered>),
    Present,
    Ask,
}

/// A batch on its way, whose Ack is waited for to know how long that takes.
pub(super) struct Transit {
    pub(super) incarnation: IncarnationId,
    pub(super) stream: Stream,
    pub(super) next: Position,
    pub(super) sent_at: Millis,
}

/// Why sync cannot go on; the daemon restarts it.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The buffer has stopped.
    #[error("read the buffer")]
    Buffer(#[from] BufferError),
    /// The journal refuses.
    #[error("make the fence durable")]
    Journal(#[from] JournalError),
}

pub(super) struct Task {
    pub(super) setup: SyncSetup,
    pub(super) outputs: SyncOutputs,
    pub(super) sender: Sender,
    pub(super) fence: Fence,
    pub(super) publisher: Option<Publisher>,
    pub(super) rebuild: mpsc::Sender<()>,
    pub(super) contested: bool,
    pub(super) doubt: Option<Doubt>,
    /// How often the owner says that somebody has readopted us.
    pub(super) readopted: Option<u64>,
    /// When to ask whether commands still have to wait.
    pub(super) ask_at: Millis,
    pub(super) pause: Option<PauseStatus>,
    pub(super) transit: Option<Transit>,
    pub(super) watched_until: Option<Millis>,
    pub(super) shown_until: Option<Millis>,
    pub(super) shown_at: tokio::time::Instant,
    pub(super) present: PresentFrame,
}

/// Runs until `stop` changes.
pub async fn run(
    setup: SyncSetup,
    outputs: SyncOutputs,
    mut stop: tokio::sync::watch::Receiver<bool>,
) -> Result<(), SyncError> {
    let (events, mut link) = mpsc::channel(mqtt::events_max());
    let (rebuild, rebuilds) = mpsc::channel(1);
    let link_setup = LinkSetup {
        url: setup.url.clone(),
        credentials: setup.credentials.clone(),
        clock: setup.time.status.clone(),
    };
    let client = tokio::spawn(mqtt::run(link_setup, events, rebuilds));
    let mut lines = setup.buffer.lines();
    let mut task = Task::new(setup, outputs, rebuild, lines.borrow_and_update().clone());
    loop {
        task.drain().await?;
        task.publish_status();
        let due = task.sender.poll_timeout().map(|at| at.since(task.now()));
        let ask_in = task.ask_at.since(task.now());
        let present = task.present_every();
        let wake = tokio::select! {
            event = link.recv() => Wake::Link(event),
            changed = lines.changed() => match changed {
                Ok(()) => Wake::Lines,
                Err(_) => break,
            },
            () = tokio::time::sleep(Duration::from_millis(due.unwrap_or_default().0)),
                if due.is_some() => Wake::Timeout,
            answer = task.outputs.answers.recv() => Wake::Answer(answer),
            () = tokio::time::sleep_until(task.shown_at + present.unwrap_or_default()),
                if present.is_some() => Wake::Present,
            () = tokio::time::sleep(Duration::from_millis(ask_in.0)),
                if task.is_doubted() && task.sender.is_live() => Wake::Ask,
            _ = stop.changed() => break,
        };
        match wake {
            Wake::Link(Some(event)) => task.handle_link(event).await?,
            Wake::Lines => {
                let held = lines.borrow_and_update().clone();
                task.handle_lines(held);
            }
            Wake::Timeout => task.sender.handle_timeout(task.setup.clock.now()),
            Wake::Answer(Some(answer)) => task.answer(answer),
            Wake::Present => task.show(task.shown_until).await,
            // The same connection, greeted on again.
            Wake::Ask => task.sender.handle_connected(task.setup.clock.now()),
            Wake::Link(None) | Wake::Answer(None) => break,
        }
    }
    if let Some(publisher) = &task.publisher {
        publisher.disconnect();
    }
    drop(link);
    client.abort();
    Ok(())
}

impl Task {
    fn new(
        setup: SyncSetup,
        outputs: SyncOutputs,
        rebuild: mpsc::Sender<()>,
        held: Vec<HeldLine>,
    ) -> Self {
        let catalogue = fieldgate_wire::catalogue_id(&setup.catalogue);
        let mut sender = Sender::resume(held);
        sender.set_pace(Pace::new(setup.history_rate));
        Self {
            sender,
            fence: setup.fence.clone(),
            publisher: None,
            rebuild,
            contested: false,
            doubt: setup.doubt,
            readopted: None,
            ask_at: Millis(0),
            pause: None,
            transit: None,
            shown_at: tokio::time::Instant::now(),
            watched_until: None,
            shown_until: None,
            present: PresentFrame { boot: setup.boot, catalogue },
            setup,
            outputs,
        }
    }

    pub(super) fn now(&self) -> Millis {
        self.setup.clock.now()
    }

    /// How often the present is told, if it is.
    fn present_every(&self) -> Option<Duration> {
        let watched = self.watched_until.is_some_and(|until| self.now() < until);
        let every = match (self.sender.is_live(), watched) {
            (true, true) => WATCHED_EVERY,
            (true, false) if self.sender.backlog() > BEHIND => BEHIND_EVERY,
            (true | false, _) => return None,
        };
        Some(every)
    }

    /// Spreads the beginnings of gateways that are back together, over the time that their history
    /// takes.
    fn spread_start(&mut self) {
        let takes = self.sender.backlog().saturating_mul(1000) / self.setup.history_rate.max(1);
        let spread = Millis(takes).min(START_SPREAD_MAX);
        let until = self.now() + mqtt::random_share(spread);
        self.sender.hold_samples(until);
    }

    async fn handle_link(&mut self, event: LinkEvent) -> Result<(), SyncError> {
        match event {
            LinkEvent::Up(publisher) => {
                tracing::info!("connected to the cloud");
                self.publisher = Some(publisher);
                self.sender.handle_connected(self.setup.clock.now());
                self.spread_start();
            }
            LinkEvent::Down => {
                self.publisher = None;
                self.sender.handle_disconnected();
            }
            LinkEvent::Message(kind, payload) => match self.handle_message(kind, &payload).await {
                Ok(()) => {}
                Err(Refused::Malformed(error)) => {
                    tracing::warn!(kind = kind.as_str(), %error, "a message that cannot be read");
                    self.outputs.status.send_modify(|status| status.malformed += 1);
                }
                Err(Refused::Stale) => {
                    self.outputs.status.send_modify(|status| status.stale += 1);
                    let (owner, burned) = (self.fence.owner().cloned(), self.fence.burned());
                    let answer = Answer::Stale { owner, burned, what: kind };
                    self.publish(UpKind::Answer, fieldgate_wire::encode_answer(&answer));
                }
                Err(Refused::Fatal(error)) => return Err(error),
            },
        }
        Ok(())
    }

    fn handle_lines(&mut self, held: Vec<HeldLine>) {
        let known = self.sender.heads();
        let same = held.len() == known.len()
            && held.iter().all(|line| {
                known.iter().any(|head| {
                    head.incarnation == line.incarnation
                        && head.stream == line.stream
                        && head.first == line.first
                })
            });
        if !same {
            self.sender.handle_lines(held);
            return;
        }
        for line in held {
            let (incarnation, stream) = (line.incarnation, line.stream);
            self.sender.handle_sealed(incarnation, stream, line.stored, line.chain);
        }
    }

    fn answer(&self, (command, state): Answered) {
        if !self.sender.is_live() {
            return;
        }
        let answer = Answer::Command { command, state: journal_state(&state) };
        self.publish(UpKind::Answer, fieldgate_wire::encode_answer(&answer));
    }

    pub(super) fn publish(&self, kind: UpKind, payload: Vec<u8>) -> bool {
        self.publisher.as_ref().is_some_and(|publisher| publisher.publish(kind, payload))
    }

    /// UTC as the owner anchored it, else as the system clock has it.
    pub(super) fn utc(&self) -> UtcMillis {
        let offset = *self.outputs.utc_offset.borrow();
        offset.map_or_else(|| self.setup.clock.utc(), |offset| offset + self.now())
    }

    fn publish_status(&self) {
        self.outputs.status.send_if_modified(|status| {
            let mut next = status.clone();
            next.connected = self.publisher.is_some();
            next.welcomed = self.sender.is_live();
            next.contested = self.contested;
            next.doubt = self.doubt;
            next.withheld = self.doubt.is_some();
            next.owner = self.fence.owner().cloned();
            let paused = self.sender.session() == SessionState::Paused;
            next.pause = self.pause.filter(|_| paused);
            next.lines = self.sender.progress().map(line_status).collect();
            next.set_aside = self.sender.set_aside();
            next.backlog = self.sender.backlog();
            next.sealed = self.sender.heads().iter().map(|head| head.next.0).sum();
            let changed = *status != next;
            *status = next;
            changed
        });
    }
}

fn line_status((held, committed): (&HeldLine, Position)) -> LineStatus {
    let HeldLine { incarnation, stream, first, stored, .. } = *held;
    LineStatus { incarnation, stream, first, committed, sealed: stored }
}
