//! Raw words to values.
//!
//! # Invariants
//!
//! - Nulls are compared on the raw bits, before sign, float or scale.
//! - A value that comes out is finite and within the signal's limits.
//! - Integers never pass through a float.

use fieldgate_model::{Cause, Scale, Value, ValueKind};

use crate::number::{bits_of_words, to_float, to_integer, value_of_bits};
use crate::plan::Image;
use crate::signal::{DataType, ScaleFrom, SignalSource, SignalSpec, WordOrder};
use crate::text::text_of_words;

/// The value of a declared signal as it travels. Signals of a parser are not found here: [`accept`]
/// takes what the parser gave.
///
/// A signal with a power of ten from another has the cause of that one if it could not be read or
/// holds no value: its own number alone would be wrong by powers of ten.
pub fn decode(spec: &SignalSpec, image: &Image) -> Result<Value, Cause> {
    let raw = decode_raw(&spec.source, &spec.nulls, image)?;
    within(spec, travelling(spec, raw, scale_in(spec, image)?)?)
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
    if let DataType::Text { charset, padding, .. } = data {
        let words = order.within_registers().apply(words);
        return text_of_words(charset, padding, &words).map(Value::Text);
    }
    value_of_bits(data, bits_of_words(data, order, words))
}

/// The raw value at a place, before any scale; its null bits give [`Cause::Null`].
pub(crate) fn decode_raw(
    source: &SignalSource,
    nulls: &[u64],
    image: &Image,
) -> Result<Value, Cause> {
    let address = match source {
        SignalSource::Bit { address } => {
            return image.bit(address.table, address.offset).map(Value::Bool);
        }
        SignalSource::Registers { address, .. }
        | SignalSource::RegisterBit { address, .. }
        | SignalSource::RegisterBits { address, .. } => address,
        SignalSource::Payload { .. } | SignalSource::Parser { .. } => {
            return Err(Cause::ConfigError);
        }
    };
    let count = source.read().map_or(1, |read| read.count);
    let words = image.registers(address.table, address.offset, count)?;
    let bits = own_bits(source, words);
    if bits.is_some_and(|bits| nulls.contains(&bits)) {
        return Err(Cause::Null);
    }
    match (source, bits) {
        (SignalSource::Registers { data, order, .. }, _) => decode_registers(*data, *order, words),
        (SignalSource::RegisterBit { .. }, Some(bits)) => Ok(Value::Bool(bits == 1)),
        (SignalSource::RegisterBits { .. }, Some(bits)) => Ok(Value::Unsigned(bits)),
        (
            SignalSource::RegisterBit { .. }
            | SignalSource::RegisterBits { .. }
            | SignalSource::Bit { .. }
            | SignalSource::Payload { .. }
            | SignalSource::Parser { .. },
            _,
        ) => Err(Cause::Malformed),
    }
}

/// The bits of a number in its registers, which nulls are compared with; `None` for text and for
/// what lies in no register.
pub(crate) fn own_bits(source: &SignalSource, words: &[u16]) -> Option<u64> {
    let part = |first: u8| {
        let own = source.part()? & *words.first()?;
        Some(u64::from(own >> first))
    };
    match *source {
        SignalSource::Registers { data: DataType::Text { .. }, .. }
        | SignalSource::Bit { .. }
        | SignalSource::Payload { .. }
        | SignalSource::Parser { .. } => None,
        SignalSource::Registers { data, order, .. } => Some(bits_of_words(data, order, words)),
        SignalSource::RegisterBit { bit, .. } => part(bit),
        SignalSource::RegisterBits { first, .. } => part(first),
    }
}

/// The scale of a signal in this image: its own, or the power of ten that another one holds.
pub(crate) fn scale_in(spec: &SignalSpec, image: &Image) -> Result<Scale, Cause> {
    let Some(ScaleFrom { source, nulls, .. }) = &spec.scale_from else { return Ok(spec.scale) };
    let exponent = to_integer(&decode_raw(source, nulls, image)?);
    let exponent = exponent.and_then(|exponent| i8::try_from(exponent).ok());
    let scale = exponent.and_then(|exponent| Scale::from_parts(1, exponent, 0.0).ok());
    scale.ok_or(Cause::OutOfRange)
}

/// A raw value as it travels: as it is, or multiplied if its scale is the device's to change.
pub(crate) fn travelling(spec: &SignalSpec, raw: Value, scale: Scale) -> Result<Value, Cause> {
    if spec.scale_from.is_none() {
        return Ok(raw);
    }
    to_float(&raw)
        .and(SignalSpec::number_at(&raw, scale))
        .map(Value::Float64)
        .ok_or(Cause::ConfigError)
}

