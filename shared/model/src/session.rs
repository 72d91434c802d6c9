//! What a gateway and an instance tell each other when they meet.

use alloc::string::String;
use alloc::vec::Vec;

use crate::{
    BootId, Digest, GatewayId, IncarnationId, InstanceId, Millis, Position, Stream, UtcMillis,
};

/// Number of an ownership. Only grows, and is kept by the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Epoch(pub u64);

/// The instance that a gateway obeys, and since which epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Who.
    pub instance: InstanceId,
    /// Since when.
    pub epoch: Epoch,
}

/// A gateway introduces itself; nothing else is sent before it is welcomed.
#[derive(Debug, Clone, PartialEq)]
pub struct Hello {
    /// Who speaks.
    pub gateway: GatewayId,
    /// The running boot.
    pub boot: BootId,
    /// Whom it obeys; nobody before its first welcome.
    pub owner: Option<Owner>,
    /// Epochs up to this one are used up, whoever used them.
    pub burned: Epoch,
    /// What its buffer holds, per incarnation and stream, oldest incarnation first.
    pub heads: Vec<Head>,
    /// Commands in its journal that are not closed.
    pub open_commands: u32,
    /// Number of the configuration in force.
    pub generation: u64,
    /// Name and version of the daemon.
    pub software: String,
    /// Its monotonic time.
    pub at: Millis,
    /// What it takes for UTC, if it has an idea.
    pub utc: Option<UtcMillis>,
}

/// What a gateway holds of one stream of one incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The life of the buffer.
    pub incarnation: IncarnationId,
    /// The stream.
    pub stream: Stream,
    /// Position of the first record that is still held.
    pub first: Position,
    /// Position after the last sealed record.
    pub next: Position,
    /// Hash chain at `next`.
    pub chain: Digest,
}

/// An instance accepts a gateway and says from where to go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Welcome {
    /// Who speaks, in which epoch.
    pub owner: Owner,
    /// The instance's time of day.
    pub utc: UtcMillis,
    /// What it has committed, for each head of the Hello.
    pub cursors: Vec<Cursor>,
    /// The gateway's identity is in doubt: data goes on in a new incarnation, commands wait.
    pub contested: bool,
}

/// How far an instance has committed one stream of one incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The life of the buffer.
    pub incarnation: IncarnationId,
    /// The stream.
    pub stream: Stream,
    /// Everything below is committed.
    pub committed: Position,
    /// Hash chain at `committed`.
    pub chain: Digest,
}
