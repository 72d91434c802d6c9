//! What words could mean: every type and order of a reading whose documentation is missing.
//!
//! Plausible is what devices show in practice, so it is a hint and never a proof: a counter of 32
//! bits may well stand at two thousand million.

use fieldgate_model::Value;

use crate::decode::decode_registers;
use crate::signal::{Byte, Charset, DataType, Padding, WordOrder};

/// One reading of the same words.
#[derive(Debug, Clone, PartialEq)]
pub struct Interpretation {
    /// As what.
    pub data: DataType,
    /// In which order; [`WordOrder::letters`] with the type's registers writes it.
    pub order: WordOrder,
    /// The value; a float may be not finite.
    pub value: Value,
    /// Whether devices show such values.
    pub plausible: bool,
    /// Why, for people.
    pub why: &'static str,
}

/// The numbers, in the order in which a technician tries them.
const NUMBERS: [DataType; 19] = [
    DataType::U16,
    DataType::I16,
    DataType::SignMagnitude16,
    DataType::Bcd4,
    DataType::F16,
    DataType::U8(Byte::High),
    DataType::U8(Byte::Low),
    DataType::I8(Byte::High),
    DataType::I8(Byte::Low),
    DataType::U32,
    DataType::I32,
    DataType::F32,
    DataType::SignMagnitude32,
    DataType::Bcd8,
    DataType::U24,
    DataType::I24,
    DataType::U64,
    DataType::I64,
    DataType::F64,
];

/// Distance from 0 within which an integer looks like a quantity: 9,999,999 is the largest of a
/// seven-digit counter, and above it any pattern of bits would do.
const INTEGER_MAX: u64 = 9_999_999;
/// The same of 16 bits, where more would be almost all there are.
const WORD_MAX: u64 = 32_000;
/// The same of a byte.
const BYTE_MAX: u64 = 200;
/// Distances from 0 that measured floats have, in whatever unit.
const FLOAT_MIN: f64 = 1e-4;
const FLOAT_MAX: f64 = 1e9;

/// Every type and order in which the first of `words` can start a value, and all of them as text.
///
/// Bits that are no value of a type at all, such as a digit above 9 in BCD or bytes that are no
/// text, are left out.
pub fn interpret(words: &[u16]) -> Vec<Interpretation> {
    let mut found = Vec::new();
    for data in NUMBERS.into_iter().chain([DataType::Bcd16]) {
        let Some(own) = words.get(..usize::from(data.registers())) else { continue };
        let orders = match data.bits() {
            // One byte has no order, whatever stands beside it.
            8 => &[WordOrder::Abcd][..],
            _ => WordOrder::all(data.registers()),
        };
        found.extend(orders.iter().filter_map(|order| number(data, *order, own)));
    }
    found.extend([WordOrder::Abcd, WordOrder::Badc].iter().filter_map(|order| text(*order, words)));
    for at in 0..found.len() {
        let (before, rest) = found.split_at_mut(at);
        if let Some(its) = rest.first_mut().filter(|its| its.plausible)
            && let Some(why) = doubt(before, its)
        {
            (its.plausible, its.why) = (false, why);
        }
    }
    found
}

/// Why what looks plausible by its size is not worth a mark: too many marks are none.
fn doubt(before: &[Interpretation], its: &Interpretation) -> Option<&'static str> {
    let is_same = |other: &Interpretation| {
        other.plausible
            && other.data.registers() == its.data.registers()
            && other.value.to_string() == its.value.to_string()
    };
    if before.iter().any(is_same) {
        return Some("the same value as above");
    }
    let is_plain = matches!(its.order, WordOrder::Abcd);
    match its.data.bits() {
        // Makers swap words, and bytes where they swap words too.
        16 if its.data.registers() == 1 && !is_plain => Some("swapped bytes of one register: rare"),
        24 if !is_plain => Some("24 bits out of order: rare"),
        _ => None,
    }
}

fn number(data: DataType, order: WordOrder, words: &[u16]) -> Option<Interpretation> {
    let value = decode_registers(data, order, words).ok()?;
    let (plausible, why) = if words.iter().all(|word| *word == 0) {
        (false, "zero, whatever the type")
    } else if words.iter().all(|word| *word == u16::MAX) {
        (false, "all bits are set, which usually means no value")
    } else {
        match &value {
            Value::Int(int) => integer(data, int.unsigned_abs()),
            Value::Unsigned(unsigned) => integer(data, *unsigned),
            Value::Float32(float) => is_float(f64::from(*float)),
            Value::Float64(float) => is_float(*float),
            Value::Bool(_) | Value::Text(_) => return None,
        }
    };
    Some(Interpretation { data, order, value, plausible, why })
}

fn integer(data: DataType, distance: u64) -> (bool, &'static str) {
    let max = match data.bits() {
        8 => BYTE_MAX,
        16 => WORD_MAX,
        _ => INTEGER_MAX,
    };
    let is_decimal = matches!(data, DataType::Bcd4 | DataType::Bcd8 | DataType::Bcd16);
    if is_decimal && distance <= INTEGER_MAX {
        (true, "every digit is decimal")
    } else if distance <= max {
        (true, "a small integer")
    } else {
        (false, "a large integer")
    }
}

