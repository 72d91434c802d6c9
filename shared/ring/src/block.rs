//! A block: the unit that a disk writes whole or not at all, most of the time.
//!
//! ```text
//! magic 4, crc 4, pair 16, sequence 8, part 2, parts 2, length 4, crc of the body 4, blocks 4,
//! place 4, body
//! ```
//!
//! Numbers are little endian; the first crc covers all that stands behind it to the end of the block;
//! `blocks` is how many the whole ring has, `place` which of them this is. A *blank*, which fills a ring before its first lap, is a
//! block of record 0 with no parts.
//!
//! # Invariants
//!
//! - A block that nobody has damaged is valid at all times, written or blank: a wiped one shows.
//! - A block that has come to another's place, by whatever mistake, is not valid there.
//! - Every block of a record says which record it is of, so no leftover of an older lap is taken for
//!   a part of a newer one; the crc of the whole body tells two tries of one record apart.

use alloc::vec::Vec;

use crate::crc::crc32c;

/// Bytes of a block: a page of the kernel, and what flash translates at least.
pub const BLOCK_BYTES: usize = 4096;
const HEADER_BYTES: usize = 52;
/// Bytes of a body that fit a block.
pub(crate) const BODY_BYTES: usize = BLOCK_BYTES - HEADER_BYTES;
/// Another format has another number here.
const MAGIC: [u8; 4] = *b"FGR1";
/// Where the first crc begins to count.
const COVERED_FROM: usize = 8;

/// What a ring and its database have in common, so that neither is taken for another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PairId(pub [u8; 16]);

/// What a block says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) pair: PairId,
    pub(crate) sequence: u64,
    pub(crate) part: u16,
    pub(crate) parts: u16,
    /// Bytes of the whole body.
    pub(crate) length: u32,
    pub(crate) body_crc: u32,
    /// Blocks of the whole ring.
    pub(crate) blocks: u32,
}

/// How many blocks a body needs.
pub(crate) const fn blocks_of(length: usize) -> usize {
    if length == 0 { 1 } else { length.div_ceil(BODY_BYTES) }
}

/// The block with this part of the body.
pub(crate) fn write(header: &Header, place: usize, body: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend(MAGIC);
    out.extend([0; 4]);
    out.extend(header.pair.0);
    out.extend(header.sequence.to_le_bytes());
    out.extend(header.part.to_le_bytes());
    out.extend(header.parts.to_le_bytes());
    out.extend(header.length.to_le_bytes());
    out.extend(header.body_crc.to_le_bytes());
    out.extend(header.blocks.to_le_bytes());
    out.extend(place_of(place).to_le_bytes());
    out.extend(body);
    out.resize(start + BLOCK_BYTES, 0);
    let crc = crc32c(&out[start + COVERED_FROM..]);
    out[start + 4..start + COVERED_FROM].copy_from_slice(&crc.to_le_bytes());
}

/// What the block at a place says; `None` if nobody has written it like this.
pub(crate) fn read(block: &[u8], place: usize) -> Option<(Header, &[u8])> {
    let (header, body) = (block.first_chunk::<HEADER_BYTES>()?, block.get(HEADER_BYTES..)?);
    if header[..4] != MAGIC || number(header, 4) != crc32c(block.get(COVERED_FROM..)?) {
        return None;
    }
    if number(header, 48) != place_of(place) {
        return None;
    }
    let mut pair = [0; 16];
    pair.copy_from_slice(&header[8..24]);
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let header = Header {
        pair: PairId(pair),
        sequence: u64::from(number(header, 24)) | u64::from(number(header, 28)) << 32,
        part: half(32),
        parts: half(34),
        length: number(header, 36),
        body_crc: number(header, 40),
        blocks: number(header, 44),
    };
    Some((header, body))
}

fn number(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

fn place_of(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
