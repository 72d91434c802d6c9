//! Everything that can happen to a gateway, a cloud and what lies between them, and how often.

use crate::rng::Rng;

/// One thing that happens. Faults first, so that the table of faults is a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Happening {
    /// A message vanishes.
    Lose,
    /// A message arrives twice.
    Double,
    /// A message overtakes others.
    Overtake,
    /// A message is held back while others pass.
    Delay,
    /// A message arrives with bytes changed, or cut short.
    Garble,
    /// The connection breaks: whatever is under way is gone, and both ends learn of it.
    Cut,
    /// The gateway's connection to a broker breaks: what the broker has taken still arrives, and
    /// the cloud learns of nothing.
    CutBehindBroker,
    /// Nothing passes for a while, and nobody is told.
    Partition,
    /// Somebody else speaks to the gateway, or the owner in an epoch that is over.
    Foreign,
    /// The owner says what no sound owner says.
    BrokenOwner,
    /// The gateway's identity says what no sound gateway says.
    BrokenGateway,
    /// The edge's process dies.
    CrashEdge,
    /// The edge's process dies at any side of any step.
    CrashEdgeMidway,
    /// The edge's process dies, and again while it starts.
    CrashEdgeAtStart,
    /// The edge's power fails between a write and its fsync: another boot, another clock.
    TornWrite,
    /// The edge's machine boots anew, its battery-backed clock perhaps in 1970.
    Reboot,
    /// The cloud's process dies, and connections with it.
    CrashCloud,
    /// The cloud's process dies behind a broker that keeps the gateway's connection.
    CrashCloudBehindBroker,
    /// The cloud's process dies at any side of any step.
    CrashCloudMidway,
    /// The cloud's power fails between a write and its fsync.
    TornCloudWrite,
    /// A commit of the buffer fails and has not happened.
    FsyncFails,
    /// A commit of the buffer fails although it has happened.
    FsyncFailsYetHolds,
    /// The edge's disk refuses every commit for a while.
    FsyncStaysBroken,
    /// A commit of the journal fails, whether or not it has happened.
    JournalFails,
    /// The buffer has no room: released batches give way, then unsent samples.
    BufferFull,
    /// A commit of the cloud fails, whether or not it has happened.
    CloudCommitFails,
    /// The cloud's disk takes nothing for a while.
    CloudFull,
    /// The cloud's database is replaced by an older backup.
    RestoreCloud,
    /// The edge's disk is replaced by an older copy.
    RestoreEdge,
    /// A second box with a copy of the disk takes the place of the first.
    SwapClone,
    /// The buffer's file is beyond reading, and set aside.
    LoseBuffer,
    /// The journal's file is gone.
    LoseJournal,
    /// The edge's time of day is set: a year either way, an hour back, to 1970.
    EdgeClockSteps,
    /// The cloud's time of day is set likewise.
    CloudClockSteps,
    /// Time passes and nobody's timers run: a closed lid, a paused machine.
    Sleep,
    /// The tenant is suspended, or activated again.
    Suspend,
    /// An operator's script submits more commands than a gateway takes at once.
    Flood,
    /// The signals change, so the cloud lacks a catalogue.
    Catalogue,
    /// The next batch has content that the cloud cannot read.
    Opaque,
    /// Someone takes the gateway from its owner; the next Welcome is of a later epoch.
    Disown,

    /// A sample is taken.
    Sample,
    /// An event happens.
    Event,
    /// The tail is flushed.
    Flush,
    /// The tail is sealed.
    Seal,
    /// The oldest message to the cloud arrives.
    DeliverUp,
    /// The oldest message to the edge arrives.
    DeliverDown,
    /// The client of a broken connection connects again.
    Connect,
    /// Time passes, to the next timer or a little.
    Tick,
    /// The cloud commits the group that waits.
    CloudCommit,
    /// The cloud looks at its open commands.
    CloudLook,
    /// A device answers a write.
    DeviceAnswer,
    /// An operator submits a command.
    Submit,
    /// An operator withdraws a command.
    Cancel,
    /// An operator says that a gateway in doubt is the one it claims to be.
    Readopt,
    /// Both disks are copied, for a later restoration.
    Copy,
}

