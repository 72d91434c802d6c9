//! The payload of a write.

use fieldgate_model::Value;

use super::read::width;
use super::{Field, Format, Pick};
use crate::encode::{EncodeError, encode_registers, raw_for};
use crate::signal::SignalSpec;

/// The payload that brings an engineering value to where a signal lies, checked against limits and
/// kind. A device takes the one value that is in it and leaves the rest as it is.
pub fn compose(
    spec: &SignalSpec,
    format: Format,
    pick: &Pick,
    engineering: &Value,
) -> Result<Vec<u8>, EncodeError> {
    let raw = raw_for(spec, engineering)?;
    match (format, pick) {
        (Format::Text, _) => Ok(text(&raw).into_bytes()),
        (Format::Json, Pick::At(pointer)) => {
            let inner = json(&raw);
            let nest = |inner: String, step: &String| format!("{{{}:{inner}}}", quoted(step));
            Ok(pointer.steps().iter().rev().fold(inner, nest).into_bytes())
        }
        (Format::Json, _) => Ok(json(&raw).into_bytes()),
        (Format::Cbor, Pick::At(pointer)) => {
            let mut bytes = Vec::new();
            for step in pointer.steps() {
                map(&mut bytes, 1);
                key(&mut bytes, step);
            }
            cbor(&mut bytes, &raw);
            Ok(bytes)
        }
        (Format::Cbor, _) => {
            let mut bytes = Vec::new();
            cbor(&mut bytes, &raw);
            Ok(bytes)
        }
        (Format::SenmlJson, Pick::Record { name, field: Field::Value }) => {
            let (label, value) = (senml_label(&raw), json(&raw));
            Ok(format!("[{{\"n\":{},\"{label}\":{value}}}]", quoted(name)).into_bytes())
        }
        (Format::SenmlCbor, Pick::Record { name, field: Field::Value }) => {
            let mut bytes = vec![0x81];
            map(&mut bytes, 2);
            int(&mut bytes, 0);
            cbor_text(&mut bytes, name);
            int(&mut bytes, senml_number(&raw));
            cbor(&mut bytes, &raw);
            Ok(bytes)
        }
        (Format::Octets, Pick::Bytes { offset: 0, data, order }) => {
            let words = encode_registers(*data, *order, &raw)?;
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            Ok(bytes.get(bytes.len() - width(*data)..).unwrap_or_default().to_vec())
        }
        (Format::SenmlJson | Format::SenmlCbor | Format::Octets, _) => Err(EncodeError::NoTarget),
    }
}

/// Whether a device that shows this raw value has taken the engineering one, within the profile's
/// tolerance.
pub fn took(spec: &SignalSpec, shown: &Value, engineering: &Value) -> bool {
    let Ok(wanted) = raw_for(spec, engineering) else { return false };
    let tolerance = spec.writable.map_or(0.0, |rule| rule.tolerance);
    let numbers = spec.number(shown).zip(spec.number(&wanted));
    let is_near = numbers.is_some_and(|(one, other)| (one - other).abs() <= tolerance);
    *shown == wanted || (tolerance > 0.0 && is_near)
}

pub(super) fn text(raw: &Value) -> String {
    match raw {
        Value::Bool(on) => u8::from(*on).to_string(),
        Value::Int(_)
        | Value::Unsigned(_)
        | Value::Float32(_)
        | Value::Float64(_)
        | Value::Text(_) => raw.to_string(),
    }
}

/// Numbers as their shortest decimal.
pub(super) fn json(raw: &Value) -> String {
    match raw {
        Value::Text(text) => quoted(text),
        Value::Bool(_)
        | Value::Int(_)
        | Value::Unsigned(_)
        | Value::Float32(_)
        | Value::Float64(_) => raw.to_string(),
    }
}

pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

pub(super) const fn senml_label(raw: &Value) -> &'static str {
    match raw {
        Value::Text(_) => "vs",
        Value::Bool(_) => "vb",
        Value::Int(_) | Value::Unsigned(_) | Value::Float32(_) | Value::Float64(_) => "v",
    }
}

/// The same label in CBOR (RFC 8428, table 4).
pub(super) const fn senml_number(raw: &Value) -> i128 {
    match raw {
        Value::Text(_) => 3,
        Value::Bool(_) => 4,
        Value::Int(_) | Value::Unsigned(_) | Value::Float32(_) | Value::Float64(_) => 2,
    }
}

/// A key that reads as a whole number is one, as it is in a pointer.
pub(super) fn key(bytes: &mut Vec<u8>, step: &str) {
    match step.parse::<i64>() {
        Ok(number) if number.to_string() == step => int(bytes, number.into()),
        Ok(_) | Err(_) => cbor_text(bytes, step),
    }
}

pub(super) fn cbor(bytes: &mut Vec<u8>, raw: &Value) {
    match raw {
        Value::Bool(on) => bytes.push(if *on { 0xF5 } else { 0xF4 }),
        Value::Int(number) => int(bytes, (*number).into()),
        Value::Unsigned(number) => int(bytes, (*number).into()),
        Value::Float32(float) => {
            bytes.push(0xFA);
            bytes.extend(float.to_be_bytes());
        }
        Value::Float64(float) => {
            bytes.push(0xFB);
            bytes.extend(float.to_be_bytes());
        }
        Value::Text(text) => cbor_text(bytes, text),
    }
}

fn cbor_text(bytes: &mut Vec<u8>, text: &str) {
    head(bytes, 3, text.len() as u64);
    bytes.extend(text.as_bytes());
}

fn map(bytes: &mut Vec<u8>, entries: u64) {
    head(bytes, 5, entries);
}

pub(super) fn int(bytes: &mut Vec<u8>, number: i128) {
    let (major, argument) = if number < 0 { (1, -1 - number) } else { (0, number) };
    head(bytes, major, u64::try_from(argument).unwrap_or(u64::MAX));
}

/// The head of a data item (RFC 8949, section 3) in its shortest form.
pub(super) fn head(bytes: &mut Vec<u8>, major: u8, argument: u64) {
    let all = argument.to_be_bytes();
    let (short, width) = match argument {
        0..=23 => (all[7], 0),
        24..=0xFF => (24, 1),
        0x100..=0xFFFF => (25, 2),
        0x1_0000..=0xFFFF_FFFF => (26, 4),
        _ => (27, 8),
    };
    bytes.push(major << 5 | short);
    bytes.extend(&all[8 - width..]);
}
