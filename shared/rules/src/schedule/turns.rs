//! Whose turn it is: the more urgent class goes first, and none starves.
//!
//! # Invariants
//!
//! - A class takes at most [`IN_A_ROW_MAX`] turns in a row from the classes below it. So the n-th class,
//!   counted from 0, if it is always ready, has a turn among any `2 × 5^n` of them: one among 2 for a
//!   safety write, 10 for a command, 50 for an alarm signal, 250 for a poll, 1,250 for backfill.

use super::work::Class;

/// Turns in a row while somebody less urgent waits: a flood must not stop the polls.
pub(super) const IN_A_ROW_MAX: u8 = 4;

/// The turns taken by each class while a lower one was ready.
#[derive(Debug, Default)]
pub(super) struct Turns {
    in_a_row: [u8; 5],
}

impl Turns {
    /// Which of the classes that are ready has its turn; `None` if none is ready.
    pub(super) fn take(&mut self, is_ready: [bool; 5]) -> Option<Class> {
        if is_ready == [false; 5] {
            return None;
        }
        for class in Class::ALL {
            let rank = class.rank();
            let is_ahead = is_ready.iter().skip(rank + 1).any(|ready| *ready);
            if is_ready[rank] && !(is_ahead && self.in_a_row[rank] >= IN_A_ROW_MAX) {
                self.in_a_row[rank] = if is_ahead { self.in_a_row[rank] + 1 } else { 0 };
                return Some(class);
            }
            self.in_a_row[rank] = 0;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The turns within which a class that is always ready has one of its own: each class above it
    /// lets one turn of five pass, and it may itself have to let one pass.
    fn turns_max(class: Class) -> usize {
        2 * usize::from(IN_A_ROW_MAX + 1).pow(u32::try_from(class.rank()).expect("small"))
    }

    #[test]
    fn no_class_waits_for_more_turns_than_its_bound() {
        for seed in 0..200_u64 {
            let mut turns = Turns::default();
            let mut waited = [0; 5];
            let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            for _ in 0..5_000 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                // Seeds below 32 have a fixed set of floods, the others change at random.
                let bits = if seed < 32 { seed } else { state | (seed & 31) };
                let ready: [bool; 5] = std::array::from_fn(|rank| bits >> rank & 1 == 1);
                let taken = turns.take(ready);
                assert_eq!(taken.is_none(), ready == [false; 5]);
                for class in Class::ALL {
                    let rank = class.rank();
                    let waits = ready[rank] && taken != Some(class);
                    waited[rank] = if waits { waited[rank] + 1 } else { 0 };
                    assert!(waited[rank] < turns_max(class), "seed {seed}: {class:?}");
                }
            }
        }
    }

    #[test]
    fn one_that_comes_alone_goes_first() {
        let mut turns = Turns::default();
        let polls = [false, false, true, true, true];
        for _ in 0..100 {
            turns.take(polls);
            assert_eq!(turns.take([false, true, true, true, true]), Some(Class::Command));
            turns.take(polls);
            assert_eq!(turns.take([true, true, true, true, true]), Some(Class::SafetyWrite));
        }
    }
}
