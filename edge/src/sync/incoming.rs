//! What the cloud says: each message is judged by the fence before it has any effect.

use std::collections::BTreeMap;

use fieldgate_model::{Cursor, Digest, IncarnationId, Millis, Position, Stream, Welcome};
use fieldgate_protocol::Verdict;
use fieldgate_protocol::uplink::SessionState;
use fieldgate_wire::{DecodeError, DownKind, Refuse};

use super::doubt::ASK_EVERY;
use super::status::PauseStatus;
use super::task::{SyncError, Task};
use crate::buffer::BufferError;
use crate::clock::CloudWord;
use crate::journal::JournalError;

/// Longest a watch may be asked for at once; who still looks asks again.
const WATCH_MAX: Millis = Millis::from_secs(300);

impl Task {
    pub(super) async fn handle_message(
        &mut self,
        kind: DownKind,
        payload: &[u8],
    ) -> Result<(), Refused> {
        let now = self.now();
        match kind {
            DownKind::Welcome => {
                let welcome = fieldgate_wire::decode_welcome(payload)?;
                self.handle_welcome(welcome).await?;
            }
            DownKind::Ack => {
                let ack = fieldgate_wire::decode_ack(payload)?;
                self.judge(&ack.owner)?;
                let Cursor { incarnation, stream, committed, .. } = ack.cursor;
                let chain_here = self.setup.buffer.chain_at(incarnation, stream, committed).await?;
                self.sender.handle_ack(ack.cursor, ack.releasable, chain_here, now);
                self.note_ack(&ack.cursor);
            }
            DownKind::Need => {
                let need = fieldgate_wire::decode_need(payload)?;
                self.judge(&need.owner)?;
                // Behind a broker the batch that needs it may be of an earlier connection: before
                // the Welcome nothing but Hello is said.
                if self.sender.is_live() {
                    self.send_catalogue(need.catalogue).await?;
                    self.sender.handle_need();
                }
            }
            DownKind::Pause => {
                let pause = fieldgate_wire::decode_pause(payload)?;
                self.judge(&pause.owner)?;
                tracing::warn!(reason = pause.reason.as_str(), "the cloud asks for a pause");
                self.sender.handle_pause(pause.retry_after, now);
                let until = self.utc() + pause.retry_after;
                self.pause = Some(PauseStatus { reason: pause.reason, until });
            }
            DownKind::Command => {
                let message = fieldgate_wire::decode_command(payload)?;
                self.judge(&message.owner)?;
                // Before the Welcome nobody has said whether our identity is in doubt.
                if self.is_doubted() || !self.sender.is_live() {
                    tracing::warn!(command = %message.command.id, "withheld");
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
            DownKind::Refuse => {
                let refuse = fieldgate_wire::decode_refuse(payload)?;
                self.judge(&refuse.owner)?;
                self.handle_refuse(&refuse).await?;
            }
        }
        Ok(())
    }

    /// Finds the batch in flight that is never taken; it is named by its bytes.
    async fn handle_refuse(&mut self, refuse: &Refuse) -> Result<(), SyncError> {
        for (incarnation, stream, first) in self.sender.in_flight() {
            let body = self.setup.buffer.load(incarnation, stream, first).await?;
            let is_it = |body: &[u8]| fieldgate_wire::message_digest(body) == refuse.message;
            if body.is_some_and(|(body, _)| is_it(&body)) {
                let reason = refuse.reason.as_str();
                tracing::error!(%incarnation, first = first.0, reason, "the cloud refuses a batch");
                self.sender.handle_refused(incarnation, stream, first, self.setup.clock.now());
                return Ok(());
            }
        }
        Ok(())
    }

    /// How long the batch was on its way that an Ack now covers.
    fn note_ack(&mut self, cursor: &Cursor) {
        let (utc, now) = (self.setup.clock.utc(), self.now());
        let arrived = self.transit.take_if(|transit| {
            (transit.incarnation, transit.stream) == (cursor.incarnation, cursor.stream)
                && transit.next <= cursor.committed
        });
        self.outputs.status.send_modify(|status| {
            status.acked_at = Some(utc);
            if let Some(transit) = arrived {
                status.ack_after = Some(now.since(transit.sent_at));
            }
        });
    }

    async fn handle_welcome(&mut self, welcome: Welcome) -> Result<(), Refused> {
        // One that comes twice or late tells what was true before.
        if self.sender.session() != SessionState::Greeting {
            return self.judge(&welcome.owner);
        }
        match self.fence.judge_welcome(&welcome.owner) {
            Verdict::Stale => return Err(Refused::Stale),
            Verdict::Current => {}
            Verdict::Adopt(fence) => {
                self.setup.journal.save_fence(fence.clone()).await?;
                self.fence = fence;
            }
        }
        if self.contested != welcome.contested {
            tracing::warn!(
                contested = welcome.contested,
                "the cloud's view of our identity changed"
            );
        }
        self.contested = welcome.contested;
        self.settle_doubt(&welcome).await?;
        // Before the time of day, with which the journal's open commands go on.
        self.tell_doubt();
        self.anchor(&welcome);
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
        self.ask_at = self.now() + ASK_EVERY;
        self.sender.handle_welcome(&welcome, chain_at);
        self.pause = None;
        self.shown_until = None;
        self.show(None).await;
        Ok(())
    }

    /// Carries the owner's time of day on the monotonic clock, and tells the timekeeper.
    fn anchor(&self, welcome: &Welcome) {
        let (now, greeted) = (self.now(), self.sender.greeted_at());
        // Counted from the Hello, which the owner's clock was read after: a Welcome that was long on
        // its way can make a command expire early, never late.
        self.outputs.utc_offset.send_replace(Some(welcome.utc - greeted));
        // The owner's clock was read somewhere on the way there and back: half of it is the error.
        let half = Millis(now.since(greeted).0.div_ceil(2));
        let word = CloudWord { utc: welcome.utc + half, error: half + Millis(1), at: now };
        if self.setup.time.words.try_send(word).is_err() {
            tracing::debug!("the timekeeper has enough to do; the next Welcome tells it");
        }
    }

    fn judge(&self, sender: &fieldgate_model::Owner) -> Result<(), Refused> {
        match self.fence.judge(sender) {
            Verdict::Current => Ok(()),
            Verdict::Stale | Verdict::Adopt(_) => Err(Refused::Stale),
        }
    }
}

/// Why a message from the cloud had no effect.
pub(super) enum Refused {
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
