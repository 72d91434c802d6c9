//! One world: a gateway, a cloud, a bad link, and everything that happens to them.
//!
//! # Invariants
//!
//! - The seed decides everything: no clock, no threads, no order of a hash.
//! - After the faults comes a time without any, in which everything must come to rest.

mod clocks;
mod disks;
mod healing;
mod messages;
mod processes;
mod talk;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;

use fieldgate_model::{
    Catalogue, Epoch, EventRecord, GatewayId, IncarnationId, InstanceId, Millis, Quality, Sample,
    SignalIndex, Value,
};
use fieldgate_protocol::command::IssuerState;

use self::clocks::{Clocks, Machine};
use self::talk::{catalogue, command};
use crate::cloud::{Base, Cloud};
use crate::disk::{CloudCommand, CloudDisk, EdgeDisk};
use crate::edge::{Edge, Ground};
use crate::fault::{Fault, Faulty};
use crate::happening::{FAULTS, Happening, Mix};
use crate::invariants::{Broken, Promise};
use crate::link::Link;
use crate::reference::{Reference, boot, named_event};
use crate::rng::Rng;
use crate::step::{Crashes, Fuse, Step};
use crate::table::Table;

/// Things that happen before the faults end.
const STEPS: usize = 400;
/// Commands that a script submits at once: more than a gateway keeps open.
const FLOOD: usize = 90;

/// Everything there is.
pub(crate) struct World {
    rng: Rng,
    mix: Mix,
    clocks: Clocks,
    fresh: u64,
    gateway: GatewayId,
    instance: InstanceId,
    link: Link,
    edge: Option<Edge>,
    edge_disk: EdgeDisk,
    edge_unsynced: Option<EdgeDisk>,
    edge_fuse: Fuse,
    /// The next death of the edge is one of its power.
    edge_power_fails: bool,
    buffer_faults: Faulty,
    journal_faults: Faulty,
    full: bool,
    clone: Option<(EdgeDisk, Machine)>,
    cloud: Cloud,
    cloud_disk: CloudDisk,
    cloud_unsynced: Option<CloudDisk>,
    cloud_fuse: Fuse,
    cloud_power_fails: bool,
    cloud_faults: Faulty,
    copies: Vec<(EdgeDisk, CloudDisk)>,
    catalogue: Catalogue,
    reference: Reference,
    table: Table,
    crashes: Crashes,
    trace: DefaultHasher,
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
            clocks: Clocks::new(boot(2)),
            fresh: 2,
            link: Link::default(),
            edge: None,
            edge_disk: EdgeDisk::new(&gateway, IncarnationId(boot(1).0)),
            edge_unsynced: None,
            edge_fuse: Fuse::default(),
            edge_power_fails: false,
            buffer_faults: Faulty::default(),
            journal_faults: Faulty::default(),
            full: false,
            clone: None,
            cloud: Cloud::start(&gateway, &instance, &cloud_disk),
            cloud_disk,
            cloud_unsynced: None,
            cloud_fuse: Fuse::default(),
            cloud_power_fails: false,
            cloud_faults: Faulty::default(),
            copies: Vec::new(),
            catalogue: catalogue(0),
            reference: Reference::default(),
            table: Table::default(),
            crashes: Crashes::default(),
            trace: DefaultHasher::new(),
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

    pub(crate) fn crashes(&self) -> &Crashes {
        &self.crashes
    }

    /// A number that two worlds share only if the same has happened in them.
    pub(crate) fn trace(&self) -> u64 {
        self.trace.finish()
    }

    pub(crate) fn run(&mut self) -> Result<(), Broken> {
        let faults = self.mix.faults();
        self.reference.tell(|| format!("         faults of this world: {faults}"));
        self.start_edge();
        for _ in 0..STEPS {
            let happening = self.mix.next(&mut self.rng);
            let states = self.states();
            let now = self.clocks.now;
            // Told before it happens, so that what follows from it stands below it.
            self.reference.tell(|| format!("{:>8} {happening:?} at {}", now.0, states.join(", ")));
            if !self.apply(happening) {
                self.reference.untell();
                continue;
            }
            if FAULTS.contains(&happening) {
                for state in &states {
                    self.table.count(happening, state);
                }
            }
            (happening as u8, now.0).hash(&mut self.trace);
            self.check()?;
        }
        self.heal()?;
        if let Some((disk, machine)) = self.clone.take() {
            self.swap_box(disk, machine);
            self.heal()?;
        }
        self.reference.check_end(&self.edge_disk, &self.cloud_disk);
        self.check()
    }

    fn check(&mut self) -> Result<(), Broken> {
        self.reference.check_step(&self.edge_disk);
        self.reference.broken().map_or(Ok(()), Err)
    }

