//! Version 1 of the bytes: one file a kind of message, each with its fields' numbers.
//!
//! # Invariants
//!
//! - A field's number and meaning never change; a reader ignores numbers that it does not know.
//! - The content of a batch does not even grow, as its leaf covers all of it: more to say there is
//!   another content encoding, which an older reader keeps unread.
//! - No number but a raw value exceeds what a signed 64-bit integer holds, so databases can store it.

mod ack;
mod answer;
mod batch;
mod catalogue;
pub(crate) mod codes;
mod columns;
mod command;
mod content;
mod hello;
mod need;
mod parts;
mod pause;
mod present;
mod refuse;
mod summary;
pub(crate) mod varint;
mod watch;
mod welcome;

use alloc::vec::Vec;

use minicbor::{Decode, Decoder, Encode};

use crate::error::{DecodeError, Wrong};
use crate::limits::MESSAGE_BYTES_MAX;

pub use ack::{decode_ack, encode_ack};
pub use answer::{decode_answer, encode_answer};
pub use batch::{
    ContentBytes, ENCODING_EVENTS, ENCODING_GAP, ENCODING_OUTCOMES, ENCODING_SAMPLES,
    ENCODING_THINNED, ENVELOPE_BYTES_MAX, Envelope, PACKED, decode_batch, decode_batch_packed,
    decode_envelope, encode_batch, encode_batch_packed,
};
pub use catalogue::{
    Reassembly, ReassemblyError, chunk_catalogue, decode_catalogue, decode_catalogue_chunk,
    encode_catalogue, encode_catalogue_chunk,
};
pub use columns::sample_bytes_max;
pub use command::{decode_command, encode_command};
pub use content::{event_bytes, outcome_bytes};
pub use hello::{decode_hello, encode_hello};
pub use need::{decode_need, encode_need};
pub use pause::{decode_pause, encode_pause};
pub use present::{decode_present, encode_present};
pub use refuse::{decode_refuse, encode_refuse};
pub use summary::MINUTE_BYTES_MAX;
pub use watch::{decode_watch, encode_watch};
pub use welcome::{decode_welcome, encode_welcome};

/// The bytes of a DTO.
fn write<D: Encode<()>>(dto: &D) -> Vec<u8> {
    minicbor::to_vec(dto).expect("a vector takes every byte")
}

/// The noun in a whole message.
fn read<'b, D, M>(message: &'static str, bytes: &'b [u8]) -> Result<M, DecodeError>
where
    D: Decode<'b, ()>,
    M: TryFrom<D, Error = Wrong>,
{
    let dto = parse::<D>(message, bytes, MESSAGE_BYTES_MAX)?;
    M::try_from(dto).map_err(|wrong| wrong.within(message))
}

/// The DTO that `bytes` are, to the last byte.
fn parse<'b, D: Decode<'b, ()>>(
    message: &'static str,
    bytes: &'b [u8],
    max: usize,
) -> Result<D, DecodeError> {
    if bytes.len() > max {
        return Err(DecodeError::TooLong { message, length: bytes.len(), max });
    }
    let mut decoder = Decoder::new(bytes);
    let dto = decoder.decode().map_err(|error| DecodeError::malformed(message, &error))?;
    match bytes.len() - decoder.position() {
        0 => Ok(dto),
        left => Err(DecodeError::Trailing { message, left }),
    }
}
