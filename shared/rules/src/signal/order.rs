//! In which order the bytes of a number lie in its registers.

use std::fmt;

/// How the bytes of a number lie in its registers, `A` being the most significant.
///
/// The first four apply to any width: `Cdab` reverses the registers, `Badc` swaps the bytes in each
/// of them, `Dcba` does both. The other four are for four registers, where some devices keep the
/// order within a half and others that of the halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum WordOrder {
    /// Big endian; what the Modbus specification uses within a register. Of 64 bits `ABCDEFGH`.
    #[default]
    Abcd,
    /// Registers reversed. Of 64 bits `GHEFCDAB`.
    Cdab,
    /// Bytes swapped within each register. Of 64 bits `BADCFEHG`.
    Badc,
    /// Little endian: both. Of 64 bits `HGFEDCBA`.
    Dcba,
    /// Registers swapped within each half of 64 bits.
    Cdabghef,
    /// The halves of 64 bits swapped.
    Efghabcd,
    /// Each half of 64 bits little endian, the high half first.
    Dcbahgfe,
    /// The halves of 64 bits swapped, and the bytes within each register.
    Fehgbadc,
}

/// Every order with its letters for one, two and four registers.
const LETTERS: [(WordOrder, [&str; 3]); 8] = [
    (WordOrder::Abcd, ["AB", "ABCD", "ABCDEFGH"]),
    (WordOrder::Cdab, ["AB", "CDAB", "GHEFCDAB"]),
    (WordOrder::Badc, ["BA", "BADC", "BADCFEHG"]),
    (WordOrder::Dcba, ["BA", "DCBA", "HGFEDCBA"]),
    (WordOrder::Cdabghef, ["AB", "CDAB", "CDABGHEF"]),
    (WordOrder::Efghabcd, ["AB", "ABCD", "EFGHABCD"]),
    (WordOrder::Dcbahgfe, ["BA", "DCBA", "DCBAHGFE"]),
    (WordOrder::Fehgbadc, ["BA", "BADC", "FEHGBADC"]),
];

impl WordOrder {
    /// Every order that differs from the others in a value of this many registers.
    pub const fn all(registers: u16) -> &'static [Self] {
        match registers {
            0 | 1 => &[Self::Abcd, Self::Badc],
            2 | 3 => &[Self::Abcd, Self::Cdab, Self::Badc, Self::Dcba],
            _ => &[
                Self::Abcd,
                Self::Cdab,
                Self::Badc,
                Self::Dcba,
                Self::Cdabghef,
                Self::Efghabcd,
                Self::Dcbahgfe,
                Self::Fehgbadc,
            ],
        }
    }

    /// The order of these letters, in either case: `ABCD` and so on for any width, `AB` and `BA`
    /// for one register, eight letters for four.
    pub fn from_letters(letters: &str) -> Option<Self> {
        let letters = letters.to_ascii_uppercase();
        let found = LETTERS.iter().find(|(_, names)| names.contains(&letters.as_str()));
        found.map(|(order, _)| *order)
    }

    /// Its letters in a value of this many registers, as `CDAB` or `GHEFCDAB`.
    pub fn letters(self, registers: u16) -> &'static str {
        let width = match registers {
            0 | 1 => 0,
            2 | 3 => 1,
            _ => 2,
        };
        LETTERS.iter().find(|(order, _)| *order == self).map_or("ABCD", |(_, names)| names[width])
    }

    /// Whether only a value of four registers can lie like this.
    pub const fn needs_four_registers(self) -> bool {
        match self {
            Self::Abcd | Self::Cdab | Self::Badc | Self::Dcba => false,
            Self::Cdabghef | Self::Efghabcd | Self::Dcbahgfe | Self::Fehgbadc => true,
        }
    }

    /// The order within registers alone, which is what applies to text.
    #[must_use]
    pub const fn within_registers(self) -> Self {
        if self.parts().2 { Self::Badc } else { Self::Abcd }
    }

    /// Puts words into order ABCD, or from ABCD into this order: each order is its own inverse.
    #[must_use]
    pub fn apply(self, words: &[u16]) -> Vec<u16> {
        let (halves, pairs, bytes) = self.parts();
        let mut words = words.to_vec();
        if halves && pairs {
            words.reverse();
        } else if halves && words.len() == 4 {
            words.rotate_left(2);
        } else if pairs {
            for pair in words.chunks_exact_mut(2) {
                pair.reverse();
            }
        }
        if bytes {
            for word in &mut words {
                *word = word.swap_bytes();
            }
        }
        words
    }

    /// Whether the halves of 64 bits, the registers in each half, and the bytes in each register
    /// change places. Halves and registers together are the reversal, whatever the width.
    const fn parts(self) -> (bool, bool, bool) {
        match self {
            Self::Abcd => (false, false, false),
            Self::Cdab => (true, true, false),
            Self::Badc => (false, false, true),
            Self::Dcba => (true, true, true),
            Self::Cdabghef => (false, true, false),
            Self::Efghabcd => (true, false, false),
            Self::Dcbahgfe => (false, true, true),
            Self::Fehgbadc => (true, false, true),
        }
    }
}

impl fmt::Display for WordOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.letters(if self.needs_four_registers() { 4 } else { 2 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_undoes_itself_at_every_width() {
        for order in WordOrder::all(4) {
            for words in [&[0x0102][..], &[0x0102, 0x0304], &[1, 2, 3], &[1, 2, 3, 4]] {
                assert_eq!(order.apply(&order.apply(words)), words, "{order}");
            }
        }
    }

    #[test]
    fn the_letters_of_an_order_are_the_bytes_that_it_puts_on_the_wire() {
        for registers in [1, 2, 4] {
            let sent: Vec<u16> =
                (0..registers).map(|word| 0x4142 + 0x0202 * word).collect::<Vec<_>>();
            for order in WordOrder::all(registers) {
                let bytes: Vec<u8> =
                    order.apply(&sent).iter().flat_map(|word| word.to_be_bytes()).collect();
                let letters = order.letters(registers);
                assert_eq!(bytes, letters.as_bytes(), "{order:?}");
                assert_eq!(WordOrder::from_letters(&letters.to_lowercase()), Some(*order));
            }
        }
        for unknown in ["", "A", "ABDC", "ABCDEFHG", "ABCDE"] {
            assert_eq!(WordOrder::from_letters(unknown), None, "{unknown}");
        }
    }
}
