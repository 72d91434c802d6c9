//! One world: a gateway, a cloud, a bad link, and everything that happens to them.
//!
//! # Invariants
//!
//! - The seed decides everything: no clock, no threads, no order of a hash.
//! - After the faults comes a time without any, in which everything must come to rest.

mod healing;

use fieldgate_model::{
    Action, Catalogue, CatalogueDevice, CatalogueSignal, Command, CommandId, Cursor, DeviceName,
    Epoch, EventRecord, GatewayId, IncarnationId, InstanceId, Millis, Owner, Quality, Sample,
    Scale, SignalIndex, SignalName, Value, ValueKind, Welcome,
};
use fieldgate_protocol::command::{EntryState, IssuerState};
use fieldgate_protocol::uplink::SessionState;
use fieldgate_wire::{Ack, CommandMessage, DownKind, Need, Pause, PauseReason};

use crate::cloud::{Base, Cloud};
use crate::disk::{CloudCommand, CloudDisk, DiskLine, EdgeDisk, utc};
use crate::edge::{CommitFault, Edge, Ground};
use crate::fuse::{Fuse, PowerCut};
use crate::happening::{FAULTS, Happening, Mix};
use crate::invariants::{Broken, Promise};
use crate::link::Link;
use crate::reference::{Reference, boot, named_event};
use crate::rng::Rng;
use crate::table::Table;

/// Things that happen before the faults end.
const STEPS: usize = 400;
/// Rounds in which everything must come to rest: three silences of a minute each, a pause and the
/// time until a silent command is called unconfirmed take some hundred.
const ROUNDS_MAX: usize = 2_000;
/// Copies of both disks that a restoration can choose from.
const COPIES_MAX: usize = 4;

/// Everything there is.
pub(crate) struct World {
    rng: Rng,
    mix: Mix,
    now: Millis,
    fresh: u64,
    gateway: GatewayId,
    instance: InstanceId,
    link: Link,
    edge: Option<Edge>,
    edge_disk: EdgeDisk,
    edge_fuse: Fuse,
    fault: Option<CommitFault>,
    full: bool,
    clone: Option<EdgeDisk>,
    cloud: Cloud,
    cloud_disk: CloudDisk,
    cloud_fuse: Fuse,
    copies: Vec<(EdgeDisk, CloudDisk)>,
    catalogue: Catalogue,
    reference: Reference,
    table: Table,
}

impl World {
    pub(crate) fn new(seed: u64, with_story: bool) -> Self {
        let mut rng = Rng::new(seed);
        let mix = Mix::draw(seed, &mut rng);
        let gateway = GatewayId::new("gateway").expect("an id");
        let instance = InstanceId::new("a").expect("an id");
        let cloud_disk = CloudDisk::default();
        let mut world = Self {
            mix,
            rng,
            now: Millis(1_000),
            fresh: 1,
            link: Link::default(),
            edge: None,
            edge_disk: EdgeDisk::new(&gateway, IncarnationId(boot(1).0)),
            edge_fuse: Fuse::default(),
            fault: None,
            full: false,
            clone: None,
            cloud: Cloud::start(&gateway, &instance, &cloud_disk),
            cloud_disk,
            cloud_fuse: Fuse::default(),
            copies: Vec::new(),
            catalogue: catalogue(0),
            reference: Reference::default(),
            table: Table::default(),
            gateway,
            instance,
        };
        world.reference.story = with_story.then(Vec::new);
        world
    }

