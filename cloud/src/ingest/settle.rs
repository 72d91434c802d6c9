//! Carries out what the receivers want: reservations, commits, and what is said afterwards.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use fieldgate_model::{
    Batch, Catalogue, CatalogueId, Content, Cursor, Digest, GatewayId, Millis, Owner, Welcome,
};
use fieldgate_protocol::uplink::ReceiverEffect;
use fieldgate_wire::{
    Ack, DownKind, Need, Pause, PauseReason, Refuse, clip, encode_ack, encode_need, encode_pause,
    encode_refuse, encode_welcome, message_digest,
};

use super::Task;
use super::batch::{Arrived, alarms};
use super::group::Group;
use super::session::Session;
use crate::live::LiveUpdate;
use crate::store::{Commit, Reservation, StoreError};

/// How long gateways stay silent after the store failed: a full disk is not emptied faster.
const REFUSED_PAUSE: Millis = Millis::from_secs(30);

impl Task {
    /// Carries out everything that a receiver wants; `arrived` is the batch it was just given.
    pub(super) async fn settle(
        &mut self,
        session: &mut Session,
        mut arrived: Option<Arrived>,
        group: &mut Group,
    ) {
        while let Some(effect) = session.receiver.poll_effect() {
            match effect {
                ReceiverEffect::Reserve { epoch, boot, contested } => {
                    let (software, generation) = session.daemon.clone();
                    let gateway = session.gateway.clone();
                    let (doubt, readopted) = (session.doubt(), session.readopted);
                    let reservation = Reservation {
                        gateway,
                        epoch,
                        boot,
                        contested,
                        doubt,
                        readopted,
                        software,
                        generation,
                    };
                    self.reserve(session, reservation).await;
                }
                ReceiverEffect::Welcome(welcome) => self.send_welcome(session, &welcome).await,
                ReceiverEffect::Store { verified, .. } => {
                    if let Some(arrived) = arrived.take() {
                        group.push(session, arrived, verified);
                    }
                }
                ReceiverEffect::Ack { cursor, releasable } => {
                    let owner = self.owner(session);
                    let ack = Ack { owner, cursor, releasable };
                    self.parts.down.send(&session.gateway, DownKind::Ack, encode_ack(&ack)).await;
                }
                ReceiverEffect::Need(catalogue) => self.send_need(session, catalogue).await,
                ReceiverEffect::Pause(retry_after) => {
                    self.send_pause(session, PauseReason::Full, retry_after).await;
                }
            }
        }
    }

    async fn reserve(&self, session: &mut Session, reservation: Reservation) {
        let now = self.parts.clock.now();
        match self.parts.writer.run(move |store| store.reserve(&reservation, now)).await {
            Ok(()) => session.receiver.handle_reserved(self.parts.clock.now()),
            Err(error) => {
                // No Welcome: the gateway says Hello again.
                tracing::warn!(
                    gateway = %session.gateway,
                    error = &error as &dyn std::error::Error,
                    "epoch not reserved"
                );
                // Meanwhile nobody knows whether its identity is in doubt.
                self.parts.commands.gone(&session.gateway).await;
            }
        }
    }

    async fn send_welcome(&self, session: &mut Session, welcome: &Welcome) {
        session.announced = true;
        let Welcome { owner, contested, .. } = welcome;
        let gateway = &session.gateway;
        tracing::info!(%gateway, epoch = owner.epoch.0, contested, "gateway welcomed");
        self.parts.down.send(gateway, DownKind::Welcome, encode_welcome(welcome)).await;
        if *contested || session.suspended {
            self.parts.commands.gone(gateway).await;
        } else {
            self.parts.commands.ready(gateway, owner).await;
        }
    }

    pub(super) async fn send_need(&self, session: &Session, catalogue: CatalogueId) {
        let need = Need { owner: self.owner(session), catalogue };
        self.parts.down.send(&session.gateway, DownKind::Need, encode_need(&need)).await;
    }

    pub(super) async fn send_pause(
        &self,
        session: &Session,
        reason: PauseReason,
        retry_after: Millis,
    ) {
        self.parts.metrics.ingest_pauses.count();
        let pause = Pause { owner: self.owner(session), reason, retry_after };
        self.parts.down.send(&session.gateway, DownKind::Pause, encode_pause(&pause)).await;
    }

    pub(super) async fn send_refuse(&self, session: &Session, message: Digest, reason: &str) {
        self.parts.metrics.ingest_refused.count();
        let reason = clip(reason.to_owned());
        let refuse = Refuse { owner: self.owner(session), message, reason };
        self.parts.down.send(&session.gateway, DownKind::Refuse, encode_refuse(&refuse)).await;
    }

    pub(super) fn owner(&self, session: &Session) -> Owner {
        Owner { instance: self.parts.instance.clone(), epoch: session.receiver.epoch() }
    }

