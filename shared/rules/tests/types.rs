//! Every type in every order, as literal words. Floats and integers are Python's `struct.pack`,
//! their orders the permutation of its bytes by the order's letters.

use fieldgate_model::{Cause, Value};
use fieldgate_rules::decode::decode_registers;
use fieldgate_rules::encode::encode_registers;
use fieldgate_rules::signal::{Byte, Charset, DataType, Padding, WordOrder};

use DataType::{Bcd4, Bcd8, Bcd16, F16, F32, F64, I8, I16, I24, I32, I64, U8, U16, U24, U32, U64};
use DataType::{SignMagnitude16, SignMagnitude32};
use WordOrder::{Abcd, Badc, Cdab, Cdabghef, Dcba, Dcbahgfe, Efghabcd, Fehgbadc};

/// 0x0123456789ABCDEF, beyond 2^53.
const BIG: Value = Value::Unsigned(81_985_529_216_486_895);
const NEGATIVE: Value = Value::Int(-9_007_199_254_740_993);

/// Words that mean a value, and that this value gives back.
fn check(rows: &[(DataType, WordOrder, &[u16], Value)]) {
    for (data, order, words, value) in rows {
        let decoded = decode_registers(*data, *order, words);
        assert_eq!(decoded.as_ref(), Ok(value), "{data} {order} {words:x?}");
        let encoded = encode_registers(*data, *order, value);
        assert_eq!(encoded.as_deref(), Ok(*words), "{data} {order} {value}");
    }
}

#[test]
fn floats_lie_in_their_registers_in_every_order() {
    let short = Value::Float32(123_456.0);
    let long = Value::Float64(-1_234.567_8);
    check(&[
        (F16, Abcd, &[0xC100], Value::Float32(-2.5)),
        (F16, Badc, &[0x00C1], Value::Float32(-2.5)),
        (F32, Abcd, &[0x47F1, 0x2000], short.clone()),
        (F32, Cdab, &[0x2000, 0x47F1], short.clone()),
        (F32, Badc, &[0xF147, 0x0020], short.clone()),
        (F32, Dcba, &[0x0020, 0xF147], short),
        (F64, Abcd, &[0xC093, 0x4A45, 0x6D5C, 0xFAAD], long.clone()),
        (F64, Cdab, &[0xFAAD, 0x6D5C, 0x4A45, 0xC093], long.clone()),
        (F64, Badc, &[0x93C0, 0x454A, 0x5C6D, 0xADFA], long.clone()),
        (F64, Dcba, &[0xADFA, 0x5C6D, 0x454A, 0x93C0], long.clone()),
        (F64, Cdabghef, &[0x4A45, 0xC093, 0xFAAD, 0x6D5C], long.clone()),
        (F64, Efghabcd, &[0x6D5C, 0xFAAD, 0xC093, 0x4A45], long.clone()),
        (F64, Dcbahgfe, &[0x454A, 0x93C0, 0xADFA, 0x5C6D], long.clone()),
        (F64, Fehgbadc, &[0x5C6D, 0xADFA, 0x93C0, 0x454A], long),
    ]);
}

