//! Durations and sizes as people write them: `1 s`, `200 ms`, `5 min`, `7 d`; `512 MiB`, `64 KiB`.

use fieldgate_model::Millis;
use thiserror::Error;

/// Why a text is not a duration or a size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnitError {
    /// There is no number in front.
    #[error("`{text}` does not start with a number")]
    Number {
        /// What was written.
        text: String,
    },
    /// There is no unit behind the number.
    #[error("`{text}` has no unit")]
    NoUnit {
        /// What was written.
        text: String,
    },
    /// The unit is unknown.
    #[error("`{unit}` is not a unit of {of}")]
    Unit {
        /// The unit that was written.
        unit: String,
        /// What is measured.
        of: &'static str,
    },
    /// It is not a whole number of milliseconds or bytes, or too many of them.
    #[error("`{text}` is not a whole number of {smallest}")]
    Whole {
        /// What was written.
        text: String,
        /// The smallest unit.
        smallest: &'static str,
    },
}

/// Units of time, in milliseconds.
const DURATIONS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Units of size, in bytes; powers of 1,024 and of 1,000 are told apart.
const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

impl UnitError {
    /// What to write instead.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unit { of: "size", .. } | Self::Whole { smallest: "bytes", .. } => {
                "write a size such as `512 MiB` or `64 KiB`; units are B, KiB, MiB, GiB, kB, MB, GB"
            }
            Self::Unit { .. } | Self::Whole { .. } => {
                "write a duration such as `1 s` or `200 ms`; units are ms, s, min, h, d"
            }
            Self::Number { .. } | Self::NoUnit { .. } => {
                "write a number and a unit, such as `1 s`, `200 ms` or `512 MiB`"
            }
        }
    }
}

/// A duration such as `1 s`, `200 ms`, `1.5 s`, `5 min`, `7 d`; the space may be left out.
pub fn parse_duration(text: &str) -> Result<Millis, UnitError> {
    parse(text, &DURATIONS, "time", "milliseconds").map(Millis)
}

/// A size such as `512 MiB`, in bytes.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    parse(text, &SIZES, "size", "bytes")
}

fn parse(
    text: &str,
    units: &[(&str, u64)],
    of: &'static str,
    smallest: &'static str,
) -> Result<u64, UnitError> {
    let text = text.trim();
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let (number, unit) = text.split_at(text.len() - number.len());
    let unit = unit.trim();
    let owned = || text.to_owned();
    if !number.starts_with(|c: char| c.is_ascii_digit()) || number.ends_with('.') {
        return Err(UnitError::Number { text: owned() });
    }
    if unit.is_empty() {
        return Err(UnitError::NoUnit { text: owned() });
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(UnitError::Unit { unit: unit.to_owned(), of });
    };
    // Exact: the digits behind the point become part of the numerator.
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let exact = || {
        let digits: u128 = [whole, fraction].concat().parse().ok()?;
        let divisor = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let total = digits.checked_mul(u128::from(*factor))?;
        total.is_multiple_of(divisor).then_some(total / divisor)
    };
    exact()
        .and_then(|total| u64::try_from(total).ok())
        .ok_or_else(|| UnitError::Whole { text: owned(), smallest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_as_people_write_it() {
        for (text, millis) in [
            ("1 s", 1000),
            ("1s", 1000),
            ("200 ms", 200),
            ("1.5 s", 1500),
            ("0.2 s", 200),
            ("5 min", 300_000),
            ("2 h", 7_200_000),
            ("7 d", 604_800_000),
            (" 0 s ", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_size_is_read_as_people_write_it() {
        for (text, bytes) in [
            ("512 MiB", 536_870_912),
            ("64 KiB", 65_536),
            ("1 GB", 1_000_000_000),
            ("1.5 GiB", 1_610_612_736),
            ("7B", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused_with_its_reason() {
        for (text, why) in [
            ("", "`` does not start with a number"),
            ("soon", "`soon` does not start with a number"),
            ("-1 s", "`-1 s` does not start with a number"),
            ("1. s", "`1. s` does not start with a number"),
            ("10", "`10` has no unit"),
            ("1 sec", "`sec` is not a unit of time"),
            ("1.2.3 s", "`1.2.3 s` is not a whole number of milliseconds"),
            ("0.5 ms", "`0.5 ms` is not a whole number of milliseconds"),
            (
                "99999999999999999999 d",
                "`99999999999999999999 d` is not a whole number of milliseconds",
            ),
        ] {
            assert_eq!(parse_duration(text).map_err(|e| e.to_string()), Err(why.to_owned()));
        }
        assert_eq!(
            parse_size("1 mb").map_err(|e| e.to_string()),
            Err("`mb` is not a unit of size".to_owned())
        );
    }
}