    pub(crate) fn story(&self) -> Vec<String> {
        self.reference.story.clone().unwrap_or_default()
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn run(&mut self) -> Result<(), Broken> {
        self.start_edge();
        for _ in 0..STEPS {
            let happening = self.mix.next(&mut self.rng);
            let states = self.states();
            if !self.apply(happening) {
                continue;
            }
            if FAULTS.contains(&happening) {
                for state in &states {
                    self.table.count(happening, state);
                }
            }
            let now = self.now.0;
            self.reference.tell(|| format!("{now:>8} {happening:?} at {}", states.join(", ")));
            self.check()?;
        }
        self.heal()?;
        if let Some(clone) = self.clone.take() {
            self.swap_disk(clone);
            self.heal()?;
        }
        self.reference.check_end(&self.edge_disk, &self.cloud_disk);
        self.check()
    }

    fn check(&mut self) -> Result<(), Broken> {
        self.reference.check_step(&self.edge_disk);
        self.reference.broken().map_or(Ok(()), Err)
    }

    fn apply(&mut self, happening: Happening) -> bool {
        use Happening as H;
        match happening {
            H::Lose | H::Double | H::Overtake | H::Partition | H::Cut | H::Foreign => {
                return self.disturb_link(happening);
            }
            H::CrashEdge => self.crash_edge(),
            H::CrashEdgeMidway => self.edge_fuse.arm(self.rng.below(12)),
            H::CrashCloud => self.crash_cloud(true),
            H::CrashCloudBehindBroker => {
                if !self.link.connected {
                    return false;
                }
                self.crash_cloud(false);
            }
            H::CrashCloudMidway => self.cloud_fuse.arm(self.rng.below(10)),
            H::CommitFails => self.fail_commit(CommitFault::Undone),
            H::CommitFailsYetHolds => self.fail_commit(CommitFault::Done),
            H::TornWrite => self.fail_commit(CommitFault::Torn),
            H::BufferFull => {
                self.full = true;
                self.on_edge(|edge, ground| edge.commit(false, ground));
            }
            H::CloudFull => {
                if !self.cloud.has_group() {
                    return false;
                }
                self.on_cloud(Cloud::refuse);
            }
            H::RestoreCloud | H::RestoreEdge | H::SwapClone | H::Copy | H::Disown => {
                return self.go_back(happening);
            }
            H::Catalogue => {
                self.catalogue = catalogue(self.fresh);
                self.fresh += 1;
                let catalogue = self.catalogue.clone();
                self.on_edge(|edge, ground| edge.reload(&catalogue, ground));
            }
            H::Opaque => self.on_edge(|edge, _| {
                edge.unreadable = true;
                Ok(())
            }),
            H::Sample | H::Event => self.take(happening == H::Sample),
            H::Flush => self.on_edge(|edge, ground| edge.commit(false, ground)),
            H::Seal => self.on_edge(|edge, ground| edge.commit(true, ground)),
            H::DeliverUp => return !self.link.holds_back() && self.deliver_up(0),
            H::DeliverDown => return !self.link.holds_back() && self.deliver_down(0),
            H::Connect => {
                if self.link.connected {
                    return false;
                }
                self.on_edge(Edge::connected);
            }
            H::Tick => self.tick(),
            H::CloudCommit => self.on_cloud(Cloud::commit),
            H::CloudLook => self.on_cloud(|cloud, base| cloud.look(false, base)),
            H::DeviceAnswer => self.on_edge(Edge::device_answers),
            H::Submit => self.submit(),
            H::Cancel => {
                let count = self.cloud_disk.commands.len();
                if count == 0 {
                    return false;
                }
                let id = self.cloud_disk.commands[self.rng.below(count)].command.id.clone();
                self.on_cloud(|_, base| Cloud::cancel(&id, base));
            }
        }
        true
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives faults of the link only")]
    fn disturb_link(&mut self, happening: Happening) -> bool {
        let (up, down) = (self.link.up.len(), self.link.down.len());
        let upwards = up > 0 && (down == 0 || self.rng.one_in(2));
        let count = if upwards { up } else { down };
        let index = self.rng.below(count.max(1));
        match happening {
            Happening::Cut if self.link.connected => self.cut(),
            Happening::Partition if self.link.connected => {
                self.link.stalled = 20 + self.rng.below(200);
            }
            Happening::Foreign if self.link.connected => return self.speak_as_stranger(),
            Happening::Lose if upwards => drop(self.link.up.remove(index)),
            Happening::Lose if count > 0 => drop(self.link.down.remove(index)),
            Happening::Double if upwards => {
                let message = self.link.up[index].clone();
                self.link.up.push_back(message);
            }
            Happening::Double if count > 0 => {
                let message = self.link.down[index].clone();
                self.link.down.push_back(message);
            }
            Happening::Overtake if upwards => return self.deliver_up(index),
            Happening::Overtake if count > 0 => return self.deliver_down(index),
            _ => return false,
        }
        true
    }

    /// Another instance, or the owner in an epoch that is over, tries everything.
    fn speak_as_stranger(&mut self) -> bool {
        let Some(owner) = self.edge_disk.fence.owner().cloned() else { return false };
        let stranger = InstanceId::new("b").expect("an id");
        let sender = match self.rng.below(3) {
            0 => Owner { instance: stranger, epoch: owner.epoch },
            1 => Owner { instance: stranger, epoch: Epoch(owner.epoch.0 + 1) },
            _ => Owner { instance: owner.instance, epoch: Epoch(owner.epoch.0 - 1) },
        };
        let line = &self.edge_disk.lines[self.rng.below(self.edge_disk.lines.len())];
        let ((incarnation, stream), stored) = (line.name, line.stored);
        let (kind, body) = match self.rng.below(5) {
            0 => {
                let (owner, utc) = (sender, utc(self.now));
                let cursors = Vec::new();
                let welcome = Welcome { owner, utc, cursors, contested: false, readopted: 0 };
                (DownKind::Welcome, fieldgate_wire::encode_welcome(&welcome))
            }
            1 => {
                let (committed, chain) = (stored, line.chain);
                let cursor = Cursor { incarnation, stream, committed, chain };
                let ack = Ack { owner: sender, cursor, releasable: committed };
                (DownKind::Ack, fieldgate_wire::encode_ack(&ack))
            }
            2 => {
                let retry_after = Millis::from_secs(86_400);
                let pause = Pause { owner: sender, reason: PauseReason::Quota, retry_after };
                (DownKind::Pause, fieldgate_wire::encode_pause(&pause))
            }
            3 => {
                let catalogue = fieldgate_wire::catalogue_id(&self.catalogue);
                let need = Need { owner: sender, catalogue };
                (DownKind::Need, fieldgate_wire::encode_need(&need))
            }
            _ => {
                self.fresh += 1;
                let command = command(self.fresh, self.now, &mut self.rng);
                let message = CommandMessage { owner: sender, command };
                (DownKind::Command, fieldgate_wire::encode_command(&message))
            }
        };
        self.link.send_down(kind, body);
        true
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives what replaces disks only")]
    fn go_back(&mut self, happening: Happening) -> bool {
        match happening {
            Happening::Copy => {
                self.copies.push((self.edge_disk.clone(), self.cloud_disk.clone()));
                if self.copies.len() > COPIES_MAX {
                    self.copies.remove(0);
                }
            }
            Happening::Disown => {
                let burned = self.edge_disk.fence.burned();
                self.edge_disk.fence = fieldgate_protocol::Fence::resume(None, burned);
                self.crash_edge();
            }
            Happening::SwapClone => {
                self.fresh += 1;
                let mut copy = self.edge_disk.clone();
                copy.lineage = u32::try_from(self.fresh).expect("a world is short");
                let other = self.clone.take().unwrap_or(copy);
                self.clone = Some(self.edge_disk.clone());
                self.reference.edge_restored = true;
                self.swap_disk(other);
            }
            _ if self.copies.is_empty() => return false,
            Happening::RestoreEdge => {
                self.fresh += 1;
                let mut copy = self.copies[self.rng.below(self.copies.len())].0.clone();
                copy.lineage = u32::try_from(self.fresh).expect("a world is short");
                let disks = std::iter::once(&copy).chain(&self.clone);
                self.reference.edge_replaced(disks, &self.cloud_disk);
                self.swap_disk(copy);
            }
            _ => {
                let copy = self.copies[self.rng.below(self.copies.len())].1.clone();
                let disks = std::iter::once(&self.edge_disk).chain(&self.clone);
                self.reference.cloud_replaced(&copy, disks);
                self.cloud_disk = copy;
                self.crash_cloud(true);
            }
        }
        true
    }

    /// The gateway runs on another disk.
    fn swap_disk(&mut self, disk: EdgeDisk) {
        self.edge_disk = disk;
        self.crash_edge();
    }

    fn take(&mut self, sample: bool) {
        self.fresh += 1;
        let (identity, at) = (self.fresh, self.now);
        self.on_edge(|edge, ground| {
            if sample {
                edge.tail.samples.push(Sample {
                    signal: SignalIndex(u32::try_from(identity % 3).expect("below three")),
                    at,
                    value: Some(Value::Unsigned(identity)),
                    quality: Quality::Good,
                });
                Ok(())
            } else {
                edge.tail.events.push(EventRecord { at, event: named_event(identity) });
                edge.commit(true, ground)
            }
        });
    }

    fn submit(&mut self) {
        self.fresh += 1;
        let command = command(self.fresh, self.now, &mut self.rng);
        let state = IssuerState::Accepted;
        self.cloud_disk.commands.push(CloudCommand {
            command,
            state,
            sent_at: None,
            outcome: None,
        });
        self.on_cloud(|cloud, base| cloud.look(false, base));
    }

    fn fail_commit(&mut self, fault: CommitFault) {
        self.fault = Some(fault);
        // Half of the time it lies in wait, as for the commit of an outcome.
        if self.rng.one_in(2) {
            return;
        }
        let seal = self.rng.one_in(2);
        self.on_edge(|edge, ground| edge.commit(seal, ground));
    }

    fn tick(&mut self) {
        let due = self.edge.as_ref().and_then(|edge| edge.sender.poll_timeout());
        let a_little = Millis(self.now.0 + 1 + self.rng.below(900) as u64);
        self.now = match due {
            Some(due) if self.rng.one_in(2) => self.now.max(due),
            Some(_) | None => a_little,
        };
        self.on_edge(Edge::timeout);
    }

    fn deliver_up(&mut self, index: usize) -> bool {
        let Some((kind, body)) = self.link.up.remove(index) else { return false };
        self.reference.tell(|| format!("         up   {kind:?}"));
        self.on_cloud(|cloud, base| cloud.deliver(kind, body, base));
        true
    }

    fn deliver_down(&mut self, index: usize) -> bool {
        let Some((kind, body)) = self.link.down.remove(index) else { return false };
        self.reference.tell(|| format!("         down {kind:?}"));
        let stale = is_stale(kind, &body, &self.edge_disk);
        let before = self.edge.as_ref().filter(|_| stale).map(Edge::image);
        let fence = self.edge_disk.fence.clone();
        self.on_edge(|edge, ground| edge.deliver(kind, &body, ground));
        if let (Some(before), Some(edge)) = (before, &self.edge) {
            let same = before == edge.image() && fence == self.edge_disk.fence;
            self.reference.require(same, Promise::StaleWithoutEffect, || {
                format!("{kind:?} of a stranger had an effect")
            });
        }
        true
    }

    fn cut(&mut self) {
        self.link.cut();
        self.cloud.disconnected();
        if let Some(edge) = &mut self.edge {
            edge.disconnected();
        }
    }

    fn crash_edge(&mut self) {
        self.reference.tell(|| "         the edge starts".to_owned());
        self.link.cut();
        self.cloud.disconnected();
        self.edge = None;
        self.edge_fuse.disarm();
        self.fault = None;
        self.start_edge();
    }

    fn crash_cloud(&mut self, and_connections: bool) {
        self.reference.tell(|| "         the cloud starts".to_owned());
        self.cloud_fuse.disarm();
        if and_connections {
            self.cut();
        }
        self.cloud = Cloud::start(&self.gateway, &self.instance, &self.cloud_disk);
    }

    fn start_edge(&mut self) {
        self.fresh += 1;
        let (number, catalogue) = (boot(self.fresh), self.catalogue.clone());
        let started = Edge::start(number, &catalogue, &mut self.ground());
        self.edge = Some(started.expect("no fuse is armed at a start"));
    }

    fn ground(&mut self) -> Ground<'_> {
        Ground {
            disk: &mut self.edge_disk,
            link: &mut self.link,
            fuse: &mut self.edge_fuse,
            fault: &mut self.fault,
            full: &mut self.full,
            fresh: &mut self.fresh,
            reference: &mut self.reference,
            now: self.now,
        }
    }

    fn on_edge(&mut self, what: impl FnOnce(&mut Edge, &mut Ground<'_>) -> Result<(), PowerCut>) {
        let mut edge = self.edge.take().expect("an edge always runs");
        let connected = self.link.connected;
        let result = what(&mut edge, &mut self.ground());
        self.edge = Some(edge);
        if result.is_err() {
            self.crash_edge();
        } else if connected && !self.link.connected {
            self.cut();
        }
    }

    fn on_cloud(&mut self, what: impl FnOnce(&mut Cloud, &mut Base<'_>) -> Result<(), PowerCut>) {
        let mut base = Base {
            disk: &mut self.cloud_disk,
            link: &mut self.link,
            fuse: &mut self.cloud_fuse,
            reference: &mut self.reference,
            now: self.now,
        };
        if what(&mut self.cloud, &mut base).is_err() {
            self.crash_cloud(true);
        }
    }
}

/// Whether a message comes from nobody whom the gateway obeys, or may obey.
fn is_stale(kind: DownKind, body: &[u8], disk: &EdgeDisk) -> bool {
    let sender = match kind {
        DownKind::Welcome => fieldgate_wire::decode_welcome(body).map(|welcome| welcome.owner),
        DownKind::Ack => fieldgate_wire::decode_ack(body).map(|ack| ack.owner),
        DownKind::Need => fieldgate_wire::decode_need(body).map(|need| need.owner),
        DownKind::Pause => fieldgate_wire::decode_pause(body).map(|pause| pause.owner),
        DownKind::Command => fieldgate_wire::decode_command(body).map(|message| message.owner),
        DownKind::Watch => fieldgate_wire::decode_watch(body).map(|watch| watch.owner),
        DownKind::Refuse => fieldgate_wire::decode_refuse(body).map(|refuse| refuse.owner),
    };
    let sender = sender.expect("the link keeps bytes");
    match disk.fence.owner() {
        Some(owner) if kind == DownKind::Welcome && owner.instance == sender.instance => {
            sender.epoch < owner.epoch
        }
        Some(owner) => *owner != sender,
        None => kind != DownKind::Welcome || sender.epoch <= disk.fence.burned(),
    }
}

/// The `number`th catalogue: three signals whose device's profile has that version.
fn catalogue(number: u64) -> Catalogue {
    let signal = |name: &str| CatalogueSignal {
        name: SignalName::new(name).expect("an id"),
        kind: ValueKind::Unsigned,
        unit: String::new(),
        scale: Scale::IDENTITY,
        writable: true,
    };
    Catalogue {
        devices: vec![CatalogueDevice {
            name: DeviceName::new("meter").expect("an id"),
            profile: format!("meter@{number}"),
            signals: ["x", "y", "z"].map(signal).to_vec(),
        }],
    }
}

fn command(number: u64, now: Millis, rng: &mut Rng) -> Command {
    let device = ["meter", "pump"][rng.below(2)];
    let life = Millis([500, 5_000, 60_000][rng.below(3)]);
    Command {
        id: CommandId::new(format!("c{number}")).expect("an id"),
        action: Action::Write {
            device: DeviceName::new(device).expect("an id"),
            signal: SignalName::new("x").expect("an id"),
            value: Value::Unsigned(number),
            verify: false,
        },
        not_after: utc(now) + life,
        retry_safe: rng.one_in(4),
        dry_run: false,
        by: "operator".to_owned(),
    }
}
