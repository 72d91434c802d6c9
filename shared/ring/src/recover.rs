//! What a crash, or worse, left of a ring.
//!
//! # Invariants
//!
//! - The records that are given are one behind the other without a hole, the newest last.
//! - What stands behind the newest is what an older lap or nobody wrote there; anything else may have
//!   been a synced record once, and is told.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::block::{self, BLOCK_BYTES, Header, PairId, blocks_of};
use crate::crc::crc32c;

/// A whole record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub sequence: u64,
    /// What it carries.
    pub body: Vec<u8>,
    pub(crate) block: usize,
    pub(crate) blocks: usize,
}

/// What was found in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Whose ring it is.
    pub pair: PairId,
    /// The newest unbroken run of records, oldest first; never empty.
    pub records: Vec<Record>,
    /// Behind the newest record stands what no sync has left there: it was torn, or is damaged.
    pub is_torn: bool,
    pub(crate) blocks: usize,
    /// The block behind the newest record.
    pub(crate) end: usize,
}

impl Recovery {
    /// The number of the newest record.
    pub fn newest(&self) -> u64 {
        self.records.last().map_or(0, |record| record.sequence)
    }

    /// The number of the oldest record of the run.
    pub fn oldest(&self) -> u64 {
        self.records.first().map_or(0, |record| record.sequence)
    }
}

/// Finds the records of an image; `None` if it has none.
pub fn recover(image: &[u8]) -> Option<Recovery> {
    let (blocks, _) = image.as_chunks::<BLOCK_BYTES>();
    let found: Vec<Option<(Header, &[u8])>> =
        blocks.iter().enumerate().map(|(at, block)| block::read(block, at)).collect();
    let mut record_by_name: BTreeMap<(u64, PairId), (Record, u32)> = BTreeMap::new();
    for (at, block) in found.iter().enumerate() {
        if let Some((header, _)) = block
            && header.part == 0
            && let Some(body) = body_at(&found, at, header)
        {
            let blocks = usize::from(header.parts);
            let record = Record { sequence: header.sequence, body, block: at, blocks };
            record_by_name.insert((header.sequence, header.pair), (record, header.blocks));
        }
    }
    let (&(_, pair), &(_, blocks)) = record_by_name.last_key_value()?;
    let blocks = usize::try_from(blocks).ok()?;
    let mut records: Vec<Record> = Vec::new();
    for ((_, of), (record, _)) in record_by_name.into_iter().rev() {
        let follows = records.last().is_none_or(|newer| {
            record.sequence + 1 == newer.sequence
                && (record.block + record.blocks) % blocks == newer.block
        });
        if of != pair || !follows {
            break;
        }
        records.push(record);
    }
    records.reverse();
    let newest = records.last()?;
    let end = (newest.block + newest.blocks) % blocks;
    let is_of_before = |header: &Header| header.pair == pair && header.sequence < newest.sequence;
    let behind = found.get(end).and_then(Option::as_ref);
    let is_torn = found.len() != blocks || !behind.is_some_and(|(header, _)| is_of_before(header));
    Some(Recovery { pair, records, is_torn, blocks, end })
}

/// The body of the record that begins at block `at`, if all of it is there.
fn body_at(found: &[Option<(Header, &[u8])>], at: usize, first: &Header) -> Option<Vec<u8>> {
    let parts = usize::from(first.parts);
    let length = usize::try_from(first.length).ok()?;
    let blocks = usize::try_from(first.blocks).ok().filter(|blocks| parts < *blocks)?;
    if parts != blocks_of(length) {
        return None;
    }
    let mut body = Vec::with_capacity(parts * BLOCK_BYTES);
    for part in 0..parts {
        let (header, bytes) = found.get((at + part) % blocks)?.as_ref()?;
        let is_next = usize::from(header.part) == part;
        if !is_next || (Header { part: 0, ..*header }) != *first {
            return None;
        }
        body.extend_from_slice(bytes);
    }
    body.truncate(length);
    (crc32c(&body) == first.body_crc).then_some(body)
}
