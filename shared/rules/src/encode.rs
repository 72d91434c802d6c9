//! Engineering values to raw words.
//!
//! # Invariants
//!
//! - What cannot be written exactly as asked, but for rounding to the signal's own resolution, is
//!   refused: nothing is clamped, truncated or wrapped.
//! - With an identity scale, integers never pass through a float.
//! - The bits that mean "no value" are never written.

use fieldgate_model::{Cause, Scale, SignalName, Value, ValueKind};
use thiserror::Error;

use crate::decode::{own_bits, to_kind};
use crate::number::{Unfit, bits_of_value, to_float, to_integer, words_of_bits};
use crate::signal::{DataType, SignalSource, SignalSpec, WordOrder};
use crate::text::words_of_text;

/// Why a value cannot be written.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum EncodeError {
    /// The profile does not allow it.
    #[error("signal `{signal}` is not writable")]
    NotWritable {
        /// Which signal.
        signal: SignalName,
    },
    /// Input registers, discrete inputs and parsed signals have no write.
    #[error("it has no register or coil of its own that could be written")]
    NoTarget,
    /// The value is not of the signal's kind.
    #[error("`{value}` is not a value for a signal of kind {}", kind.as_str())]
    Kind {
        /// The value asked for.
        value: String,
        /// The kind that is needed.
        kind: ValueKind,
    },
    /// The value is none of the words that the profile has for it.
    #[error("`{value}` is none of {known}")]
    Word {
        /// The value asked for.
        value: String,
        /// The words of the profile.
        known: String,
    },
    /// The value is outside the signal's limits.
    #[error("`{value}` is outside the limits `{low}` to `{high}`")]
    Limits {
        /// The value asked for.
        value: String,
        /// The smallest that may be written.
        low: f64,
        /// The largest that may be written.
        high: f64,
    },
    /// The registers cannot hold the value.
    #[error("`{value}` does not fit into {room}")]
    Range {
        /// The value asked for.
        value: String,
        /// What the registers hold, for people.
        room: String,
    },
    /// The value's raw bits mean "no value".
    #[error("`{value}` has the raw bits that mean no value")]
    Null {
        /// The value asked for.
        value: String,
    },
    /// The profile's function code cannot carry it.
    #[error("{registers} registers cannot be written by FC {code}, which carries at most {max}")]
    Function {
        /// How many there are.
        registers: usize,
        /// The function code.
        code: u8,
        /// The most that it carries.
        max: u16,
    },
    /// What had to be read first, a power of ten or the rest of a register, is not there.
    #[error("what must be read before it is written could not be read: {cause}")]
    Unread {
        /// Why.
        cause: Cause,
    },
}

/// The words that hold a raw value; what a device of this type would answer. Of a type that takes
/// one byte of a register the other one is 0.
pub fn encode_registers(
    data: DataType,
    order: WordOrder,
    raw: &Value,
) -> Result<Vec<u16>, EncodeError> {
    let unfit = |unfit| match unfit {
        Unfit::Kind => EncodeError::Kind { value: raw.to_string(), kind: data.kind() },
        Unfit::Range => range(raw, data),
    };
    if let DataType::Text { registers, charset, padding } = data {
        let Value::Text(text) = raw else { return Err(unfit(Unfit::Kind)) };
        let words = words_of_text(text, registers, charset, padding);
        return match words {
            Some(words) => Ok(order.within_registers().apply(&words)),
            None if text.len() <= 2 * usize::from(registers) => {
                Err(range(raw, format_args!("{charset}")))
            }
            None => Err(unfit(Unfit::Range)),
        };
    }
    Ok(words_of_bits(data, order, bits_of_value(data, raw).map_err(unfit)?))
}

/// The words on the wire that hold a raw value at its place: of a coil or discrete input 1 or 0, of
/// a part of a register ([`SignalSource::part`]) a word whose other bits are 0.
pub fn encode_raw(source: &SignalSource, raw: &Value) -> Result<Vec<u16>, EncodeError> {
    let kind = || EncodeError::Kind { value: raw.to_string(), kind: source.kind() };
    let on = || to_bool(raw).map(u16::from).ok_or_else(kind);
    match *source {
        SignalSource::Registers { data, order, .. } => encode_registers(data, order, raw),
        SignalSource::Bit { .. } => Ok(vec![on()?]),
        SignalSource::RegisterBit { bit, .. } => Ok(vec![on()? << bit]),
        SignalSource::RegisterBits { first, last, .. } => {
            let number = to_integer(raw).ok_or_else(kind)?;
            let bits =
                u16::try_from(number).ok().filter(|bits| *bits <= u16::MAX >> (15 - last + first));
            let bits = bits.ok_or_else(|| range(raw, format_args!("{} bits", last - first + 1)))?;
            Ok(vec![bits << first])
        }
        SignalSource::Payload { .. } | SignalSource::Parser { .. } => Err(kind()),
    }
}