#[test]
fn integers_lie_in_their_registers_in_every_order() {
    let large = Value::Unsigned(3_000_000_000);
    let low = Value::Int(-123_456_789);
    check(&[
        (U16, Abcd, &[0xFFFE], Value::Unsigned(65_534)),
        (U16, Badc, &[0xFEFF], Value::Unsigned(65_534)),
        (I16, Abcd, &[0xFFFE], Value::Int(-2)),
        (I16, Badc, &[0xFEFF], Value::Int(-2)),
        (U32, Abcd, &[0xB2D0, 0x5E00], large.clone()),
        (U32, Cdab, &[0x5E00, 0xB2D0], large.clone()),
        (U32, Badc, &[0xD0B2, 0x005E], large.clone()),
        (U32, Dcba, &[0x005E, 0xD0B2], large),
        (I32, Abcd, &[0xF8A4, 0x32EB], low.clone()),
        (I32, Cdab, &[0x32EB, 0xF8A4], low.clone()),
        (I32, Badc, &[0xA4F8, 0xEB32], low.clone()),
        (I32, Dcba, &[0xEB32, 0xA4F8], low),
        (U64, Abcd, &[0x0123, 0x4567, 0x89AB, 0xCDEF], BIG),
        (U64, Cdab, &[0xCDEF, 0x89AB, 0x4567, 0x0123], BIG),
        (U64, Badc, &[0x2301, 0x6745, 0xAB89, 0xEFCD], BIG),
        (U64, Dcba, &[0xEFCD, 0xAB89, 0x6745, 0x2301], BIG),
        (U64, Cdabghef, &[0x4567, 0x0123, 0xCDEF, 0x89AB], BIG),
        (U64, Efghabcd, &[0x89AB, 0xCDEF, 0x0123, 0x4567], BIG),
        (U64, Dcbahgfe, &[0x6745, 0x2301, 0xEFCD, 0xAB89], BIG),
        (U64, Fehgbadc, &[0xAB89, 0xEFCD, 0x2301, 0x6745], BIG),
        (U64, Abcd, &[0xFFFF; 4], Value::Unsigned(u64::MAX)),
        (I64, Abcd, &[0xFFDF, 0xFFFF, 0xFFFF, 0xFFFF], NEGATIVE),
        (I64, Cdab, &[0xFFFF, 0xFFFF, 0xFFFF, 0xFFDF], NEGATIVE),
        (I64, Badc, &[0xDFFF, 0xFFFF, 0xFFFF, 0xFFFF], NEGATIVE),
        (I64, Dcba, &[0xFFFF, 0xFFFF, 0xFFFF, 0xDFFF], NEGATIVE),
        (I64, Cdabghef, &[0xFFFF, 0xFFDF, 0xFFFF, 0xFFFF], NEGATIVE),
        (I64, Efghabcd, &[0xFFFF, 0xFFFF, 0xFFDF, 0xFFFF], NEGATIVE),
        (I64, Dcbahgfe, &[0xFFFF, 0xDFFF, 0xFFFF, 0xFFFF], NEGATIVE),
        (I64, Fehgbadc, &[0xFFFF, 0xFFFF, 0xDFFF, 0xFFFF], NEGATIVE),
        (I64, Abcd, &[0x8000, 0, 0, 0], Value::Int(i64::MIN)),
    ]);
}

#[test]
fn a_byte_and_24_bits_are_parts_of_their_registers() {
    check(&[
        (U8(Byte::High), Abcd, &[0xFE00], Value::Unsigned(254)),
        (U8(Byte::Low), Abcd, &[0x00FE], Value::Unsigned(254)),
        (U8(Byte::Low), Badc, &[0xFE00], Value::Unsigned(254)),
        (I8(Byte::High), Abcd, &[0xFE00], Value::Int(-2)),
        (I8(Byte::Low), Abcd, &[0x0080], Value::Int(-128)),
        (U24, Abcd, &[0x00FE, 0xDCBA], Value::Unsigned(16_702_650)),
        (U24, Cdab, &[0xDCBA, 0x00FE], Value::Unsigned(16_702_650)),
        (U24, Badc, &[0xFE00, 0xBADC], Value::Unsigned(16_702_650)),
        (U24, Dcba, &[0xBADC, 0xFE00], Value::Unsigned(16_702_650)),
        (I24, Abcd, &[0xFFFE, 0xDCBA], Value::Int(-74_566)),
        (I24, Cdab, &[0x7FFF, 0x0000], Value::Int(32_767)),
        (I24, Abcd, &[0xFF80, 0x0000], Value::Int(-8_388_608)),
        (I24, Abcd, &[0x007F, 0xFFFF], Value::Int(8_388_607)),
    ]);
    // What is around them says nothing.
    for (data, words, value) in [
        (U8(Byte::High), &[0x12AB][..], Value::Unsigned(0x12)),
        (U8(Byte::Low), &[0x12AB], Value::Unsigned(0xAB)),
        (I8(Byte::Low), &[0x12AB], Value::Int(-85)),
        (U24, &[0xAB00, 0x0005], Value::Unsigned(5)),
        (I24, &[0x00FF, 0xFFFE], Value::Int(-2)),
        (I24, &[0xAB7F, 0xFFFF], Value::Int(8_388_607)),
    ] {
        assert_eq!(decode_registers(data, Abcd, words), Ok(value), "{data} {words:x?}");
    }
}

