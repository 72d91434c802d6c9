//! Messages to bytes and back, for gateways, instances and firmware. Pure: no I/O, no clock.
//!
//! A message is a CBOR item that `wire.cddl` describes; the values of a batch are columns of
//! varints inside it. Modules stand in reading order: what is said besides the model's nouns, where
//! it is said, how history is chained, and then the bytes, one folder a version.
//!
//! # Invariants
//!
//! - Whatever an `encode_*` writes, its `decode_*` reads back exactly.
//! - A `decode_*` never panics and never allocates more than its input or a bound here justifies.
//! - A reader ignores fields that it does not know, so a version may grow but never change.

#![no_std]

extern crate alloc;

pub mod chain;
mod error;
mod limits;
mod messages;
mod packing;
pub mod topics;
pub mod v1;

pub use chain::{catalogue_id, chain_start, leaf, link, message_digest};
pub use error::{DecodeError, Fault};
pub use limits::{
    CATALOGUE_BYTES_MAX, CHUNK_BYTES, CONTENT_BYTES_MAX, MESSAGE_BYTES_MAX, RECORDS_MAX,
    SAMPLE_TEXT_BYTES_MAX, TEXT_BYTES_MAX, clip,
};
pub use messages::{
    Ack, Answer, CatalogueChunk, CommandMessage, JournalState, Need, Pause, PauseReason, Present,
    Refuse, Watch,
};
pub use packing::{Compress, Decompress};
pub use topics::{
    DownKind, TopicError, UP_FILTER, UpKind, down_filter, down_topic, parse_down, parse_up, shard,
    up_topic,
};
pub use v1::*;
