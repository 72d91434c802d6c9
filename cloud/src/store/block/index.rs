//! The index of a block: its batches, and where each signal's chunks lie.

use std::ops::Range;

use fieldgate_model::{Digest, Millis, Position, SignalIndex, UtcMillis};
use fieldgate_pack::Zstd;

use super::numbers::{Numbers, put, put_difference};
use super::{
    BlockSample, CHUNK_BYTES_MAX, Chunk, Damaged, HEAD_BYTES, MEMBERS_MAX, Member, SAMPLES_MAX,
    Swallowed, check, column,
};

/// The layout of this file and its chunks.
const VERSION: u8 = 1;

/// Signals of a block: as many as samples, at most.
const COLUMNS_MAX: usize = SAMPLES_MAX + fieldgate_wire::RECORDS_MAX;

/// One signal of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Column {
    pub(in crate::store) signal: SignalIndex,
    /// Runs of members (how many, samples in each).
    counts: Vec<(u64, u64)>,
    samples: usize,
    times: usize,
    said: Chunk,
}

/// What a block holds and where.
#[derive(Debug)]
pub(in crate::store) struct Index {
    pub(in crate::store) members: Vec<Member>,
    /// By signal.
    pub(in crate::store) columns: Vec<Column>,
    times: Vec<Chunk>,
    /// Where the chunks begin in the body.
    chunks_at: usize,
}

/// An index that is being written.
pub(super) struct Draft {
    members: Vec<u8>,
    columns: Vec<u8>,
    columns_count: u64,
    signal: u32,
    times: Vec<u8>,
    times_count: u64,
}

impl Draft {
    pub(super) fn new(batches: &[Swallowed]) -> Self {
        let mut members = Vec::with_capacity(batches.len() * 40);
        put(&mut members, batches.len() as u64);
        let mut committed_at = 0_i64;
        for swallowed in batches {
            put(&mut members, swallowed.batch.next - swallowed.batch.first);
            members.extend(swallowed.leaf.0);
            let difference = swallowed.committed_at.0.wrapping_sub(committed_at);
            put_difference(&mut members, difference.cast_unsigned());
            committed_at = swallowed.committed_at.0;
        }
        let (columns, times) = (Vec::new(), Vec::new());
        Self { members, columns, columns_count: 0, signal: 0, times, times_count: 0 }
    }

    /// Where the chunk of times stands among its like.
    pub(super) fn add_times(&mut self, chunk: Chunk) -> u64 {
        put_chunk(&mut self.times, chunk);
        self.times_count += 1;
        self.times_count - 1
    }

    pub(super) fn add_column(
        &mut self,
        signal: SignalIndex,
        times: u64,
        counts: &[(u64, u64)],
        said: Chunk,
    ) {
        put(&mut self.columns, u64::from(signal.0 - self.signal));
        self.signal = signal.0;
        put(&mut self.columns, times);
        put(&mut self.columns, counts.len() as u64);
        for (members, samples) in counts {
            put(&mut self.columns, *members);
            put(&mut self.columns, *samples);
        }
        put_chunk(&mut self.columns, said);
        self.columns_count += 1;
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend(self.members);
        put(&mut out, self.times_count);
        out.extend(self.times);
        put(&mut out, self.columns_count);
        out.extend(self.columns);
        out
    }
}

fn put_chunk(out: &mut Vec<u8>, chunk: Chunk) {
    put(out, chunk.start as u64);
    put(out, chunk.length as u64);
    put(out, chunk.plain as u64);
    out.extend(chunk.check);
}

fn chunk(numbers: &mut Numbers<'_>) -> Result<Chunk, Damaged> {
    Ok(Chunk {
        start: numbers.count(CHUNK_BYTES_MAX)?,
        length: numbers.count(CHUNK_BYTES_MAX)?,
        plain: numbers.count(CHUNK_BYTES_MAX)?,
        check: numbers.array()?,
    })
}

impl Index {
    /// Reads the head and the index of the body of a block that begins at `first`.
    pub(in crate::store) fn read(first: Position, bytes: &[u8]) -> Result<Self, Damaged> {
        let (head, index) =
            bytes.split_at_checked(HEAD_BYTES).ok_or(Damaged("the index is cut"))?;
        if head.get(..4) != Some(&check(index)[..]) {
            return Err(Damaged("the index is not what was written"));
        }
        let mut numbers = Numbers(index);
        if numbers.array()? != [VERSION] {
            return Err(Damaged("its version is not known"));
        }
        let members = members(first, &mut numbers)?;
        let count = numbers.count(COLUMNS_MAX)?;
        let times = (0..count).map(|_| chunk(&mut numbers)).collect::<Result<Vec<_>, _>>()?;
        let count = numbers.count(COLUMNS_MAX)?;
        let mut signal = 0_u32;
        let mut columns = Vec::new();
        for _ in 0..count {
            columns.push(read_column(&mut numbers, &mut signal, times.len(), members.len())?);
        }
        Ok(Self { members, columns, times, chunks_at: bytes.len() })
    }

