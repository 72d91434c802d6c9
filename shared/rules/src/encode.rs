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
use crate::signal::{DataType, SignalSource, SignalSpec, WordOrder, WriteFunction};
use fieldgate_modbus::register::{
    Address, ReadReply, ReadRequest, Table, WRITE_REGISTERS_MAX, WriteRequest,
};

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
        (WriteRequest::MaskRegister { and, or, .. }, ReadReply::Registers(words)) => {
            matches!(words.as_slice(), [word] if word & !and == or & !and)
        }
        (WriteRequest::Coil { .. } | WriteRequest::Coils { .. }, ReadReply::Registers(_))
        | (
            WriteRequest::Register { .. }
            | WriteRequest::Registers { .. }
            | WriteRequest::MaskRegister { .. },
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

#[cfg(test)]
mod tests {
    use fieldgate_model::Scale;

    use super::*;
    use crate::decode::decode_registers;
    use crate::signal::{Report, WriteSpec};

    const AT: Address = Address { table: Table::HoldingRegister, offset: 7 };

    fn writable(source: SignalSource) -> SignalSpec {
        SignalSpec {
            name: SignalName::new("signal").expect("a name"),
            title: String::new(),
            source,
            unit: String::new(),
            scale: Scale::IDENTITY,
            nulls: Vec::new(),
            limits: None,
            writable: Some(WriteSpec { function: WriteFunction::Auto }),
            report: Report::Always,
            origin: String::new(),
        }
    }

    fn registers(data: DataType) -> SignalSpec {
        writable(SignalSource::Registers { address: AT, data, order: WordOrder::Abcd })
    }

    fn with(spec: SignalSpec, function: WriteFunction) -> SignalSpec {
        SignalSpec { writable: Some(WriteSpec { function }), ..spec }
    }

    fn check(spec: &SignalSpec, value: &Value, expected: Result<WriteRequest, &str>) {
        let got = encode(spec, value).map(|write| write.request).map_err(|error| error.to_string());
        assert_eq!(got, expected.map_err(ToOwned::to_owned), "{spec:?} {value:?}");
    }

    #[test]
    fn the_function_code_is_the_one_that_the_profile_asks_for() {
        let one = registers(DataType::U16);
        let two = registers(DataType::U32);
        let single = WriteRequest::Register { offset: 7, word: 5 };
        let multiple = WriteRequest::Registers { start: 7, words: vec![5] };
        check(&one, &Value::Int(5), Ok(single.clone()));
        check(&with(one.clone(), WriteFunction::Single), &Value::Int(5), Ok(single));
        check(&with(one, WriteFunction::Multiple), &Value::Int(5), Ok(multiple));
        let words = vec![0, 5];
        check(&two, &Value::Int(5), Ok(WriteRequest::Registers { start: 7, words }));
        check(
            &with(two, WriteFunction::Single),
            &Value::Int(5),
            Err("2 registers cannot be written by FC 6, which carries at most 1"),
        );
        let coil =
            writable(SignalSource::Bit { address: Address { table: Table::Coil, offset: 3 } });
        check(&coil, &Value::Bool(true), Ok(WriteRequest::Coil { offset: 3, on: true }));
        check(&coil, &Value::Int(0), Ok(WriteRequest::Coil { offset: 3, on: false }));
        check(&coil, &Value::Int(2), Err("`2` is not a value for a signal of kind bool"));
        let states = vec![true];
        check(
            &with(coil, WriteFunction::Multiple),
            &Value::Bool(true),
            Ok(WriteRequest::Coils { start: 3, states }),
        );
        check(
            &registers(DataType::Text { registers: 124 }),
            &Value::Text("x".to_owned()),
            Err("124 registers cannot be written by FC 16, which carries at most 123"),
        );
    }

    #[test]
    fn what_the_profile_does_not_allow_is_refused_with_its_reason() {
        let fixed = SignalSpec { writable: None, ..registers(DataType::U16) };
        check(&fixed, &Value::Int(5), Err("signal `signal` is not writable"));
        let address = Address { table: Table::InputRegister, offset: 0 };
        let no_target = "signal `signal` has no register or coil of its own that could be written";
        for source in [
            SignalSource::Registers { address, data: DataType::U16, order: WordOrder::Abcd },
            SignalSource::Bit { address: Address { table: Table::DiscreteInput, offset: 0 } },
            SignalSource::RegisterBit { address: AT, bit: 1 },
            SignalSource::Parser { kind: ValueKind::Float64 },
        ] {
            check(&writable(source), &Value::Int(1), Err(no_target));
        }
        let limited = SignalSpec {
            limits: Some((0.0, 50.0)),
            nulls: vec![0xFF],
            scale: Scale::new(0.1, 0.0).expect("a scale"),
            ..registers(DataType::I16)
        };
        let register = |word| Ok(WriteRequest::Register { offset: 7, word });
        check(&limited, &Value::Float64(23.1), register(231));
        check(&limited, &Value::Float64(23.14), register(231));
        check(&limited, &Value::Int(50), register(500));
        check(&limited, &Value::Float64(50.01), Err("`50.01` is outside the limits `0` to `50`"));
        check(&limited, &Value::Float64(-0.1), Err("`-0.1` is outside the limits `0` to `50`"));
        check(&limited, &Value::Float64(25.5), Err("`25.5` has the raw bits that mean no value"));
        check(&limited, &Value::Bool(true), Err("`true` is not a value for a signal of kind int"));
        check(&limited, &Value::Float64(f64::NAN), Err("`NaN` does not fit into i16"));
    }

    #[test]
    fn rounding_never_leaves_the_limits() {
        let coarse = SignalSpec {
            limits: Some((0.0, 23.06)),
            scale: Scale::new(0.1, 0.0).expect("a scale"),
            ..registers(DataType::U16)
        };
        let why = "`23.1` is outside the limits `0` to `23.06`";
        check(&coarse, &Value::Float64(23.06), Err(why));
    }

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
            (
                DataType::Text { registers: 2 },
                Value::Text("ABC".to_owned()),
                Ok(vec![0x4142, 0x4300]),
            ),
            (
                DataType::Text { registers: 1 },
                Value::Text("ABC".to_owned()),
                Err("`ABC` does not fit into text of 1 registers"),
            ),
        ] {
            let got = encode_registers(data, WordOrder::Abcd, &value).map_err(|e| e.to_string());
            assert_eq!(got, expected.map_err(ToOwned::to_owned), "{data} {value:?}");
        }
        let huge = encode_registers(DataType::F32, WordOrder::Abcd, &Value::Float64(1e39));
        assert!(matches!(huge, Err(EncodeError::Range { data: DataType::F32, .. })), "{huge:?}");
    }

    #[test]
    fn integers_beyond_2_to_53_are_written_and_read_exactly() {
        for order in [WordOrder::Abcd, WordOrder::Cdab, WordOrder::Badc, WordOrder::Dcba] {
            for (data, value) in [
                (DataType::U64, Value::Unsigned(9_007_199_254_740_993)),
                (DataType::U64, Value::Unsigned(u64::MAX)),
                (DataType::I64, Value::Int(-9_007_199_254_740_993)),
                (DataType::I64, Value::Int(i64::MIN)),
            ] {
                let words = encode_registers(data, order, &value).expect("it fits");
                assert_eq!(decode_registers(data, order, &words), Ok(value), "{order:?}");
            }
        }
        let odd = Value::Unsigned(0x0123_4567_89AB_CDEF);
        let words = encode_registers(DataType::U64, WordOrder::Badc, &odd);
        assert_eq!(words, Ok(vec![0x2301, 0x6745, 0xAB89, 0xEFCD]));
    }

    #[test]
    fn a_read_back_is_compared_word_by_word() {
        let write = encode(&registers(DataType::F32), &Value::Float64(123_456.0)).expect("fits");
        let read_back = ReadRequest { table: AT.table, start: 7, count: 2 };
        assert_eq!(write.read_back, Some(read_back));
        let matches_words =
            |words: &[u16]| matches(&write.request, &ReadReply::Registers(words.to_vec()));
        assert!(matches_words(&[0x47F1, 0x2000]));
        assert!(!matches_words(&[0x47F1, 0x2001]));
        assert!(!matches_words(&[0x47F1]));
        assert!(!matches(&write.request, &ReadReply::Bits(vec![true, true])));
        let coil = WriteRequest::Coil { offset: 0, on: true };
        assert!(matches(&coil, &ReadReply::Bits(vec![true])));
        assert!(!matches(&coil, &ReadReply::Bits(vec![false])));
    }
}
