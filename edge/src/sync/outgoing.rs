//! What goes to the cloud: the machine's effects, one after another, and what is shown live.

use fieldgate_model::{
    Batch, CatalogueId, Content, Gap, GapReason, Hello, IncarnationId, Millis, Position, Stream,
};
use fieldgate_protocol::uplink::SenderEffect;
use fieldgate_wire::UpKind;

use super::task::{SyncError, Task, Transit};

impl Task {
    pub(super) async fn drain(&mut self) -> Result<(), SyncError> {
        while let Some(effect) = self.sender.poll_effect() {
            match effect {
                SenderEffect::Greet => self.greet(),
                SenderEffect::Send { incarnation, stream, first } => {
                    self.send_batch(incarnation, stream, first).await?;
                }
                SenderEffect::SendGap { incarnation, stream, first, next, reason } => {
                    self.send_gap((incarnation, stream), (first, next), reason).await?;
                }
                SenderEffect::Release { incarnation, stream, before } => {
                    self.setup.buffer.release(incarnation, stream, before).await?;
                }
                SenderEffect::Reincarnate(incarnation) => self.fork(incarnation).await?,
                SenderEffect::Rebuild => {
                    self.publisher = None;
                    self.outputs.status.send_modify(|status| status.rebuilt += 1);
                    tracing::warn!("the cloud is silent, the client is built anew");
                    if self.rebuild.try_send(()).is_err() {
                        tracing::debug!("a rebuild is under way already");
                    }
                }
            }
        }
        Ok(())
    }

    fn greet(&self) {
        let now = self.now();
        let hello = Hello {
            gateway: self.setup.credentials.gateway.clone(),
            boot: self.setup.boot,
            owner: self.fence.owner().cloned(),
            burned: self.fence.burned(),
            heads: self.sender.heads(),
            // The executor is another task's, and there is no managed configuration: no cloud decides
            // by either number.
            open_commands: 0,
            generation: 0,
            software: concat!("fieldgate/", env!("CARGO_PKG_VERSION")).to_owned(),
            at: now,
            utc: self.setup.time.status.borrow().offset.map(|offset| offset + now),
            doubt: self.doubt,
        };
        self.publish(UpKind::Hello, fieldgate_wire::encode_hello(&hello));
    }

    async fn send_batch(
        &mut self,
        incarnation: IncarnationId,
        stream: Stream,
        first: Position,
    ) -> Result<(), SyncError> {
        let now = self.now();
        let Some((body, next)) = self.setup.buffer.load(incarnation, stream, first).await? else {
            self.sender.handle_absent(incarnation, stream, now);
            return Ok(());
        };
        if self.publish(UpKind::Batch, body) {
            self.outputs.status.send_modify(|status| status.batches_sent += 1);
            self.transit.get_or_insert(Transit { incarnation, stream, next, sent_at: now });
        }
        self.sender.handle_sent(incarnation, stream, (first, next), now);
        Ok(())
    }

    async fn send_gap(
        &mut self,
        (incarnation, stream): (IncarnationId, Stream),
        (first, next): (Position, Position),
        mut reason: GapReason,
    ) -> Result<(), SyncError> {
        let now = self.now();
        let chain = self.setup.buffer.chain_at(incarnation, stream, next).await?;
        let Some(chain) = chain else {
            self.sender.handle_absent(incarnation, stream, now);
            return Ok(());
        };
        let (from, to) = match reason {
            GapReason::BufferFull | GapReason::Damaged => {
                let lost = self.setup.buffer.lost(incarnation, stream).await?;
                reason = lost.reason;
                (lost.from, lost.to)
            }
            GapReason::Refused => self.refused_span(incarnation, stream, first).await?,
        };
        let batch = Batch {
            incarnation,
            stream,
            first,
            next,
            chain,
            boot: self.setup.boot,
            utc_offset: None,
            content: Content::Gap(Gap { reason, from, to, summary: None }),
        };
        tracing::warn!(%incarnation, records = next - first, ?reason, "declaring a gap");
        self.publish(UpKind::Batch, fieldgate_wire::encode_batch(&batch));
        self.sender.handle_sent(incarnation, stream, (first, next), now);
        Ok(())
    }

    /// The time of what is set aside: from its own records if they can be read, else any time until
    /// now.
    async fn refused_span(
        &self,
        incarnation: IncarnationId,
        stream: Stream,
        first: Position,
    ) -> Result<(Millis, Millis), SyncError> {
        let body = self.setup.buffer.load(incarnation, stream, first).await?;
        let batch = body.and_then(|(body, _)| fieldgate_wire::decode_batch(&body).ok());
        let times: Vec<Millis> = match batch.map(|batch| batch.content) {
            Some(Content::Samples { samples, .. }) => samples.iter().map(|one| one.at).collect(),
            Some(Content::Events(events)) => events.iter().map(|one| one.at).collect(),
            Some(Content::Outcomes(outcomes)) => outcomes.iter().map(|one| one.at).collect(),
            Some(Content::Gap(_)) | None => Vec::new(),
        };
        let (from, to) = (times.iter().min().copied(), times.iter().max().copied());
        Ok((from.unwrap_or_default(), to.unwrap_or_else(|| self.now())))
    }

    pub(super) async fn send_catalogue(&self, id: CatalogueId) -> Result<(), SyncError> {
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
    pub(super) async fn show(&mut self, since: Option<Millis>) {
        let now = self.now();
        self.shown_at = tokio::time::Instant::now();
        let snapshot = self.setup.engine.snapshot(since).await;
        let newest = snapshot.samples.iter().map(|sample| sample.at).max();
        self.shown_until = newest.max(self.shown_until);
        let utc_offset = Some(self.utc() - now);
        for message in self.present.messages(snapshot, now, utc_offset) {
            self.publish(UpKind::Present, message);
        }
    }
}