pub(crate) const FAULTS: [Happening; 40] = [
    Happening::Lose,
    Happening::Double,
    Happening::Overtake,
    Happening::Delay,
    Happening::Garble,
    Happening::Cut,
    Happening::CutBehindBroker,
    Happening::Partition,
    Happening::Foreign,
    Happening::BrokenOwner,
    Happening::BrokenGateway,
    Happening::CrashEdge,
    Happening::CrashEdgeMidway,
    Happening::CrashEdgeAtStart,
    Happening::TornWrite,
    Happening::Reboot,
    Happening::CrashCloud,
    Happening::CrashCloudBehindBroker,
    Happening::CrashCloudMidway,
    Happening::TornCloudWrite,
    Happening::FsyncFails,
    Happening::FsyncFailsYetHolds,
    Happening::FsyncStaysBroken,
    Happening::JournalFails,
    Happening::BufferFull,
    Happening::CloudCommitFails,
    Happening::CloudFull,
    Happening::RestoreCloud,
    Happening::RestoreEdge,
    Happening::SwapClone,
    Happening::LoseBuffer,
    Happening::LoseJournal,
    Happening::EdgeClockSteps,
    Happening::CloudClockSteps,
    Happening::Sleep,
    Happening::Suspend,
    Happening::Flood,
    Happening::Catalogue,
    Happening::Opaque,
    Happening::Disown,
];

/// What happens without any fault, and how often.
const WORK: [(Happening, usize); 15] = [
    (Happening::Sample, 20),
    (Happening::Event, 4),
    (Happening::Flush, 5),
    (Happening::Seal, 8),
    (Happening::DeliverUp, 40),
    (Happening::DeliverDown, 40),
    (Happening::Connect, 16),
    (Happening::Tick, 12),
    (Happening::CloudCommit, 15),
    (Happening::CloudLook, 6),
    (Happening::DeviceAnswer, 6),
    (Happening::Submit, 5),
    (Happening::Cancel, 1),
    (Happening::Readopt, 3),
    (Happening::Copy, 1),
];

/// How often each thing happens in the world of one seed.
pub(crate) struct Mix {
    /// Whether processes die in it.
    pub(crate) crashes: bool,
    weights: Vec<(Happening, usize)>,
    total: usize,
}

impl Mix {
    /// Where crashes are frequent they repair what a dead timer breaks, and so hide it: each seed
    /// draws its own faults, every fourth has no crash, every eighth nothing but a bad link.
    pub(crate) fn draw(seed: u64, rng: &mut Rng) -> Self {
        let mut weights = WORK.to_vec();
        for fault in FAULTS {
            let allowed = !(is_crash(fault) && seed.is_multiple_of(4))
                && (is_of_the_link(fault) || !seed.is_multiple_of(8));
            // A third of the kinds in a world, and not often: where all is down nothing is tried.
            let weight = [0, 0, 0, 0, 1, 2][rng.below(6)];
            let weight = if is_of_the_link(fault) { weight * 3 } else { weight };
            // One in every world would excuse too much, or cost too much.
            let rare = is_rare(fault) && !rng.one_in(3);
            if allowed && !rare && weight > 0 {
                weights.push((fault, weight));
            }
        }
        let total = weights.iter().map(|(_, weight)| weight).sum();
        Self { crashes: !seed.is_multiple_of(4), weights, total }
    }

    pub(crate) fn next(&self, rng: &mut Rng) -> Happening {
        let mut left = rng.below(self.total);
        for (happening, weight) in &self.weights {
            if left < *weight {
                return *happening;
            }
            left -= weight;
        }
        unreachable!("the weights add up to the total")
    }

    /// The faults that this world knows, for its story.
    pub(crate) fn faults(&self) -> String {
        let faults = self.weights.iter().filter(|(happening, _)| FAULTS.contains(happening));
        let names: Vec<String> = faults.map(|(fault, _)| format!("{fault:?}")).collect();
        names.join(", ")
    }
}

/// Whether a process or a disk starts over.
fn is_crash(fault: Happening) -> bool {
    let crashes = [
        Happening::CrashEdge,
        Happening::CrashEdgeMidway,
        Happening::CrashEdgeAtStart,
        Happening::TornWrite,
        Happening::Reboot,
        Happening::CrashCloud,
        Happening::CrashCloudBehindBroker,
        Happening::CrashCloudMidway,
        Happening::TornCloudWrite,
        Happening::Disown,
        Happening::RestoreCloud,
        Happening::RestoreEdge,
        Happening::SwapClone,
        Happening::LoseBuffer,
        Happening::LoseJournal,
    ];
    crashes.contains(&fault)
}

fn is_of_the_link(fault: Happening) -> bool {
    let link = [
        Happening::Lose,
        Happening::Double,
        Happening::Overtake,
        Happening::Delay,
        Happening::Garble,
        Happening::Partition,
    ];
    link.contains(&fault)
}

/// Whether a disk goes back in time or is lost, or a fault makes a world slow.
fn is_rare(fault: Happening) -> bool {
    let rare = [
        Happening::RestoreCloud,
        Happening::RestoreEdge,
        Happening::SwapClone,
        Happening::LoseBuffer,
        Happening::LoseJournal,
        Happening::Flood,
    ];
    rare.contains(&fault)
}
