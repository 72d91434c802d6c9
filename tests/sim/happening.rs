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
    /// The connection breaks: whatever is under way is gone, and both ends learn of it.
    Cut,
    /// Nothing passes for a while, and nobody is told.
    Partition,
    /// The edge's process dies.
    CrashEdge,
    /// The edge's process dies between a write to a disk and what follows from it.
    CrashEdgeMidway,
    /// The cloud's process dies, and connections with it.
    CrashCloud,
    /// The cloud's process dies behind a broker that keeps the gateway's connection.
    CrashCloudBehindBroker,
    /// The cloud's process dies between a commit and what follows from it.
    CrashCloudMidway,
    /// A commit of the buffer fails and has not happened.
    CommitFails,
    /// A commit of the buffer fails although it has happened.
    CommitFailsYetHolds,
    /// The power fails in the middle of a write that no fsync has covered.
    TornWrite,
    /// The buffer has no room: released batches give way, then unsent samples.
    BufferFull,
    /// The cloud's disk takes nothing: it asks for a pause.
    CloudFull,
    /// The cloud's database is replaced by an older backup.
    RestoreCloud,
    /// The edge's disk is replaced by an older copy.
    RestoreEdge,
    /// A second box with a copy of the disk takes the place of the first.
    SwapClone,
    /// Somebody else speaks to the gateway, or the owner in an epoch that is over.
    Foreign,
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
    /// Both disks are copied, for a later restoration.
    Copy,
}

pub(crate) const FAULTS: [Happening; 22] = [
    Happening::Lose,
    Happening::Double,
    Happening::Overtake,
    Happening::Cut,
    Happening::Partition,
    Happening::CrashEdge,
    Happening::CrashEdgeMidway,
    Happening::CrashCloud,
    Happening::CrashCloudBehindBroker,
    Happening::CrashCloudMidway,
    Happening::CommitFails,
    Happening::CommitFailsYetHolds,
    Happening::TornWrite,
    Happening::BufferFull,
    Happening::CloudFull,
    Happening::RestoreCloud,
    Happening::RestoreEdge,
    Happening::SwapClone,
    Happening::Foreign,
    Happening::Catalogue,
    Happening::Opaque,
    Happening::Disown,
];

/// What happens without any fault, and how often.
const WORK: [(Happening, usize); 14] = [
    (Happening::Sample, 20),
    (Happening::Event, 4),
    (Happening::Flush, 5),
    (Happening::Seal, 8),
    (Happening::DeliverUp, 40),
    (Happening::DeliverDown, 40),
    (Happening::Connect, 6),
    (Happening::Tick, 12),
    (Happening::CloudCommit, 15),
    (Happening::CloudLook, 6),
    (Happening::DeviceAnswer, 4),
    (Happening::Submit, 5),
    (Happening::Cancel, 1),
    (Happening::Copy, 1),
];

/// How often each thing happens in the world of one seed.
pub(crate) struct Mix {
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
            let weight = [0, 0, 1, 3][rng.below(4)];
            let weight = if is_of_the_link(fault) { weight * 3 } else { weight };
            // A clone or a restoration in every world would excuse too much.
            let rare = is_of_the_past(fault) && !rng.one_in(2);
            if allowed && !rare {
                weights.push((fault, weight));
            }
        }
        let total = weights.iter().map(|(_, weight)| weight).sum();
        Self { weights, total }
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
}

/// Whether a process or a disk starts over.
fn is_crash(fault: Happening) -> bool {
    let crashes = [
        Happening::CrashEdge,
        Happening::CrashEdgeMidway,
        Happening::CrashCloud,
        Happening::CrashCloudBehindBroker,
        Happening::CrashCloudMidway,
        Happening::TornWrite,
        Happening::Disown,
    ];
    crashes.contains(&fault) || is_of_the_past(fault)
}

fn is_of_the_link(fault: Happening) -> bool {
    let link = [Happening::Lose, Happening::Double, Happening::Overtake, Happening::Partition];
    link.contains(&fault)
}

/// Whether a disk goes back in time.
fn is_of_the_past(fault: Happening) -> bool {
    [Happening::RestoreCloud, Happening::RestoreEdge, Happening::SwapClone].contains(&fault)
}
