//! Decimal scale and offset: how a raw integer becomes an engineering value.
//!
//! A scale of 0.1 is kept as 1 × 10⁻¹, not as the binary float next to it, so that raw 2302 is
//! 230.2 and not 230.20000000000002.

use alloc::string::ToString;
use core::fmt;

use crate::Value;

/// `engineering = raw × mantissa × 10^exponent + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    mantissa: i64,
    exponent: i8,
    offset: f64,
}

/// Why a scale is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScaleError {
    /// Zero, infinite or not a number: raw values could not be told apart or written back.
    Multiplier,
    /// The offset is infinite or not a number.
    Offset,
}

impl fmt::Display for ScaleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Multiplier => f.write_str("scale must be a finite number other than 0"),
            Self::Offset => f.write_str("offset must be a finite number"),
        }
    }
}

impl core::error::Error for ScaleError {}

/// Largest power of ten that a float of 64 bits holds exactly.
const EXPONENT_MAX: i8 = 22;

impl Scale {
    /// Raw is engineering.
    pub const IDENTITY: Self = Self { mantissa: 1, exponent: 0, offset: 0.0 };

    /// The scale that a person writes as `scale = 0.1`, `offset = -40`.
    ///
    /// The shortest decimal text of `multiplier` is taken as what was meant.
    pub fn new(multiplier: f64, offset: f64) -> Result<Self, ScaleError> {
        if !offset.is_finite() {
            return Err(ScaleError::Offset);
        }
        let (mantissa, exponent) = decimal(multiplier).ok_or(ScaleError::Multiplier)?;
        Ok(Self { mantissa, exponent, offset })
    }

    /// The scale from its parts, as they travel in a catalogue.
    pub fn from_parts(mantissa: i64, exponent: i8, offset: f64) -> Result<Self, ScaleError> {
        if mantissa == 0 || exponent.unsigned_abs() > EXPONENT_MAX.unsigned_abs() {
            return Err(ScaleError::Multiplier);
        }
        if !offset.is_finite() {
            return Err(ScaleError::Offset);
        }
        Ok(Self { mantissa, exponent, offset })
    }

    /// Mantissa, exponent of ten, and offset.
    pub const fn parts(self) -> (i64, i8, f64) {
        (self.mantissa, self.exponent, self.offset)
    }

    /// Whether raw is engineering, so that integers stay exact on every screen.
    pub fn is_identity(self) -> bool {
        self == Self::IDENTITY
    }

    /// The engineering value of `raw`; `None` for text.
    pub fn apply(self, raw: &Value) -> Option<f64> {
        let scaled = raw.as_f64()? * self.numerator();
        // Dividing by an exact power of ten rounds once; multiplying by 0.1 rounds twice.
        let scaled = if self.exponent < 0 {
            scaled / power_of_ten(self.exponent)
        } else {
            scaled * power_of_ten(self.exponent)
        };
        Some(if self.offset == 0.0 { scaled } else { scaled + self.offset })
    }

    /// The raw number whose engineering value is `engineering`, not yet rounded to a type.
    pub fn invert(self, engineering: f64) -> f64 {
        let shifted = engineering - self.offset;
        let shifted = if self.exponent < 0 {
            shifted * power_of_ten(self.exponent)
        } else {
            shifted / power_of_ten(self.exponent)
        };
        shifted / self.numerator()
    }

    #[expect(clippy::cast_precision_loss, reason = "mantissas have at most 17 digits")]
    fn numerator(self) -> f64 {
        self.mantissa as f64
    }
}

/// `10^|exponent|`, exact for every exponent that a scale can have.
fn power_of_ten(exponent: i8) -> f64 {
    (0..exponent.unsigned_abs()).fold(1.0, |power, _| power * 10.0)
}

/// Mantissa and exponent of the shortest decimal text that means `number`.
fn decimal(number: f64) -> Option<(i64, i8)> {
    if number == 0.0 || !number.is_finite() {
        return None;
    }
    let text = number.to_string();
    let (digits, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let exponent = i8::try_from(fraction.len()).ok().filter(|n| *n <= EXPONENT_MAX)?;
    let mut mantissa: i64 = [digits, fraction].concat().parse().ok()?;
    let mut exponent = -exponent;
    while mantissa % 10 == 0 && exponent < EXPONENT_MAX {
        mantissa /= 10;
        exponent += 1;
    }
    Some((mantissa, exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_scale_gives_the_decimal_that_a_person_expects() {
        for (multiplier, offset, raw, expected) in [
            (0.1, 0.0, 2302, 230.2),
            (0.01, 0.0, 1, 0.01),
            (0.001, 0.0, 50_013, 50.013),
            (100.0, 0.0, 7, 700.0),
            (1.0, -40.0, 65, 25.0),
            (-0.5, 0.0, 3, -1.5),
            (1e-7, 0.0, 3, 3e-7),
        ] {
            let scale = Scale::new(multiplier, offset).expect("a fine scale");
            assert_eq!(scale.apply(&Value::Int(raw)), Some(expected), "{multiplier} {offset}");
            #[expect(clippy::cast_precision_loss, reason = "small literals")]
            let back = scale.invert(expected) - raw as f64;
            assert!(back.abs() < 1e-6, "{multiplier} {offset}: off by {back}");
        }
    }

    #[test]
    fn a_scale_that_destroys_the_value_is_refused() {
        for multiplier in [0.0, f64::NAN, f64::INFINITY, 1e-30] {
            assert_eq!(Scale::new(multiplier, 0.0), Err(ScaleError::Multiplier));
        }
        assert_eq!(Scale::new(1.0, f64::NAN), Err(ScaleError::Offset));
    }
}
