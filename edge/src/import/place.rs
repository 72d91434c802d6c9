//! Addresses, types and orders as other tools write them.

use fieldgate_modbus::register::{Address, Table};
use fieldgate_rules::signal::WordOrder;

/// A type in a profile's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A coil, a discrete input, or one bit of a register.
    Bit,
    /// A number, by its word and its registers.
    Number(&'static str, u16),
    /// Text; how long, it does not say.
    Text,
}

/// The type that a tool calls so; sizes that are missing are of 16 bits, as those tools have it.
pub(super) fn kind(word: &str) -> Option<Kind> {
    let word = word.trim().to_ascii_lowercase().replace([' ', '-', '.'], "_");
    let word = word.trim_end_matches("_ieee").trim_end_matches("_be");
    Some(match word {
        "bit" | "bool" | "boolean" | "bool1" | "coil" | "discrete" | "binary" => Kind::Bit,
        "u16" | "uint16" | "uint" | "unsigned" | "ushort" | "word" | "unsigned16" | "ufixed16"
        | "enum16" | "bitfield16" | "unsigned_int" | "u_short" | "uint16be" | "u_word" => {
            Kind::Number("u16", 1)
        }
        "i16" | "int16" | "int" | "signed" | "short" | "s16" | "sint16" | "integer" | "fixed16"
        | "signed16" | "int16be" | "s_word" => Kind::Number("i16", 1),
        "u32" | "uint32" | "dword" | "ulong" | "unsigned32" | "udint" | "uint32be" | "enum32"
        | "u_dword" | "bitfield32" => Kind::Number("u32", 2),
        "i32" | "int32" | "long" | "s32" | "sint32" | "dint" | "signed32" | "int32be"
        | "s_dword" => Kind::Number("i32", 2),
        "u64" | "uint64" | "qword" | "ulint" | "unsigned64" | "u_qword" => Kind::Number("u64", 4),
        "i64" | "int64" | "s64" | "sint64" | "lint" | "signed64" | "s_qword" => {
            Kind::Number("i64", 4)
        }
        "f16" | "float16" | "half" => Kind::Number("f16", 1),
        "f32" | "float32" | "float" | "real" | "single" | "fp32" | "floatbe" => {
            Kind::Number("f32", 2)
        }
        "f64" | "float64" | "double" | "lreal" | "fp64" => Kind::Number("f64", 4),
        "string" | "str" | "text" | "ascii" | "char" => Kind::Text,
        _ => return None,
    })
}

/// The table that a tool calls so, function codes included.
pub(super) fn table(word: &str) -> Option<Table> {
    let word = word.trim().to_ascii_lowercase().replace([' ', '-'], "_");
    Some(match word.as_str() {
        "coil" | "coils" | "co" | "0x" | "0" | "fc1" | "fc01" | "01" | "1" | "do" => Table::Coil,
        "discrete_input" | "discrete_inputs" | "discrete" | "di" | "1x" | "fc2" | "fc02" | "02"
        | "2" => Table::DiscreteInput,
        "holding" | "holding_register" | "holding_registers" | "hr" | "4x" | "fc3" | "fc03"
        | "03" | "3" | "ao" => Table::HoldingRegister,
        "input" | "input_register" | "input_registers" | "ir" | "3x" | "fc4" | "fc04" | "04"
        | "4" | "ai" => Table::InputRegister,
        _ => return None,
    })
}

/// The order that a tool calls so: ABCD and its kin, one register's `AB`, words, mbpoll's and
/// modpoll's `BE_LE`.
pub(super) fn order(word: &str) -> Option<WordOrder> {
    let word = word.trim().to_ascii_uppercase().replace([' ', '-'], "_");
    Some(match word.as_str() {
        "ABCD" | "AB" | "ABCDEFGH" | "BIG" | "BE" | "BE_BE" | "BIG_ENDIAN" | "NONE" | "NO" => {
            WordOrder::Abcd
        }
        "CDAB" | "GHEFCDAB" | "BE_LE" | "WORD" | "WORDS" | "MID_LITTLE" | "WORD_SWAP" => {
            WordOrder::Cdab
        }
        "BADC" | "BADCFEHG" | "LE_BE" | "BYTE" | "BYTES" | "MID_BIG" | "BYTE_SWAP" => {
            WordOrder::Badc
        }
        "DCBA" | "BA" | "HGFEDCBA" | "LITTLE" | "LE" | "LE_LE" | "LITTLE_ENDIAN" | "WORD_BYTE"
        | "BOTH" => WordOrder::Dcba,
        letters => return WordOrder::from_letters(letters),
    })
}

/// What a bare number means where nothing else says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bare {
    /// The table that is named beside the number.
    pub(super) table: Option<Table>,
    /// Whether numbers count from 1.
    pub(super) one_based: bool,
}

/// An address: of our own notations, or a bare number of the table that is named beside it.
///
/// Where a table is named, `40001` of the holding registers is Modicon's notation and so is `30001`
/// of the input registers; any other number is meant as it stands. `0x0034` is a number in
/// hexadecimal here, never Modicon's notation of a coil: makers' tables are full of the former.
pub(super) fn address(text: &str, bare: Bare) -> Result<Address, String> {
    let text = text.trim();
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let number = match hex {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse::<u32>().ok(),
    };
    let ours = match hex {
        Some(_) => Err(format!("address `{text}` names no table")),
        None => text.parse::<Address>().map_err(|error| format!("{error}; {}", error.hint())),
    };
    match (ours, bare.table, number) {
        (Ok(address), None, _) => Ok(address),
        (Ok(address), Some(table), _) if address.table == table => Ok(address),
        (_, Some(table), Some(number)) => {
            let offset = if bare.one_based { number.checked_sub(1) } else { Some(number) };
            let offset = offset.and_then(|offset| u16::try_from(offset).ok());
            let offset = offset.ok_or_else(|| format!("there is no address `{text}`"))?;
            Ok(Address { table, offset })
        }
        (Ok(_), Some(_), None) => Err(format!("address `{text}` is in another table than named")),
        (Err(why), _, _) => Err(why),
    }
}

/// The unit, in the signs that profiles use.
pub(super) fn unit(unit: &str) -> String {
    match unit.trim() {
        "C" | "degC" | "deg C" | "Deg C" | "celsius" => "°C",
        "Pct" | "pct" | "percent" => "%",
        "VAr" | "VAR" => "var",
        "VArh" | "VARh" => "varh",
        "kVAr" | "kVAR" => "kvar",
        "-" | "none" | "None" => "",
        other => other,
    }
    .to_owned()
}
