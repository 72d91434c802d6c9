//! What goes into the store and comes out of it, apart from the shared nouns.

use fieldgate_model::{
    AlarmTransition, BootId, CatalogueId, Command, CommandId, CommandStep, Cursor, Digest, Epoch,
    GatewayId, IncarnationId, Millis, Outcome, Position, Stream, TenantId, UtcMillis,
};

use fieldgate_protocol::clock::Anchor;

use super::Scopes;

/// What ingest needs to know of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayState {
    /// Whose it is.
    pub tenant: TenantId,
    /// Nothing of the tenant gets in.
    pub suspended: bool,
    /// The highest epoch that was reserved; 0 before the first Hello.
    pub epoch: Epoch,
    /// The boot of its last Hello.
    pub boot: Option<BootId>,
    /// Its identity is in doubt.
    pub contested: bool,
    /// How often somebody has said that it is the one it claims to be.
    pub readopted: u64,
    /// It is no more: nothing of it gets in.
    pub decommissioned: bool,
    /// How far each of its streams is committed.
    pub cursors: Vec<Cursor>,
}

/// What becomes durable before a Welcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The gateway.
    pub gateway: GatewayId,
    /// The epoch that the Welcome announces.
    pub epoch: Epoch,
    /// The boot of the Hello.
    pub boot: BootId,
    /// Its identity is in doubt.
    pub contested: bool,
    /// Why, in a word.
    pub doubt: Option<&'static str>,
    /// The readoptions that the doubt knows of: a later one is not undone by it.
    pub readopted: u64,
    /// Name and version of its daemon.
    pub software: String,
    /// Number of its configuration.
    pub generation: u64,
}

/// How a stored batch can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchState {
    /// Its content was decoded.
    Readable,
    /// It stands for a lost range.
    Gap,
    /// Its envelope is valid and its content is not understood: kept in custody.
    Opaque,
}

impl BatchState {
    /// The code in the database.
    pub const fn code(self) -> i64 {
        match self {
            Self::Readable => 0,
            Self::Gap => 1,
            Self::Opaque => 2,
        }
    }
}

/// One batch to store, with everything that follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// Whose gateway.
    pub tenant: TenantId,
    /// The gateway.
    pub gateway: GatewayId,
    /// The life of its buffer.
    pub incarnation: IncarnationId,
    /// The stream.
    pub stream: Stream,
    /// Position of its first record; the cursor must stand here.
    pub first: Position,
    /// Position after its last record.
    pub next: Position,
    /// The stream's chain after it.
    pub chain: Digest,
    /// What explains its samples.
    pub catalogue: Option<CatalogueId>,
    /// The boot whose monotonic clock its times are on.
    pub boot: BootId,
    /// Monotonic time of its earliest and latest record; `None` if it cannot be read.
    pub mono: Option<(Millis, Millis)>,
    /// UTC of the same, as its gateway held it to be.
    pub span: Option<(UtcMillis, UtcMillis)>,
    /// What it says of the time of day.
    pub anchors: Vec<Anchor>,
    /// How it can be read.
    pub state: BatchState,
    /// Samples to book in the ledger.
    pub samples: u64,
    /// Events and outcomes to book in the ledger.
    pub events: u64,
    /// Alarm transitions in it, in their order.
    pub alarms: Vec<AlarmChange>,
    /// Outcomes in it, in their order.
    pub closings: Vec<Closing>,
    /// Steps of commands in it, in their order.
    pub steps: Vec<StepTaken>,
    /// What people wrote on the gateway itself.
    pub local_writes: Vec<LocalWrite>,
    /// The batch as it came.
    pub body: Vec<u8>,
}

/// An alarm transition and when it happened.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmChange {
    /// The transition.
    pub transition: AlarmTransition,
    /// When, if UTC was known.
    pub at: Option<UtcMillis>,
}

/// A command has come a step further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepTaken {
    /// Which command.
    pub command: CommandId,
    /// How far it is.
    pub step: CommandStep,
    /// When, if UTC was known.
    pub at: Option<UtcMillis>,
}

