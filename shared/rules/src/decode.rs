//! Raw words to values.
//!
//! # Invariants
//!
//! - Nulls are compared on the raw bits, before sign, float or scale.
//! - A value that comes out is finite and within the signal's limits.
//! - Integers never pass through a float.

use fieldgate_model::{Cause, Value, ValueKind};

use crate::plan::Image;
use crate::signal::{DataType, SignalSource, SignalSpec, WordOrder};

/// The raw value of a declared signal. Signals of a parser are not found here: [`accept`] takes
/// what the parser gave.
pub fn decode(spec: &SignalSpec, image: &Image) -> Result<Value, Cause> {
    let value = match spec.source {
        SignalSource::Registers { address, data, order } => {
            let words = image.registers(address.table, address.offset, data.registers())?;
            if is_null(spec, data, order, words) {
                return Err(Cause::Null);
            }
            decode_registers(data, order, words)?
        }
        SignalSource::Bit { address } => Value::Bool(image.bit(address.table, address.offset)?),
        SignalSource::RegisterBit { address, bit } => {
            let words = image.registers(address.table, address.offset, 1)?;
            Value::Bool(words.first().is_some_and(|word| word >> bit & 1 == 1))
        }
        SignalSource::Parser { .. } => return Err(Cause::ConfigError),
    };
    within(spec, value)
}

/// A parser's value as a sample of the signal: of its kind, finite and within its limits.
///
/// A script has one type of number, so a whole number becomes an integer and an integer a float
/// where the signal wants one; nothing else is converted.
pub fn accept(spec: &SignalSpec, value: Value) -> Result<Value, Cause> {
    let value = to_kind(spec.kind(), value).ok_or(Cause::Script)?;
    within(spec, value)
}

/// The value that `words` hold; exactly as many as the type takes.
pub fn decode_registers(data: DataType, order: WordOrder, words: &[u16]) -> Result<Value, Cause> {
    if words.len() != usize::from(data.registers()) {
        return Err(Cause::Malformed);
    }
    if let DataType::Text { .. } = data {
        return decode_text(&order.within_registers().apply(words));
    }
    let bits = bits(order, words);
    Ok(match data {
        DataType::U16 | DataType::U32 | DataType::U64 => Value::Unsigned(bits),
        DataType::I16 => Value::Int(sign_extended(bits, 16)),
        DataType::I32 => Value::Int(sign_extended(bits, 32)),
        DataType::I64 => Value::Int(sign_extended(bits, 64)),
        DataType::F32 => {
            Value::Float32(f32::from_bits(u32::try_from(bits).map_err(|_| Cause::Malformed)?))
        }
        DataType::F64 => Value::Float64(f64::from_bits(bits)),
        DataType::Text { .. } => return Err(Cause::Malformed),
    })
}

/// The bits of a number of at most four registers, most significant first.
fn bits(order: WordOrder, words: &[u16]) -> u64 {
    order.apply(words).into_iter().fold(0, |bits, word| bits << 16 | u64::from(word))
}

fn is_null(spec: &SignalSpec, data: DataType, order: WordOrder, words: &[u16]) -> bool {
    match data {
        DataType::Text { .. } => false,
        DataType::U16
        | DataType::I16
        | DataType::U32
        | DataType::I32
        | DataType::U64
        | DataType::I64
        | DataType::F32
        | DataType::F64 => spec.nulls.contains(&bits(order, words)),
    }
}

/// The two's complement number in the lowest `width` bits.
fn sign_extended(bits: u64, width: u32) -> i64 {
    (bits << (64 - width)).cast_signed() >> (64 - width)
}

/// Text up to the first NUL, without the spaces that pad it.
fn decode_text(words: &[u16]) -> Result<Value, Cause> {
    let bytes: Vec<u8> =
        words.iter().flat_map(|word| word.to_be_bytes()).take_while(|byte| *byte != 0).collect();
    let text = String::from_utf8(bytes).map_err(|_| Cause::Malformed)?;
    Ok(Value::Text(text.trim_end_matches(' ').to_owned()))
}

fn within(spec: &SignalSpec, value: Value) -> Result<Value, Cause> {
    let finite = match &value {
        Value::Float32(float) => float.is_finite(),
        Value::Float64(float) => float.is_finite(),
        Value::Bool(_) | Value::Int(_) | Value::Unsigned(_) | Value::Text(_) => true,
    };
    let inside = match (spec.limits, spec.number(&value)) {
        (Some((low, high)), Some(number)) => (low..=high).contains(&number),
        (None, _) | (_, None) => true,
    };
    if finite && inside { Ok(value) } else { Err(Cause::OutOfRange) }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a float of 64 bits is rounded to one of 32, and what is too large becomes infinite"
)]
fn to_kind(kind: ValueKind, value: Value) -> Option<Value> {
    if value.kind() == kind {
        return Some(value);
    }
    match kind {
        ValueKind::Int => i64::try_from(to_integer(&value)?).ok().map(Value::Int),
        ValueKind::Unsigned => u64::try_from(to_integer(&value)?).ok().map(Value::Unsigned),
        ValueKind::Float32 => to_float(&value).map(|float| Value::Float32(float as f32)),
        ValueKind::Float64 => to_float(&value).map(Value::Float64),
        ValueKind::Bool | ValueKind::Text => None,
    }
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