    /// Commits a group, then tells its gateways and the live view.
    pub(super) async fn commit(&mut self, mut group: Group) {
        // Each round ends it, or leaves out one gateway.
        while !group.is_empty() {
            let started = Instant::now();
            let (commits, batches) = group.into_parts();
            let now = self.parts.clock.now();
            let stored = self.parts.writer.run(move |store| {
                let result = store.commit(&commits, now);
                Ok((commits, result))
            });
            let (commits, result) = match stored.await {
                Ok(stored) => stored,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "batches dropped");
                    return;
                }
            };
            group = match result {
                Ok(()) => {
                    self.parts.metrics.store_commits.count();
                    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                    self.parts.metrics.store_commit_micros.add(micros);
                    self.handle_committed(commits, batches).await;
                    return;
                }
                Err(StoreError::OutOfOrder { gateway }) => {
                    // What is in memory is not what is stored: build it again from there.
                    tracing::error!(%gateway, "receiver and store disagree, session dropped");
                    self.sessions.check_out(&gateway);
                    Group::from_parts(commits, batches).without(&gateway)
                }
                Err(error) if 1 < commits.len() => {
                    // One of them may be at fault: each on its own harms no other.
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        batches = commits.len(),
                        "group not stored, one by one"
                    );
                    return Box::pin(self.commit_each(commits, batches)).await;
                }
                Err(error) => return self.handle_failed(commits, &error).await,
            };
        }
    }

    /// Commits batches one by one. What follows a batch that failed in its line fails like it.
    async fn commit_each(&mut self, commits: Vec<Commit>, batches: Vec<Option<Batch>>) {
        for (commit, batch) in commits.into_iter().zip(batches) {
            self.commit(Group::from_parts(vec![commit], vec![batch])).await;
        }
    }

    /// The store did not take a single batch: for good, or for this time.
    async fn handle_failed(&mut self, commits: Vec<Commit>, error: &StoreError) {
        let is_permanent = error.is_permanent();
        tracing::error!(
            error = error as &dyn std::error::Error,
            batches = commits.len(),
            is_permanent,
            "batches not stored"
        );
        if !is_permanent {
            return self.handle_refused(&commits).await;
        }
        for commit in commits {
            let Some(mut session) = self.sessions.check_out(&commit.gateway) else { continue };
            session.receiver.handle_rejected(commit.incarnation, commit.stream, commit.first);
            let reason = "the database cannot hold it";
            self.send_refuse(&session, message_digest(&commit.body), reason).await;
            self.sessions.check_in(session, self.parts.clock.now());
        }
    }

    async fn handle_committed(&mut self, commits: Vec<Commit>, batches: Vec<Option<Batch>>) {
        let mut touched = BTreeSet::new();
        if commits.iter().any(|commit| !commit.closings.is_empty()) {
            self.parts.commands.tell_closed();
        }
        for (commit, batch) in commits.into_iter().zip(batches) {
            let metrics = &self.parts.metrics;
            metrics.ingest_batches.count();
            metrics.ingest_samples.add(commit.samples);
            metrics.ingest_events.add(commit.events);
            metrics.ingest_bytes.add(u64::try_from(commit.body.len()).unwrap_or(u64::MAX));
            let Some(mut session) = self.sessions.check_out(&commit.gateway) else { continue };
            session.receiver.handle_committed(Cursor {
                incarnation: commit.incarnation,
                stream: commit.stream,
                committed: commit.next,
                chain: commit.chain,
            });
            touched.insert(commit.gateway.clone());
            if let Some(batch) = batch {
                self.publish(&session, &commit, batch);
            }
            self.sessions.check_in(session, self.parts.clock.now());
        }
        self.settle_all(touched).await;
    }

    async fn handle_refused(&mut self, commits: &[Commit]) {
        let touched: BTreeSet<_> = commits.iter().map(|commit| commit.gateway.clone()).collect();
        for gateway in &touched {
            if let Some(mut session) = self.sessions.check_out(gateway) {
                session.receiver.handle_refused(REFUSED_PAUSE);
                self.sessions.check_in(session, self.parts.clock.now());
            }
        }
        self.settle_all(touched.clone()).await;
        for gateway in &touched {
            // A commit that failed may have happened all the same: what is in memory may not be what
            // is stored, and is built again from there.
            self.sessions.check_out(gateway);
        }
    }

    async fn settle_all(&mut self, gateways: BTreeSet<GatewayId>) {
        for gateway in gateways {
            let Some(mut session) = self.sessions.check_out(&gateway) else { continue };
            // Nothing has arrived since, so nothing can want to be stored.
            self.settle(&mut session, None, &mut Group::default()).await;
            self.sessions.check_in(session, self.parts.clock.now());
        }
    }

    fn publish(&self, session: &Session, commit: &Commit, batch: Batch) {
        let alarms = alarms(commit);
        let (catalogue, samples) = match batch.content {
            Content::Samples { catalogue, samples } => {
                let readable = session.catalogue(catalogue).cloned().flatten();
                let Some(readable) = readable else { return };
                (readable, samples)
            }
            Content::Events(_) => (Arc::new(Catalogue::default()), Vec::new()),
            Content::Outcomes(_) | Content::Gap(_) => return,
        };
        self.parts.live.publish(LiveUpdate {
            tenant: session.tenant.clone(),
            gateway: session.gateway.clone(),
            provisional: false,
            utc_offset: batch.utc_offset,
            boot: batch.boot,
            catalogue,
            samples,
            alarms,
        });
    }
}
