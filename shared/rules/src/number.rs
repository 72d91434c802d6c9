//! Bits to numbers and back, for every type of a number that registers hold.
//!
//! # Invariants
//!
//! - Integers never pass through a float.
//! - What is written is what was given, but for rounding to the type's own resolution: nothing is
//!   clamped, truncated or wrapped.

use fieldgate_model::{Cause, Value, ValueKind};

use crate::signal::{DataType, WordOrder};

/// Why a value has no bits in a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It is not of the type's kind.
    Kind,
    /// It is too large, or too small.
    Range,
}

/// The number's own bits, which stand lowest, most significant first; at most four registers.
pub(crate) fn bits_of_words(data: DataType, order: WordOrder, words: &[u16]) -> u64 {
    let all = order.apply(words).into_iter().fold(0, |bits, word| bits << 16 | u64::from(word));
    all >> data.shift() & mask(data.bits())
}

/// The words that hold a number's own bits. What is around them is 0, but for a signed number of 24
/// bits, whose sign goes on into the highest byte for devices that take it as one of 32.
pub(crate) fn words_of_bits(data: DataType, order: WordOrder, bits: u64) -> Vec<u16> {
    let bits = match data {
        DataType::I24 => sign_extended(bits, 24).cast_unsigned(),
        DataType::U8(_)
        | DataType::I8(_)
        | DataType::U16
        | DataType::I16
        | DataType::U24
        | DataType::U32
        | DataType::I32
        | DataType::U64
        | DataType::I64
        | DataType::F16
        | DataType::F32
        | DataType::F64
        | DataType::Bcd4
        | DataType::Bcd8
        | DataType::Bcd16
        | DataType::SignMagnitude16
        | DataType::SignMagnitude32
        | DataType::Text { .. } => bits << data.shift(),
    };
    let word = |place| u16::try_from(bits >> (16 * place) & 0xFFFF).unwrap_or_default();
    let words: Vec<u16> = (0..data.registers()).rev().map(word).collect();
    order.apply(&words)
}

/// The number that these own bits are. Digits above 9 are none: [`Cause::OutOfRange`]. A float may
/// come out that is not finite.
pub(crate) fn value_of_bits(data: DataType, bits: u64) -> Result<Value, Cause> {
    let narrow = || u32::try_from(bits).map_err(|_| Cause::Malformed);
    Ok(match data {
        DataType::U8(_) | DataType::U16 | DataType::U24 | DataType::U32 | DataType::U64 => {
            Value::Unsigned(bits)
        }
        DataType::I8(_) | DataType::I16 | DataType::I24 | DataType::I32 | DataType::I64 => {
            Value::Int(sign_extended(bits, data.bits()))
        }
        DataType::F16 => {
            Value::Float32(f32_of_half(u16::try_from(bits).map_err(|_| Cause::Malformed)?))
        }
        DataType::F32 => Value::Float32(f32::from_bits(narrow()?)),
        DataType::F64 => Value::Float64(f64::from_bits(bits)),
        DataType::Bcd4 | DataType::Bcd8 | DataType::Bcd16 => {
            Value::Unsigned(of_digits(bits).ok_or(Cause::OutOfRange)?)
        }
        DataType::SignMagnitude16 | DataType::SignMagnitude32 => {
            let sign = 1 << (data.bits() - 1);
            let distance = (bits & (sign - 1)).cast_signed();
            Value::Int(if bits & sign == 0 { distance } else { -distance })
        }
        DataType::Text { .. } => return Err(Cause::Malformed),
    })
}

/// The own bits of a number.
pub(crate) fn bits_of_value(data: DataType, raw: &Value) -> Result<u64, Unfit> {
    let float = || to_float(raw).filter(|float| !float.is_nan()).ok_or(Unfit::Kind);
    let integer = || to_integer(raw).ok_or(Unfit::Kind);
    let bits = match data {
        DataType::U8(_)
        | DataType::U16
        | DataType::U24
        | DataType::U32
        | DataType::U64
        | DataType::I8(_)
        | DataType::I16
        | DataType::I24
        | DataType::I32
        | DataType::I64 => two_complement(data, integer()?),
        DataType::F16 => half_of_f64(float()?).map(u64::from),
        DataType::F32 => {
            #[expect(clippy::cast_possible_truncation, reason = "an overflow becomes infinite")]
            let float = float()? as f32;
            Some(float).filter(|float| float.is_finite()).map(|float| float.to_bits().into())
        }
        DataType::F64 => Some(float()?).filter(|float| float.is_finite()).map(f64::to_bits),
        DataType::Bcd4 | DataType::Bcd8 | DataType::Bcd16 => {
            u64::try_from(integer()?).ok().and_then(|number| digits_of(number, data.bits() / 4))
        }
        DataType::SignMagnitude16 | DataType::SignMagnitude32 => {
            let sign = 1_u64 << (data.bits() - 1);
            let integer = integer()?;
            let distance = u64::try_from(integer.unsigned_abs()).ok();
            let distance = distance.filter(|distance| *distance < sign);
            distance.map(|distance| if integer < 0 { distance | sign } else { distance })
        }
        DataType::Text { .. } => return Err(Unfit::Kind),
    };
    bits.ok_or(Unfit::Range)
}

