//! Where records go: one behind the other, round and round, over what the database has taken.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::block::{self, BLOCK_BYTES, BODY_BYTES, Header, PairId, blocks_of};
use crate::crc::crc32c;
use crate::recover::Recovery;

/// The smallest ring, in blocks: several of the largest records.
pub const BLOCKS_MIN: usize = 32;

/// Bytes that go to one place of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub offset: u64,
    /// Whole blocks.
    pub bytes: Vec<u8>,
}

/// A record that is ready to be written: all of it, then a sync, then [`Ring::synced`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// One write, or two where the ring begins again.
    pub writes: Vec<Write>,
    /// Its number.
    pub sequence: u64,
    blocks: usize,
}

/// There is no room until the database takes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// The state of a ring that is written to.
#[derive(Debug, Clone)]
pub struct Ring {
    pair: PairId,
    blocks: usize,
    /// Where the next record begins.
    next_block: usize,
    next_sequence: u64,
    /// Number and length of the records that the database has not taken, oldest first.
    live: VecDeque<(u64, usize)>,
}

impl Ring {
    /// A ring with one record of this number and body, and its whole image: a ring without a record
    /// could not be told from one that has lost them all.
    ///
    /// Panics if the body does not fit, or the ring is smaller than [`BLOCKS_MIN`].
    pub fn create(pair: PairId, blocks: usize, sequence: u64, body: &[u8]) -> (Self, Vec<u8>) {
        assert!(BLOCKS_MIN <= blocks, "a ring of {blocks} blocks is too small for a record");
        let live = VecDeque::new();
        let mut ring = Self { pair, blocks, next_block: 0, next_sequence: sequence, live };
        let first = ring.prepare(body).expect("a ring has room for its first record");
        let mut image = Vec::with_capacity(blocks * BLOCK_BYTES);
        image.extend(first.writes.iter().flat_map(|write| &write.bytes));
        let blank = Header { sequence: 0, parts: 0, ..ring.header(0, 0, 0) };
        while image.len() < blocks * BLOCK_BYTES {
            let place = image.len() / BLOCK_BYTES;
            block::write(&blank, place, &[], &mut image);
        }
        ring.synced(&first);
        (ring, image)
    }

    /// Goes on behind what was found; what the database has taken may be overwritten.
    pub fn resume(recovery: &Recovery, taken: u64) -> Self {
        let live = recovery.records.iter().filter(|record| taken < record.sequence);
        Self {
            pair: recovery.pair,
            blocks: recovery.blocks,
            next_block: recovery.end,
            next_sequence: recovery.newest() + 1,
            live: live.map(|record| (record.sequence, record.blocks)).collect(),
        }
    }

    /// The number of the record that was synced last, or burned.
    pub fn newest(&self) -> u64 {
        self.next_sequence - 1
    }

    /// Blocks that the database has not taken.
    pub fn live(&self) -> usize {
        self.live.iter().map(|(_, blocks)| blocks).sum()
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// The next record, with this body. Preparing it twice is harmless: nothing counts before
    /// [`Ring::synced`].
    pub fn prepare(&self, body: &[u8]) -> Result<Prepared, Full> {
        let blocks = blocks_of(body.len());
        if self.blocks < self.live() + blocks {
            return Err(Full);
        }
        let parts = u16::try_from(blocks).map_err(|_| Full)?;
        let length = u32::try_from(body.len()).map_err(|_| Full)?;
        let mut header = self.header(parts, length, crc32c(body));
        let mut bytes = Vec::with_capacity(blocks * BLOCK_BYTES);
        for part in 0..parts {
            header.part = part;
            let from = usize::from(part) * BODY_BYTES;
            let to = body.len().min(from + BODY_BYTES);
            let place = (self.next_block + usize::from(part)) % self.blocks;
            block::write(&header, place, &body[from..to], &mut bytes);
        }
        let before_wrap = (self.blocks - self.next_block).min(blocks) * BLOCK_BYTES;
        let wrapped = bytes.split_off(before_wrap);
        let mut writes = Vec::with_capacity(2);
        writes.push(Write { offset: (self.next_block * BLOCK_BYTES) as u64, bytes });
        if !wrapped.is_empty() {
            writes.push(Write { offset: 0, bytes: wrapped });
        }
        Ok(Prepared { writes, sequence: self.next_sequence, blocks })
    }

    /// The record is durable.
    pub fn synced(&mut self, prepared: &Prepared) {
        assert_eq!(prepared.sequence, self.next_sequence, "records are synced in their order");
        self.live.push_back((prepared.sequence, prepared.blocks));
        self.next_block = (self.next_block + prepared.blocks) % self.blocks;
        self.next_sequence += 1;
    }

    /// The database has durably taken everything through this record.
    pub fn taken(&mut self, through: u64) {
        while self.live.front().is_some_and(|(sequence, _)| *sequence <= through) {
            self.live.pop_front();
        }
    }

    fn header(&self, parts: u16, length: u32, body_crc: u32) -> Header {
        Header {
            pair: self.pair,
            sequence: self.next_sequence,
            part: 0,
            parts,
            length,
            body_crc,
            blocks: u32::try_from(self.blocks).unwrap_or(u32::MAX),
        }
    }
}