    /// Whether it could happen.
    fn apply(&mut self, happening: Happening) -> bool {
        use Happening as H;
        match happening {
            H::Lose
            | H::Double
            | H::Overtake
            | H::Delay
            | H::Garble
            | H::Cut
            | H::CutBehindBroker
            | H::Partition
            | H::Foreign
            | H::BrokenOwner
            | H::BrokenGateway => return self.disturb_link(happening),
            H::CrashEdge
            | H::CrashEdgeMidway
            | H::CrashEdgeAtStart
            | H::TornWrite
            | H::Reboot
            | H::CrashCloud
            | H::CrashCloudBehindBroker
            | H::CrashCloudMidway
            | H::TornCloudWrite => return self.kill(happening),
            H::RestoreCloud
            | H::RestoreEdge
            | H::SwapClone
            | H::LoseBuffer
            | H::LoseJournal
            | H::Copy
            | H::Disown => return self.replace_disk(happening),
            H::EdgeClockSteps | H::CloudClockSteps | H::Sleep => self.disturb_clocks(happening),
            H::FsyncFails
            | H::FsyncFailsYetHolds
            | H::FsyncStaysBroken
            | H::JournalFails
            | H::BufferFull
            | H::CloudCommitFails
            | H::CloudFull => self.fail_disk(happening),
            H::Suspend => self.cloud_disk.suspended = !self.cloud_disk.suspended,
            H::Flood => return self.flood(),
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
            H::Sample
            | H::Event
            | H::Flush
            | H::Seal
            | H::DeliverUp
            | H::DeliverDown
            | H::Connect
            | H::Tick
            | H::CloudCommit
            | H::CloudLook
            | H::DeviceAnswer
            | H::Submit
            | H::Cancel
            | H::Readopt => return self.go_on(happening),
        }
        true
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives faults of disks only")]
    fn fail_disk(&mut self, happening: Happening) {
        use Happening as H;
        match happening {
            H::FsyncFails => self.fail_commit(Fault::Undone, 1),
            H::FsyncFailsYetHolds => self.fail_commit(Fault::Done, 1),
            H::FsyncStaysBroken => {
                let commits = 2 + self.rng.below(8);
                self.fail_commit(Fault::Undone, commits);
            }
            H::JournalFails => {
                let (fault, commits) = (self.some_fault(), 1 + self.rng.below(3));
                self.journal_faults.set(fault, commits);
            }
            H::BufferFull => {
                self.full = true;
                self.on_edge(|edge, ground| edge.commit(false, ground));
            }
            H::CloudCommitFails => {
                let fault = self.some_fault();
                self.cloud_faults.set(fault, 1);
            }
            H::CloudFull => {
                let commits = 2 + self.rng.below(8);
                self.cloud_faults.set(Fault::Undone, commits);
            }
            other => unreachable!("{other:?} is no fault of a disk"),
        }
    }

    /// More commands at once than a gateway takes; not if there are so many already.
    fn flood(&mut self) -> bool {
        if self.cloud_disk.commands.len() >= FLOOD {
            return false;
        }
        (0..FLOOD).for_each(|_| self.submit());
        if self.mix.crashes && self.rng.one_in(4) {
            self.edge_fuse.arm(&[Step::Refuse], &mut self.rng);
        }
        self.on_cloud(|cloud, base| cloud.look(false, base));
        // One after another they would be worked off as they come.
        while !self.link.holds_back() && self.deliver_down(0) {}
        true
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives what is no fault only")]
    fn go_on(&mut self, happening: Happening) -> bool {
        use Happening as H;
        match happening {
            H::Sample | H::Event => self.take(happening == H::Sample),
            H::Flush => self.on_edge(|edge, ground| edge.commit(false, ground)),
            H::Seal => self.on_edge(|edge, ground| edge.commit(true, ground)),
            H::DeliverUp => return !self.link.holds_back() && self.deliver_up(0),
            H::DeliverDown => return !self.link.holds_back() && self.deliver_down(0),
            H::Connect if self.link.connected => return false,
            H::Connect => self.on_edge(Edge::connected),
            H::Tick => self.tick(),
            H::CloudCommit => self.on_cloud(Cloud::commit),
            H::CloudLook => self.on_cloud(|cloud, base| cloud.look(false, base)),
            H::DeviceAnswer => self.on_edge(Edge::device_answers),
            H::Readopt if !self.cloud_disk.contested => return false,
            H::Readopt => self.on_cloud(Cloud::readopt),
            H::Submit => {
                self.submit();
                self.on_cloud(|cloud, base| cloud.look(false, base));
            }
            _ if self.cloud_disk.commands.is_empty() => return false,
            _ => {
                let index = self.rng.below(self.cloud_disk.commands.len());
                let id = self.cloud_disk.commands[index].command.id.clone();
                self.on_cloud(|_, base| Cloud::cancel(&id, base));
            }
        }
        true
    }

    fn take(&mut self, sample: bool) {
        self.fresh += 1;
        let identity = self.fresh;
        self.on_edge(|edge, ground| {
            let at = ground.now;
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
        let command = command(self.fresh, self.clocks.cloud_utc(), &mut self.rng);
        let state = IssuerState::Accepted;
        self.cloud_disk.commands.push(CloudCommand {
            command: Rc::new(command),
            state,
            sent_at: None,
            outcome: None,
        });
    }

    fn some_fault(&mut self) -> Fault {
        if self.rng.one_in(2) { Fault::Done } else { Fault::Undone }
    }

    fn fail_commit(&mut self, fault: Fault, commits: usize) {
        self.buffer_faults.set(fault, commits);
        // Half of the time it lies in wait, as for the commit of an outcome.
        if self.rng.one_in(2) {
            return;
        }
        let seal = self.rng.one_in(2);
        self.on_edge(|edge, ground| edge.commit(seal, ground));
    }

    fn tick(&mut self) {
        let due = self.edge.as_ref().and_then(|edge| edge.sender.poll_timeout());
        let due = due.map(|due| self.clocks.world_of(due));
        let a_little = Millis(self.clocks.now.0 + 1 + self.rng.below(900) as u64);
        self.clocks.now = match due {
            Some(due) if self.rng.one_in(2) => self.clocks.now.max(due),
            Some(_) | None => a_little,
        };
        self.on_edge(Edge::timeout);
    }
}
