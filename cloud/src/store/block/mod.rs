//! A block: the samples of many batches as columns a signal, with an index in front.
//!
//! ```text
//! body   = check:4 length:u32le index chunk*
//! index  = version:u8 members columns times
//! ```
//!
//! A chunk is a column's times, which columns that were read together share, or what a column says;
//! it is packed if that makes it smaller. One signal is read with its two chunks and the index.
//!
//! # Invariants
//!
//! - A block says what its batches said, to the bit: each batch's samples, in their order, can be
//!   built again, and lead to the leaf that is kept of it.
//! - A chunk and the index are read only if their check fits: the first bytes of a SHA-256.
//! - All members are of one boot and one catalogue, and have a time of day or have none.

mod column;
mod index;
pub(super) mod numbers;
mod offsets;

use std::collections::BTreeMap;
use std::ops::Range;

use fieldgate_model::{
    Batch, BootId, CatalogueId, Content, Digest, IncarnationId, Millis, Position, Quality, Sample,
    SignalIndex, Stream, UtcMillis, Value,
};
use fieldgate_pack::Zstd;
use fieldgate_wire::{Compress as _, Decompress as _};
use sha2::{Digest as _, Sha256};

pub(super) use index::{Column, Index};
pub(super) use offsets::{decode_offsets, encode_offsets};

/// Most samples of a block: an hour of 18 signals at one a second. One signal's part is some KiB,
/// which is what a read from disk brings anyway, and a step of the compactor stays short.
pub(super) const SAMPLES_MAX: usize = 65_536;

/// Most batches of a block: the index of small ones stays within 64 KiB.
pub(super) const MEMBERS_MAX: usize = 1024;

/// Bytes before the index.
pub(super) const HEAD_BYTES: usize = 8;

/// No index of ours is longer: members at 50 bytes, columns at 30.
const INDEX_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A chunk's plain length: so many texts of the greatest length come in no batch.
const CHUNK_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What is wrong with the bytes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged(pub(super) &'static str);

/// A batch that a block has swallowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    /// Position of its first sample.
    pub(super) first: Position,
    /// Position after its last sample.
    pub(super) next: Position,
    /// Its leaf.
    pub(super) leaf: Digest,
    /// When the cloud committed it.
    pub(super) committed_at: UtcMillis,
}

/// A batch on its way into a block.
pub(super) struct Swallowed {
    pub(super) batch: Batch,
    pub(super) leaf: Digest,
    pub(super) committed_at: UtcMillis,
}

/// A sample in a block.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BlockSample {
    /// The member that it came in.
    pub(super) member: usize,
    pub(super) position: Position,
    pub(super) at: Millis,
    pub(super) value: Option<Value>,
    pub(super) quality: Quality,
}

/// The samples of one signal while a block is built.
#[derive(Default)]
struct Growing<'b> {
    /// Runs of members (how many, samples in each).
    counts: Vec<(u64, u64)>,
    members: u64,
    samples: Vec<&'b Sample>,
}

impl<'b> Growing<'b> {
    /// Adds what member `number` says; nothing was said by those that are left out.
    fn extend(&mut self, number: u64, samples: &'b [Sample]) {
        self.skip_to(number);
        self.count(1, samples.len() as u64);
        self.samples.extend(samples);
    }

    fn skip_to(&mut self, number: u64) {
        let missing = number - self.members;
        if missing > 0 {
            self.count(missing, 0);
        }
    }

    fn count(&mut self, members: u64, samples: u64) {
        self.members += members;
        match self.counts.last_mut() {
            Some((run, count)) if *count == samples => *run += members,
            Some(_) | None => self.counts.push((members, samples)),
        }
    }
}

/// The body of a block of `batches`, which follow each other; those without samples do not count.
pub(super) fn encode(batches: &[Swallowed], codec: &mut Zstd) -> Vec<u8> {
    let mut growing: BTreeMap<SignalIndex, Growing<'_>> = BTreeMap::new();
    for (number, swallowed) in (0_u64..).zip(batches) {
        for run in samples_of(&swallowed.batch).chunk_by(|one, next| one.signal == next.signal) {
            let Some(first) = run.first() else { continue };
            growing.entry(first.signal).or_default().extend(number, run);
        }
    }
    let members = batches.len() as u64;
    let mut chunks = Vec::new();
    let mut draft = index::Draft::new(batches);
    let mut times_known: Vec<(Vec<u64>, u64)> = Vec::new();
    for (signal, mut column) in growing {
        column.skip_to(members);
        let times: Vec<u64> = column.samples.iter().map(|sample| sample.at.0).collect();
        let known = times_known.iter().find(|(known, _)| *known == times).map(|(_, place)| *place);
        let place = known.unwrap_or_else(|| {
            let place = draft.add_times(pack(&column::encode_times(&times), codec, &mut chunks));
            // Devices that are polled apart have times apart; more than this are not looked through.
            times_known.truncate(15);
            times_known.insert(0, (times, place));
            place
        });
        let said = pack(&column::encode_said(&column.samples), codec, &mut chunks);
        draft.add_column(signal, place, &column.counts, said);
    }
    let index = draft.finish();
    let length = u32::try_from(index.len()).unwrap_or(u32::MAX);
    [&check(&index)[..], &length.to_le_bytes(), &index, &chunks].concat()
}