#[test]
fn bcd_is_read_digit_by_digit_and_a_wrong_digit_is_no_value() {
    check(&[
        (Bcd4, Abcd, &[0x1234], Value::Unsigned(1_234)),
        (Bcd4, Badc, &[0x3412], Value::Unsigned(1_234)),
        (Bcd4, Abcd, &[0x9999], Value::Unsigned(9_999)),
        (Bcd8, Abcd, &[0x1234, 0x5678], Value::Unsigned(12_345_678)),
        (Bcd8, Cdab, &[0x5678, 0x1234], Value::Unsigned(12_345_678)),
        (Bcd16, Abcd, &[0x1234, 0x5678, 0x9012, 0x3456], Value::Unsigned(1_234_567_890_123_456)),
        (
            Bcd16,
            Efghabcd,
            &[0x9012, 0x3456, 0x1234, 0x5678],
            Value::Unsigned(1_234_567_890_123_456),
        ),
        (Bcd16, Abcd, &[0x9999; 4], Value::Unsigned(9_999_999_999_999_999)),
        (Bcd16, Abcd, &[0, 0, 0, 7], Value::Unsigned(7)),
    ]);
    for (data, words) in [
        (Bcd4, &[0xA000][..]),
        (Bcd4, &[0x000F]),
        (Bcd4, &[0x0A00]),
        (Bcd8, &[0x1234, 0x5B78]),
        (Bcd16, &[0xFFFF; 4]),
    ] {
        assert_eq!(decode_registers(data, Abcd, words), Err(Cause::OutOfRange), "{words:x?}");
    }
    for (data, value) in [
        (Bcd4, Value::Int(10_000)),
        (Bcd4, Value::Int(-1)),
        (Bcd8, Value::Int(100_000_000)),
        (Bcd16, Value::Unsigned(10_000_000_000_000_000)),
    ] {
        assert!(encode_registers(data, Abcd, &value).is_err(), "{data} {value}");
    }
}

#[test]
fn sign_and_magnitude_have_their_sign_in_the_highest_bit() {
    check(&[
        (SignMagnitude16, Abcd, &[0x8001], Value::Int(-1)),
        (SignMagnitude16, Abcd, &[0x7FFF], Value::Int(32_767)),
        (SignMagnitude16, Abcd, &[0xFFFF], Value::Int(-32_767)),
        (SignMagnitude16, Badc, &[0x0A80], Value::Int(-10)),
        (SignMagnitude32, Abcd, &[0x8000, 0x0001], Value::Int(-1)),
        (SignMagnitude32, Cdab, &[0x0001, 0x8000], Value::Int(-1)),
        (SignMagnitude32, Abcd, &[0xFFFF, 0xFFFF], Value::Int(-2_147_483_647)),
    ]);
    assert_eq!(decode_registers(SignMagnitude16, Abcd, &[0x8000]), Ok(Value::Int(0)));
    for value in [Value::Int(32_768), Value::Int(-32_768)] {
        assert!(encode_registers(SignMagnitude16, Abcd, &value).is_err(), "{value}");
    }
}

#[test]
fn half_floats_keep_their_edges() {
    check(&[
        (F16, Abcd, &[0x3C00], Value::Float32(1.0)),
        (F16, Abcd, &[0x7BFF], Value::Float32(65_504.0)),
        (F16, Abcd, &[0xFBFF], Value::Float32(-65_504.0)),
        (F16, Abcd, &[0x0001], Value::Float32(5.960_464_5e-8)),
        (F16, Abcd, &[0x03FF], Value::Float32(6.097_555e-5)),
        (F16, Abcd, &[0x0400], Value::Float32(6.103_515_6e-5)),
        (F16, Abcd, &[0x0000], Value::Float32(0.0)),
    ]);
    // Rounded to the nearest, and to the even of two that are as near.
    for (given, word) in [
        (0.1, 0x2E66),
        (1.0 / 3.0, 0x3555),
        (1_024.5, 0x6400),
        (2_049.0, 0x6800),
        (2_051.0, 0x6802),
        (65_519.999, 0x7BFF),
        (2.980_232_238_769_531e-8, 0x0000),
        (3.010_034_561_157_226_6e-8, 0x0001),
        (8.940_696_716_308_594e-8, 0x0002),
        (6.102_025_508_880_615e-5, 0x0400),
        (-0.0, 0x8000),
    ] {
        let words = encode_registers(F16, Abcd, &Value::Float64(given));
        assert_eq!(words.as_deref(), Ok(&[word][..]), "{given}");
    }
    for given in [65_520.0, -65_520.0, 1e300, f64::INFINITY, f64::NAN] {
        assert!(encode_registers(F16, Abcd, &Value::Float64(given)).is_err(), "{given}");
    }
    for word in 0..=u16::MAX {
        let Ok(Value::Float32(float)) = decode_registers(F16, Abcd, &[word]) else {
            panic!("{word:x} is a float")
        };
        assert_eq!(float.is_finite(), word >> 10 & 0x1F != 0x1F, "{word:x}");
        if float.is_finite() {
            let back = encode_registers(F16, Abcd, &Value::Float32(float));
            assert_eq!(back.as_deref(), Ok(&[word][..]));
        }
    }
}

