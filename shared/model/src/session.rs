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
    /// Why it runs no command by itself, if it does not.
    pub doubt: Option<Doubt>,
}

/// A gateway's own doubt of its identity. It is durable there until somebody readopts the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// What it has found.
    pub cause: DoubtCause,
    /// How often it had been readopted before; a later readoption settles the doubt. `None` while
    /// it does not know.
    pub since: Option<u64>,
}

/// What makes a gateway doubt its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DoubtCause {
    /// The journal of commands is lost: one that ran cannot be told from one that did not.
    JournalLost,
    /// The owner holds another history under its name: its disk went back in time, or has a twin.
    Forked,
}

impl DoubtCause {
    /// The word for it in databases and on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JournalLost => "journal_lost",
            Self::Forked => "forked",
        }
    }
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
    /// How often somebody has said that this gateway is the one it claims to be.
    pub readopted: u64,
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
