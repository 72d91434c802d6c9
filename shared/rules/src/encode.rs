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

use crate::register::{Address, ReadReply, ReadRequest, Table, WriteRequest};
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
    #[error("{registers} registers cannot be written by FC 6, which carries one")]
    Function {
        /// How many there are.
        registers: u16,
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
        (
            WriteRequest::Coil { .. } | WriteRequest::Coils { .. },
            ReadReply::Registers(_),
        )
        | (
            WriteRequest::Register { .. } | WriteRequest::Registers { .. },
            ReadReply::Bits(_),
        ) => false,
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
    if let DataType::Text { registers } = data {
        let Value::Text(text) = raw else { return Err(kind()) };
        return text_words(text, registers).ok_or_else(range);
    }
    let bits = match data {
        DataType::U16 | DataType::U32 | DataType::U64 | DataType::I16 | DataType::I32
        | DataType::I64 => integer_bits(data, to_integer(raw).ok_or_else(kind)?).ok_or_else(range)?,
        DataType::F32 => u64::from(to_f32(raw).ok_or_else(range)?.to_bits()),
        DataType::F64 => raw.as_f64().filter(|n| n.is_finite()).ok_or_else(range)?.to_bits(),
        DataType::Text { .. } => return Err(kind()),
    };
    Ok(order.apply(&words_of(bits, data.registers())))
}
