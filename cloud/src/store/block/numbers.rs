//! Varints as blocks and rollups have them, and a reader that cannot run past its bytes.

use super::Damaged;

/// Appends `number`, seven bits a byte, lowest first.
pub(in crate::store) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
}

/// Appends a difference modulo 2^64, small in either direction.
pub(in crate::store) fn put_difference(out: &mut Vec<u8>, difference: u64) {
    let signed = difference.cast_signed();
    put(out, ((signed << 1) ^ (signed >> 63)).cast_unsigned());
}

/// Walks over bytes that a bad disk may have changed.
pub(in crate::store) struct Numbers<'b>(pub(in crate::store) &'b [u8]);

impl<'b> Numbers<'b> {
    pub(in crate::store) fn take(&mut self, count: usize) -> Result<&'b [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Damaged("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(in crate::store) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Damaged("it ends too early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(in crate::store) fn next(&mut self) -> Result<u64, Damaged> {
        let mut number = 0_u64;
        for (place, byte) in self.0.iter().enumerate().take(10) {
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                self.0 = &self.0[place + 1..];
                return Ok(number);
            }
        }
        Err(Damaged("a number has no end"))
    }

    /// A number of at most `max`.
    pub(in crate::store) fn count(&mut self, max: usize) -> Result<usize, Damaged> {
        let count = usize::try_from(self.next()?).ok().filter(|count| *count <= max);
        count.ok_or(Damaged("a count is beyond its bound"))
    }

    /// The other half of [`put_difference`].
    pub(in crate::store) fn difference(&mut self) -> Result<u64, Damaged> {
        let zigzag = self.next()?;
        Ok((zigzag >> 1) ^ (zigzag & 1).wrapping_neg())
    }

    pub(in crate::store) fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}
