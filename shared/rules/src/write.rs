//! A write: by which functions it can be made, what it puts on the wire, whether it took.
//!
//! # Invariants
//!
//! - What the profile or its limits forbid is known before anything reaches the wire: [`check`].
//! - The bits of a register that are not the signal's own stay as they are.
//! - Another function is tried only where the device has said that it did nothing.

use fieldgate_modbus::register::{
    ReadReply, ReadRequest, Table, WRITE_REGISTERS_MAX, WriteRequest,
};
use fieldgate_model::{Cause, Scale, Value};

use crate::decode::{decode_raw, scale_in, travelling};
use crate::encode::{EncodeError, check_engineering, encode_engineering};
use crate::plan::Image;
use crate::signal::{BitWrite, SignalSource, SignalSpec, WriteFunction, WriteSpec};

/// How a write can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// FC 5 or 6.
    Single,
    /// FC 15 or 16.
    Multiple,
    /// FC 22.
    Mask,
    /// A read of the register, then FC 6.
    ModifySingle,
    /// A read of the register, then FC 16.
    ModifyMultiple,
}

/// A write, and what shows whether it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// What to write.
    pub request: WriteRequest,
    /// What to read afterwards, for [`shown`].
    pub read_back: ReadRequest,
    /// The raw value that is written, as it is read back from a device that took it.
    raw: Value,
    scale: Scale,
}

/// What a device shows after a write.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Its engineering value, or why there is none.
    pub value: Result<Value, Cause>,
    /// Whether that is what was written, within the profile's tolerance.
    pub is_as_written: bool,
}

/// Whether this value may be written to this signal; all that can be known without the device.
pub fn check(spec: &SignalSpec, engineering: &Value) -> Result<(), EncodeError> {
    let write =
        spec.writable.ok_or_else(|| EncodeError::NotWritable { signal: spec.name.clone() })?;
    if !matches!(spec.source, SignalSource::Payload { .. }) {
        methods(&spec.source, write)?;
    }
    check_engineering(spec, engineering)
}

/// The ways to write it, in the order in which to try them; at least one.
///
/// The next one is for a device that refused this one by exception 1 (illegal function) or 2
/// (illegal data address): devices refuse by either what they have not built, and both say that
/// nothing was written.
pub fn methods(source: &SignalSource, write: WriteSpec) -> Result<Vec<Method>, EncodeError> {
    use Method::{Mask, ModifyMultiple, ModifySingle, Multiple, Single};
    let Some(ReadRequest { table: table @ (Table::Coil | Table::HoldingRegister), count, .. }) =
        source.read()
    else {
        return Err(EncodeError::NoTarget);
    };
    let registers = usize::from(count);
    let WriteSpec { function, bit_write, .. } = write;
    if source.part().is_some() {
        let modify: &[Method] = match function {
            WriteFunction::Auto => &[ModifySingle, ModifyMultiple],
            WriteFunction::Single => &[ModifySingle],
            WriteFunction::Multiple => &[ModifyMultiple],
        };
        return Ok(match bit_write {
            BitWrite::Auto => [&[Mask], modify].concat(),
            BitWrite::Mask => vec![Mask],
            BitWrite::ReadModifyWrite => modify.to_vec(),
        });
    }
    if table == Table::HoldingRegister && count > WRITE_REGISTERS_MAX {
        return Err(EncodeError::Function { registers, code: 16, max: WRITE_REGISTERS_MAX });
    }
    match function {
        WriteFunction::Auto if count == 1 => Ok(vec![Single, Multiple]),
        WriteFunction::Auto | WriteFunction::Multiple => Ok(vec![Multiple]),
        WriteFunction::Single if count == 1 => Ok(vec![Single]),
        WriteFunction::Single => Err(EncodeError::Function { registers, code: 6, max: 1 }),
    }
}

/// Whether the next method may be tried after this answer of the device.
pub const fn is_refused_untouched(cause: Cause) -> bool {
    matches!(cause, Cause::Exception(1 | 2))
}

