//! Block options (RFC 7959 section 2): which block this is, how large blocks are, whether more follow.

use core::fmt;

use crate::option::{OptionNumber, Options};

/// Size of a block: `16 << exponent` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize(u8);

impl BlockSize {
    /// 16 bytes, the smallest.
    pub const MIN: Self = Self(0);
    /// 1,024 bytes, the largest: with its options it fits any path that carries IPv6.
    pub const MAX: Self = Self(6);

    /// The largest block that is not longer than this; the smallest if all are.
    pub fn at_most(bytes: usize) -> Self {
        (0..=Self::MAX.0).rev().map(Self).find(|size| size.bytes() <= bytes).unwrap_or(Self::MIN)
    }

    /// In bytes.
    pub const fn bytes(self) -> usize {
        16 << self.0
    }
}

/// A block option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Its place, counted in blocks of its size.
    pub number: u32,
    /// More follow.
    pub more: bool,
    /// How large each but the last is.
    pub size: BlockSize,
}

impl Block {
    /// Most blocks that a number of 20 bits tells apart.
    pub const NUMBER_MAX: u32 = 0xF_FFFF;

    /// The option of this number, if there is one that is whole. A size exponent of 7 is reserved.
    pub fn of(options: &Options, number: OptionNumber) -> Option<Self> {
        let value = options.uint(number)?;
        let exponent = u8::try_from(value & 7).ok()?;
        let size = BlockSize(exponent);
        (size <= BlockSize::MAX).then_some(Self { number: value >> 4, more: value & 8 != 0, size })
    }

    /// Whether there is an option of this number that means nothing.
    pub fn is_reserved(options: &Options, number: OptionNumber) -> bool {
        options.uint(number).is_some() && Self::of(options, number).is_none()
    }

    /// Adds the option.
    pub fn add(self, options: &mut Options, number: OptionNumber) {
        let more = if self.more { 8 } else { 0 };
        options.add_uint(number, self.number << 4 | more | u32::from(self.size.0));
    }

    /// Where its first byte stands in the whole.
    pub fn offset(self) -> usize {
        usize::try_from(self.number).unwrap_or(usize::MAX).saturating_mul(self.size.bytes())
    }
}

impl fmt::Display for Block {
    /// `3+ of 64 B`: the plus says that more follow.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.more { "+" } else { "" };
        write!(f, "{}{more} of {} B", self.number, self.size.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_read_as_it_is_written() {
        for (number, more, bytes, written) in [
            (0, false, 16, &[][..]),
            (0, true, 1_024, &[0x0E]),
            (1, false, 64, &[0x12]),
            (Block::NUMBER_MAX, true, 512, &[0xFF, 0xFF, 0xFD]),
        ] {
            let block = Block { number, more, size: BlockSize::at_most(bytes) };
            let mut options = Options::default();
            block.add(&mut options, OptionNumber::BLOCK2);
            assert_eq!(options.first(OptionNumber::BLOCK2), Some(written));
            assert_eq!(Block::of(&options, OptionNumber::BLOCK2), Some(block));
            assert_eq!(block.offset(), usize::try_from(number).expect("20 bits") * bytes);
        }
    }

    #[test]
    fn the_reserved_size_is_no_block() {
        let mut options = Options::default();
        options.add(OptionNumber::BLOCK1, [0x07]);
        assert_eq!(Block::of(&options, OptionNumber::BLOCK1), None);
        assert!(Block::is_reserved(&options, OptionNumber::BLOCK1));
        assert!(!Block::is_reserved(&options, OptionNumber::BLOCK2));
    }

    #[test]
    fn a_size_is_the_largest_that_fits() {
        for (bytes, size) in [(0, 16), (16, 16), (100, 64), (1_023, 512), (9_999, 1_024)] {
            assert_eq!(BlockSize::at_most(bytes).bytes(), size);
        }
    }
}