/// The whole number that `value` is, if it is one.
pub(crate) fn to_integer(value: &Value) -> Option<i128> {
    /// Every whole float below it fits into 128 bits with room to spare.
    const FLOAT_MAX: f64 = 1e30;
    match value {
        Value::Int(int) => Some(i128::from(*int)),
        Value::Unsigned(unsigned) => Some(i128::from(*unsigned)),
        Value::Float32(_) | Value::Float64(_) => {
            let float = value.as_f64()?;
            #[expect(clippy::cast_possible_truncation, reason = "whole, and within FLOAT_MAX")]
            let integer = float as i128;
            (float.fract() == 0.0 && float.abs() < FLOAT_MAX).then_some(integer)
        }
        Value::Bool(_) | Value::Text(_) => None,
    }
}

/// The number that `value` is; a bit is no number.
pub(crate) fn to_float(value: &Value) -> Option<f64> {
    match value {
        Value::Int(_) | Value::Unsigned(_) | Value::Float32(_) | Value::Float64(_) => {
            value.as_f64()
        }
        Value::Bool(_) | Value::Text(_) => None,
    }
}

/// The lowest `width` bits, 1 to 64.
const fn mask(width: u32) -> u64 {
    u64::MAX >> (64 - width)
}

/// The two's complement number in the lowest `width` bits.
const fn sign_extended(bits: u64, width: u32) -> i64 {
    (bits << (64 - width)).cast_signed() >> (64 - width)
}

/// The two's complement bits of `integer` in the width of `data`, if it fits.
fn two_complement(data: DataType, integer: i128) -> Option<u64> {
    let width = data.bits();
    let (low, high) = match data.kind() {
        ValueKind::Int => (-(1_i128 << (width - 1)), (1_i128 << (width - 1)) - 1),
        ValueKind::Unsigned
        | ValueKind::Bool
        | ValueKind::Float32
        | ValueKind::Float64
        | ValueKind::Text => (0, (1_i128 << width) - 1),
    };
    let bits = integer & ((1_i128 << width) - 1);
    u64::try_from(bits).ok().filter(|_| (low..=high).contains(&integer))
}

/// The number of these decimal digits, four bits each; `None` if one is above 9.
fn of_digits(bits: u64) -> Option<u64> {
    (0..16).rev().try_fold(0, |number, place| {
        let digit = bits >> (4 * place) & 0xF;
        (digit <= 9).then_some(10 * number + digit)
    })
}

/// Its decimal digits, four bits each; `None` if there are more than `digits`.
fn digits_of(number: u64, digits: u32) -> Option<u64> {
    let (bits, rest) = (0..digits)
        .fold((0, number), |(bits, rest), place| (bits | (rest % 10) << (4 * place), rest / 10));
    (rest == 0).then_some(bits)
}

/// Fraction bits of binary16 (IEEE 754, table 3.5).
const HALF_FRACTION: i32 = 10;
/// Exponent of its smallest normal number.
const HALF_EXPONENT_MIN: i32 = -14;
/// The first number that rounds to infinity: half a step above the largest, 65504.
const HALF_OVERFLOW: f64 = 65_520.0;

/// Widens a binary16; every one of them is a float of 32 bits.
pub(crate) fn f32_of_half(bits: u16) -> f32 {
    let negative = bits >> 15 == 1;
    let exponent = i32::from(bits >> HALF_FRACTION & 0x1F);
    let fraction = f32::from(bits & 0x3FF);
    let value = match exponent {
        0 => fraction * 2_f32.powi(HALF_EXPONENT_MIN - HALF_FRACTION),
        0x1F if fraction == 0.0 => f32::INFINITY,
        0x1F => f32::NAN,
        _ => (fraction + 1024.0) * 2_f32.powi(exponent - 25),
    };
    if negative { -value } else { value }
}

/// The nearest binary16, the even one of two that are as near; `None` if that is infinite.
fn half_of_f64(float: f64) -> Option<u16> {
    let distance = float.abs();
    if distance >= HALF_OVERFLOW {
        return None;
    }
    // The exponent of a float of 64 bits; that of 0 and of the subnormal ones is below any here.
    let exponent = (distance.to_bits() >> 52).cast_signed() - 1023;
    let exponent = i32::try_from(exponent).ok()?.max(HALF_EXPONENT_MIN);
    let steps = (distance / 2_f64.powi(exponent - HALF_FRACTION)).round_ties_even();
    // A normal number has 1024 to 2047 steps; the leading one adds itself to the exponent, and 2048
    // carry into the next.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2048")]
    let steps = steps as u16;
    let exponent = u16::try_from(exponent - HALF_EXPONENT_MIN).ok()?;
    let distance = (exponent << HALF_FRACTION) + steps;
    Some(u16::from(float.is_sign_negative()) << 15 | distance)
}