/// What must be read before the write can be made: the power of ten of another signal, the rest of
/// a register.
pub fn reads_before(spec: &SignalSpec, method: Method) -> Vec<ReadRequest> {
    let factor = spec.scale_from.as_ref().and_then(|factor| factor.source.read());
    let rest = match method {
        Method::ModifySingle | Method::ModifyMultiple => spec.source.read(),
        Method::Single | Method::Multiple | Method::Mask => None,
    };
    factor.into_iter().chain(rest).collect()
}

/// The write that gives `spec` this engineering value. `before` has the answers to
/// [`reads_before`].
pub fn encode(
    spec: &SignalSpec,
    engineering: &Value,
    method: Method,
    before: &Image,
) -> Result<Write, EncodeError> {
    let unread = |cause| EncodeError::Unread { cause };
    let read_back = spec.source.read().ok_or(EncodeError::NoTarget)?;
    let scale = scale_in(spec, before).map_err(unread)?;
    let words = encode_engineering(spec, engineering, scale)?;
    let raw = raw_in(spec, read_back, &words);
    let offset = read_back.start;
    let single = match words.as_slice() {
        [word] => Some(*word),
        _ => None,
    };
    let request = match (read_back.table, method, single, spec.source.part()) {
        (Table::Coil, Method::Single, Some(word), _) => {
            WriteRequest::Coil { offset, on: word != 0 }
        }
        (Table::Coil, Method::Multiple, ..) => {
            let states = words.iter().map(|word| *word != 0).collect();
            WriteRequest::Coils { start: offset, states }
        }
        (Table::HoldingRegister, Method::Mask, Some(word), Some(own)) => {
            WriteRequest::MaskRegister { offset, and: !own, or: word }
        }
        (
            Table::HoldingRegister,
            Method::ModifySingle | Method::ModifyMultiple,
            Some(word),
            Some(own),
        ) => {
            let old = before.registers(read_back.table, offset, 1).map_err(unread)?;
            let word = old.first().copied().unwrap_or_default() & !own | word;
            match method {
                Method::ModifySingle => WriteRequest::Register { offset, word },
                Method::Single | Method::Multiple | Method::Mask | Method::ModifyMultiple => {
                    WriteRequest::Registers { start: offset, words: vec![word] }
                }
            }
        }
        (Table::HoldingRegister, Method::Single, Some(word), None) => {
            WriteRequest::Register { offset, word }
        }
        (Table::HoldingRegister, Method::Multiple, _, None) => {
            WriteRequest::Registers { start: offset, words }
        }
        (
            Table::Coil | Table::DiscreteInput | Table::InputRegister | Table::HoldingRegister,
            ..,
        ) => {
            return Err(EncodeError::NoTarget);
        }
    };
    Ok(Write { request, read_back, raw: raw.map_err(unread)?, scale })
}

/// What the device shows in its answer to [`Write::read_back`].
///
/// The raw values are compared, so that what is not the signal's own does not count: the rest of a
/// register, a text's padding.
pub fn shown(spec: &SignalSpec, write: &Write, reply: Result<ReadReply, Cause>) -> Shown {
    let image = Image::new(vec![(write.read_back, reply)]);
    let raw = decode_raw(&spec.source, &spec.nulls, &image);
    let is_near = |raw: &Value| {
        let tolerance = spec.writable.map_or(0.0, |rule| rule.tolerance);
        let number = |raw| SignalSpec::number_at(raw, write.scale);
        let numbers = number(raw).zip(number(&write.raw));
        tolerance > 0.0 && numbers.is_some_and(|(one, other)| (one - other).abs() <= tolerance)
    };
    let is_as_written = raw.as_ref().is_ok_and(|raw| *raw == write.raw || is_near(raw));
    let value = raw.and_then(|raw| travelling(spec, raw, write.scale));
    Shown { value: value.map(|value| spec.engineering(&value)), is_as_written }
}

