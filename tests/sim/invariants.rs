//! The promises, each under one name: what a violation is called, and what a sabotage must break.

use std::fmt;

/// What is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    /// Everything flushed is committed in the cloud, or declared as a gap.
    NothingLost,
    /// No record is sealed, or committed, twice.
    NothingTwice,
    /// A line in the cloud has no hole and no overlap.
    Order,
    /// What the cloud holds under a name is, byte for byte, what the edge sealed under it.
    SameHistory,
    /// The cloud's chain at its cursor is the edge's there.
    ChainEqual,
    /// No history leaves before the Welcome of this connection.
    HelloFirst,
    /// A batch leaves only when it lies on the disk.
    SealedBeforeSent,
    /// A gap stands only for what is no longer held.
    GapOnlyForLost,
    /// An Ack says only what is committed.
    CommittedBeforeAck,
    /// Nothing is released that the owner has not said may be.
    ReleasableBeforeRelease,
    /// A command starts at most once.
    StartsOnce,
    /// STARTED is durable before the wire write.
    StartedBeforeWrite,
    /// The outcome is durable before it is reported or answered.
    ClosedBeforeReported,
    /// The outcome is durable in its stream before the journal forgets to report it.
    OutcomeBeforeReported,
    /// Nothing is written at or after `not_after`.
    InTime,
    /// A command ends in one outcome, which never changes and tells what happened.
    OneOutcome,
    /// What does not come from the owner changes nothing.
    StaleWithoutEffect,
    /// An epoch never goes back, and is never used by two instances.
    EpochOnlyGrows,
    /// The fence is durable before the new owner is obeyed.
    FenceBeforeObeying,
    /// SENT is durable before the command is published.
    SentBeforePublish,
    /// The epoch is durable before its Welcome leaves.
    ReservedBeforeWelcome,
    /// A gateway whose identity is in doubt gets no command.
    ContestedWithheld,
    /// What cannot be read, and what no sound party says, changes nothing.
    BadWithoutEffect,
    /// A gateway that doubts its own identity, for want of its journal or history, runs no command.
    WithheldInDoubt,
    /// Content that cannot be read is kept and acknowledged.
    CustodyAcked,
    /// On a good link everything comes to rest.
    ComesToRest,
    /// The machines' own assertions hold.
    Assertions,
}

impl Promise {
    pub(crate) const ALL: [Self; 27] = [
        Self::NothingLost,
        Self::NothingTwice,
        Self::Order,
        Self::SameHistory,
        Self::ChainEqual,
        Self::HelloFirst,
        Self::SealedBeforeSent,
        Self::GapOnlyForLost,
        Self::CommittedBeforeAck,
        Self::ReleasableBeforeRelease,
        Self::StartsOnce,
        Self::StartedBeforeWrite,
        Self::ClosedBeforeReported,
        Self::OutcomeBeforeReported,
        Self::InTime,
        Self::OneOutcome,
        Self::StaleWithoutEffect,
        Self::EpochOnlyGrows,
        Self::FenceBeforeObeying,
        Self::SentBeforePublish,
        Self::ReservedBeforeWelcome,
        Self::ContestedWithheld,
        Self::BadWithoutEffect,
        Self::WithheldInDoubt,
        Self::CustodyAcked,
        Self::ComesToRest,
        Self::Assertions,
    ];
}

/// A promise that was broken, and how.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) promise: Promise,
    pub(crate) how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.how)
    }
}
