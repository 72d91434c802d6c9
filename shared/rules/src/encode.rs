//! Engineering values to write requests, and back again to compare.
//!
//! # Invariants
//!
//! - What cannot be written exactly as asked, but for rounding to the signal's own resolution, is
//!   refused: nothing is clamped, truncated or wrapped.
//! - With an identity scale, integers never pass through a float.
//! - The bits that mean "no value" are never written.

use fieldgate_model::{SignalName, Value, ValueKind};
use thiserror::Error;

use crate::decode::{to_float, to_integer};
use crate::register::{Address, ReadReply, ReadRequest, Table, WRITE_REGISTERS_MAX, WriteRequest};
use crate::signal::{DataType, SignalSource, SignalSpec, WordOrder, WriteFunction};

/// A write, and the read that shows whether it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// What to write.
    pub request: WriteRequest,
    /// What to read afterwards, for [`matches`].
    pub read_back: Option<ReadRequest>,
}

/// Why a value cannot be written.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum EncodeError {
    /// The profile does not allow it.
    #[error("signal `{signal}` is not writable")]
    NotWritable {
        /// Which signal.
        signal: SignalName,
    },
    /// Input registers, discrete inputs, bits of a register and parsed signals have no write.
    #[error("signal `{signal}` has no register or coil of its own that could be written")]
    NoTarget {
        /// Which signal.
        signal: SignalName,
    },
    /// The value is not of the signal's kind.
    #[error("`{value}` is not a value for a signal of kind {}", kind.as_str())]
    Kind {
        /// The value asked for.
        value: String,
        /// The kind that is needed.
        kind: ValueKind,
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
    #[error("`{value}` does not fit into {data}")]
    Range {
        /// The value asked for.
        value: String,
        /// The type of the registers.
        data: DataType,
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
}

/// The write that gives `spec` this engineering value.
pub fn encode(spec: &SignalSpec, engineering: &Value) -> Result<Write, EncodeError> {
    let signal = || spec.name.clone();
    let write = spec.writable.ok_or_else(|| EncodeError::NotWritable { signal: signal() })?;
    let request = match spec.source {
        SignalSource::Registers { address, data, order }
            if address.table == Table::HoldingRegister =>
        {
            let words = words_for(spec, data, order, engineering)?;
            registers_request(address.offset, words, write.function)?
        }
        SignalSource::Bit { address } if address.table == Table::Coil => {
            let on = to_bool(engineering).ok_or_else(|| kind_error(spec, engineering))?;
            coil_request(address, on, write.function)
        }
        SignalSource::Registers { .. }
        | SignalSource::Bit { .. }
        | SignalSource::RegisterBit { .. }
        | SignalSource::Parser { .. } => return Err(EncodeError::NoTarget { signal: signal() }),
    };
    Ok(Write { request, read_back: spec.source.read() })
}

/// Whether the device shows what was written, compared on raw words.
pub fn matches(wrote: &WriteRequest, read_back: &ReadReply) -> bool {
    match (wrote, read_back) {
        (WriteRequest::Coil { on, .. }, ReadReply::Bits(bits)) => bits == &[*on],
        (WriteRequest::Coils { states, .. }, ReadReply::Bits(bits)) => bits == states,
        (WriteRequest::Register { word, .. }, ReadReply::Registers(words)) => words == &[*word],
        (WriteRequest::Registers { words, .. }, ReadReply::Registers(read)) => read == words,
        (WriteRequest::Coil { .. } | WriteRequest::Coils { .. }, ReadReply::Registers(_))
        | (WriteRequest::Register { .. } | WriteRequest::Registers { .. }, ReadReply::Bits(_)) => {
            false
        }
    }
}

/// The words that hold a raw value; what a device of this type would answer.
pub fn encode_registers(
    data: DataType,
    order: WordOrder,
    raw: &Value,
) -> Result<Vec<u16>, EncodeError> {
    let range = || EncodeError::Range { value: raw.to_string(), data };
    let kind = || EncodeError::Kind { value: raw.to_string(), kind: data.kind() };
    let bits = match data {
        DataType::U16
        | DataType::U32
        | DataType::U64
        | DataType::I16
        | DataType::I32
        | DataType::I64 => {
            integer_bits(data, to_integer(raw).ok_or_else(kind)?).ok_or_else(range)?
        }
        DataType::F32 => {
            #[expect(clippy::cast_possible_truncation, reason = "an overflow becomes infinite")]
            let float = to_float(raw).ok_or_else(kind)? as f32;
            u64::from(Some(float).filter(|float| float.is_finite()).ok_or_else(range)?.to_bits())
        }
        DataType::F64 => {
            let float = to_float(raw).ok_or_else(kind)?;
            Some(float).filter(|float| float.is_finite()).ok_or_else(range)?.to_bits()
        }
        DataType::Text { registers } => {
            let Value::Text(text) = raw else { return Err(kind()) };
            let words = text_words(text, registers).ok_or_else(range)?;
            return Ok(order.within_registers().apply(&words));
        }
    };
    Ok(order.apply(&words_of(bits, data.registers())))
}

/// The words for an engineering value, checked against limits, range and nulls.
fn words_for(
    spec: &SignalSpec,
    data: DataType,
    order: WordOrder,
    engineering: &Value,
) -> Result<Vec<u16>, EncodeError> {
    let value = || engineering.to_string();
    if let DataType::Text { .. } = data {
        return encode_registers(data, order, engineering);
    }
    let number = to_float(engineering).ok_or_else(|| kind_error(spec, engineering))?;
    if !number.is_finite() {
        return Err(EncodeError::Range { value: value(), data });
    }
    check_limits(spec, number)?;
    let raw =
        if spec.scale.is_identity() { engineering.clone() } else { to_raw(spec, data, number)? };
    let words = encode_registers(data, order, &raw)?;
    let bits = order.apply(&words).into_iter().fold(0, |bits, word| bits << 16 | u64::from(word));
    if spec.nulls.contains(&bits) {
        return Err(EncodeError::Null { value: value() });
    }
    Ok(words)
}

/// Undoes the scale. An integer is rounded to the nearest that the registers can hold, and must
/// be within the limits once it is rounded.
fn to_raw(spec: &SignalSpec, data: DataType, engineering: f64) -> Result<Value, EncodeError> {
    let raw = spec.scale.invert(engineering);
    match data.kind() {
        ValueKind::Int | ValueKind::Unsigned => {
            let raw = Value::Float64(raw.round());
            check_limits(spec, spec.scale.apply(&raw).unwrap_or(engineering))?;
            Ok(raw)
        }
        ValueKind::Float32 | ValueKind::Float64 | ValueKind::Bool | ValueKind::Text => {
            Ok(Value::Float64(raw))
        }
    }
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
    EncodeError::Kind { value: value.to_string(), kind: spec.kind() }
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

/// The two's complement bits of `integer` in the width of `data`, if it fits.
fn integer_bits(data: DataType, integer: i128) -> Option<u64> {
    let width = 16 * u32::from(data.registers());
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

/// The lowest `registers` words of `bits`, most significant first.
fn words_of(bits: u64, registers: u16) -> Vec<u16> {
    let word = |place| u16::try_from(bits >> (16 * place) & 0xFFFF).unwrap_or_default();
    (0..registers).rev().map(word).collect()
}

/// Text in registers, padded with NUL; `None` if it is too long or has a NUL in it.
fn text_words(text: &str, registers: u16) -> Option<Vec<u16>> {
    let length = 2 * usize::from(registers);
    if text.len() > length || text.contains('\0') {
        return None;
    }
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(length, 0);
    Some(bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
}

fn registers_request(
    start: u16,
    words: Vec<u16>,
    function: WriteFunction,
) -> Result<WriteRequest, EncodeError> {
    let registers = words.len();
    let single = match (function, words.as_slice()) {
        (WriteFunction::Auto | WriteFunction::Single, [word]) => Some(*word),
        (WriteFunction::Single, _) => {
            return Err(EncodeError::Function { registers, code: 6, max: 1 });
        }
        (WriteFunction::Auto | WriteFunction::Multiple, _) => None,
    };
    match single {
        Some(word) => Ok(WriteRequest::Register { offset: start, word }),
        None if registers > usize::from(WRITE_REGISTERS_MAX) => {
            Err(EncodeError::Function { registers, code: 16, max: WRITE_REGISTERS_MAX })
        }
        None => Ok(WriteRequest::Registers { start, words }),
    }
}

fn coil_request(address: Address, on: bool, function: WriteFunction) -> WriteRequest {
    match function {
        WriteFunction::Auto | WriteFunction::Single => {
            WriteRequest::Coil { offset: address.offset, on }
        }
        WriteFunction::Multiple => WriteRequest::Coils { start: address.offset, states: vec![on] },
    }
}
