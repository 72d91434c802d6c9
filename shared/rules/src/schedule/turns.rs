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
    /// Which of the classes that are ready has its turn; `None` if none is ready. `waits` tells of
    /// those that would be ready if there were room with their unit: turns that pass meanwhile
    /// count, or else a unit that is always full would never have room for them.
    pub(super) fn take(&mut self, is_ready: [bool; 5], waits: [bool; 5]) -> Option<Class> {
        if is_ready == [false; 5] {
            return None;
        }
        for class in Class::ALL {
            let rank = class.rank();
            let below = rank + 1;
            let is_ahead_of_ready = is_ready.iter().skip(below).any(|ready| *ready);
            let is_ahead_of_waiting = waits.iter().skip(below).any(|waits| *waits);
            let has_had_enough = is_ahead_of_ready && self.in_a_row[rank] >= IN_A_ROW_MAX;
            if is_ready[rank] && !has_had_enough {
                let in_a_row = (self.in_a_row[rank] + 1).min(IN_A_ROW_MAX);
                let counts = is_ahead_of_ready || is_ahead_of_waiting;
                self.in_a_row[rank] = if counts { in_a_row } else { 0 };
                return Some(class);
            }
            // Commands come one by one: what was before a pause is not held against them.
            if has_had_enough || !is_ahead_of_waiting || class <= Class::Command {
                self.in_a_row[rank] = 0;
            }
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
                let taken = turns.take(ready, [false; 5]);
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
            turns.take(polls, [false; 5]);
            assert_eq!(
                turns.take([false, true, true, true, true], [false; 5]),
                Some(Class::Command)
            );
            turns.take(polls, [false; 5]);
            assert_eq!(turns.take([true; 5], [false; 5]), Some(Class::SafetyWrite));
        }
    }
}