pub(crate) fn within(spec: &SignalSpec, value: Value) -> Result<Value, Cause> {
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
pub(crate) fn to_kind(kind: ValueKind, value: Value) -> Option<Value> {
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

#[cfg(test)]
mod tests {
    use fieldgate_model::{Scale, SignalName};

    use super::*;
    use crate::signal::Byte;
    use fieldgate_modbus::register::{Address, ReadReply, ReadRequest, Table};

    const AT: Address = Address { table: Table::HoldingRegister, offset: 10 };

    fn spec(source: SignalSource) -> SignalSpec {
        SignalSpec::new(SignalName::new("signal").expect("a name"), source)
    }

    fn registers(data: DataType) -> SignalSource {
        SignalSource::Registers { address: AT, data, order: WordOrder::Abcd }
    }

    fn image(words: &[u16]) -> Image {
        let count = u16::try_from(words.len()).expect("few");
        let request = ReadRequest { table: AT.table, start: AT.offset, count };
        Image::new(vec![(request, Ok(ReadReply::Registers(words.to_vec())))])
    }

    #[test]
    fn nulls_are_compared_on_the_raw_bits_before_anything_else() {
        for (data, null, words) in [
            (DataType::I16, 0x8000, &[0x8000][..]),
            (DataType::U32, 0xFFFF_FFFF, &[0xFFFF, 0xFFFF]),
            (DataType::F32, 0x7FC0_0000, &[0x7FC0, 0x0000]),
            (DataType::I64, 0x8000_0000_0000_0000, &[0x8000, 0, 0, 0]),
            (DataType::SignMagnitude16, 0x8000, &[0x8000]),
            (DataType::Bcd4, 0xFFFF, &[0xFFFF]),
            (DataType::F16, 0x7E00, &[0x7E00]),
            (DataType::U24, 0x00FF_FFFF, &[0x12FF, 0xFFFF]),
            (DataType::I8(Byte::High), 0x80, &[0x8012]),
            (DataType::U8(Byte::Low), 0xFF, &[0x12FF]),
        ] {
            let null = SignalSpec {
                nulls: vec![1, null],
                limits: Some((0.0, 1.0)),
                scale: Scale::new(0.1, -40.0).expect("a scale"),
                ..spec(registers(data))
            };
            assert_eq!(decode(&null, &image(words)), Err(Cause::Null), "{data}");
        }
        let source =
            SignalSource::Registers { address: AT, data: DataType::U32, order: WordOrder::Dcba };
        let swapped = SignalSpec { nulls: vec![0x8000_0001], ..spec(source) };
        assert_eq!(decode(&swapped, &image(&[0x0100, 0x0080])), Err(Cause::Null));
        let field = SignalSource::RegisterBits { address: AT, first: 4, last: 7 };
        let field = SignalSpec { nulls: vec![0xF], ..spec(field) };
        assert_eq!(decode(&field, &image(&[0xABFC])), Err(Cause::Null));
        assert_eq!(decode(&field, &image(&[0xFBEF])), Ok(Value::Unsigned(14)));
    }

    #[test]
    fn a_power_of_ten_from_another_signal_gives_the_engineering_value() {
        let sf = Address { offset: 11, ..AT };
        let factor =
            SignalSource::Registers { address: sf, data: DataType::I16, order: WordOrder::Abcd };
        let scaled = SignalSpec {
            scale_from: Some(ScaleFrom {
                signal: SignalName::new("sf").expect("a name"),
                source: factor,
                nulls: vec![0x8000],
            }),
            nulls: vec![0xFFFF],
            limits: Some((0.0, 1e6)),
            ..spec(registers(DataType::U16))
        };
        assert_eq!(scaled.kind(), ValueKind::Float64);
        for (value, factor, expected) in [
            (2302, 0xFFFF, Ok(230.2)),
            (2302, 0, Ok(2302.0)),
            (50_013, 0xFFFD, Ok(50.013)),
            (7, 2, Ok(700.0)),
            (2302, 0x8000, Err(Cause::Null)),
            (0xFFFF, 0, Err(Cause::Null)),
            (2302, 3, Err(Cause::OutOfRange)),
            (1, 23, Err(Cause::OutOfRange)),
            (1, 0x7FFF, Err(Cause::OutOfRange)),
        ] {
            let decoded = decode(&scaled, &image(&[value, factor]));
            assert_eq!(decoded, expected.map(Value::Float64), "{value} {factor:x}");
        }
        let good = decode(&scaled, &image(&[2302, 0xFFFF])).expect("a value");
        assert_eq!(
            scaled.number(&good),
            Some(230.2),
            "alarms and limits see the engineering value"
        );
        let reads: Vec<_> = scaled.reads().map(|read| (read.start, read.count)).collect();
        assert_eq!(reads, [(10, 1), (11, 1)]);
        let value = (ReadRequest { table: AT.table, start: 10, count: 1 }, vec![2302]);
        let value = (value.0, Ok(ReadReply::Registers(value.1)));
        let silent = (ReadRequest { table: AT.table, start: 11, count: 1 }, Err(Cause::NoAnswer));
        let image = Image::new(vec![value, silent]);
        assert_eq!(decode(&scaled, &image), Err(Cause::NoAnswer));
    }

    #[test]
    fn what_no_signal_can_be_is_out_of_range() {
        for words in [[0x7FC0, 0x0001], [0x7F80, 0x0000], [0xFF80, 0x0000]] {
            let float = spec(registers(DataType::F32));
            assert_eq!(decode(&float, &image(&words)), Err(Cause::OutOfRange), "{words:x?}");
        }
        let limited = SignalSpec {
            limits: Some((-40.0, 85.0)),
            scale: Scale::new(0.1, 0.0).expect("a scale"),
            ..spec(registers(DataType::I16))
        };
        for (word, expected) in [
            (850, Ok(Value::Int(850))),
            (851, Err(Cause::OutOfRange)),
            (0xFE70, Ok(Value::Int(-400))),
            (0xFE6F, Err(Cause::OutOfRange)),
        ] {
            assert_eq!(decode(&limited, &image(&[word])), expected, "{word:x}");
        }
    }

    #[test]
    fn a_bit_of_a_register_counts_from_the_least_significant() {
        for (bit, on) in [(0, true), (1, false), (3, true), (15, true)] {
            let bit = spec(SignalSource::RegisterBit { address: AT, bit });
            assert_eq!(decode(&bit, &image(&[0x8009])), Ok(Value::Bool(on)));
        }
        for (first, last, expected) in [(0, 3, 9), (3, 15, 0x1001), (15, 15, 1), (0, 15, 0x8009)] {
            let bits = spec(SignalSource::RegisterBits { address: AT, first, last });
            assert_eq!(decode(&bits, &image(&[0x8009])), Ok(Value::Unsigned(expected)));
        }
        let address = Address { table: Table::Coil, offset: 5 };
        let request = ReadRequest { table: Table::Coil, start: 4, count: 2 };
        let coils = Image::new(vec![(request, Ok(ReadReply::Bits(vec![false, true])))]);
        assert_eq!(decode(&spec(SignalSource::Bit { address }), &coils), Ok(Value::Bool(true)));
    }

    #[test]
    fn what_was_not_answered_has_its_cause() {
        let signal = spec(registers(DataType::U32));
        let request = ReadRequest { table: AT.table, start: AT.offset, count: 2 };
        for (replies, cause) in [
            (vec![(request, Err(Cause::Exception(2)))], Cause::Exception(2)),
            (vec![(request, Ok(ReadReply::Registers(vec![1])))], Cause::Malformed),
            (vec![(request, Ok(ReadReply::Bits(vec![true, true])))], Cause::Malformed),
            (vec![], Cause::ConfigError),
        ] {
            assert_eq!(decode(&signal, &Image::new(replies)), Err(cause));
        }
        let failed = (ReadRequest { count: 4, ..request }, Err(Cause::NoAnswer));
        let good = (request, Ok(ReadReply::Registers(vec![0, 7])));
        assert_eq!(decode(&signal, &Image::new(vec![failed, good])), Ok(Value::Unsigned(7)));
    }

    #[test]
    fn a_scripts_number_becomes_the_kind_of_its_signal_or_an_error() {
        for (kind, given, expected) in [
            (ValueKind::Unsigned, Value::Float64(7.0), Ok(Value::Unsigned(7))),
            (ValueKind::Unsigned, Value::Float64(7.5), Err(Cause::Script)),
            (ValueKind::Unsigned, Value::Float64(-1.0), Err(Cause::Script)),
            (ValueKind::Int, Value::Float64(-2.0), Ok(Value::Int(-2))),
            (ValueKind::Int, Value::Float64(1e19), Err(Cause::Script)),
            (ValueKind::Int, Value::Float64(f64::NAN), Err(Cause::Script)),
            (ValueKind::Float64, Value::Int(3), Ok(Value::Float64(3.0))),
            (ValueKind::Float64, Value::Float64(f64::NAN), Err(Cause::OutOfRange)),
            (ValueKind::Float32, Value::Float64(0.5), Ok(Value::Float32(0.5))),
            (ValueKind::Float32, Value::Float64(1e300), Err(Cause::OutOfRange)),
            (ValueKind::Bool, Value::Float64(1.0), Err(Cause::Script)),
            (ValueKind::Text, Value::Text("a".to_owned()), Ok(Value::Text("a".to_owned()))),
            (ValueKind::Float64, Value::Text("1".to_owned()), Err(Cause::Script)),
        ] {
            let signal = spec(SignalSource::Parser { kind });
            assert_eq!(accept(&signal, given.clone()), expected, "{kind:?} {given:?}");
        }
    }
}
