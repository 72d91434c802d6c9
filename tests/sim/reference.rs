//! The simple model beside the system: what was promised to whom, and whether it is kept.
//!
//! # Invariants
//!
//! - It learns only what is visible from outside (disks, messages, the wire to the device), never
//!   what a machine believes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use fieldgate_model::Event;
use fieldgate_model::{
    BootId, Command, CommandId, Content, Digest, Epoch, EventRecord, IncarnationId, InstanceId,
    Millis, Outcome, Owner, Position, Stream, TimeSource, UtcMillis, Value,
};
use fieldgate_protocol::command::{EntryState, IssuerState};
use fieldgate_wire::{Answer, UpKind};

use crate::disk::{CloudBatch, CloudDisk, EdgeDisk, Held, LineName, SealedBatch};
use crate::invariants::{Broken, Promise};

/// One record's name in the world, whatever positions it gets.
pub(crate) type Identity = u64;

/// A batch's bytes, shared with the disks.
type Body = Rc<[u8]>;

/// Where a record was sealed.
struct Place {
    line: LineName,
    at: u64,
    body: Rc<[u8]>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}", self.line, self.at)
    }
}

/// The story of a seed and everything that must hold in it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Default)]
pub(crate) struct Reference {
    broken: Option<Broken>,
    pub(crate) story: Option<Vec<String>>,
    /// Durable at the edge, and not excused by a disk that went back in time.
    flushed: BTreeSet<Identity>,
    places: BTreeMap<Identity, Vec<Place>>,
    /// Gave way to newer records, at some time, on some disk.
    evicted: BTreeSet<Identity>,
    bodies: BTreeMap<(LineName, Position, Position), Vec<Body>>,
    chains: BTreeMap<(LineName, Position), Vec<Digest>>,
    /// Of each line in the cloud, how many batches were found good, and the last of them.
    checked: BTreeMap<LineName, (usize, Body)>,
    releasable: BTreeMap<LineName, Position>,
    executions: BTreeMap<CommandId, Vec<u32>>,
    outcomes: BTreeMap<CommandId, Outcome>,
    burned: BTreeMap<u32, Epoch>,
    instance_by_epoch: BTreeMap<Epoch, InstanceId>,
    welcomed: bool,
    /// What each Welcome's time of day was ahead of the world's time, by what it said.
    offset_by_utc: BTreeMap<UtcMillis, UtcMillis>,
    /// That of the last Welcome that arrived in this life of the edge.
    anchor: Option<UtcMillis>,
    /// The same, when a command's execution began.
    anchor_by_command: BTreeMap<CommandId, Option<UtcMillis>>,
    buffer_lost: bool,
    /// A disk has gone back in time: some records are doubled, and some commands forgotten, by
    /// nature.
    pub(crate) edge_restored: bool,
    pub(crate) cloud_restored: bool,
}

