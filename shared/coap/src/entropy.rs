//! What must not be guessed: tokens, first message ids and the spread of times, from one seed.
//!
//! # Invariants
//!
//! - Who sees any number of tokens cannot tell the next: they are digests of a secret seed and a
//!   count. A device that could would forge the answers of another one.
//! - The same seed gives the same numbers, so that a simulation can be repeated.

use core::fmt;

use sha2::{Digest, Sha256};

/// An endless row of numbers.
pub struct Entropy {
    seed: [u8; 32],
    count: u64,
}

impl Entropy {
    /// The row of a seed. The shell takes it from the kernel, once.
    pub const fn new(seed: [u8; 32]) -> Self {
        Self { seed, count: 0 }
    }

    /// The next eight bytes.
    pub fn bytes(&mut self) -> [u8; 8] {
        self.count += 1;
        let digest = Sha256::new().chain_update(self.seed).chain_update(self.count.to_be_bytes());
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
        bytes
    }

    /// The next number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        u64::from_be_bytes(self.bytes()).checked_rem(end).unwrap_or(0)
    }
}

impl fmt::Debug for Entropy {
    /// Without the seed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entropy").field("count", &self.count).finish_non_exhaustive()
    }
}

#[test]
fn a_seed_is_never_shown_and_gives_the_same_row_again() {
    let (mut one, mut other) = (Entropy::new([7; 32]), Entropy::new([7; 32]));
    let row: Vec<_> = (0..8).map(|_| one.bytes()).collect();
    assert_eq!(row, (0..8).map(|_| other.bytes()).collect::<Vec<_>>());
    assert!(row.windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(format!("{one:?}"), "Entropy { count: 8, .. }");
    assert!((0..100).all(|_| one.below(3) < 3) && one.below(0) == 0);
}