/// The words for an engineering value at this scale, checked against limits, range and nulls.
pub(crate) fn encode_engineering(
    spec: &SignalSpec,
    engineering: &Value,
    scale: Scale,
) -> Result<Vec<u16>, EncodeError> {
    let raw = raw_of(spec, engineering, scale)?;
    let words = encode_raw(&spec.source, &raw)?;
    match own_bits(&spec.source, &words) {
        Some(bits) if spec.nulls.contains(&bits) => {
            Err(EncodeError::Null { value: engineering.to_string() })
        }
        Some(_) | None => Ok(words),
    }
}

/// Whether an engineering value may be written at all, whatever a power of ten that must be read
/// first turns out to be.
pub(crate) fn check_engineering(spec: &SignalSpec, engineering: &Value) -> Result<(), EncodeError> {
    if matches!(spec.source, SignalSource::Payload { .. }) {
        return raw_for(spec, engineering).map(drop);
    }
    if spec.scale_from.is_none() {
        return encode_engineering(spec, engineering, spec.scale).map(drop);
    }
    check_limits(spec, number_of(spec, engineering)?)
}

/// The raw value of an engineering one, in the kind in which it travels, for what lies in a payload
/// and in no register.
pub(crate) fn raw_for(spec: &SignalSpec, engineering: &Value) -> Result<Value, EncodeError> {
    let raw = raw_of(spec, engineering, spec.scale)?;
    let kind = spec.source.kind();
    let fitted = to_kind(kind, raw.clone()).ok_or_else(|| match to_integer(&raw) {
        Some(_) => range(&raw, kind.as_str()),
        None => kind_error(spec, engineering),
    })?;
    match &fitted {
        Value::Float32(float) if !float.is_finite() => Err(range(&raw, kind.as_str())),
        Value::Float64(float) if !float.is_finite() => Err(range(&raw, kind.as_str())),
        Value::Bool(_)
        | Value::Int(_)
        | Value::Unsigned(_)
        | Value::Float32(_)
        | Value::Float64(_)
        | Value::Text(_) => Ok(fitted),
    }
}

/// The raw value of an engineering one.
fn raw_of(spec: &SignalSpec, engineering: &Value, scale: Scale) -> Result<Value, EncodeError> {
    let kind = spec.source.kind();
    let word = match engineering {
        Value::Text(text) if !spec.texts.is_empty() => Some(integer_of(spec, text)?),
        Value::Text(_)
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Unsigned(_)
        | Value::Float32(_)
        | Value::Float64(_) => None,
    };
    let engineering = word.as_ref().unwrap_or(engineering);
    match kind {
        ValueKind::Bool => {
            to_bool(engineering).map(Value::Bool).ok_or_else(|| kind_error(spec, engineering))
        }
        ValueKind::Text => match engineering {
            Value::Text(_) => Ok(engineering.clone()),
            Value::Bool(_)
            | Value::Int(_)
            | Value::Unsigned(_)
            | Value::Float32(_)
            | Value::Float64(_) => Err(kind_error(spec, engineering)),
        },
        ValueKind::Int | ValueKind::Unsigned | ValueKind::Float32 | ValueKind::Float64 => {
            let number = number_of(spec, engineering)?;
            check_limits(spec, number)?;
            // A power of ten that happens to be 0 leaves no more room for digits than any other.
            let is_exact = spec.scale_from.is_none() || to_integer(engineering).is_some();
            if scale.is_identity() && is_exact {
                return Ok(engineering.clone());
            }
            unscaled(spec, kind, number, scale)
        }
    }
}

/// Undoes the scale. An integer is rounded to the nearest that the registers can hold, and must
/// be within the limits once it is rounded.
fn unscaled(
    spec: &SignalSpec,
    kind: ValueKind,
    engineering: f64,
    scale: Scale,
) -> Result<Value, EncodeError> {
    let raw = scale.invert(engineering);
    match kind {
        ValueKind::Int | ValueKind::Unsigned => {
            let raw = Value::Float64(raw.round());
            check_limits(spec, scale.apply(&raw).unwrap_or(engineering))?;
            Ok(raw)
        }
        ValueKind::Float32 | ValueKind::Float64 | ValueKind::Bool | ValueKind::Text => {
            Ok(Value::Float64(raw))
        }
    }
}

