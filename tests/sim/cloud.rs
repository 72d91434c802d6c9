//! The cloud's shell in the simulator: ingest and command tasks around the real machines.
//!
//! # Invariants
//!
//! - What is done, and in which order, is what `cloud/src/{ingest,command}` do.
//! - The process may die at every `burn`: before and after each commit, and before each effect.

use std::rc::Rc;

use fieldgate_model::{
    Command, CommandId, Content, Cursor, Digest, Epoch, GatewayId, IncarnationId, InstanceId,
    Millis, Outcome, OutcomeRecord, Owner, Stream, UtcMillis,
};
use fieldgate_protocol::command::{Decision, IssuerEvent, IssuerState, decide};
use fieldgate_protocol::uplink::{BatchHead, Chain, Receiver, ReceiverEffect, StoredGateway};
use fieldgate_wire::{
    Ack, Answer, CommandMessage, DownKind, JournalState, Need, Pause, PauseReason, Reassembly,
    UpKind,
};

use crate::disk::{CloudBatch, CloudCommand, CloudDisk, Held, utc};
use crate::fuse::{Fuse, PowerCut};
use crate::link::Link;
use crate::reference::Reference;

/// A sent command without an answer is sent again.
const RESEND_AFTER: Millis = Millis::from_secs(30);
/// How long a gateway stays silent after the store failed.
const REFUSED_PAUSE: Millis = Millis::from_secs(30);

/// What the cloud stands on.
pub(crate) struct Base<'a> {
    pub(crate) disk: &'a mut CloudDisk,
    pub(crate) link: &'a mut Link,
    pub(crate) fuse: &'a mut Fuse,
    pub(crate) reference: &'a mut Reference,
    pub(crate) now: Millis,
}

pub(crate) struct WireChain(GatewayId);

impl Chain for WireChain {
    fn start(&self, incarnation: IncarnationId, stream: Stream) -> Digest {
        fieldgate_wire::chain_start(&self.0, incarnation, stream)
    }

    fn link(&self, before: Digest, leaf: Digest) -> Digest {
        fieldgate_wire::link(before, leaf)
    }
}

/// A batch that waits for the commit of its group.
struct Arrived {
    head: BatchHead,
    batch: CloudBatch,
    outcomes: Vec<OutcomeRecord>,
}

/// What is in memory.
pub(crate) struct Cloud {
    gateway: GatewayId,
    instance: InstanceId,
    pub(crate) receiver: Receiver<WireChain>,
    group: Vec<Arrived>,
    reassembly: Option<Reassembly>,
    /// The disk does not take the next reservation; the gateway will greet again.
    refuses_reservation: bool,
    /// The gateway is welcomed by this process, and may be commanded.
    owner: Option<Owner>,
}

impl Cloud {
    pub(crate) fn start(gateway: &GatewayId, instance: &InstanceId, disk: &CloudDisk) -> Self {
        Self {
            gateway: gateway.clone(),
            instance: instance.clone(),
            receiver: resume(gateway, instance, disk),
            group: Vec::new(),
            reassembly: None,
            refuses_reservation: false,
            owner: None,
        }
    }

    pub(crate) fn disconnected(&mut self) {
        self.owner = None;
    }

    pub(crate) fn has_group(&self) -> bool {
        !self.group.is_empty()
    }

    pub(crate) fn deliver(
        &mut self,
        kind: UpKind,
        body: Vec<u8>,
        base: &mut Base<'_>,
    ) -> Result<(), PowerCut> {
        match kind {
            UpKind::Hello => {
                let hello = fieldgate_wire::decode_hello(&body).expect("the link keeps bytes");
                self.receiver.handle_hello(hello);
                self.settle(None, base)
            }
            UpKind::Batch => self.deliver_batch(body, base),
            UpKind::Catalogue => {
                let chunk =
                    fieldgate_wire::decode_catalogue_chunk(&body).expect("the link keeps bytes");
                let id = chunk.catalogue;
                let mut reassembly = self
                    .reassembly
                    .take()
                    .filter(|reassembly| reassembly.catalogue() == id)
                    .unwrap_or_else(|| Reassembly::new(id));
                match reassembly.handle_chunk(chunk) {
                    Ok(Some(bytes)) => {
                        base.fuse.burn()?;
                        base.disk.catalogues.insert(id, bytes.into());
                        base.fuse.burn()
                    }
                    Ok(None) => {
                        self.reassembly = Some(reassembly);
                        Ok(())
                    }
                    Err(_) => Ok(()),
                }
            }
            UpKind::Answer => {
                match fieldgate_wire::decode_answer(&body).expect("the link keeps bytes") {
                    Answer::Stale { .. } => self.owner = None,
                    Answer::Command { command, state } => {
                        if let JournalState::Closed(outcome) = state {
                            close(&command, &outcome, base)?;
                        }
                    }
                }
                Ok(())
            }
            UpKind::Present => Ok(()),
        }
    }