fn samples_of(batch: &Batch) -> &[Sample] {
    match &batch.content {
        Content::Samples { samples, .. } => samples,
        Content::Events(_) | Content::Outcomes(_) | Content::Gap(_) => &[],
    }
}

/// Where a chunk lies behind the index, and what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    start: usize,
    length: usize,
    /// Its length when unpacked; 0 if it is not packed.
    plain: usize,
    check: [u8; 4],
}

/// Appends `plain` to `chunks`, packed if that is smaller.
fn pack(plain: &[u8], codec: &mut Zstd, chunks: &mut Vec<u8>) -> Chunk {
    let start = chunks.len();
    let mut packed = Vec::new();
    let is_smaller = codec.compress(plain, &mut packed) && packed.len() < plain.len();
    let bytes = if is_smaller { &packed } else { plain };
    chunks.extend(bytes);
    let plain = if is_smaller { plain.len() } else { 0 };
    Chunk { start, length: bytes.len(), plain, check: check(bytes) }
}

impl Chunk {
    fn unpack(&self, bytes: &[u8], codec: &mut Zstd) -> Result<Vec<u8>, Damaged> {
        if check(bytes) != self.check {
            return Err(Damaged("a chunk is not what was written"));
        }
        if self.plain == 0 {
            return Ok(bytes.to_vec());
        }
        codec.decompress(bytes, self.plain).ok_or(Damaged("a chunk cannot be unpacked"))
    }
}

fn check(bytes: &[u8]) -> [u8; 4] {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    [digest[0], digest[1], digest[2], digest[3]]
}

/// How many bytes the index has, from the first [`HEAD_BYTES`] of a body.
pub(super) fn index_length(head: &[u8]) -> Result<usize, Damaged> {
    let length = head.get(4..HEAD_BYTES).and_then(|length| length.try_into().ok());
    let length = length.map(u32::from_le_bytes).and_then(|length| usize::try_from(length).ok());
    length.filter(|length| *length <= INDEX_BYTES_MAX).ok_or(Damaged("the index has no length"))
}

/// A whole block in memory.
pub(super) struct Whole<'b> {
    pub(super) index: Index,
    body: &'b [u8],
}

impl<'b> Whole<'b> {
    pub(super) fn read(first: Position, body: &'b [u8]) -> Result<Self, Damaged> {
        let length = index_length(body)?;
        let index = body.get(..HEAD_BYTES + length).ok_or(Damaged("the index is cut"))?;
        Ok(Self { index: Index::read(first, index)?, body })
    }

    fn bytes(&self, range: Range<usize>) -> Result<&'b [u8], Damaged> {
        self.body.get(range).ok_or(Damaged("a chunk is cut"))
    }

    /// The samples of a column, in their order.
    pub(super) fn samples(
        &self,
        column: &Column,
        codec: &mut Zstd,
    ) -> Result<Vec<BlockSample>, Damaged> {
        let times = self.bytes(self.index.times_range(column))?;
        let said = self.bytes(self.index.said_range(column))?;
        self.index.samples(column, (times, said), codec)
    }

    /// Every batch as it was sealed, but for its chain, which is not kept.
    pub(super) fn batches(&self, of: &Origin, codec: &mut Zstd) -> Result<Vec<Batch>, Damaged> {
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); self.index.members.len()];
        for column in &self.index.columns {
            for sample in self.samples(column, codec)? {
                let BlockSample { member, at, value, quality, .. } = sample;
                samples[member].push(Sample { signal: column.signal, at, value, quality });
            }
        }
        let batch = |(member, samples): (&Member, Vec<Sample>)| Batch {
            incarnation: of.incarnation,
            stream: Stream::Samples,
            first: member.first,
            next: member.next,
            chain: Digest([0; 32]),
            boot: of.boot,
            utc_offset: None,
            content: Content::Samples { catalogue: of.catalogue, samples },
        };
        Ok(self.index.members.iter().zip(samples).map(batch).collect())
    }
}

/// What all batches of a block have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) incarnation: IncarnationId,
    pub(super) boot: BootId,
    pub(super) catalogue: CatalogueId,
}
