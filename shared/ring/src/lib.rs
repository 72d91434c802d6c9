//! The buffer's durable tail: a ring of blocks that is written once a flush, without I/O.
//!
//! A database pays for every commit with pages of its log and of its file. A flush here is one write
//! into a file that never grows: a *record* of one block or more, synced before it counts. A record
//! carries an [`Entry`]: what was taken in since the one before, and which batches are sealed by it.
//! The database takes sealed batches over in bulk and remembers through which record it has them;
//! the two remember each other, so that each is the other's watermark.
//!
//! Modules stand in reading order: a block, a record's place in the ring, what a crash left, what an
//! entry says, and how entries become batches again.
//!
//! # Invariants
//!
//! - Records lie one behind the other, numbered without holes; a record is written only after the
//!   one before it is synced, so a crash can tear the last one alone.
//! - Whatever happens to one block, every synced record that the database has not taken is found
//!   again, or the damage is.
//! - Entries rebuild exactly the batches that were sealed when they were written: the same positions,
//!   the same chain.

#![no_std]

extern crate alloc;

mod block;
mod crc;
mod entry;
mod recover;
mod replay;
mod ring;

pub use block::{BLOCK_BYTES, PairId};
pub use entry::{AlarmMark, Entry, EntryError, LineMark, Seal};
pub use recover::{Record, Recovery, recover};
pub use replay::{Fault, Plan, Replay, Replayed, Sealed, StoreView, plan, seal};
pub use ring::{BLOCKS_MIN, Full, Prepared, Ring, Write};