/// Somebody with access to the gateway wrote a signal there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalWrite {
    /// The user id on the gateway.
    pub uid: u32,
    /// `device/signal`.
    pub target: String,
    /// The engineering value asked for.
    pub value: String,
    /// Whether the device took it.
    pub done: bool,
    /// When, if UTC was known.
    pub at: Option<UtcMillis>,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Closing {
    /// Which command.
    pub command: CommandId,
    /// How it ended.
    pub outcome: Outcome,
    /// When, if UTC was known.
    pub at: Option<UtcMillis>,
}

/// Where a command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CommandState {
    /// Durable here, not sent.
    Accepted,
    /// Sent, or about to be: only the gateway's journal decides.
    Sent,
    /// The device took it.
    Done,
    /// It was tried, or could not be.
    Failed,
    /// Its time passed first.
    Expired,
    /// Withdrawn before it was sent.
    Cancelled,
    /// Whether the device took it is unknown to the gateway.
    Interrupted,
    /// Sent, its time has passed, and the gateway has said nothing; its return closes it.
    Unconfirmed,
}

impl CommandState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Accepted,
        Self::Sent,
        Self::Done,
        Self::Failed,
        Self::Expired,
        Self::Cancelled,
        Self::Interrupted,
        Self::Unconfirmed,
    ];

    /// The word for it in the database, the API and on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Sent => "sent",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    /// The state with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// The state that an outcome leaves behind.
    pub const fn closed_by(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Done { .. } => Self::Done,
            Outcome::Failed { .. } => Self::Failed,
            Outcome::Expired => Self::Expired,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Interrupted => Self::Interrupted,
        }
    }

    /// Whether an outcome may still arrive.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Accepted | Self::Sent | Self::Unconfirmed => true,
            Self::Done | Self::Failed | Self::Expired | Self::Cancelled | Self::Interrupted => {
                false
            }
        }
    }
}

/// A command to accept.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCommand {
    /// What to do; `command.id` is its id.
    pub command: Command,
    /// For which gateway.
    pub gateway: GatewayId,
    /// The caller's key; the same key and request give the same command.
    pub idempotency_key: Option<String>,
}

/// Which command a request stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The command.
    pub id: CommandId,
    /// It was accepted by an earlier request with the same key.
    pub replayed: bool,
}

/// A command without an outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenCommand {
    /// What to do.
    pub command: Command,
    /// Accepted, sent or unconfirmed.
    pub state: CommandState,
    /// When it was sent first.
    pub sent_at: Option<UtcMillis>,
}

/// A tenant to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTenant {
    /// Its id.
    pub id: TenantId,
    /// What people call it.
    pub name: String,
    /// The tenant above it.
    pub parent: Option<TenantId>,
}

/// A stored tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRow {
    /// Its id.
    pub id: TenantId,
    /// What people call it.
    pub name: String,
    /// The tenant above it.
    pub parent: Option<TenantId>,
    /// Since when it exists.
    pub created_at: UtcMillis,
    /// Since when it is suspended.
    pub suspended_at: Option<UtcMillis>,
}

/// A stored gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayRow {
    /// Its id.
    pub id: GatewayId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its label.
    pub name: String,
    /// Since when it exists.
    pub created_at: UtcMillis,
    /// When it was last heard of.
    pub last_seen_at: Option<UtcMillis>,
    /// Name and version of its daemon.
    pub software: Option<String>,
    /// Its identity is in doubt.
    pub contested: bool,
    /// Why: `twin`, `forked` or `journal_lost`.
    pub doubt: Option<String>,
    /// Since when it is no more.
    pub decommissioned_at: Option<UtcMillis>,
}

/// A token to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The part of it that may be shown.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is for.
    pub name: String,
    /// SHA-256 of its whole text.
    pub hash: [u8; 32],
    /// What it may do.
    pub scopes: Scopes,
    /// Until when.
    pub expires_at: Option<UtcMillis>,
}

/// A stored token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// The part of it that may be shown.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Since when it exists.
    pub created_at: UtcMillis,
    /// Until when it is good.
    pub expires_at: Option<UtcMillis>,
    /// Since when it is not.
    pub revoked_at: Option<UtcMillis>,
}

/// A one-time console link to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConsoleLink {
    /// SHA-256 of its secret.
    pub hash: [u8; 32],
    /// Whose console it opens.
    pub tenant: TenantId,
    /// What the session may do.
    pub scopes: Scopes,
    /// Until when it can be used.
    pub expires_at: UtcMillis,
}