/// The raw value that a device shows whose place holds these words.
fn raw_in(spec: &SignalSpec, place: ReadRequest, words: &[u16]) -> Result<Value, Cause> {
    let reply = if place.table.is_bits() {
        ReadReply::Bits(words.iter().map(|word| *word != 0).collect())
    } else {
        ReadReply::Registers(words.to_vec())
    };
    decode_raw(&spec.source, &[], &Image::new(vec![(place, Ok(reply))]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fieldgate_modbus::register::Address;
    use fieldgate_model::{SignalName, ValueKind};

    use super::*;
    use crate::signal::{Byte, DataType, ScaleFrom, WordOrder};

    const AT: Address = Address { table: Table::HoldingRegister, offset: 7 };

    fn writable(source: SignalSource) -> SignalSpec {
        let name = SignalName::new("signal").expect("a name");
        SignalSpec { writable: Some(WriteSpec::default()), ..SignalSpec::new(name, source) }
    }

    fn registers(data: DataType) -> SignalSpec {
        writable(SignalSource::Registers { address: AT, data, order: WordOrder::Abcd })
    }

    fn with(spec: SignalSpec, function: WriteFunction) -> SignalSpec {
        let write = WriteSpec { function, ..spec.writable.expect("it is writable") };
        SignalSpec { writable: Some(write), ..spec }
    }

    fn holds(words: &[u16]) -> Image {
        let count = u16::try_from(words.len()).expect("few");
        let request = ReadRequest { table: AT.table, start: AT.offset, count };
        Image::new(vec![(request, Ok(ReadReply::Registers(words.to_vec())))])
    }

    /// The first write that is tried on a device that holds 0xAAAA.
    fn first(spec: &SignalSpec, value: &Value) -> Result<Write, EncodeError> {
        check(spec, value)?;
        let methods = methods(&spec.source, spec.writable.expect("checked"))?;
        encode(spec, value, methods[0], &holds(&[0xAAAA]))
    }

    fn check_write(spec: &SignalSpec, value: &Value, expected: Result<WriteRequest, &str>) {
        let got = first(spec, value).map(|write| write.request).map_err(|error| error.to_string());
        assert_eq!(got, expected.map_err(ToOwned::to_owned), "{spec:?} {value:?}");
    }

    #[test]
    fn the_function_code_is_the_one_that_the_profile_asks_for() {
        let one = registers(DataType::U16);
        let two = registers(DataType::U32);
        let single = WriteRequest::Register { offset: 7, word: 5 };
        let multiple = WriteRequest::Registers { start: 7, words: vec![5] };
        check_write(&one, &Value::Int(5), Ok(single.clone()));
        check_write(&with(one.clone(), WriteFunction::Single), &Value::Int(5), Ok(single));
        check_write(&with(one, WriteFunction::Multiple), &Value::Int(5), Ok(multiple));
        let words = vec![0, 5];
        check_write(&two, &Value::Int(5), Ok(WriteRequest::Registers { start: 7, words }));
        check_write(
            &with(two, WriteFunction::Single),
            &Value::Int(5),
            Err("2 registers cannot be written by FC 6, which carries at most 1"),
        );
        let coil =
            writable(SignalSource::Bit { address: Address { table: Table::Coil, offset: 3 } });
        check_write(&coil, &Value::Bool(true), Ok(WriteRequest::Coil { offset: 3, on: true }));
        check_write(&coil, &Value::Int(0), Ok(WriteRequest::Coil { offset: 3, on: false }));
        check_write(&coil, &Value::Int(2), Err("`2` is not a value for a signal of kind bool"));
        let states = vec![true];
        check_write(
            &with(coil, WriteFunction::Multiple),
            &Value::Bool(true),
            Ok(WriteRequest::Coils { start: 3, states }),
        );
        check_write(
            &registers(DataType::text(124)),
            &Value::Text("x".to_owned()),
            Err("124 registers cannot be written by FC 16, which carries at most 123"),
        );
    }

    #[test]
    fn another_function_follows_only_where_the_profile_leaves_the_choice() {
        use Method::{Mask, ModifyMultiple, ModifySingle, Multiple, Single};
        use WriteFunction::Auto;
        let one =
            SignalSource::Registers { address: AT, data: DataType::I16, order: WordOrder::Abcd };
        let two =
            SignalSource::Registers { address: AT, data: DataType::F32, order: WordOrder::Abcd };
        let byte = SignalSource::Registers {
            address: AT,
            data: DataType::U8(Byte::Low),
            order: WordOrder::Abcd,
        };
        let bit = SignalSource::RegisterBit { address: AT, bit: 3 };
        let bits = SignalSource::RegisterBits { address: AT, first: 3, last: 7 };
        let coil = SignalSource::Bit { address: Address { table: Table::Coil, offset: 0 } };
        for (source, function, bit_write, expected) in [
            (one, Auto, BitWrite::Auto, &[Single, Multiple][..]),
            (one, WriteFunction::Single, BitWrite::Auto, &[Single]),
            (one, WriteFunction::Multiple, BitWrite::Auto, &[Multiple]),
            (two, Auto, BitWrite::Auto, &[Multiple]),
            (coil, Auto, BitWrite::Auto, &[Single, Multiple]),
            (bit, Auto, BitWrite::Auto, &[Mask, ModifySingle, ModifyMultiple]),
            (bits, Auto, BitWrite::Mask, &[Mask]),
            (byte, Auto, BitWrite::ReadModifyWrite, &[ModifySingle, ModifyMultiple]),
            (bit, WriteFunction::Multiple, BitWrite::ReadModifyWrite, &[ModifyMultiple]),
            (bit, WriteFunction::Single, BitWrite::Auto, &[Mask, ModifySingle]),
        ] {
            let write = WriteSpec { function, bit_write, ..WriteSpec::default() };
            assert_eq!(methods(&source, write).as_deref(), Ok(expected), "{source:?} {write:?}");
        }
        for (cause, is_tried) in [
            (Cause::Exception(1), true),
            (Cause::Exception(2), true),
            (Cause::Exception(3), false),
            (Cause::Exception(4), false),
            (Cause::NoAnswer, false),
            (Cause::Malformed, false),
        ] {
            assert_eq!(is_refused_untouched(cause), is_tried, "{cause}");
        }
    }

    #[test]
    fn what_the_profile_does_not_allow_is_refused_with_its_reason() {
        let fixed = SignalSpec { writable: None, ..registers(DataType::U16) };
        check_write(&fixed, &Value::Int(5), Err("signal `signal` is not writable"));
        let address = Address { table: Table::InputRegister, offset: 0 };
        let no_target = "it has no register or coil of its own that could be written";
        for source in [
            SignalSource::Registers { address, data: DataType::U16, order: WordOrder::Abcd },
            SignalSource::Bit { address: Address { table: Table::DiscreteInput, offset: 0 } },
            SignalSource::RegisterBit { address, bit: 1 },
            SignalSource::Parser { kind: ValueKind::Float64 },
        ] {
            check_write(&writable(source), &Value::Int(1), Err(no_target));
        }
        let limited = SignalSpec {
            limits: Some((0.0, 50.0)),
            nulls: vec![0xFF],
            scale: Scale::new(0.1, 0.0).expect("a scale"),
            ..registers(DataType::I16)
        };
        let register = |word| Ok(WriteRequest::Register { offset: 7, word });
        for (value, expected) in [
            (Value::Float64(23.1), register(231)),
            (Value::Float64(23.14), register(231)),
            (Value::Int(50), register(500)),
            (Value::Float64(50.01), Err("`50.01` is outside the limits `0` to `50`")),
            (Value::Float64(-0.1), Err("`-0.1` is outside the limits `0` to `50`")),
            (Value::Float64(25.5), Err("`25.5` has the raw bits that mean no value")),
            (Value::Bool(true), Err("`true` is not a value for a signal of kind int")),
            (Value::Float64(f64::NAN), Err("`NaN` does not fit into i16")),
        ] {
            check_write(&limited, &value, expected);
        }
    }

    #[test]
    fn rounding_never_leaves_the_limits() {
        let coarse = SignalSpec {
            limits: Some((0.0, 23.06)),
            scale: Scale::new(0.1, 0.0).expect("a scale"),
            ..registers(DataType::U16)
        };
        let why = "`23.1` is outside the limits `0` to `23.06`";
        check_write(&coarse, &Value::Float64(23.06), Err(why));
    }

    #[test]
    fn a_state_is_written_by_its_word_or_its_number() {
        let texts = BTreeMap::from([(0, "off".to_owned()), (3, "boost".to_owned())]);
        let state = SignalSpec { texts, limits: Some((0.0, 3.0)), ..registers(DataType::U16) };
        let register = |word| Ok(WriteRequest::Register { offset: 7, word });
        check_write(&state, &Value::Text("boost".to_owned()), register(3));
        check_write(&state, &Value::Int(0), register(0));
        check_write(&state, &Value::Int(4), Err("`4` is outside the limits `0` to `3`"));
        let why = "`eco` is none of `off`, `boost`";
        check_write(&state, &Value::Text("eco".to_owned()), Err(why));
    }

    #[test]
    fn the_rest_of_a_register_stays_as_it_is() {
        let bit = SignalSource::RegisterBit { address: AT, bit: 3 };
        let bits = SignalSource::RegisterBits { address: AT, first: 4, last: 7 };
        let byte = |data| SignalSource::Registers { address: AT, data, order: WordOrder::Abcd };
        for (source, value, and, or, word) in [
            (bit, Value::Bool(true), 0xFFF7, 0x0008, 0xAAAA),
            (bit, Value::Bool(false), 0xFFF7, 0x0000, 0xAAA2),
            (bits, Value::Int(5), 0xFF0F, 0x0050, 0xAA5A),
            (bits, Value::Int(0), 0xFF0F, 0x0000, 0xAA0A),
            (byte(DataType::U8(Byte::High)), Value::Int(1), 0x00FF, 0x0100, 0x01AA),
            (byte(DataType::I8(Byte::Low)), Value::Int(-2), 0xFF00, 0x00FE, 0xAAFE),
        ] {
            let spec = writable(source);
            let request = |method| {
                let before = holds(&[0xAAAA]);
                encode(&spec, &value, method, &before).map(|write| write.request)
            };
            let (offset, start, words) = (7, 7, vec![word]);
            assert_eq!(request(Method::Mask), Ok(WriteRequest::MaskRegister { offset, and, or }));
            assert_eq!(request(Method::ModifySingle), Ok(WriteRequest::Register { offset, word }));
            let multiple = WriteRequest::Registers { start, words };
            assert_eq!(request(Method::ModifyMultiple), Ok(multiple));
            let register = ReadRequest { table: AT.table, start: 7, count: 1 };
            assert_eq!(reads_before(&spec, Method::ModifySingle), [register]);
            assert_eq!(reads_before(&spec, Method::Mask), []);
        }
        check_write(&writable(bits), &Value::Int(16), Err("`16` does not fit into 4 bits"));
        let unread =
            encode(&writable(bit), &Value::Bool(true), Method::ModifySingle, &Image::default());
        assert_eq!(unread.map(drop), Err(EncodeError::Unread { cause: Cause::ConfigError }));
    }

    #[test]
    fn a_power_of_ten_is_read_before_the_value_is_written() {
        let address = Address { offset: 20, ..AT };
        let source =
            SignalSource::Registers { address, data: DataType::I16, order: WordOrder::Abcd };
        let signal = SignalName::new("sf").expect("a name");
        let spec = SignalSpec {
            scale_from: Some(ScaleFrom { signal, source, nulls: vec![0x8000] }),
            limits: Some((0.0, 100.0)),
            ..registers(DataType::U16)
        };
        let factor = ReadRequest { table: AT.table, start: 20, count: 1 };
        assert_eq!(reads_before(&spec, Method::Single), [factor]);
        assert_eq!(
            check(&spec, &Value::Int(101)).map_err(|e| e.to_string()),
            Err("`101` is outside the limits `0` to `100`".to_owned())
        );
        for (word, expected) in [
            (0xFFFE, Ok(WriteRequest::Register { offset: 7, word: 7055 })),
            (0, Ok(WriteRequest::Register { offset: 7, word: 71 })),
            (0x8000, Err(Cause::Null)),
            (0x0100, Err(Cause::OutOfRange)),
        ] {
            let before = Image::new(vec![(factor, Ok(ReadReply::Registers(vec![word])))]);
            let got = encode(&spec, &Value::Float64(70.55), Method::Single, &before);
            let got = got.map(|write| write.request);
            assert_eq!(got, expected.map_err(|cause| EncodeError::Unread { cause }), "{word:x}");
        }
        let before = Image::new(vec![(factor, Ok(ReadReply::Registers(vec![0xFFFE])))]);
        let write = encode(&spec, &Value::Float64(70.55), Method::Single, &before).expect("fits");
        let shown = shown(&spec, &write, Ok(ReadReply::Registers(vec![7055])));
        assert_eq!(shown, Shown { value: Ok(Value::Float64(70.55)), is_as_written: true });
    }

    #[test]
    fn a_read_back_is_compared_by_what_is_the_signals_own() {
        let text = registers(DataType::text(2));
        let coil =
            writable(SignalSource::Bit { address: Address { table: Table::Coil, offset: 3 } });
        let float = registers(DataType::F32);
        let u24 = registers(DataType::U24);
        let bit = writable(SignalSource::RegisterBit { address: AT, bit: 3 });
        let words = |words: &[u16]| Ok(ReadReply::Registers(words.to_vec()));
        for (spec, value, reply, expected) in [
            (&float, Value::Float64(123_456.0), words(&[0x47F1, 0x2000]), true),
            (&float, Value::Float64(123_456.0), words(&[0x47F1, 0x2001]), false),
            (&float, Value::Float64(123_456.0), words(&[0x47F1]), false),
            (&float, Value::Float64(123_456.0), Ok(ReadReply::Bits(vec![true, true])), false),
            (&float, Value::Float64(123_456.0), Err(Cause::NoAnswer), false),
            (&text, Value::Text("AB".to_owned()), words(&[0x4142, 0x2020]), true),
            (&text, Value::Text("AB".to_owned()), words(&[0x4142, 0x4300]), false),
            (&u24, Value::Int(5), words(&[0xFF00, 5]), true),
            (&bit, Value::Bool(true), words(&[0xFFFF]), true),
            (&bit, Value::Bool(true), words(&[0xFFF7]), false),
            (&coil, Value::Bool(true), Ok(ReadReply::Bits(vec![true])), true),
            (&coil, Value::Bool(true), Ok(ReadReply::Bits(vec![false])), false),
        ] {
            let write = first(spec, &value).expect("it fits");
            let shown = shown(spec, &write, reply.clone());
            assert_eq!(shown.is_as_written, expected, "{value:?} {reply:?}");
        }
    }

    #[test]
    fn a_tolerance_is_a_distance_in_the_signals_unit() {
        let tolerant = |tolerance| SignalSpec {
            scale: Scale::new(0.1, 0.0).expect("a scale"),
            writable: Some(WriteSpec { tolerance, ..WriteSpec::default() }),
            ..registers(DataType::U16)
        };
        for (tolerance, word, expected) in [
            (0.0, 215, true),
            (0.0, 216, false),
            (0.5, 220, true),
            (0.5, 210, true),
            (0.5, 221, false),
        ] {
            let spec = tolerant(tolerance);
            let write = first(&spec, &Value::Float64(21.5)).expect("it fits");
            let shown = shown(&spec, &write, Ok(ReadReply::Registers(vec![word])));
            assert_eq!(shown.is_as_written, expected, "{tolerance} {word}");
            assert_eq!(shown.value, Ok(Value::Float64(f64::from(word) / 10.0)));
        }
    }
}
