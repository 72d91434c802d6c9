//! Checksums, half-precision floats and hex.

use std::rc::Rc;

use mlua::{Lua, LuaString, Table};

use super::{Problem, told};
use crate::meter::Meter;

/// Longest text in hex that is made or read; a log line is what it is for.
const HEX_BYTES_MAX: usize = 4096;

pub(super) fn add(lua: &Lua, meter: &Rc<Meter>, natives: &Table) -> mlua::Result<()> {
    let half = lua.create_function(|_, bits: u16| Ok(half_float(bits)))?;
    natives.raw_set("half_float", half)?;
    let sum = |name: &str, sum: fn(&[u8]) -> u32| {
        let meter = Rc::clone(meter);
        let function = lua.create_function(move |lua, bytes: LuaString| {
            // A checksum by bits takes some eight times as long as a walk.
            meter.spend_on_bytes(lua, 8 * bytes.as_bytes().len())?;
            Ok(sum(&bytes.as_bytes()))
        })?;
        natives.raw_set(name, function)
    };
    sum("crc16_modbus", |bytes| u32::from(crc16_modbus(bytes)))?;
    sum("crc32", crc32)?;
    let counted = Rc::clone(meter);
    let hex = lua.create_function(move |lua, bytes: LuaString| {
        let bytes = bytes.as_bytes();
        counted.spend_on_bytes(lua, bytes.len())?;
        let halves = bytes.iter().take(HEX_BYTES_MAX).flat_map(|byte| [byte >> 4, byte & 0xF]);
        let digits = halves.filter_map(|half| char::from_digit(u32::from(half), 16));
        Ok(digits.map(|digit| digit.to_ascii_uppercase()).collect::<String>())
    })?;
    natives.raw_set("hex", hex)?;
    let counted = Rc::clone(meter);
    let from_hex = lua.create_function(move |lua, text: LuaString| {
        let text = text.as_bytes();
        counted.spend_on_bytes(lua, text.len())?;
        let found = from_hex(&text).map(|bytes| lua.create_string(bytes)).transpose()?;
        let wrong = || Problem::Given("bytes: the text is not pairs of hex digits".to_owned());
        told(lua, &counted, found.ok_or_else(wrong))
    })?;
    natives.raw_set("from_hex", from_hex)
}

/// CRC-16 of Modbus RTU (polynomial 0x8005, reflected, from 0xFFFF).
fn crc16_modbus(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc: u16, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte),
            |crc, _| {
                if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 }
            },
        )
    })
}

/// CRC-32 of Ethernet and zip (polynomial 0x04C11DB7, reflected, from and against all ones).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 }
        })
    })
}

/// IEEE 754 binary16.
pub(super) fn half_float(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (bits >> 10 & 0x1F, f64::from(bits & 0x3FF));
    match exponent {
        0 => sign * fraction * f64::powi(2.0, -24),
        0x1F if fraction == 0.0 => sign * f64::INFINITY,
        0x1F => f64::NAN,
        exponent => sign * (1024.0 + fraction) * f64::powi(2.0, i32::from(exponent) - 25),
    }
}

/// Bytes of pairs of digits, blanks between pairs allowed.
fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() > 3 * HEX_BYTES_MAX {
        return None;
    }
    let digits: Option<Vec<u32>> = text
        .iter()
        .filter(|byte| **byte != b' ')
        .map(|byte| char::from(*byte).to_digit(16))
        .collect();
    let pairs = digits?;
    let (pairs, rest) = pairs.as_chunks::<2>();
    let byte = |[high, low]: &[u32; 2]| u8::try_from(high << 4 | low).ok();
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}
