//! zstd (RFC 8878) behind the wire's [`Compress`] and [`Decompress`]. Pure: bytes in, bytes out.
//!
//! A crate of its own, since it links C, which `wire` must not: firmware speaks the wire as well.
//!
//! # Invariants
//!
//! - What is unpacked has exactly the length that was promised, and no memory is taken beyond it:
//!   a frame that would grow larger is refused when it reaches its end.
//! - A context is reused, and what one call was given cannot be seen by the next.

use fieldgate_wire::{Compress, Decompress};
use zstd_safe::{CCtx, DCtx};

/// The fastest level. Columns of small differences have no repetitions worth a search: level 9
/// saves one part in a hundred more, at a tenth of the speed.
const LEVEL: i32 = 1;

/// Both directions, each with its context; some 200 KiB, so one for a thread and not one for a
/// message.
pub struct Zstd {
    compressor: CCtx<'static>,
    decompressor: DCtx<'static>,
}

impl Zstd {
    /// Contexts that have seen nothing.
    pub fn new() -> Self {
        Self { compressor: CCtx::create(), decompressor: DCtx::create() }
    }
}

impl Default for Zstd {
    fn default() -> Self {
        Self::new()
    }
}

impl Compress for Zstd {
    fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) -> bool {
        let mut packed = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
        let done = self.compressor.compress(&mut packed, plain, LEVEL).is_ok();
        if done {
            out.extend(packed);
        }
        done
    }
}

impl Decompress for Zstd {
    fn decompress(&mut self, packed: &[u8], length: usize) -> Option<Vec<u8>> {
        let mut plain = Vec::with_capacity(length);
        let written = self.decompressor.decompress(&mut plain, packed).ok()?;
        (written == length).then_some(plain)
    }
}
