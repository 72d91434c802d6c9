//! What is worked out beside ingest and then put in place by the writer: blocks and rollups.
//!
//! # Invariants
//!
//! - Work is planned on a snapshot and put in place in one transaction that first sees whether the
//!   snapshot still holds; if not, nothing changes and the work is planned again.

use fieldgate_model::{
    BootId, CatalogueId, DeviceName, Digest, GatewayId, IncarnationId, Millis, Position,
    SignalName, Stream, TenantId, UtcMillis,
};

/// A stretch of a stream of samples that is put into a block, or that stays as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Compaction {
    /// The gateway.
    pub gateway: GatewayId,
    /// The life of its buffer.
    pub incarnation: IncarnationId,
    /// Up to where the stream was compacted when this was planned.
    pub from: Position,
    /// Up to where it is afterwards.
    pub to: Position,
    /// What takes the place of batches; `None` if they stay.
    pub block: Option<NewBlock>,
}

/// A block and what it has swallowed.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBlock {
    /// Whose.
    pub tenant: TenantId,
    /// Position of its first sample.
    pub first: Position,
    /// The boot of all its batches.
    pub boot: BootId,
    /// The catalogue of all its batches.
    pub catalogue: CatalogueId,
    /// The stream's chain after it.
    pub chain: Digest,
    /// UTC of its earliest and latest sample.
    pub span: Option<(UtcMillis, UtcMillis)>,
    /// How far UTC is from monotonic time, batch by batch; packed.
    pub offsets: Option<Vec<u8>>,
    /// The samples.
    pub body: Vec<u8>,
    /// The rows it replaces, each with the start that it was planned with.
    pub swallowed: Vec<(i64, Option<i64>)>,
}

/// When a stretch is worth a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRules {
    /// So many positions at least; fewer than fill a block make small blocks.
    pub samples_min: u64,
    /// A stream that has not been looked at for so long is compacted however short it is.
    pub age: Millis,
    /// Blocks of one step.
    pub blocks_max: usize,
}

impl Default for BlockRules {
    fn default() -> Self {
        Self {
            samples_min: super::block::SAMPLES_MAX as u64,
            // A slow gateway fills no block in a day, and its days are read one by one.
            age: Millis::from_secs(24 * 60 * 60),
            // A million samples: some 100 ms of one core, and a transaction of a megabyte.
            blocks_max: 16,
        }
    }
}

/// One step of writing the labels of a boot anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restamp {
    /// The gateway.
    pub gateway: GatewayId,
    /// The boot whose anchors say so.
    pub boot: BootId,
    /// How often it was marked when this was planned.
    pub marks: i64,
    /// What stands elsewhere from now on.
    pub moved: Vec<Moved>,
    /// The batch up to which it is done: its monotonic time and its sequence.
    pub after_batch: (i64, i64),
    /// The block up to which it is done; `None` while batches are.
    pub after_block: Option<i64>,
    /// Nothing is left afterwards.
    pub is_last: bool,
}

/// A row that stands elsewhere in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Which.
    pub row: MovedRow,
    /// Its stream.
    pub stream: Stream,
    /// Where it stood.
    pub before: Option<(UtcMillis, UtcMillis)>,
    /// Where it stands.
    pub span: (UtcMillis, UtcMillis),
}

/// The row that moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MovedRow {
    /// A batch, by its sequence.
    Batch(i64),
    /// A block.
    Block {
        /// Its number.
        id: i64,
        /// How far UTC is from monotonic time in each of its batches, packed.
        offsets: Vec<u8>,
    },
}

/// What another instance still needs of a stream, batch by batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The gateway.
    pub gateway: GatewayId,
    /// The life of its buffer.
    pub incarnation: IncarnationId,
    /// The stream.
    pub stream: Stream,
    /// Who needs it.
    pub holder: String,
}

/// Hours of a gateway whose samples have changed since their rows were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirtyHours {
    /// The gateway.
    pub gateway: GatewayId,
    /// From this hour (since 1970, UTC) on.
    pub from: i64,
    /// Up to before this one.
    pub to: i64,
    /// How often it was marked.
    pub marks: i64,
}

/// The rows of some hours of a gateway, made anew.
#[derive(Debug, Clone, PartialEq)]
pub struct Rolled {
    /// The range that it was planned for.
    pub dirty: DirtyHours,
    /// Up to before this hour it is done.
    pub done_to: i64,
    /// Every row of those hours.
    pub rows: Vec<RollupRow>,
}

/// One signal in one hour.
#[derive(Debug, Clone, PartialEq)]
pub struct RollupRow {
    /// The device.
    pub device: DeviceName,
    /// The signal.
    pub signal: SignalName,
    /// The hour since 1970, UTC.
    pub hour: i64,
    /// All of it, in engineering units.
    pub total: Total,
    /// Each minute, packed.
    pub minutes: Vec<u8>,
}

/// What is told of the samples of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Total {
    /// Samples that are a number, or true or false.
    pub count: u64,
    /// Samples without a value.
    pub bad: u64,
    /// The least of them.
    pub min: f64,
    /// The greatest of them.
    pub max: f64,
    /// Their sum.
    pub sum: f64,
    /// The earliest of them.
    pub first: f64,
    /// The latest of them.
    pub last: f64,
}

impl Total {
    /// Of nothing.
    pub const EMPTY: Self = Self {
        count: 0,
        bad: 0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
        sum: 0.0,
        first: 0.0,
        last: 0.0,
    };

    /// Adds what follows in time; `None` is a sample that is no number.
    pub fn take(&mut self, value: Option<f64>) {
        let Some(value) = value.filter(|value| value.is_finite()) else {
            self.bad += 1;
            return;
        };
        if self.count == 0 {
            self.first = value;
        }
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value;
        self.last = value;
    }

    /// Adds a stretch that follows in time.
    pub fn append(&mut self, later: &Self) {
        self.bad += later.bad;
        if later.count == 0 {
            return;
        }
        if self.count == 0 {
            self.first = later.first;
        }
        self.count += later.count;
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.sum += later.sum;
        self.last = later.last;
    }
}