impl Reference {
    pub(crate) fn require(&mut self, holds: bool, promise: Promise, how: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            self.broken = Some(Broken { promise, how: how() });
        }
    }

    pub(crate) fn broken(&self) -> Option<Broken> {
        self.broken.clone()
    }

    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(line());
        }
    }

    /// What was told last has not happened.
    pub(crate) fn untell(&mut self) {
        if let Some(story) = &mut self.story {
            story.pop();
        }
    }

    pub(crate) fn connected(&mut self) {
        self.welcomed = false;
    }

    pub(crate) fn welcome_delivered(&mut self, utc: UtcMillis) {
        self.welcomed = true;
        self.anchor = self.offset_by_utc.get(&utc).copied();
    }

    /// A Welcome that tells this time of day is on its way.
    pub(crate) fn welcomes(&mut self, utc: UtcMillis, world: Millis) {
        let offset = utc - world;
        let known = self.offset_by_utc.entry(utc).or_insert(offset);
        *known = offset.min(*known);
    }

    /// The edge's process starts over, and knows no time of day.
    pub(crate) fn edge_started(&mut self) {
        self.anchor = None;
    }

    /// A commit of the edge's buffer has happened.
    pub(crate) fn edge_committed(&mut self, disk: &EdgeDisk) {
        for content in &disk.fragments {
            self.flushed.extend(identities(content));
        }
        // Batches only ever come at the end, so those before one that is known are known.
        let last_known = disk.batches.iter().rposition(|sealed| self.is_known(sealed));
        let old = last_known.map_or(0, |at| at + 1);
        for sealed in &disk.batches[old..] {
            let key = (sealed.line, sealed.first, sealed.next);
            let bodies = self.bodies.entry(key).or_default();
            bodies.push(Rc::clone(&sealed.body));
            self.chains.entry((sealed.line, sealed.next)).or_default().push(sealed.chain);
            for (offset, identity) in identities(&sealed.batch.content).into_iter().enumerate() {
                self.flushed.insert(identity);
                let places = self.places.entry(identity).or_default();
                let twice = !places.is_empty();
                let (line, body) = (sealed.line, Rc::clone(&sealed.body));
                places.push(Place { line, at: sealed.first.0 + offset as u64, body });
                let excused = self.edge_restored;
                self.require(!twice || excused, Promise::NothingTwice, || {
                    format!("record {identity} is sealed twice")
                });
            }
        }
        for line in &disk.lines {
            self.chains.entry((line.name, Position(0))).or_insert_with(|| {
                vec![fieldgate_wire::chain_start(&disk.gateway, line.name.0, line.name.1)]
            });
        }
    }

    fn is_known(&self, sealed: &SealedBatch) -> bool {
        let bodies = self.bodies.get(&(sealed.line, sealed.first, sealed.next));
        bodies.is_some_and(|bodies| bodies.iter().any(|body| Rc::ptr_eq(body, &sealed.body)))
    }

    /// A buffer without room gives records up. Where a clone has filled their positions meanwhile,
    /// nobody can tell any more.
    pub(crate) fn evicted(&mut self, before: &EdgeDisk, after: &EdgeDisk) {
        self.evicted.extend(held_by(before).difference(&held_by(after)));
    }

    /// A disk that is gone for good is replaced by one of `disks`: what only it knew is gone.
    pub(crate) fn edge_replaced<'a>(
        &mut self,
        disks: impl Iterator<Item = &'a EdgeDisk>,
        cloud: &CloudDisk,
    ) {
        self.edge_restored = true;
        self.forget_all_but(disks, cloud);
    }

    /// The buffer's file is gone: what only it knew is gone, and a new incarnation says so.
    pub(crate) fn buffer_replaced<'a>(
        &mut self,
        disks: impl Iterator<Item = &'a EdgeDisk>,
        cloud: &CloudDisk,
    ) {
        self.buffer_lost = true;
        self.forget_all_but(disks, cloud);
    }

    /// With the journal the fence is gone; the cloud knows the epoch.
    pub(crate) fn journal_lost(&mut self, disk: &EdgeDisk) {
        self.burned.remove(&disk.lineage);
    }

    fn forget_all_but<'a>(&mut self, disks: impl Iterator<Item = &'a EdgeDisk>, cloud: &CloudDisk) {
        let held: BTreeSet<Identity> = disks.flat_map(held_by).collect();
        let flushed = std::mem::take(&mut self.flushed);
        self.flushed = flushed
            .into_iter()
            .filter(|identity| held.contains(identity) || self.is_committed(*identity, cloud))
            .collect();
    }

    /// A forked incarnation is given up: neither a gap in it nor what was released of it can be told
    /// under a name that means another history to the cloud.
    pub(crate) fn forked(&mut self, old: IncarnationId, disk: &EdgeDisk) {
        let places = &self.places;
        self.flushed.retain(|identity| {
            let given_up = places.get(identity).into_iter().flatten().any(|place| {
                place.line.0 == old
                    && disk.line(place.line).is_some_and(|line| place.at < line.released.0)
            });
            !given_up
        });
    }

    /// Something leaves the edge.
    pub(crate) fn leaves_edge(&mut self, kind: UpKind, body: &[u8], disk: &EdgeDisk) {
        let stale = || matches!(fieldgate_wire::decode_answer(body), Ok(Answer::Stale { .. }));
        let allowed = match kind {
            UpKind::Hello => true,
            // A refusal is no history; without it a stranger would go on asking.
            UpKind::Answer => self.welcomed || stale(),
            UpKind::Batch | UpKind::Catalogue | UpKind::Present => self.welcomed,
        };
        self.require(allowed, Promise::HelloFirst, || format!("{kind:?} before a Welcome"));
        match kind {
            UpKind::Batch => self.batch_leaves(body, disk),
            UpKind::Answer => {
                if let Ok(Answer::Command { command, state }) = fieldgate_wire::decode_answer(body)
                {
                    let told = crate::edge::entry_state(state);
                    let durable =
                        disk.entry(&command).is_some_and(|known| rank(&told) <= rank(known));
                    self.require(durable, Promise::ClosedBeforeReported, || {
                        format!("{command} is answered {told:?} before it is durable")
                    });
                }
            }
            UpKind::Hello | UpKind::Catalogue | UpKind::Present => {}
        }
    }

    fn batch_leaves(&mut self, body: &[u8], disk: &EdgeDisk) {
        let envelope =
            fieldgate_wire::decode_envelope(body).expect("the edge encodes what is valid");
        let name = (envelope.incarnation, envelope.stream);
        if envelope.is_gap {
            let first = disk.line(name).map_or(Position(0), |line| line.first);
            self.require(envelope.next <= first, Promise::GapOnlyForLost, || {
                format!("gap {:?}..{:?} and held from {first:?}", envelope.first, envelope.next)
            });
            let chain = self.chains.entry((name, envelope.next)).or_default();
            chain.push(envelope.chain);
        } else {
            let durable = disk.load(name, envelope.first).is_some_and(|held| *held.body == *body);
            self.require(durable, Promise::SealedBeforeSent, || {
                format!("{name:?} {:?} is sent and not on the disk", envelope.first)
            });
        }
    }

    pub(crate) fn ack_leaves(
        &mut self,
        name: LineName,
        committed: Position,
        releasable: Position,
        disk: &CloudDisk,
    ) {
        let held = disk.cursor(name);
        self.require(
            committed <= held && releasable <= committed,
            Promise::CommittedBeforeAck,
            || format!("{name:?} is acknowledged to {committed:?} and committed to {held:?}"),
        );
        let said = self.releasable.entry(name).or_default();
        *said = (*said).max(releasable);
    }

    pub(crate) fn released(&mut self, name: LineName, before: Position) {
        let said = self.releasable.get(&name).copied().unwrap_or_default();
        self.require(before <= said, Promise::ReleasableBeforeRelease, || {
            format!("{name:?} is released to {before:?}, allowed was {said:?}")
        });
    }

    pub(crate) fn speaks_as(&mut self, owner: &Owner, disk: &CloudDisk) {
        let epoch = owner.epoch;
        self.require(epoch <= disk.epoch, Promise::ReservedBeforeWelcome, || {
            format!("{epoch:?} is spoken of and {:?} is reserved", disk.epoch)
        });
    }

    pub(crate) fn obeys(&mut self, owner: &Owner, disk: &EdgeDisk) {
        self.require(disk.fence.owner() == Some(owner), Promise::FenceBeforeObeying, || {
            format!("obeys {owner:?} and stored {:?}", disk.fence)
        });
    }

    pub(crate) fn command_leaves(&mut self, id: &CommandId, disk: &CloudDisk) {
        let sent = disk
            .commands
            .iter()
            .any(|known| known.command.id == *id && known.state != IssuerState::Accepted);
        self.require(sent, Promise::SentBeforePublish, || format!("{id} is published"));
        self.require(!disk.contested, Promise::ContestedWithheld, || format!("{id} is published"));
    }

    /// A command's execution begins: from here on its deadline runs on the monotonic clock.
    pub(crate) fn begins(&mut self, id: &CommandId, disk: &EdgeDisk) {
        let doubt = disk.doubt;
        self.require(doubt.is_none(), Promise::WithheldInDoubt, || {
            format!("{id} begins in {doubt:?}")
        });
        self.anchor_by_command.insert(id.clone(), self.anchor);
    }

    /// The write reaches the device.
    pub(crate) fn executed(&mut self, command: &Command, disk: &EdgeDisk, world: Millis) {
        let id = &command.id;
        let state = disk.entry(id);
        self.require(state == Some(&EntryState::Started), Promise::StartedBeforeWrite, || {
            format!("{id} is written while its journal says {state:?}")
        });
        let anchor = self.anchor_by_command.get(id).copied().flatten();
        let utc = anchor.map(|offset| offset + world);
        let in_time = utc.is_some_and(|utc| utc < command.not_after);
        self.require(in_time, Promise::InTime, || format!("{id} at {utc:?}"));
        let runs = self.executions.entry(id.clone()).or_default();
        runs.push(disk.lineage);
        let again = runs.iter().filter(|lineage| **lineage == disk.lineage).count() > 1;
        self.require(!again || command.retry_safe, Promise::StartsOnce, || format!("{id} again"));
    }

    pub(crate) fn reported(&mut self, id: &CommandId, disk: &EdgeDisk) {
        let closed = matches!(disk.entry(id), Some(EntryState::Closed(_)));
        self.require(closed, Promise::ClosedBeforeReported, || format!("{id} is reported"));
    }

    /// The journal will not report this outcome again.
    pub(crate) fn marked_reported(&mut self, id: &CommandId, disk: &EdgeDisk) {
        let in_stream = disk.fragments.iter().any(|content| tells(content, id))
            || disk.batches.iter().any(|sealed| tells(&sealed.batch.content, id))
            || disk.lines.iter().any(|line| line.name.1 == Stream::Outcomes && line.first.0 > 0);
        // With a forked incarnation its released outcomes go.
        let excused = self.edge_restored;
        self.require(in_stream || excused, Promise::OutcomeBeforeReported, || {
            format!("{id} is in no stream")
        });
    }

    pub(crate) fn cloud_committed(&mut self, disk: &CloudDisk) {
        self.check_lines(disk);
        for known in &disk.commands {
            let Some(outcome) = &known.outcome else { continue };
            let id = &known.command.id;
            let told = self.outcomes.entry(id.clone()).or_insert_with(|| outcome.clone()).clone();
            self.require(told == *outcome, Promise::OneOutcome, || {
                format!("{id} was {told:?} and is {outcome:?}")
            });
            let ran = self.executions.contains_key(id);
            let fits = match outcome {
                Outcome::Done { .. } => ran,
                Outcome::Expired | Outcome::Cancelled => !ran,
                Outcome::Failed { .. } | Outcome::Interrupted => true,
            };
            let excused = self.edge_restored || self.cloud_restored;
            self.require(fits || excused, Promise::OneOutcome, || {
                format!("{id} is {outcome:?} and ran: {ran}")
            });
        }
    }

    /// The cloud goes back in time. What a gateway gave up with a forked incarnation is gone with it.
    pub(crate) fn cloud_replaced<'a>(
        &mut self,
        after: &CloudDisk,
        disks: impl Iterator<Item = &'a EdgeDisk>,
    ) {
        self.cloud_restored = true;
        self.outcomes.clear();
        if self.edge_restored || self.buffer_lost {
            self.forget_all_but(disks, after);
        }
    }

    /// What holds after every step.
    pub(crate) fn check_step(&mut self, edge: &EdgeDisk) {
        let burned = self.burned.entry(edge.lineage).or_default();
        let (before, used) = (*burned, edge.fence.burned());
        *burned = before.max(used);
        let owner = edge.fence.owner().cloned();
        let sole = owner.as_ref().is_none_or(|owner| {
            let known = self.instance_by_epoch.entry(owner.epoch);
            *known.or_insert_with(|| owner.instance.clone()) == owner.instance
        });
        let below = owner.is_none_or(|owner| owner.epoch <= used);
        self.require(before <= used && sole && below, Promise::EpochOnlyGrows, || {
            format!("{before:?}, then {:?}", edge.fence)
        });
    }

    /// What holds in the cloud after every commit.
    fn check_lines(&mut self, cloud: &CloudDisk) {
        for (name, batches) in &cloud.batches {
            let old = self.checked(*name, batches);
            let mut at = old.checked_sub(1).map_or(Position(0), |last| batches[last].next);
            for batch in &batches[old..] {
                let (first, next) = (batch.first, batch.next);
                self.require(first == at && first < next, Promise::Order, || {
                    format!("{name:?}: {first:?}..{next:?} stands at {at:?}")
                });
                at = next;
                let same = batch.held == Held::Gap
                    || self
                        .bodies
                        .get(&(*name, first, next))
                        .is_some_and(|bodies| bodies.iter().any(|body| **body == *batch.body));
                self.require(same, Promise::SameHistory, || {
                    format!("{name:?} {first:?} is not what was sealed")
                });
            }
            if let Some(last) = batches.last() {
                self.checked.insert(*name, (batches.len(), Rc::clone(&last.body)));
            }
            let cursor = cloud.cursor(*name);
            self.require(cursor == at, Promise::Order, || {
                format!("{name:?}: the cursor is {cursor:?}, the batches end at {at:?}")
            });
        }
        for (name, (committed, chain)) in &cloud.cursors {
            let known = self.chains.get(&(*name, *committed));
            let equal = known.is_some_and(|chains| chains.contains(chain));
            self.require(equal, Promise::ChainEqual, || format!("{name:?} at {committed:?}"));
        }
    }

    /// How many of these batches were found good before, as the beginning of this line.
    fn checked(&self, name: LineName, batches: &[CloudBatch]) -> usize {
        let Some((count, last)) = self.checked.get(&name) else { return 0 };
        let same = batches.get(count - 1).is_some_and(|batch| Rc::ptr_eq(&batch.body, last));
        if same { *count } else { 0 }
    }

    /// A twin's record was committed at this place, and then a batch in custody only: it tells its
    /// chain and not what it follows, so the Ack for it fits ours as well.
    fn is_shadowed(&self, identity: Identity, cloud: &CloudDisk) -> bool {
        let shadowed = |place: &Place| {
            let held = cloud.batches.get(&place.line).into_iter().flatten();
            held.into_iter().any(|batch| batch.held != Held::Readable && place.at < batch.next.0)
        };
        self.places.get(&identity).is_some_and(|places| places.iter().all(shadowed))
    }

    /// What holds when everything has come to rest.
    pub(crate) fn check_end(&mut self, edge: &EdgeDisk, cloud: &CloudDisk) {
        for identity in self.flushed.clone() {
            let there = self.is_committed(identity, cloud)
                || self.edge_restored && self.evicted.contains(&identity)
                || self.edge_restored && self.is_shadowed(identity, cloud);
            let places = format!("{:?}", self.places.get(&identity));
            self.require(there, Promise::NothingLost, || {
                format!("record {identity} was flushed, is not committed and in no gap: {places}")
            });
        }
        for known in &cloud.commands {
            let (id, state) = (&known.command.id, known.state);
            self.require(state == IssuerState::Closed, Promise::OneOutcome, || {
                format!("{id} is left {state:?}")
            });
        }
        let excused = self.edge_restored;
        for sealed in &edge.batches {
            let opaque = fieldgate_wire::decode_batch(&sealed.body).is_err();
            let held = cloud.batches.get(&sealed.line).into_iter().flatten();
            let custody = held.into_iter().any(|batch| {
                batch.first == sealed.first && batch.held == Held::Opaque
                    || batch.held == Held::Gap && excused && sealed.first < batch.next
            });
            self.require(!opaque || custody, Promise::CustodyAcked, || {
                format!("{:?} {:?}", sealed.line, sealed.first)
            });
        }
    }

    /// Whether the cloud has the record, or a gap that stands for it.
    fn is_committed(&self, identity: Identity, cloud: &CloudDisk) -> bool {
        let places = self.places.get(&identity).map_or(&[][..], Vec::as_slice);
        places.iter().enumerate().any(|(index, place)| {
            let mut batches = cloud.batches.get(&place.line).into_iter().flatten();
            // Moved into another incarnation, it is lost only if it is lost there.
            let last = index + 1 == places.len();
            batches.any(|batch| {
                let covers = batch.first.0 <= place.at && place.at < batch.next.0;
                covers && (*batch.body == *place.body || last && batch.held == Held::Gap)
            })
        })
    }
}