fn is_float(float: f64) -> (bool, &'static str) {
    let distance = float.abs();
    if !float.is_finite() {
        (false, "not a finite number")
    } else if distance == 0.0 {
        (false, "zero with other bits set")
    } else if (FLOAT_MIN..=FLOAT_MAX).contains(&distance) {
        (true, "a float of a usual size")
    } else {
        (false, "a float of an unusual size")
    }
}

fn text(order: WordOrder, words: &[u16]) -> Option<Interpretation> {
    let registers = u16::try_from(words.len()).ok().filter(|registers| *registers > 0)?;
    let data = DataType::Text { registers, charset: Charset::Utf8, padding: Padding::Both };
    let value = decode_registers(data, order, words).ok()?;
    let Value::Text(text) = &value else { return None };
    let (plausible, why) = if text.is_empty() {
        (false, "empty")
    } else if text.chars().any(char::is_control) {
        (false, "has characters that cannot be printed")
    } else if text.chars().any(char::is_alphanumeric) {
        (true, "printable text")
    } else {
        (false, "printable, but neither letters nor digits")
    };
    Some(Interpretation { data, order, value, plausible, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_type(words: &[u16], data: DataType) -> Vec<(&'static str, String, bool)> {
        let of_type = |found: &Interpretation| found.data == data;
        interpret(words)
            .into_iter()
            .filter(of_type)
            .map(|found| {
                let letters = found.order.letters(data.registers());
                (letters, found.value.to_string(), found.plausible)
            })
            .collect()
    }

    #[test]
    fn a_float_is_plausible_in_the_one_order_that_it_was_sent_in() {
        let orders = ["ABCD", "CDAB", "BADC", "DCBA"];
        for (sent, words) in [
            ("ABCD", [0x47F1, 0x2000]),
            ("CDAB", [0x2000, 0x47F1]),
            ("BADC", [0xF147, 0x0020]),
            ("DCBA", [0x0020, 0xF147]),
        ] {
            let found = as_type(&words, DataType::F32);
            assert_eq!(found.iter().map(|found| found.0).collect::<Vec<_>>(), orders);
            let plausible: Vec<_> =
                found.into_iter().filter(|(_, _, plausible)| *plausible).collect();
            assert_eq!(plausible, [(sent, "123456".to_owned(), true)]);
        }
    }

    #[test]
    fn every_type_that_the_words_are_enough_for_is_there_in_every_order() {
        for (count, numbers) in [(0, 0), (1, 14), (2, 14 + 7 * 4), (4, 14 + 7 * 4 + 4 * 8)] {
            let words: Vec<u16> = vec![0x0101; count];
            let found = interpret(&words);
            let text = found.iter().filter(|f| matches!(f.data, DataType::Text { .. })).count();
            assert_eq!(text, if count == 0 { 0 } else { 2 });
            assert_eq!(found.len() - text, numbers, "{count}");
        }
    }

    #[test]
    fn one_value_is_marked_once_and_an_order_that_nobody_uses_is_not() {
        let marked: Vec<(DataType, &str, String)> = interpret(&[0x00CA])
            .into_iter()
            .filter(|found| found.plausible)
            .map(|found| (found.data, found.order.letters(1), found.value.to_string()))
            .collect();
        let (u16, i8) = (DataType::U16, DataType::I8(Byte::Low));
        let high = DataType::U8(Byte::High);
        let row = |data, order, value: &str| (data, order, value.to_owned());
        assert_eq!(marked, [row(u16, "AB", "202"), row(high, "AB", "0"), row(i8, "AB", "-54")]);
    }

    #[test]
    fn what_devices_show_is_told_from_what_only_bits_can_be() {
        let one = |words: &[u16], data| {
            let found = as_type(words, data).into_iter().next();
            found.map(|(_, value, plausible)| (value, plausible))
        };
        let row = |value: &str, plausible| Some((value.to_owned(), plausible));
        for (words, data, expected) in [
            (&[2302][..], DataType::U16, row("2302", true)),
            (&[0xFFF6], DataType::U16, row("65526", false)),
            (&[0xFFF6], DataType::I16, row("-10", true)),
            (&[0xFFFF], DataType::I16, row("-1", false)),
            (&[0x2302], DataType::Bcd4, row("2302", true)),
            (&[0x23A2], DataType::Bcd4, None),
            (&[0x5640], DataType::F16, row("100", true)),
            (&[0x7C00], DataType::F16, row("inf", false)),
            (&[0, 0], DataType::F32, row("0", false)),
            (&[0x47F1, 0x2000], DataType::U32, row("1206984704", false)),
            (&[0x0001, 0xE240], DataType::U32, row("123456", true)),
            (&[0x40FE, 0x2400, 0, 0], DataType::F64, row("123456", true)),
            (&[0x4655], DataType::text(1), row("FU", true)),
            (&[0x0102], DataType::text(1), row("\u{1}\u{2}", false)),
            (&[0xFF41], DataType::text(1), None),
        ] {
            assert_eq!(one(words, data), expected, "{words:x?} {data}");
        }
    }
}