    fn deliver_batch(&mut self, body: Vec<u8>, base: &mut Base<'_>) -> Result<(), PowerCut> {
        if self.receiver.epoch() == Epoch(0) {
            return Ok(());
        }
        let arrived = Arrived::read(body);
        let known = arrived.head.catalogue.is_none_or(|id| base.disk.catalogues.contains_key(&id));
        self.receiver.handle_batch(arrived.head, known);
        self.settle(Some(arrived), base)
    }

    fn settle(
        &mut self,
        mut arrived: Option<Arrived>,
        base: &mut Base<'_>,
    ) -> Result<(), PowerCut> {
        while let Some(effect) = self.receiver.poll_effect() {
            base.fuse.burn()?;
            match effect {
                ReceiverEffect::Reserve { epoch, boot, contested } => {
                    if std::mem::take(&mut self.refuses_reservation) {
                        continue;
                    }
                    let disk = &mut *base.disk;
                    disk.epoch = disk.epoch.max(epoch);
                    (disk.boot, disk.contested) = (Some(boot), contested);
                    base.fuse.burn()?;
                    self.receiver.handle_reserved(utc(base.now));
                }
                ReceiverEffect::Welcome(welcome) => {
                    base.reference.speaks_as(&welcome.owner, base.disk);
                    base.link
                        .send_down(DownKind::Welcome, fieldgate_wire::encode_welcome(&welcome));
                    self.owner = Some(welcome.owner).filter(|_| !welcome.contested);
                    self.look(true, base)?;
                }
                ReceiverEffect::Store { verified, .. } => {
                    if let Some(mut arrived) = arrived.take() {
                        if !verified && arrived.batch.held == Held::Readable {
                            arrived.batch.held = Held::Opaque;
                            arrived.outcomes.clear();
                        }
                        self.group.push(arrived);
                    }
                }
                ReceiverEffect::Ack { cursor, releasable } => {
                    let line = (cursor.incarnation, cursor.stream);
                    base.reference.ack_leaves(line, cursor.committed, releasable, base.disk);
                    let owner = self.speaker(base);
                    let ack = Ack { owner, cursor, releasable };
                    base.link.send_down(DownKind::Ack, fieldgate_wire::encode_ack(&ack));
                }
                ReceiverEffect::Need(catalogue) => {
                    let need = Need { owner: self.speaker(base), catalogue };
                    base.link.send_down(DownKind::Need, fieldgate_wire::encode_need(&need));
                }
                ReceiverEffect::Pause(retry_after) => {
                    let owner = self.speaker(base);
                    let pause = Pause { owner, reason: PauseReason::Full, retry_after };
                    base.link.send_down(DownKind::Pause, fieldgate_wire::encode_pause(&pause));
                }
            }
        }
        Ok(())
    }

    fn speaker(&self, base: &mut Base<'_>) -> Owner {
        let owner = Owner { instance: self.instance.clone(), epoch: self.receiver.epoch() };
        base.reference.speaks_as(&owner, base.disk);
        owner
    }

    /// Commits the group that waits, then tells the gateway.
    pub(crate) fn commit(&mut self, base: &mut Base<'_>) -> Result<(), PowerCut> {
        let group = std::mem::take(&mut self.group);
        if group.is_empty() {
            return Ok(());
        }
        let mut staged = base.disk.clone();
        for arrived in &group {
            if !arrived.store(&mut staged) {
                // What is in memory is not what is stored: build it again from there.
                self.receiver = resume(&self.gateway, &self.instance, base.disk);
                return Ok(());
            }
        }
        base.fuse.burn()?;
        *base.disk = staged;
        base.reference.cloud_committed(base.disk);
        base.fuse.burn()?;
        for arrived in &group {
            self.receiver.handle_committed(Cursor {
                incarnation: arrived.head.incarnation,
                stream: arrived.head.stream,
                committed: arrived.head.next,
                chain: arrived.head.chain,
            });
        }
        self.settle(None, base)
    }

