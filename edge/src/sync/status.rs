//! How the uplink is, for screens and metrics.

use fieldgate_model::{Doubt, IncarnationId, Millis, Owner, Position, Stream, UtcMillis};
use fieldgate_wire::PauseReason;

/// How the uplink is.
#[expect(clippy::struct_excessive_bools, reason = "independent findings, shown as they are")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncStatus {
    /// A connection stands.
    pub connected: bool,
    /// The owner has welcomed us on it.
    pub welcomed: bool,
    /// The owner doubts our identity: commands wait.
    pub contested: bool,
    /// We doubt it ourselves: no command runs.
    pub withheld: bool,
    /// Why.
    pub doubt: Option<Doubt>,
    /// Whom we obey, since which epoch.
    pub owner: Option<Owner>,
    /// The owner has asked for silence.
    pub pause: Option<PauseStatus>,
    /// What is held, in the order in which it goes.
    pub lines: Vec<LineStatus>,
    /// Sealed records that the cloud has not committed.
    pub backlog: u64,
    /// Records sealed so far, over all streams that are held, as far as this task knows.
    pub sealed: u64,
    /// Batches sent since the start, resends included.
    pub batches_sent: u64,
    /// Batches that the cloud will never take, declared as gaps.
    pub set_aside: u64,
    /// Down messages that could not be decoded.
    pub malformed: u64,
    /// Down messages that were not from the owner.
    pub stale: u64,
    /// Times that a silent client was built anew.
    pub rebuilt: u64,
    /// When the cloud last acknowledged something.
    pub acked_at: Option<UtcMillis>,
    /// How long the batch that was acknowledged last was on its way, commit included.
    pub ack_after: Option<Millis>,
}

/// Why nothing goes, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PauseStatus {
    /// The owner's reason.
    pub reason: PauseReason,
    /// When it ends, by the owner's time of day.
    pub until: UtcMillis,
}

/// How far one stream of one incarnation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineStatus {
    /// The life of the buffer.
    pub incarnation: IncarnationId,
    /// The stream.
    pub stream: Stream,
    /// Position of the first record that is held.
    pub first: Position,
    /// Everything below is committed in the cloud.
    pub committed: Position,
    /// Everything below is sealed.
    pub sealed: Position,
}
