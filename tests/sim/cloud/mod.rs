//! The cloud's shell in the simulator: ingest and the command task around the real machines.
//!
//! # Invariants
//!
//! - What is done, and in which order, is what `cloud/src/{ingest,command}` do.
//! - The process may die at every side of every step.

mod arrived;
mod command;

use fieldgate_model::{
    Cursor, Digest, Epoch, GatewayId, IncarnationId, InstanceId, Millis, Outcome, Owner, Stream,
    UtcMillis,
};
use fieldgate_protocol::command::IssuerState;
use fieldgate_protocol::uplink::{Chain, Receiver, ReceiverEffect, StoredGateway};
use fieldgate_wire::{
    Ack, Answer, DecodeError, DownKind, JournalState, Need, Pause, PauseReason, Reassembly, UpKind,
};

use self::arrived::Arrived;
use crate::disk::CloudDisk;
use crate::fault::{Fault, Faulty};
use crate::link::Link;
use crate::reference::Reference;
use crate::step::{Fuse, PowerCut, Step};

/// How long a gateway stays silent after the store failed.
const REFUSED_PAUSE: Millis = Millis::from_secs(30);
/// How long a suspended gateway stays silent before it asks again.
const SUSPENDED_PAUSE: Millis = Millis::from_secs(60);

/// What the cloud stands on.
pub(crate) struct Base<'a> {
    pub(crate) disk: &'a mut CloudDisk,
    /// What is written and not synced: a power cut takes it, a kill does not.
    pub(crate) unsynced: &'a mut Option<CloudDisk>,
    pub(crate) link: &'a mut Link,
    pub(crate) fuse: &'a mut Fuse,
    pub(crate) faults: &'a mut Faulty,
    pub(crate) reference: &'a mut Reference,
    /// What it takes for the time of day.
    pub(crate) utc: UtcMillis,
    /// The time of the world, for what is judged from outside.
    pub(crate) world: Millis,
}

impl Base<'_> {
    /// One transaction: written, then synced. The process may die before, between and after.
    /// `false` if the store says that it failed, whatever has become of it.
    pub(crate) fn commit(
        &mut self,
        step: Step,
        change: impl FnOnce(&mut CloudDisk),
    ) -> Result<bool, PowerCut> {
        self.fuse.before(step)?;
        let mut staged = self.disk.clone();
        change(&mut staged);
        let fault = self.faults.take();
        if fault == Some(Fault::Undone) {
            return Ok(false);
        }
        *self.unsynced = Some(staged);
        self.fuse.unsynced(step)?;
        if let Some(written) = self.unsynced.take() {
            *self.disk = written;
        }
        self.reference.cloud_committed(self.disk);
        self.fuse.after(step)?;
        Ok(fault.is_none())
    }
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

