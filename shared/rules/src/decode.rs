//! Raw words to values.
//!
//! # Invariants
//!
//! - Nulls are compared on the raw bits, before sign, float or scale.
//! - A value that comes out is finite and within the signal's limits.
//! - Integers never pass through a float.

use fieldgate_model::{Cause, Value, ValueKind};

use crate::plan::Image;
use crate::register::Table;
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
        return decode_text(words);
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
