//! The sync task: waits for the transport, the buffer, timers and answers, and applies the machine.

use std::collections::BTreeMap;
use std::time::Duration;

use fieldgate_model::{
    Batch, Content, Cursor, Digest, Event, EventRecord, Gap, GapReason, Hello, IncarnationId,
    Millis, Position, Stream, TimeSource, UtcMillis, Welcome,
};
use fieldgate_protocol::uplink::{Sender, SenderEffect};
use fieldgate_protocol::{Fence, Verdict};
use fieldgate_wire::{Answer, DecodeError, DownKind, UpKind};
use tokio::sync::mpsc;

use super::mqtt::{self, LinkEvent, LinkSetup, Publisher};
use super::present::PresentFrame;
use super::{SyncOutputs, SyncSetup};
use crate::buffer::BufferError;
use crate::command::Answered;
use crate::journal::{JournalError, journal_state};

/// How often whoever looks on is shown what has changed.
const PRESENT_EVERY: Duration = Duration::from_millis(200);
/// Longest a watch may be asked for at once; who still looks asks again.
const WATCH_MAX: Millis = Millis::from_secs(300);
/// How far apart owner and system clock may be before the anchor is worth an event.
const ANCHOR_EVERY: Millis = Millis::from_secs(3600);

enum Wake {
    Link(Option<LinkEvent>),
    Lines,
    Timeout,
    Answer(Option<Answered>),
    Present,
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

struct Task {
    setup: SyncSetup,
    outputs: SyncOutputs,
    sender: Sender,
    fence: Fence,
    publisher: Option<Publisher>,
    rebuild: mpsc::Sender<()>,
    contested: bool,
    watched_until: Option<Millis>,
    shown_until: Option<Millis>,
    anchored_at: Option<Millis>,
    present: PresentFrame,
}

/// Runs until `stop` changes.
pub async fn run(
    setup: SyncSetup,
    outputs: SyncOutputs,
    mut stop: tokio::sync::watch::Receiver<bool>,
) -> Result<(), SyncError> {
    let (events, mut link) = mpsc::channel(mqtt::events_max());
    let (rebuild, rebuilds) = mpsc::channel(1);
    let link_setup = LinkSetup { url: setup.url.clone(), credentials: setup.credentials.clone() };
    let client = tokio::spawn(mqtt::run(link_setup, events, rebuilds));
    let mut lines = setup.buffer.lines();
    let mut task = Task::new(setup, outputs, rebuild, lines.borrow_and_update().clone());
    loop {
        task.drain().await?;
        task.publish_status();
        let due = task.sender.poll_timeout().map(|at| at.since(task.now()));
        let wake = tokio::select! {
            event = link.recv() => Wake::Link(event),
            changed = lines.changed() => match changed {
                Ok(()) => Wake::Lines,
                Err(_) => break,
            },
            () = tokio::time::sleep(Duration::from_millis(due.unwrap_or_default().0)),
                if due.is_some() => Wake::Timeout,
            answer = task.outputs.answers.recv() => Wake::Answer(answer),
            () = tokio::time::sleep(PRESENT_EVERY), if task.is_watched() => Wake::Present,
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
        held: Vec<fieldgate_protocol::uplink::HeldLine>,
    ) -> Self {
        let catalogue = fieldgate_wire::catalogue_id(&setup.catalogue);
        Self {
            sender: Sender::resume(held),
            fence: setup.fence.clone(),
            publisher: None,
            rebuild,
            contested: false,
            watched_until: None,
            shown_until: None,
            anchored_at: None,
            present: PresentFrame { boot: setup.boot, catalogue },
            setup,
            outputs,
        }
    }

    fn now(&self) -> Millis {
        self.setup.clock.now()
    }

    fn is_watched(&self) -> bool {
        self.sender.is_live() && self.watched_until.is_some_and(|until| self.now() < until)
    }

    async fn handle_link(&mut self, event: LinkEvent) -> Result<(), SyncError> {
        match event {
            LinkEvent::Up(publisher) => {
                tracing::info!("connected to the cloud");
                self.publisher = Some(publisher);
                self.sender.handle_connected(self.setup.clock.now());
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

    async fn handle_message(&mut self, kind: DownKind, payload: &[u8]) -> Result<(), Refused> {
        let now = self.now();
        match kind {
            DownKind::Welcome => {
                let welcome = fieldgate_wire::decode_welcome(payload)?;
                self.handle_welcome(welcome).await?;
            }
            DownKind::Ack => {
                let ack = fieldgate_wire::decode_ack(payload)?;
                self.judge(&ack.owner)?;
                let (committed, releasable) = (ack.committed, ack.releasable);
                self.sender.handle_ack(ack.incarnation, ack.stream, committed, releasable, now);
                let utc = self.setup.clock.utc();
                self.outputs.status.send_modify(|status| status.acked_at = Some(utc));
            }
            DownKind::Need => {
                let need = fieldgate_wire::decode_need(payload)?;
                self.judge(&need.owner)?;
                self.send_catalogue(need.catalogue).await?;
                self.sender.handle_need();
            }
            DownKind::Pause => {
                let pause = fieldgate_wire::decode_pause(payload)?;
                self.judge(&pause.owner)?;
                tracing::warn!(reason = ?pause.reason, "the cloud asks for a pause");
                self.sender.handle_pause(pause.retry_after, now);
            }
            DownKind::Command => {
                let message = fieldgate_wire::decode_command(payload)?;
                self.judge(&message.owner)?;
                if self.contested || self.setup.withheld {
                    tracing::warn!(command = %message.command.id, "withheld until readopted");
                } else if self.outputs.commands.try_send(message.command).is_err() {
                    tracing::warn!("too many commands at once, the owner will send them again");
                }
            }
            DownKind::Watch => {
                let watch = fieldgate_wire::decode_watch(payload)?;
                self.judge(&watch.owner)?;
                let left = watch.until.0.saturating_sub(self.utc().0);
                let left = Millis(u64::try_from(left).unwrap_or(0)).min(WATCH_MAX);
                self.watched_until = Some(now + left);
            }
        }
        Ok(())
    }

    async fn handle_welcome(&mut self, welcome: Welcome) -> Result<(), Refused> {
        match self.fence.judge_welcome(&welcome.owner) {
            Verdict::Stale => return Err(Refused::Stale),
            Verdict::Current => {}
            Verdict::Adopt(fence) => {
                self.setup.journal.save_fence(fence.clone()).await?;
                self.fence = fence;
            }
        }
        self.anchor(&welcome).await;
        let mut chains: BTreeMap<(IncarnationId, Stream, Position), Option<Digest>> =
            BTreeMap::new();
        for cursor in &welcome.cursors {
            let (incarnation, stream, at) = (cursor.incarnation, cursor.stream, cursor.committed);
            let chain = self.setup.buffer.chain_at(incarnation, stream, at).await?;
            chains.insert((incarnation, stream, at), chain);
        }
        let chain_at = |cursor: &Cursor| {
            chains.get(&(cursor.incarnation, cursor.stream, cursor.committed)).copied().flatten()
        };
        if self.contested != welcome.contested {
            tracing::warn!(
                contested = welcome.contested,
                "the cloud's view of our identity changed"
            );
        }
        self.contested = welcome.contested;
        self.sender.handle_welcome(&welcome, chain_at);
        self.shown_until = None;
        self.show(None).await;
        Ok(())
    }

    /// Carries the owner's time of day on the monotonic clock, and notes it now and then.
    async fn anchor(&mut self, welcome: &Welcome) {
        let now = self.now();
        self.outputs.utc_offset.send_replace(Some(welcome.utc - now));
        if self.anchored_at.is_none_or(|at| now.since(at) >= ANCHOR_EVERY) {
            self.anchored_at = Some(now);
            let event = Event::Anchor {
                utc: welcome.utc,
                // The Welcome's way here is not measured; a second covers any link that works.
                error: Millis(1_000),
                source: TimeSource::Cloud,
            };
            self.setup.engine.record(EventRecord { at: now, event }).await;
        }
    }

    fn handle_lines(&mut self, held: Vec<fieldgate_protocol::uplink::HeldLine>) {
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

    async fn drain(&mut self) -> Result<(), SyncError> {
        while let Some(effect) = self.sender.poll_effect() {
            match effect {
                SenderEffect::Greet => self.greet(),
                SenderEffect::Send { incarnation, stream, first } => {
                    self.send_batch(incarnation, stream, first).await?;
                }
                SenderEffect::SendGap { incarnation, stream, first, next } => {
                    self.send_gap(incarnation, stream, first, next).await?;
                }
                SenderEffect::Release { incarnation, stream, before } => {
                    self.setup.buffer.release(incarnation, stream, before).await?;
                }
                SenderEffect::Reincarnate(incarnation) => {
                    tracing::error!(%incarnation, "the cloud holds another history under this name");
                    self.setup.buffer.reincarnate(incarnation).await?;
                    self.sender.handle_lines(self.setup.buffer.lines().borrow().clone());
                    self.sender.handle_reincarnated(self.setup.clock.now());
                }
                SenderEffect::Rebuild => {
                    self.publisher = None;
                    if self.rebuild.try_send(()).is_err() {
                        tracing::debug!("a rebuild is under way already");
                    }
                }
            }
        }
        Ok(())
    }

    fn greet(&self) {
        let hello = Hello {
            gateway: self.setup.credentials.gateway.clone(),
            boot: self.setup.boot,
            owner: self.fence.owner().cloned(),
            burned: self.fence.burned(),
            heads: self.sender.heads(),
            open_commands: 0,
            generation: 0,
            software: concat!("fieldgate/", env!("CARGO_PKG_VERSION")).to_owned(),
            at: self.now(),
            utc: Some(self.setup.clock.utc()),
        };
        self.publish(UpKind::Hello, fieldgate_wire::encode_hello(&hello));
    }

    async fn send_batch(
        &mut self,
        incarnation: IncarnationId,
        stream: Stream,
        first: Position,
    ) -> Result<(), SyncError> {
        match self.setup.buffer.load(incarnation, stream, first).await? {
            Some((body, next)) => {
                if self.publish(UpKind::Batch, body) {
                    self.outputs.status.send_modify(|status| status.batches_sent += 1);
                }
                let now = self.now();
                self.sender.handle_sent(incarnation, stream, (first, next), now);
            }
            None => {
                // It gave way meanwhile: the lines say from where the line goes on.
                self.sender.handle_lines(self.setup.buffer.lines().borrow().clone());
            }
        }
        Ok(())
    }

    async fn send_gap(
        &mut self,
        incarnation: IncarnationId,
        stream: Stream,
        first: Position,
        next: Position,
    ) -> Result<(), SyncError> {
        let chain = self.setup.buffer.chain_at(incarnation, stream, next).await?;
        let (from, to) = self.setup.buffer.lost_span(incarnation, stream).await?;
        let Some(chain) = chain else { return Ok(()) };
        let gap = Gap { reason: GapReason::BufferFull, from, to };
        let batch = Batch {
            incarnation,
            stream,
            first,
            next,
            chain,
            boot: self.setup.boot,
            utc_offset: None,
            content: Content::Gap(gap),
        };
        tracing::warn!(%incarnation, records = next - first, "declaring a gap");
        self.publish(UpKind::Batch, fieldgate_wire::encode_batch(&batch));
        let now = self.now();
        self.sender.handle_sent(incarnation, stream, (first, next), now);
        Ok(())
    }

    async fn send_catalogue(&self, id: fieldgate_model::CatalogueId) -> Result<(), SyncError> {
        let Some(body) = self.setup.buffer.catalogue(id).await? else {
            tracing::error!(catalogue = %id, "the cloud asks for a catalogue that is not here");
            return Ok(());
        };
        if let Ok(catalogue) = fieldgate_wire::decode_catalogue(&body) {
            for chunk in fieldgate_wire::chunk_catalogue(&catalogue) {
                self.publish(UpKind::Catalogue, fieldgate_wire::encode_catalogue_chunk(&chunk));
            }
        }
        Ok(())
    }

    /// Shows what was taken after `since`, everything without it.
    async fn show(&mut self, since: Option<Millis>) {
        let now = self.now();
        let snapshot = self.setup.engine.snapshot(since).await;
        let newest = snapshot.samples.iter().map(|sample| sample.at).max();
        self.shown_until = newest.max(self.shown_until);
        let utc_offset = Some(self.utc() - now);
        for message in self.present.messages(snapshot, now, utc_offset) {
            self.publish(UpKind::Present, message);
        }
    }

    fn answer(&self, (command, state): Answered) {
        let answer = Answer::Command { command, state: journal_state(&state) };
        self.publish(UpKind::Answer, fieldgate_wire::encode_answer(&answer));
    }

    fn publish(&self, kind: UpKind, payload: Vec<u8>) -> bool {
        self.publisher.as_ref().is_some_and(|publisher| publisher.publish(kind, payload))
    }

    /// UTC as the owner anchored it, else as the system clock has it.
    fn utc(&self) -> UtcMillis {
        let offset = *self.outputs.utc_offset.borrow();
        offset.map_or_else(|| self.setup.clock.utc(), |offset| offset + self.now())
    }

    fn judge(&self, sender: &fieldgate_model::Owner) -> Result<(), Refused> {
        match self.fence.judge(sender) {
            Verdict::Current => Ok(()),
            Verdict::Stale | Verdict::Adopt(_) => Err(Refused::Stale),
        }
    }

    fn publish_status(&self) {
        self.outputs.status.send_if_modified(|status| {
            let mut next = status.clone();
            next.connected = self.publisher.is_some();
            next.welcomed = self.sender.is_live();
            next.contested = self.contested;
            next.withheld = self.setup.withheld;
            next.backlog = self.sender.backlog();
            next.sealed = self.sender.heads().iter().map(|head| head.next.0).sum();
            let changed = *status != next;
            *status = next;
            changed
        });
    }
}

/// Why a message from the cloud had no effect.
enum Refused {
    Malformed(DecodeError),
    Stale,
    Fatal(SyncError),
}

impl From<DecodeError> for Refused {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl From<SyncError> for Refused {
    fn from(error: SyncError) -> Self {
        Self::Fatal(error)
    }
}

impl From<BufferError> for Refused {
    fn from(error: BufferError) -> Self {
        Self::Fatal(error.into())
    }
}

impl From<JournalError> for Refused {
    fn from(error: JournalError) -> Self {
        Self::Fatal(error.into())
    }
}