    /// The column of a signal.
    pub(in crate::store) fn column(&self, signal: SignalIndex) -> Option<&Column> {
        let place = self.columns.binary_search_by_key(&signal, |column| column.signal).ok()?;
        self.columns.get(place)
    }

    /// Where a column's times lie in the body.
    pub(in crate::store) fn times_range(&self, column: &Column) -> Range<usize> {
        // `read` has seen that it is there.
        self.times.get(column.times).map_or(0..0, |chunk| self.range(chunk))
    }

    /// Where that what a column says lies in the body.
    pub(in crate::store) fn said_range(&self, column: &Column) -> Range<usize> {
        self.range(&column.said)
    }

    fn range(&self, chunk: &Chunk) -> Range<usize> {
        let start = self.chunks_at + chunk.start;
        start..start + chunk.length
    }

    /// The samples of a column out of its chunks, in their order.
    pub(in crate::store) fn samples(
        &self,
        column: &Column,
        (times, said): (&[u8], &[u8]),
        codec: &mut Zstd,
    ) -> Result<Vec<BlockSample>, Damaged> {
        let chunk = self.times.get(column.times).ok_or(Damaged("a column has no times"))?;
        let times = column::decode_times(&chunk.unpack(times, codec)?, column.samples)?;
        let said = column::decode_said(&column.said.unpack(said, codec)?, column.samples)?;
        let positions = self.positions(column);
        if positions.len() != column.samples {
            return Err(Damaged("a column has more samples than its batches"));
        }
        let samples = positions.into_iter().zip(times).zip(said);
        Ok(samples
            .map(|(((member, position), at), (value, quality))| BlockSample {
                member,
                position,
                at: Millis(at),
                value,
                quality,
            })
            .collect())
    }

    /// Member and position of each sample of a column: behind those of lower signals in its batch.
    fn positions(&self, column: &Column) -> Vec<(usize, Position)> {
        let mut before = vec![0_u64; self.members.len()];
        for lower in self.columns.iter().take_while(|lower| lower.signal < column.signal) {
            for (total, count) in before.iter_mut().zip(each(&lower.counts)) {
                *total += count;
            }
        }
        let mut positions = Vec::with_capacity(column.samples);
        let members = self.members.iter().zip(before).zip(each(&column.counts)).enumerate();
        for (number, ((member, before), count)) in members {
            let start = member.first.0 + before;
            let inside = (start..start + count).take_while(|position| *position < member.next.0);
            positions.extend(inside.map(|position| (number, Position(position))));
        }
        positions
    }
}

/// Samples of each member, from the runs.
fn each(counts: &[(u64, u64)]) -> impl Iterator<Item = u64> {
    let runs = counts.iter().copied();
    runs.flat_map(|(members, samples)| {
        std::iter::repeat_n(samples, usize::try_from(members).unwrap_or(0))
    })
}

fn members(first: Position, numbers: &mut Numbers<'_>) -> Result<Vec<Member>, Damaged> {
    let count = numbers.count(MEMBERS_MAX)?;
    let mut members = Vec::with_capacity(count);
    let (mut position, mut committed_at) = (first, 0_i64);
    for _ in 0..count {
        let length = numbers.count(fieldgate_wire::RECORDS_MAX)? as u64;
        let leaf = Digest(numbers.array()?);
        committed_at = committed_at.wrapping_add(numbers.difference()?.cast_signed());
        let next = Position(position.0.saturating_add(length));
        let at = UtcMillis(committed_at);
        members.push(Member { first: position, next, leaf, committed_at: at });
        position = next;
    }
    Ok(members)
}

fn read_column(
    numbers: &mut Numbers<'_>,
    signal: &mut u32,
    times: usize,
    members: usize,
) -> Result<Column, Damaged> {
    let distance = u32::try_from(numbers.next()?).ok();
    let next = distance.and_then(|distance| signal.checked_add(distance));
    *signal = next.ok_or(Damaged("a signal is beyond its bound"))?;
    let times = numbers.count(times.saturating_sub(1))?;
    let runs = numbers.count(members)?;
    let mut counts = Vec::with_capacity(runs);
    let (mut seen, mut samples) = (0, 0);
    for _ in 0..runs {
        let run = numbers.count(members - seen)?;
        let count = numbers.count(fieldgate_wire::RECORDS_MAX)?;
        seen += run;
        samples += run * count;
        counts.push((run as u64, count as u64));
    }
    if samples > COLUMNS_MAX {
        return Err(Damaged("a column is too long"));
    }
    Ok(Column { signal: SignalIndex(*signal), counts, samples, times, said: chunk(numbers)? })
}
