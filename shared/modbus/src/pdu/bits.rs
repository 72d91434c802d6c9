//! Bits as the wire packs them: the first in the lowest bit of the first byte (section 6.1).

/// Appends `bits`, the last byte filled up with zeros.
pub(super) fn pack(bits: &[bool], out: &mut Vec<u8>) {
    out.extend(
        bits.chunks(8)
            .map(|eight| eight.iter().rev().fold(0, |byte, on| (byte << 1) | u8::from(*on))),
    );
}

/// The first `count` bits of `bytes`; what fills the last byte is ignored.
pub(super) fn unpack(bytes: &[u8], count: usize) -> Vec<bool> {
    let mut bits = Vec::with_capacity(bytes.len() * 8);
    bits.extend(bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)));
    bits.truncate(count);
    bits
}
