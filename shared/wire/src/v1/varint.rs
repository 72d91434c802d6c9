//! Varints (LEB128) and zigzag, and a reader that cannot run past its bytes.

use alloc::vec::Vec;

use crate::error::Fault;

/// Appends `number`, seven bits a byte, lowest first.
pub(crate) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(low_bits(number) | 0x80);
        number >>= 7;
    }
    out.push(low_bits(number));
}

/// Appends a difference of two numbers modulo 2^64, small in either direction.
pub(crate) fn put_difference(out: &mut Vec<u8>, difference: u64) {
    let signed = difference.cast_signed();
    put(out, ((signed << 1) ^ (signed >> 63)).cast_unsigned());
}

const fn low_bits(number: u64) -> u8 {
    (number & 0x7f) as u8
}

/// Walks over bytes that may be hostile.
pub(crate) struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    pub(crate) const fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes not yet read.
    pub(crate) const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// A fault at the place reached.
    pub(crate) const fn fault(&self, what: &'static str) -> Fault {
        Fault::Columns { at: self.at, what }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'b [u8], Fault> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| self.fault("bytes end too early"))?;
        self.at += count;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Fault> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.fault("varint exceeds 64 bits"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.fault("varint has no end"))
    }

    /// A varint of at most `max`.
    pub(crate) fn count(&mut self, max: usize, what: &'static str) -> Result<usize, Fault> {
        let count = usize::try_from(self.varint()?).ok().filter(|count| *count <= max);
        count.ok_or_else(|| self.fault(what))
    }

    /// The other half of [`put_difference`].
    pub(crate) fn difference(&mut self) -> Result<u64, Fault> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1) ^ (zigzag & 1).wrapping_neg())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn a_varint_takes_seven_bits_a_byte() {
        for (number, bytes) in [
            (0, vec![0]),
            (127, vec![0x7f]),
            (128, vec![0x80, 1]),
            (300, vec![0xac, 2]),
            (u64::MAX, vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ] {
            let mut out = Vec::new();
            put(&mut out, number);
            assert_eq!(out, bytes, "{number}");
            assert_eq!(Reader::new(&out).varint(), Ok(number));
        }
        assert!(Reader::new(&[0x80; 11]).varint().is_err(), "no end");
        assert!(Reader::new(&[0x80]).varint().is_err(), "cut off");
        let mut beyond = [0xff; 10];
        beyond[9] = 2;
        assert!(Reader::new(&beyond).varint().is_err(), "65 bits");
    }

    #[test]
    fn a_small_difference_takes_one_byte_in_either_direction() {
        for (before, after, length) in [
            (5_u64, 5_u64, 1),
            (5, 4, 1),
            (0, 63, 1),
            (64, 0, 1),
            (0, 64, 2),
            (0, u64::MAX, 1),
            (0, 1 << 63, 10),
        ] {
            let mut out = Vec::new();
            put_difference(&mut out, after.wrapping_sub(before));
            assert_eq!(out.len(), length, "{before} to {after}");
            let back = Reader::new(&out).difference().expect("what was written");
            assert_eq!(before.wrapping_add(back), after);
        }
    }
}