/// What is in memory.
pub(crate) struct Cloud {
    gateway: GatewayId,
    instance: InstanceId,
    pub(crate) receiver: Receiver<WireChain>,
    group: Vec<Arrived>,
    reassembly: Option<Reassembly>,
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
            owner: None,
        }
    }

    /// An operator says that the gateway is the one it claims to be.
    pub(crate) fn readopt(&mut self, base: &mut Base<'_>) -> Result<(), PowerCut> {
        base.commit(Step::Readopt, |disk| {
            disk.readopted += 1;
            disk.contested = false;
            // What it may have been given before, nobody can tell from what it was not.
            for known in &mut disk.commands {
                if matches!(known.state, IssuerState::Sent | IssuerState::Unconfirmed) {
                    known.state = IssuerState::Closed;
                    known.outcome = Some(Outcome::Interrupted);
                }
            }
        })?;
        self.receiver.handle_readopted(base.disk.readopted);
        Ok(())
    }

    pub(crate) fn disconnected(&mut self) {
        self.owner = None;
    }

    pub(crate) fn has_group(&self) -> bool {
        !self.group.is_empty()
    }

    /// A message arrives. What cannot be read is counted and has no effect.
    pub(crate) fn deliver(
        &mut self,
        kind: UpKind,
        body: Vec<u8>,
        base: &mut Base<'_>,
    ) -> Result<(), PowerCut> {
        match self.handle_message(kind, body, base)? {
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn handle_message(
        &mut self,
        kind: UpKind,
        body: Vec<u8>,
        base: &mut Base<'_>,
    ) -> Result<Result<(), DecodeError>, PowerCut> {
        match kind {
            UpKind::Hello => match fieldgate_wire::decode_hello(&body) {
                Ok(hello) => {
                    self.receiver.handle_hello(hello);
                    self.settle(None, base)?;
                    if base.disk.suspended {
                        self.pause(PauseReason::Suspended, SUSPENDED_PAUSE, base)?;
                    }
                }
                Err(error) => return Ok(Err(error)),
            },
            UpKind::Batch => return self.deliver_batch(body, base),
            UpKind::Catalogue => match fieldgate_wire::decode_catalogue_chunk(&body) {
                Ok(chunk) => self.deliver_chunk(chunk, base)?,
                Err(error) => return Ok(Err(error)),
            },
            UpKind::Answer => match fieldgate_wire::decode_answer(&body) {
                Ok(Answer::Stale { .. }) => self.owner = None,
                Ok(Answer::Command { command, state }) => {
                    if let JournalState::Closed(outcome) = state {
                        command::close(&command, &outcome, Step::Close, base)?;
                    }
                }
                Err(error) => return Ok(Err(error)),
            },
            UpKind::Present => {}
        }
        Ok(Ok(()))
    }

    fn deliver_chunk(
        &mut self,
        chunk: fieldgate_wire::CatalogueChunk,
        base: &mut Base<'_>,
    ) -> Result<(), PowerCut> {
        if self.receiver.epoch() == Epoch(0) || base.disk.suspended {
            return Ok(());
        }
        let id = chunk.catalogue;
        let mut reassembly = self
            .reassembly
            .take()
            .filter(|reassembly| reassembly.catalogue() == id)
            .unwrap_or_else(|| Reassembly::new(id));
        match reassembly.handle_chunk(chunk) {
            Ok(Some(bytes)) => {
                let keep = |disk: &mut CloudDisk| {
                    disk.catalogues.insert(id, bytes.into());
                };
                base.commit(Step::StoreCatalogue, keep).map(drop)
            }
            Ok(None) => {
                self.reassembly = Some(reassembly);
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    fn deliver_batch(
        &mut self,
        body: Vec<u8>,
        base: &mut Base<'_>,
    ) -> Result<Result<(), DecodeError>, PowerCut> {
        if self.receiver.epoch() == Epoch(0) {
            return Ok(Ok(()));
        }
        if base.disk.suspended {
            self.pause(PauseReason::Suspended, SUSPENDED_PAUSE, base)?;
            return Ok(Ok(()));
        }
        let arrived = match Arrived::read(body) {
            Ok(arrived) => arrived,
            Err(error) => return Ok(Err(error)),
        };
        let known = arrived.head.catalogue.is_none_or(|id| base.disk.catalogues.contains_key(&id));
        self.receiver.handle_batch(arrived.head, known);
        self.settle(Some(arrived), base).map(Ok)
    }

    fn settle(
        &mut self,
        mut arrived: Option<Arrived>,
        base: &mut Base<'_>,
    ) -> Result<(), PowerCut> {
        while let Some(effect) = self.receiver.poll_effect() {
            match effect {
                ReceiverEffect::Reserve { epoch, boot, contested } => {
                    let reserved = base.commit(Step::Reserve, |disk| {
                        disk.epoch = disk.epoch.max(epoch);
                        (disk.boot, disk.contested) = (Some(boot), contested);
                    })?;
                    // Without it no Welcome: the gateway will greet again, and until then nobody
                    // knows whether its identity is in doubt.
                    if reserved {
                        self.receiver.handle_reserved(base.utc);
                    } else {
                        self.owner = None;
                    }
                }
                ReceiverEffect::Welcome(welcome) => {
                    base.fuse.before(Step::Welcome)?;
                    base.reference.speaks_as(&welcome.owner, base.disk);
                    base.reference.welcomes(welcome.utc, base.world);
                    base.link
                        .send_down(DownKind::Welcome, fieldgate_wire::encode_welcome(&welcome));
                    let withheld = welcome.contested || base.disk.suspended;
                    self.owner = Some(welcome.owner).filter(|_| !withheld);
                    base.fuse.after(Step::Welcome)?;
                    self.look(true, base)?;
                }
                ReceiverEffect::Store { verified, .. } => {
                    base.fuse.before(Step::Store)?;
                    if let Some(arrived) = arrived.take() {
                        self.group.push(arrived.kept_as(verified));
                    }
                    base.fuse.after(Step::Store)?;
                }
                ReceiverEffect::Ack { cursor, releasable } => {
                    base.fuse.before(Step::Ack)?;
                    let line = (cursor.incarnation, cursor.stream);
                    base.reference.ack_leaves(line, cursor.committed, releasable, base.disk);
                    let owner = self.speaker(base);
                    let ack = Ack { owner, cursor, releasable };
                    base.link.send_down(DownKind::Ack, fieldgate_wire::encode_ack(&ack));
                    base.fuse.after(Step::Ack)?;
                }
                ReceiverEffect::Need(catalogue) => {
                    base.fuse.before(Step::Need)?;
                    let need = Need { owner: self.speaker(base), catalogue };
                    base.link.send_down(DownKind::Need, fieldgate_wire::encode_need(&need));
                    base.fuse.after(Step::Need)?;
                }
                ReceiverEffect::Pause(retry_after) => {
                    self.pause(PauseReason::Full, retry_after, base)?;
                }
            }
        }
        Ok(())
    }

    fn pause(
        &self,
        reason: PauseReason,
        retry_after: Millis,
        base: &mut Base<'_>,
    ) -> Result<(), PowerCut> {
        base.fuse.before(Step::Pause)?;
        let pause = Pause { owner: self.speaker(base), reason, retry_after };
        base.link.send_down(DownKind::Pause, fieldgate_wire::encode_pause(&pause));
        base.fuse.after(Step::Pause)
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
        let mut fits = true;
        let stored = base.commit(Step::CommitGroup, |disk| {
            let before = disk.clone();
            fits = group.iter().all(|arrived| arrived.store(disk));
            if !fits {
                *disk = before;
            }
        })?;
        if !fits {
            // What is in memory is not what is stored: build it again from there.
            self.receiver = resume(&self.gateway, &self.instance, base.disk);
            return Ok(());
        }
        if !stored {
            self.receiver.handle_refused(REFUSED_PAUSE);
            self.settle(None, base)?;
            // It may have happened all the same: memory is built again from what is stored.
            self.receiver = resume(&self.gateway, &self.instance, base.disk);
            return Ok(());
        }
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
}

fn resume(gateway: &GatewayId, instance: &InstanceId, disk: &CloudDisk) -> Receiver<WireChain> {
    let stored = StoredGateway {
        epoch: disk.epoch,
        boot: disk.boot,
        contested: disk.contested,
        readopted: disk.readopted,
        cursors: disk.cursors(),
    };
    Receiver::resume(instance.clone(), WireChain(gateway.clone()), stored)
}
