//! What people write of raw registers: lists of units, tables with types, timeouts; mbpoll's forms
//! and ours.

use std::str::FromStr;

use fieldgate_modbus::register::{Address, Table};
use fieldgate_model::{Millis, Value};
use fieldgate_rules::decode::decode_registers;
use fieldgate_rules::signal::{DataType, WordOrder};

use crate::config::parse_duration;

/// Longest timeout that makes sense for one answer; mbpoll's limit too.
const TIMEOUT_MAX_MS: f64 = 10_000.0;

/// Unit ids as a list of numbers and ranges: `1,2,5:9`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnitList(Vec<u8>);

impl UnitList {
    /// In the order in which they were written, each once.
    pub(super) fn units(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for UnitList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut units = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once([':', '-']).unwrap_or((part, part));
            let unit = |text: &str| text.trim().parse::<u8>();
            let wrong = |_| format!("`{part}` is no unit id; write `1`, or `1,2,5:9`");
            let (first, last) = (unit(first).map_err(wrong)?, unit(last).map_err(wrong)?);
            if last < first {
                return Err(format!("`{part}` ends before it starts"));
            }
            for unit in first..=last {
                if !units.contains(&unit) {
                    units.push(unit);
                }
            }
        }
        Ok(Self(units))
    }
}

/// A table and how its items are to be read: `4:float`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawType {
    /// The table.
    pub(super) table: Table,
    /// How its registers are read.
    pub(super) form: Form,
}

/// How registers are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As words, signed too.
    Words,
    /// As words in hex.
    Hex,
    /// All of them as one text.
    Text,
    /// As numbers of one or more registers.
    Number(DataType),
}

impl Form {
    /// Registers of one value.
    pub(super) const fn registers(self) -> u16 {
        match self {
            Self::Words | Self::Hex | Self::Text => 1,
            Self::Number(data) => data.registers(),
        }
    }
}

impl FromStr for RawType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (table, form) = match text.split_once(':') {
            Some((table, form)) => (table, Some(form)),
            None => (text, None),
        };
        let table = match table {
            "0" | "co" => Table::Coil,
            "1" | "di" => Table::DiscreteInput,
            "3" | "ir" => Table::InputRegister,
            "4" | "hr" => Table::HoldingRegister,
            _ => {
                return Err(format!("`{table}` is no table; write `0`, `1`, `3` or `4`"));
            }
        };
        let form = match form {
            None => Form::Words,
            Some(_) if table.is_bits() => return Err("a table of bits has no type".to_owned()),
            Some("hex") => Form::Hex,
            Some("string" | "text") => Form::Text,
            Some("int16" | "i16") => Form::Number(DataType::I16),
            Some("u16" | "uint16") => Form::Number(DataType::U16),
            Some("int" | "int32" | "i32") => Form::Number(DataType::I32),
            Some("u32" | "uint32") => Form::Number(DataType::U32),
            Some("int64" | "i64") => Form::Number(DataType::I64),
            Some("u64" | "uint64") => Form::Number(DataType::U64),
            Some("float" | "float32" | "f32") => Form::Number(DataType::F32),
            Some("double" | "float64" | "f64") => Form::Number(DataType::F64),
            Some(form) => {
                return Err(format!(
                    "`{form}` is no type; write `int16`, `int`, `float`, `hex`, `string`, or `u32` \
                     and the like"
                ));
            }
        };
        Ok(Self { table, form })
    }
}

