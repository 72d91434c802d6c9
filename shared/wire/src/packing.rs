//! Content made smaller by a codec that the caller brings, as this crate links none.
//!
//! ```text
//! packed = length:varint frame
//! ```
//!
//! `length` is that of the plain content, and the frame is zstd's (RFC 8878).
//!
//! # Invariants
//!
//! - A reader takes memory for the length that is declared, which is bounded before that.
//! - What is packed is smaller than what is plain, or it is not packed.

use alloc::vec::Vec;

use crate::error::Fault;
use crate::limits::CONTENT_BYTES_MAX;
use crate::v1::varint::{Reader, put};

/// Makes bytes fewer.
pub trait Compress {
    /// Appends a zstd frame of `plain` to `out`; whether it could.
    fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) -> bool;
}

/// Brings bytes back.
pub trait Decompress {
    /// What the zstd frame `packed` holds, if that is `length` bytes exactly; takes no more memory
    /// than that, whatever the frame says.
    fn decompress(&mut self, packed: &[u8], length: usize) -> Option<Vec<u8>>;
}

/// `plain` packed, if that is possible and makes it smaller.
pub(crate) fn pack(plain: &[u8], codec: &mut impl Compress) -> Option<Vec<u8>> {
    if plain.len() > CONTENT_BYTES_MAX {
        return None;
    }
    let mut packed = Vec::new();
    put(&mut packed, plain.len() as u64);
    (codec.compress(plain, &mut packed) && packed.len() < plain.len()).then_some(packed)
}

/// What was packed.
pub(crate) fn unpack(packed: &[u8], codec: &mut impl Decompress) -> Result<Vec<u8>, Fault> {
    let mut reader = Reader::new(packed);
    let length = reader.count(CONTENT_BYTES_MAX, "content would be too long")?;
    let frame = reader.take(reader.left())?;
    let plain = codec.decompress(frame, length);
    plain.ok_or(Fault::Broken("packed content is damaged, or not as long as it says"))
}