/// The raw integer that the profile calls `text`.
fn integer_of(spec: &SignalSpec, text: &str) -> Result<Value, EncodeError> {
    let found = spec.texts.iter().find(|(_, known)| *known == text).map(|(integer, _)| *integer);
    let value = found.and_then(|integer| match i64::try_from(integer) {
        Ok(int) => Some(Value::Int(int)),
        Err(_) => u64::try_from(integer).ok().map(Value::Unsigned),
    });
    value.ok_or_else(|| {
        let known: Vec<String> = spec.texts.values().map(|known| format!("`{known}`")).collect();
        EncodeError::Word { value: text.to_owned(), known: known.join(", ") }
    })
}

fn number_of(spec: &SignalSpec, engineering: &Value) -> Result<f64, EncodeError> {
    let number = to_float(engineering).ok_or_else(|| kind_error(spec, engineering))?;
    if number.is_finite() {
        return Ok(number);
    }
    Err(match spec.source {
        SignalSource::Registers { data, .. } => range(engineering, data),
        SignalSource::RegisterBits { .. }
        | SignalSource::Bit { .. }
        | SignalSource::RegisterBit { .. }
        | SignalSource::Payload { .. }
        | SignalSource::Parser { .. } => kind_error(spec, engineering),
    })
}

fn check_limits(spec: &SignalSpec, engineering: f64) -> Result<(), EncodeError> {
    match spec.limits {
        Some((low, high)) if !(low..=high).contains(&engineering) => {
            Err(EncodeError::Limits { value: engineering.to_string(), low, high })
        }
        Some(_) | None => Ok(()),
    }
}

fn kind_error(spec: &SignalSpec, value: &Value) -> EncodeError {
    EncodeError::Kind { value: value.to_string(), kind: spec.source.kind() }
}

fn range(value: &Value, room: impl std::fmt::Display) -> EncodeError {
    EncodeError::Range { value: value.to_string(), room: room.to_string() }
}

/// On or off; 1 and 0 mean the same, because that is what people type.
fn to_bool(value: &Value) -> Option<bool> {
    match (value, to_integer(value)) {
        (Value::Bool(on), _) => Some(*on),
        (_, Some(0)) => Some(false),
        (_, Some(1)) => Some(true),
        (_, Some(_) | None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode_registers;

    #[test]
    fn a_number_that_the_registers_cannot_hold_is_refused() {
        for (data, value, expected) in [
            (DataType::U16, Value::Int(65_535), Ok(vec![0xFFFF])),
            (DataType::U16, Value::Int(65_536), Err("`65536` does not fit into u16")),
            (DataType::U16, Value::Int(-1), Err("`-1` does not fit into u16")),
            (DataType::I16, Value::Int(-32_768), Ok(vec![0x8000])),
            (DataType::I16, Value::Int(32_768), Err("`32768` does not fit into i16")),
            (DataType::U32, Value::Float64(1.0), Ok(vec![0, 1])),
            (
                DataType::U32,
                Value::Float64(1.5),
                Err("`1.5` is not a value for a signal of kind unsigned"),
            ),
            (DataType::I32, Value::Int(-2), Ok(vec![0xFFFF, 0xFFFE])),
            (
                DataType::I64,
                Value::Unsigned(u64::MAX),
                Err("`18446744073709551615` does not fit into i64"),
            ),
            (DataType::F32, Value::Float64(123_456.0), Ok(vec![0x47F1, 0x2000])),
            (
                DataType::F32,
                Value::Text(String::new()),
                Err("`` is not a value for a signal of kind float32"),
            ),
            (DataType::F64, Value::Int(1), Ok(vec![0x3FF0, 0, 0, 0])),
            (DataType::text(2), Value::Text("ABC".to_owned()), Ok(vec![0x4142, 0x4300])),
            (
                DataType::text(1),
                Value::Text("ABC".to_owned()),
                Err("`ABC` does not fit into text of 1 registers"),
            ),
        ] {
            let got = encode_registers(data, WordOrder::Abcd, &value).map_err(|e| e.to_string());
            assert_eq!(got, expected.map_err(ToOwned::to_owned), "{data} {value:?}");
        }
        let huge = encode_registers(DataType::F32, WordOrder::Abcd, &Value::Float64(1e39));
        assert!(matches!(huge, Err(EncodeError::Range { .. })), "{huge:?}");
    }

    #[test]
    fn integers_beyond_2_to_53_are_written_and_read_exactly() {
        for order in WordOrder::all(4) {
            for (data, value) in [
                (DataType::U64, Value::Unsigned(9_007_199_254_740_993)),
                (DataType::U64, Value::Unsigned(u64::MAX)),
                (DataType::I64, Value::Int(-9_007_199_254_740_993)),
                (DataType::I64, Value::Int(i64::MIN)),
            ] {
                let words = encode_registers(data, *order, &value).expect("it fits");
                assert_eq!(decode_registers(data, *order, &words), Ok(value), "{order}");
            }
        }
    }
}
