//! Where a process can die: before and after everything that a machine asks for, and between a
//! write and its fsync; and how often each of these places was met by a crash.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::rng::Rng;

/// The process is gone; nothing after this point has happened.
#[derive(Debug)]
pub(crate) struct PowerCut;

/// What is done at once or not at all: each kind of effect of each machine, and each kind of commit
/// of its shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    // Sender.
    Greet,
    Send,
    SendGap,
    Release,
    Reincarnate,
    Rebuild,
    // Executor.
    PersistReceived,
    PersistStarted,
    PersistClosed,
    Execute,
    Report,
    Answer,
    Refuse,
    // The shells of the edge around them.
    Recover,
    Flush,
    Seal,
    MarkReported,
    SaveFence,
    SaveDoubt,
    SaveCatalogue,
    SendCatalogue,
    // Receiver.
    Reserve,
    Welcome,
    Store,
    Ack,
    Need,
    Pause,
    // Issuer.
    MarkSent,
    PublishAgain,
    Expire,
    Cancel,
    MarkUnconfirmed,
    Close,
    // The shell of the cloud around them.
    CommitGroup,
    StoreCatalogue,
    Readopt,
}

/// Which part of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Before,
    /// Written, and not yet on the platter.
    Unsynced,
    After,
}

pub(crate) const EDGE_STEPS: [Step; 21] = [
    Step::Greet,
    Step::Send,
    Step::SendGap,
    Step::Release,
    Step::Reincarnate,
    Step::Rebuild,
    Step::PersistReceived,
    Step::PersistStarted,
    Step::PersistClosed,
    Step::Execute,
    Step::Report,
    Step::Answer,
    Step::Refuse,
    Step::Recover,
    Step::Flush,
    Step::Seal,
    Step::MarkReported,
    Step::SaveFence,
    Step::SaveDoubt,
    Step::SaveCatalogue,
    Step::SendCatalogue,
];

pub(crate) const CLOUD_STEPS: [Step; 15] = [
    Step::Reserve,
    Step::Welcome,
    Step::Store,
    Step::Ack,
    Step::Need,
    Step::Pause,
    Step::MarkSent,
    Step::PublishAgain,
    Step::Expire,
    Step::Cancel,
    Step::MarkUnconfirmed,
    Step::Close,
    Step::CommitGroup,
    Step::StoreCatalogue,
    Step::Readopt,
];

impl Step {
    /// Whether it is a commit, so that there is a moment between its write and its fsync.
    pub(crate) fn is_commit(self) -> bool {
        match self {
            Self::Reincarnate
            | Self::PersistReceived
            | Self::PersistStarted
            | Self::PersistClosed
            | Self::Recover
            | Self::Flush
            | Self::Seal
            | Self::MarkReported
            | Self::SaveFence
            | Self::SaveDoubt
            | Self::SaveCatalogue
            | Self::Reserve
            | Self::MarkSent
            | Self::Expire
            | Self::Cancel
            | Self::MarkUnconfirmed
            | Self::Close
            | Self::CommitGroup
            | Self::StoreCatalogue
            | Self::Readopt => true,
            Self::Greet
            | Self::Send
            | Self::SendGap
            | Self::Release
            | Self::Rebuild
            | Self::Execute
            | Self::Report
            | Self::Answer
            | Self::Refuse
            | Self::SendCatalogue
            | Self::Welcome
            | Self::Store
            | Self::Ack
            | Self::Need
            | Self::Pause
            | Self::PublishAgain => false,
        }
    }

    fn sides(self) -> &'static [Side] {
        if self.is_commit() {
            &[Side::Before, Side::Unsynced, Side::After]
        } else {
            &[Side::Before, Side::After]
        }
    }
}

/// When a process will die, if that is fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// After so many more places.
    Count(usize),
    /// At this place, whenever it comes.
    At(Step, Side),
}

/// The fuse of one process: it burns at each side of each step.
#[derive(Debug, Default)]
pub(crate) struct Fuse {
    end: Option<End>,
    /// Where it has burnt out.
    pub(crate) blown: Vec<(Step, Side)>,
}

impl Fuse {
    /// The process will die at one of the places that come next, or at one that is rarely met.
    pub(crate) fn arm(&mut self, steps: &[Step], rng: &mut Rng) {
        self.end = Some(if rng.one_in(2) {
            End::Count(rng.below(16))
        } else {
            let step = steps[rng.below(steps.len())];
            let sides = step.sides();
            End::At(step, sides[rng.below(sides.len())])
        });
    }

    /// The process will die in its next commit of this kind, between write and fsync.
    pub(crate) fn arm_unsynced(&mut self, step: Step) {
        self.end = Some(End::At(step, Side::Unsynced));
    }

    pub(crate) fn disarm(&mut self) {
        self.end = None;
    }

    pub(crate) fn before(&mut self, step: Step) -> Result<(), PowerCut> {
        self.burn(step, Side::Before)
    }

    pub(crate) fn unsynced(&mut self, step: Step) -> Result<(), PowerCut> {
        self.burn(step, Side::Unsynced)
    }

    pub(crate) fn after(&mut self, step: Step) -> Result<(), PowerCut> {
        self.burn(step, Side::After)
    }

    fn burn(&mut self, step: Step, side: Side) -> Result<(), PowerCut> {
        let out = match &mut self.end {
            None => false,
            Some(End::Count(0)) => true,
            Some(End::Count(left)) => {
                *left -= 1;
                false
            }
            Some(End::At(at, of)) => (*at, *of) == (step, side),
        };
        if !out {
            return Ok(());
        }
        self.end = None;
        self.blown.push((step, side));
        Err(PowerCut)
    }
}

/// How many crashes each place has seen.
#[derive(Debug, Default)]
pub(crate) struct Crashes(BTreeMap<(Step, Side), u64>);

impl Crashes {
    pub(crate) fn count(&mut self, place: (Step, Side)) {
        *self.0.entry(place).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (place, count) in &other.0 {
            *self.0.entry(*place).or_default() += count;
        }
    }

    /// The places at which no process has died.
    pub(crate) fn missing(&self) -> Vec<(Step, Side)> {
        let places = steps().flat_map(|step| step.sides().iter().map(move |side| (step, *side)));
        places.filter(|place| !self.0.contains_key(place)).collect()
    }

    pub(crate) fn print(&self) -> String {
        let mut text = format!("{:24}{:>10}{:>10}{:>10}", "crash", "before", "unsynced", "after");
        for step in steps() {
            write!(text, "\n{:24}", format!("{step:?}")).expect("a string takes every text");
            for side in [Side::Before, Side::Unsynced, Side::After] {
                let cell = match self.0.get(&(step, side)) {
                    Some(count) => count.to_string(),
                    None if step.sides().contains(&side) => "NONE".to_owned(),
                    None => "-".to_owned(),
                };
                write!(text, "{cell:>10}").expect("a string takes every text");
            }
        }
        text
    }
}

fn steps() -> impl Iterator<Item = Step> {
    EDGE_STEPS.into_iter().chain(CLOUD_STEPS)
}