#[test]
fn a_number_survives_every_order_of_its_width() {
    let samples = [0, 1, 7, 200, 9_999, 12_345_678, 4_294_967_295, 1_234_567_890_123_456];
    for data in DataType::NUMBERS {
        let name = &data.to_string();
        let mut held = 0;
        for order in WordOrder::all(data.registers()) {
            for sample in samples.into_iter().flat_map(|sample: i64| [sample, -sample]) {
                let value = Value::Int(sample);
                let Ok(words) = encode_registers(data, *order, &value) else { continue };
                held += 1;
                assert_eq!(words.len(), usize::from(data.registers()), "{name}");
                let back = decode_registers(data, *order, &words).expect(name);
                let again = encode_registers(data, *order, &back);
                assert_eq!(again, Ok(words), "{name} {order} {sample}");
                let is_rounded = matches!(data, F16 | F32);
                assert!(is_rounded || back.to_string() == sample.to_string(), "{name} {back}");
            }
        }
        assert!(held >= 6, "{name} holds hardly anything");
    }
}

#[test]
fn a_text_has_its_charset_its_padding_and_its_byte_order() {
    let text = |charset, padding| DataType::Text { registers: 3, charset, padding };
    let value = |text: &str| Value::Text(text.to_owned());
    check(&[
        (text(Charset::Ascii, Padding::Nul), Abcd, &[0x4142, 0x4320, 0], value("ABC ")),
        (text(Charset::Ascii, Padding::Space), Abcd, &[0x4142, 0x4320, 0x2020], value("ABC")),
        (text(Charset::Ascii, Padding::Space), Badc, &[0x4241, 0x2043, 0x2020], value("ABC")),
        (text(Charset::Utf8, Padding::Both), Abcd, &[0xC3BC, 0x2100, 0], value("ü!")),
        (text(Charset::Latin1, Padding::Nul), Abcd, &[0xFC21, 0, 0], value("ü!")),
        (text(Charset::Latin1, Padding::Nul), Dcba, &[0x21FC, 0, 0], value("ü!")),
        (text(Charset::Utf8, Padding::Both), Abcd, &[0x4142, 0x4344, 0x4546], value("ABCDEF")),
    ]);
    for (charset, padding, words, expected) in [
        (Charset::Ascii, Padding::Both, [0x4142, 0x2000, 0x4141], Ok("AB")),
        (Charset::Ascii, Padding::Both, [0x41FC, 0, 0], Err(Cause::Malformed)),
        (Charset::Utf8, Padding::Both, [0x41FC, 0, 0], Err(Cause::Malformed)),
        (Charset::Ascii, Padding::Space, [0x4142, 0, 0], Err(Cause::Malformed)),
        (Charset::Ascii, Padding::Nul, [0, 0x4142, 0], Ok("")),
        (Charset::Ascii, Padding::Space, [0x2020; 3], Ok("")),
    ] {
        let decoded = decode_registers(text(charset, padding), Abcd, &words);
        assert_eq!(decoded, expected.map(value), "{charset} {padding:?} {words:x?}");
    }
    for (charset, given, why) in [
        (Charset::Ascii, "ü", "`ü` does not fit into ASCII"),
        (Charset::Latin1, "€", "`€` does not fit into Latin-1"),
        (Charset::Utf8, "1234567", "`1234567` does not fit into text of 3 registers"),
    ] {
        let got = encode_registers(text(charset, Padding::Both), Abcd, &value(given));
        assert_eq!(got.map_err(|error| error.to_string()), Err(why.to_owned()));
    }
    let nul = encode_registers(text(Charset::Ascii, Padding::Both), Abcd, &value("A\0B"));
    assert!(nul.is_err(), "a NUL ends the text");
}