    /// The disk takes nothing.
    pub(crate) fn refuse(&mut self, base: &mut Base<'_>) -> Result<(), PowerCut> {
        self.group.clear();
        self.refuses_reservation = true;
        self.receiver.handle_refused(REFUSED_PAUSE);
        self.settle(None, base)
    }

    /// Looks at every open command. `welcomed`: also what was sent before goes again.
    pub(crate) fn look(&mut self, welcomed: bool, base: &mut Base<'_>) -> Result<(), PowerCut> {
        let now = utc(base.now);
        let open = |known: &&CloudCommand| known.state != IssuerState::Closed;
        let commands: Vec<CloudCommand> = base.disk.commands.iter().filter(open).cloned().collect();
        for known in commands {
            let (state, not_after) = (known.state, known.command.not_after);
            let silent = known.sent_at.is_some_and(|at| at + RESEND_AFTER <= now);
            let ticked = decide(state, IssuerEvent::Tick, not_after, now);
            let decision = if ticked == Decision::Unconfirmed && !welcomed {
                ticked
            } else {
                let ready = self.owner.is_some()
                    && (welcomed
                        || state == IssuerState::Accepted
                        || state == IssuerState::Sent && silent);
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
        match decision {
            Decision::Send => {
                base.fuse.burn()?;
                if let Some(known) = base.disk.command_mut(&command.id) {
                    known.state = IssuerState::Sent;
                    known.sent_at = known.sent_at.or(Some(now));
                }
                base.fuse.burn()?;
                self.publish(command, base);
            }
            Decision::SendAgain => self.publish(command, base),
            Decision::Expire => close(&command.id, &Outcome::Expired, base)?,
            Decision::Unconfirmed => {
                if let Some(known) = base.disk.command_mut(&command.id) {
                    known.state = IssuerState::Unconfirmed;
                }
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
        let decision =
            decide(known.state, IssuerEvent::Cancel, known.command.not_after, utc(base.now));
        if decision == Decision::Cancel {
            close(id, &Outcome::Cancelled, base)?;
        }
        Ok(())
    }
}

impl Arrived {
    fn read(body: Vec<u8>) -> Self {
        let envelope = fieldgate_wire::decode_envelope(&body).expect("the link keeps bytes");
        let batch = envelope.open().ok();
        let leaf = batch.as_ref().filter(|_| !envelope.is_gap).map(fieldgate_wire::leaf);
        let (catalogue, outcomes) = match batch.map(|batch| batch.content) {
            Some(Content::Samples { catalogue, .. }) => (Some(catalogue), Vec::new()),
            Some(Content::Outcomes(outcomes)) => (None, outcomes),
            Some(Content::Events(_) | Content::Gap(_)) | None => (None, Vec::new()),
        };
        let head = BatchHead {
            incarnation: envelope.incarnation,
            stream: envelope.stream,
            first: envelope.first,
            next: envelope.next,
            chain: envelope.chain,
            leaf,
            catalogue,
        };
        let kept_as = match (envelope.is_gap, leaf) {
            (true, _) => Held::Gap,
            (false, Some(_)) => Held::Readable,
            (false, None) => Held::Opaque,
        };
        let (first, next, chain) = (head.first, head.next, head.chain);
        let batch = CloudBatch { first, next, chain, held: kept_as, body: Rc::from(body) };
        Self { head, batch, outcomes }
    }

    /// Puts it into the transaction; `false` if it does not stand at its cursor.
    fn store(&self, disk: &mut CloudDisk) -> bool {
        let line = (self.head.incarnation, self.head.stream);
        let committed = disk.cursor(line);
        if self.head.next <= committed {
            return true;
        }
        if self.head.first != committed {
            return false;
        }
        disk.batches.entry(line).or_default().push(self.batch.clone());
        disk.cursors.insert(line, (self.head.next, self.batch.chain));
        for record in &self.outcomes {
            disk.close(&record.command, &record.outcome);
        }
        true
    }
}

/// Closes a command in the table, if it is open.
fn close(id: &CommandId, outcome: &Outcome, base: &mut Base<'_>) -> Result<(), PowerCut> {
    base.fuse.burn()?;
    base.disk.close(id, outcome);
    base.reference.cloud_committed(base.disk);
    base.fuse.burn()
}

fn resume(gateway: &GatewayId, instance: &InstanceId, disk: &CloudDisk) -> Receiver<WireChain> {
    let stored = StoredGateway {
        epoch: disk.epoch,
        boot: disk.boot,
        contested: disk.contested,
        readopted: 0,
        cursors: disk.cursors(),
    };
    Receiver::resume(instance.clone(), WireChain(gateway.clone()), stored)
}