/// A timeout: seconds as mbpoll has them, or with a unit.
pub(super) fn parse_timeout(text: &str) -> Result<Millis, String> {
    let Ok(seconds) = text.parse::<f64>() else {
        return parse_duration(text).map_err(|error| format!("{error}; {}", error.hint()));
    };
    let millis = (seconds * 1000.0).round();
    if !(1.0..=TIMEOUT_MAX_MS).contains(&millis) {
        return Err("a timeout lies between 0.001 and 10 seconds".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 10,000")]
    let millis = millis as u64;
    Ok(Millis(millis))
}

/// One row of a raw reading: where it is, its words, and what they mean.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RawRow {
    /// Where it starts.
    pub(super) address: Address,
    /// Its registers; none of a bit.
    pub(super) words: Vec<u16>,
    /// What is shown for it.
    pub(super) value: Value,
}

/// The rows of some registers, as many for each as its form takes; what is left over stays words.
pub(super) fn rows(start: Address, words: &[u16], form: Form, order: WordOrder) -> Vec<RawRow> {
    let each = match form {
        Form::Text => words.len().max(1),
        Form::Words | Form::Hex | Form::Number(_) => usize::from(form.registers()),
    };
    let row = |(place, words): (usize, &[u16])| {
        let offset = u16::try_from(place * each).unwrap_or(u16::MAX);
        let address = Address { offset: start.offset.saturating_add(offset), ..start };
        RawRow { address, words: words.to_vec(), value: value(words, form, order) }
    };
    words.chunks(each).enumerate().map(row).collect()
}

fn value(words: &[u16], form: Form, order: WordOrder) -> Value {
    let hex = || {
        let words: Vec<String> = words.iter().map(|word| format!("0x{word:04X}")).collect();
        Value::Text(words.join(" "))
    };
    match form {
        Form::Hex => hex(),
        Form::Words => Value::Unsigned(words.first().copied().unwrap_or_default().into()),
        Form::Number(data) => decode_registers(data, order, words).unwrap_or_else(|_| hex()),
        Form::Text => {
            let bytes = words.iter().flat_map(|word| word.to_be_bytes());
            let shown = bytes.take_while(|byte| *byte != 0).map(|byte| match byte {
                0x20..=0x7E => char::from(byte),
                _ => '.',
            });
            Value::Text(shown.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_listed_as_mbpoll_lists_them() {
        for (text, expected) in [
            ("1", Ok(vec![1])),
            ("1,2,5:9", Ok(vec![1, 2, 5, 6, 7, 8, 9])),
            ("3-4,3", Ok(vec![3, 4])),
            ("256", Err("`256` is no unit id; write `1`, or `1,2,5:9`")),
            ("", Err("`` is no unit id; write `1`, or `1,2,5:9`")),
            ("9:5", Err("`9:5` ends before it starts")),
        ] {
            let parsed = text.parse::<UnitList>().map(|list| list.0);
            assert_eq!(parsed, expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_type_names_table_and_form() {
        for (text, table, form) in [
            ("4", Table::HoldingRegister, Form::Words),
            ("4:float", Table::HoldingRegister, Form::Number(DataType::F32)),
            ("3:hex", Table::InputRegister, Form::Hex),
            ("3:int", Table::InputRegister, Form::Number(DataType::I32)),
            ("0", Table::Coil, Form::Words),
        ] {
            assert_eq!(text.parse(), Ok(RawType { table, form }), "{text}");
        }
        for wrong in ["2", "0:float", "4:complex", ""] {
            assert!(wrong.parse::<RawType>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_timeout_without_a_unit_is_in_seconds() {
        assert_eq!(parse_timeout("0.5"), Ok(Millis(500)));
        assert_eq!(parse_timeout("300 ms"), Ok(Millis(300)));
        for wrong in ["0", "-1", "nan", "11", "soon"] {
            assert!(parse_timeout(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn registers_are_grouped_by_what_a_value_takes() {
        let start = Address { table: Table::HoldingRegister, offset: 10 };
        let float = Form::Number(DataType::F32);
        let found = rows(start, &[0x4366, 0x3333, 7], float, WordOrder::Abcd);
        assert_eq!(found[0].value, Value::Float32(230.2));
        assert_eq!((found[1].address.offset, &found[1].words[..]), (12, &[7][..]));
        assert_eq!(found[1].value, Value::Text("0x0007".to_owned()));
        let text = rows(start, &[0x4142, 0x0143, 0], Form::Text, WordOrder::Abcd);
        assert_eq!(text[0].value, Value::Text("AB.C".to_owned()));
    }
}
