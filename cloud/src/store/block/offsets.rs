//! How far UTC is from monotonic time in each batch of a block, apart from its body.

use super::numbers::{Numbers, put, put_difference};
use super::{Damaged, MEMBERS_MAX};

/// Runs of (batches, change of the offset): one run, mostly.
pub(in crate::store) fn encode_offsets(offsets: &[i64]) -> Vec<u8> {
    let (mut out, mut last) = (Vec::new(), 0_i64);
    for run in offsets.chunk_by(|one, next| one == next) {
        let Some(offset) = run.first() else { continue };
        put(&mut out, run.len() as u64);
        put_difference(&mut out, offset.wrapping_sub(last).cast_unsigned());
        last = *offset;
    }
    out
}

pub(in crate::store) fn decode_offsets(bytes: &[u8], count: usize) -> Result<Vec<i64>, Damaged> {
    let (mut numbers, mut offsets, mut last) = (Numbers(bytes), Vec::new(), 0_i64);
    while !numbers.is_over() {
        let run = numbers.count(MEMBERS_MAX)?;
        last = last.wrapping_add(numbers.difference()?.cast_signed());
        offsets.resize(offsets.len() + run, last);
    }
    if offsets.len() == count {
        Ok(offsets)
    } else {
        Err(Damaged("offsets do not fit the batches"))
    }
}
