//! The batch: what is sealed once and then stored, sent, copied and verified everywhere.
//!
//! # Invariants
//!
//! - A batch never changes. Its name is (gateway, incarnation, stream, `first..next`).
//! - `next - first` is the number of its records; positions have no holes, a lost range is filled
//!   by a [`Gap`].
//! - `chain` is the state of the stream's hash chain after it.

use alloc::vec::Vec;

use crate::{
    AlarmTransition, BootId, CatalogueId, CommandId, Digest, IncarnationId, Millis, Outcome,
    Position, Sample, SignalIndex, Stream, UtcMillis,
};

/// A sealed range of one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The life of the buffer that it belongs to.
    pub incarnation: IncarnationId,
    /// Its stream.
    pub stream: Stream,
    /// Position of its first record.
    pub first: Position,
    /// Position after its last record.
    pub next: Position,
    /// The stream's hash chain after it.
    pub chain: Digest,
    /// The boot whose monotonic clock its times are on.
    pub boot: BootId,
    /// What the gateway held to be UTC minus monotonic time when it sealed. A hint for labels, and
    /// therefore outside the digest; `None` while the gateway has no idea of UTC.
    pub utc_offset: Option<UtcMillis>,
    /// What it carries.
    pub content: Content,
}

/// What a batch carries.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Values, with the catalogue that explains their signals.
    Samples {
        /// The list that the samples' indices point into.
        catalogue: CatalogueId,
        /// Ordered by signal, then by arrival.
        samples: Vec<Sample>,
    },
    /// Events in the order in which they happened.
    Events(Vec<EventRecord>),
    /// Outcomes in the order in which the journal closed them.
    Outcomes(Vec<OutcomeRecord>),
    /// The range is lost.
    Gap(Gap),
}

/// Stands for a lost range, in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Gap {
    /// Why it is lost.
    pub reason: GapReason,
    /// Time of the first lost record.
    pub from: Millis,
    /// Time of the last lost record.
    pub to: Millis,
    /// What is left of it, if it was thinned before it was lost.
    pub summary: Option<Summary>,
}

/// What is left of samples that had to give way: some figures of each signal and minute.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The list that the signals' indices point into.
    pub catalogue: CatalogueId,
    /// In the order of time, then of signals. They may tell of a little more than the gap's range,
    /// where a part of it arrived after all.
    pub minutes: Vec<Minute>,
}

/// The raw values of one signal in one minute, those that had one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Minute {
    /// Which signal.
    pub signal: SignalIndex,
    /// When the minute began: a whole minute of monotonic time.
    pub at: Millis,
    /// How many samples had a value that is a number.
    pub samples: u64,
    /// The smallest of them.
    pub min: f64,
    /// The greatest of them.
    pub max: f64,
    /// Their mean.
    pub mean: f64,
}

/// Why a range is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GapReason {
    /// The buffer reached its cap before the cloud took the range.
    BufferFull,
    /// The stored bytes were damaged.
    Damaged,
    /// The cloud refused it for good.
    Refused,
}

/// An event and when it happened.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// When, on the monotonic clock of the batch's boot.
    pub at: Millis,
    /// What.
    pub event: Event,
}

/// Something that happened on a gateway.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// An alarm changed its state.
    Alarm(AlarmTransition),
    /// UTC was `utc` at the record's monotonic time, give or take `error`.
    Anchor {
        /// The time of day.
        utc: UtcMillis,
        /// How far off it may be.
        error: Millis,
        /// Who said so.
        source: TimeSource,
    },
    /// The daemon started after a stop that it had not prepared; what was taken in after
    /// `last_durable` and before the record's time is lost with the memory it lay in.
    Restart {
        /// When the last durable record was taken in, if the same boot is still running.
        last_durable: Option<Millis>,
    },
    /// The buffer goes on in another incarnation. What the one before held and has lost is declared
    /// by gaps in its own streams.
    Reset {
        /// Why.
        cause: ResetCause,
    },
    /// Someone with access to the gateway wrote a signal, past the cloud.
    LocalWrite {
        /// The user id that the kernel vouched for.
        uid: u32,
        /// `device/signal`.
        target: alloc::string::String,
        /// The engineering value asked for.
        value: alloc::string::String,
        /// Whether the device took it.
        done: bool,
    },
    /// A command has come one step further. Its end is an outcome, in a stream of its own.
    Command {
        /// Which command.
        command: CommandId,
        /// How far it is.
        step: CommandStep,
    },
}

/// A step of a command on its gateway, told when the journal has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CommandStep {
    /// It has arrived.
    Received,
    /// It may reach the wire from here on.
    Started,
}

/// Why a buffer does not go on under the name that it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResetCause {
    /// What was written is not there as it was written.
    Damaged,
    /// It is older than it is known to have been: commits were lost, or a backup was restored.
    WentBack,
    /// A part of it is gone, or another stands in its place.
    Missing,
    /// Its files are copies: the original may run elsewhere under the same name.
    Copied,
}

impl ResetCause {
    /// The word for it on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::WentBack => "went back",
            Self::Missing => "missing",
            Self::Copied => "copied",
        }
    }
}

/// Who vouches for a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeSource {
    /// The system clock, whatever sets it.
    System,
    /// The cloud's Welcome.
    Cloud,
}

/// What became of a command, and when the journal closed it.
#[derive(Debug, Clone, PartialEq)]
pub struct OutcomeRecord {
    /// When, on the monotonic clock of the batch's boot.
    pub at: Millis,
    /// Which command.
    pub command: CommandId,
    /// What became of it.
    pub outcome: Outcome,
}