/// How far a state of the journal is.
fn rank(state: &EntryState) -> u8 {
    match state {
        EntryState::Received => 0,
        EntryState::Started => 1,
        EntryState::Closed(_) => 2,
    }
}

fn tells(content: &Content, id: &CommandId) -> bool {
    match content {
        Content::Outcomes(records) => records.iter().any(|record| record.command == *id),
        Content::Samples { .. } | Content::Events(_) | Content::Gap(_) => false,
    }
}

fn held_by(disk: &EdgeDisk) -> BTreeSet<Identity> {
    let sealed = disk.batches.iter().flat_map(|sealed| identities(&sealed.batch.content));
    sealed.chain(disk.fragments.iter().flat_map(identities)).collect()
}

/// The records in a content that have a name of their own.
fn identities(content: &Content) -> Vec<Identity> {
    match content {
        Content::Samples { samples, .. } => {
            let of = |value: &Option<Value>| match value {
                Some(Value::Unsigned(identity)) => *identity,
                Some(
                    Value::Bool(_)
                    | Value::Int(_)
                    | Value::Float32(_)
                    | Value::Float64(_)
                    | Value::Text(_),
                )
                | None => unreachable!("the world takes unsigned samples"),
            };
            samples.iter().map(|sample| of(&sample.value)).collect()
        }
        Content::Events(records) => records.iter().filter_map(event_identity).collect(),
        Content::Outcomes(_) | Content::Gap(_) => Vec::new(),
    }
}

/// Events of the world are anchors of a clock that counts records.
pub(crate) fn named_event(identity: Identity) -> Event {
    let utc = UtcMillis(identity.cast_signed());
    Event::Anchor { utc, error: fieldgate_model::Millis(0), source: TimeSource::System }
}

fn event_identity(record: &EventRecord) -> Option<Identity> {
    match &record.event {
        Event::Anchor { utc, .. } => Some(utc.0.cast_unsigned()),
        Event::Alarm(_)
        | Event::Restart { .. }
        | Event::Reset { .. }
        | Event::LocalWrite { .. }
        | Event::Command { .. } => None,
    }
}

/// Boots, like records, are counted.
pub(crate) fn boot(number: u64) -> BootId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    BootId(bytes)
}
