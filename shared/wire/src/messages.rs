//! What is said on the wire besides the model's nouns. Independent of any version's bytes.

use alloc::vec::Vec;

use fieldgate_model::{
    AlarmTransition, BootId, CatalogueId, Command, CommandId, Cursor, Digest, Epoch, Millis,
    Outcome, Owner, Position, Sample, UtcMillis,
};

use crate::DownKind;

/// Down: how far an instance has taken a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Who speaks.
    pub owner: Owner,
    /// Everything below is committed in the instance's database. Its chain tells twins under one
    /// identity apart: neither takes the other's Ack for its own.
    pub cursor: Cursor,
    /// Everything below may be forgotten by the gateway; at most `committed`.
    pub releasable: Position,
}

/// Down: an instance lacks the catalogue of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Who speaks.
    pub owner: Owner,
    /// The catalogue.
    pub catalogue: CatalogueId,
}

/// Down: send no batch for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Who speaks.
    pub owner: Owner,
    /// Why.
    pub reason: PauseReason,
    /// For how long, from its arrival.
    pub retry_after: Millis,
}

/// Why an instance takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PauseReason {
    /// The tenant is suspended.
    Suspended,
    /// The tenant has used up its quota.
    Quota,
    /// The instance's disk is full.
    Full,
    /// The instance is starting, or moving the gateway's shard.
    NotReady,
}

impl PauseReason {
    /// The word for it in logs and on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::Quota => "quota",
            Self::Full => "full",
            Self::NotReady => "not_ready",
        }
    }
}

/// Down: a request to act.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandMessage {
    /// Who speaks.
    pub owner: Owner,
    /// The request.
    pub command: Command,
}

/// Down: somebody is looking, so tell the present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Who speaks.
    pub owner: Owner,
    /// Until when, by the instance's clock.
    pub until: UtcMillis,
}

/// Down: an instance will never take this message, however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refuse {
    /// Who speaks.
    pub owner: Owner,
    /// The SHA-256 of the message: where it belongs may be what cannot be read.
    pub message: Digest,
    /// Why, for a person.
    pub reason: alloc::string::String,
}

/// Up: a reply to a message that makes no history.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The message came from somebody whom the gateway does not obey, and had no effect.
    Stale {
        /// Whom it obeys.
        owner: Option<Owner>,
        /// Epochs up to this one are used up.
        burned: Epoch,
        /// The kind of the message.
        what: DownKind,
    },
    /// Where a command stands in the gateway's journal.
    Command {
        /// The command.
        command: CommandId,
        /// Its state.
        state: JournalState,
    },
}

/// The state of a command in the gateway's journal.
#[derive(Debug, Clone, PartialEq)]
pub enum JournalState {
    /// Written down, not begun.
    Received,
    /// Begun: it may have reached the device.
    Started,
    /// Ended.
    Closed(Outcome),
}

/// Up, at most once: what is true at this moment. It never becomes history.
///
/// One that would exceed a message is sent as several; each is a change to what is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Present {
    /// The running boot.
    pub boot: BootId,
    /// When it was put together.
    pub at: Millis,
    /// What the gateway holds to be UTC minus monotonic time.
    pub utc_offset: Option<UtcMillis>,
    /// The list that the samples' indices point into.
    pub catalogue: CatalogueId,
    /// The newest sample of each signal that changed, ordered by signal.
    pub samples: Vec<Sample>,
    /// The alarms that are active.
    pub alarms: Vec<AlarmTransition>,
}

/// Up: a piece of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueChunk {
    /// The catalogue.
    pub catalogue: CatalogueId,
    /// Which piece, from 0.
    pub index: u16,
    /// How many pieces there are.
    pub count: u16,
    /// At most [`CHUNK_BYTES`](crate::CHUNK_BYTES) of the catalogue's bytes.
    pub bytes: Vec<u8>,
}
