//! How often something happens, and the seeded generator that decides when.
//!
//! # Invariants
//!
//! - The same seed gives the same decisions.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use thiserror::Error;

const MILLION: u32 = 1_000_000;

/// A share of all cases, in parts per million; written `5%`, `5 %` or `0.05`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Share(u32);

/// A text that is not a share.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a share")]
pub struct ShareError {
    /// What was written.
    pub text: String,
}

impl ShareError {
    /// What to write instead.
    pub fn hint(&self) -> &'static str {
        "write `5%` or `0.05`; all is `100%`"
    }
}

impl Share {
    /// Each time.
    pub const ALL: Self = Self(MILLION);
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(self.0) / 10_000.0)
    }
}

/// A bare `1` could be one percent or all, so it is refused.
impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let wrong = || ShareError { text: text.to_owned() };
        let (number, whole) = match text.trim().strip_suffix('%') {
            Some(number) => (number.trim(), 100.0),
            None => (text.trim(), 1.0),
        };
        let is_clear = number == "0" || whole > 1.0 || number.contains('.');
        let part = number.parse::<f64>().map_err(|_| wrong())? / whole;
        if !is_clear || !(0.0..=1.0).contains(&part) {
            return Err(wrong());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1e6")]
        Ok(Self((part * f64::from(MILLION)).round() as u32))
    }
}

impl TryFrom<String> for Share {
    type Error = ShareError;

    fn try_from(text: String) -> Result<Self, ShareError> {
        text.parse()
    }
}

/// A stream of numbers that looks like chance (splitmix64).
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Whether it happens this time.
    pub(super) fn hits(&mut self, share: Share) -> bool {
        let drawn = self.next() % u64::from(MILLION);
        drawn < u64::from(share.0)
    }

    pub(super) fn byte(&mut self) -> u8 {
        let [first, ..] = self.next().to_be_bytes();
        first
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_as_people_write_it() {
        for (text, parts) in
            [("5%", 50_000), ("5 %", 50_000), ("0.05", 50_000), ("100%", 1_000_000), ("0", 0)]
        {
            assert_eq!(text.parse(), Ok(Share(parts)), "{text}");
        }
        for text in ["", "5", "1", "101%", "-1%", "1.5", "five", "NaN%", "%"] {
            assert_eq!(text.parse::<Share>(), Err(ShareError { text: text.to_owned() }), "{text}");
        }
    }

    #[test]
    fn a_share_is_kept_and_a_seed_repeats() {
        let hits = |seed| {
            let mut chance = Chance::new(seed);
            let share = "5%".parse().expect("a share");
            (0..10_000).map(|_| chance.hits(share)).collect::<Vec<_>>()
        };
        let count = hits(1).into_iter().filter(|hit| *hit).count();
        assert!((400..600).contains(&count), "{count}");
        assert_eq!(hits(1), hits(1));
        assert_ne!(hits(1), hits(2));
    }
}
