//! The signals of a resource in one payload.

use std::collections::BTreeMap;

use fieldgate_model::{Cause, Value};

use super::node::{Node, PAYLOAD_MAX};
use super::senml::{self, Record, SenmlError, Time};
use super::value::{of_node, of_text};
use super::{Field, Format, Pick, Resource, cbor, json};
use crate::decode::{decode_registers, within};
use crate::profile::Profile;
use crate::signal::{DataType, SignalSpec, WordOrder};

/// What a payload says of one signal, at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Place of the signal in its profile.
    pub signal: usize,
    /// When it was taken, where the payload says so.
    pub time: Option<Time>,
    /// Its value as it travels.
    pub value: Result<Value, Unread>,
}

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// As a quality knows it.
    pub cause: Cause,
    /// For people.
    pub why: String,
}

impl Unread {
    pub(super) fn new(cause: Cause, why: impl Into<String>) -> Self {
        Self { cause, why: why.into() }
    }
}

/// A payload in its format, taken apart.
enum Content {
    Text,
    Document(Node),
    Pack(Vec<Record>),
    Bytes,
}

/// The signals of a resource in a payload that says `code` of its format, if it says anything.
///
/// Every signal of the resource has a reading, but for one whose record is not in a pack: a device
/// may report a part of what it has, in one pack the values of many times, and silence about one of
/// them is no fault. A pack without any known record is one.
pub fn read(
    profile: &Profile,
    resource: &Resource,
    code: Option<u16>,
    payload: &[u8],
) -> Vec<Reading> {
    let refused = |unread: Unread| {
        let signals = resource.picks.iter().map(|picked| picked.signal);
        signals
            .map(|signal| Reading { signal, time: None, value: Err(unread.clone()) })
            .collect::<Vec<_>>()
    };
    let content = match open(resource.format, code, payload) {
        Ok(content) => content,
        Err(unread) => return refused(unread),
    };
    let mut readings = match &content {
        Content::Pack(records) => from_pack(profile, resource, records),
        Content::Text | Content::Document(_) | Content::Bytes => {
            let one = |(signal, spec, pick): (usize, &SignalSpec, &Pick)| Reading {
                signal,
                time: None,
                value: one(spec, pick, &content, payload),
            };
            specs(profile, resource).map(one).collect()
        }
    };
    if readings.is_empty() {
        let why = format!("none of its {} records is a signal of the profile", records(&content));
        readings = refused(Unread::new(Cause::Malformed, why));
    }
    readings
}

fn records(content: &Content) -> usize {
    match content {
        Content::Pack(records) => records.len(),
        Content::Text | Content::Document(_) | Content::Bytes => 0,
    }
}

fn specs<'a>(
    profile: &'a Profile,
    resource: &'a Resource,
) -> impl Iterator<Item = (usize, &'a SignalSpec, &'a Pick)> {
    let picks = resource.picks.iter();
    picks.filter_map(|its| Some((its.signal, profile.signals.get(its.signal)?, &its.pick)))
}

fn open(format: Format, code: Option<u16>, payload: &[u8]) -> Result<Content, Unread> {
    if payload.len() > PAYLOAD_MAX {
        let why = format!("a payload of {} bytes, more than {PAYLOAD_MAX}", payload.len());
        return Err(Unread::new(Cause::Malformed, why));
    }
    let Some(format) = format.told(code) else {
        let code = code.unwrap_or_default();
        let why = format!("the content format {code}, where {} is {format}", format.code());
        return Err(Unread::new(Cause::Malformed, why));
    };
    let broken = |error: &dyn std::error::Error| Unread::new(Cause::Malformed, error.to_string());
    match format {
        Format::Text => Ok(Content::Text),
        Format::Octets => Ok(Content::Bytes),
        Format::Json => json::parse(payload).map(Content::Document).map_err(|error| broken(&error)),
        Format::Cbor => cbor::parse(payload).map(Content::Document).map_err(|error| broken(&error)),
        Format::SenmlJson => pack(senml::from_json(payload)),
        Format::SenmlCbor => pack(senml::from_cbor(payload)),
    }
}

fn pack(records: Result<Vec<Record>, SenmlError>) -> Result<Content, Unread> {
    records.map(Content::Pack).map_err(|error| Unread::new(Cause::Malformed, error.to_string()))
}

fn one(spec: &SignalSpec, pick: &Pick, content: &Content, bytes: &[u8]) -> Result<Value, Unread> {
    let value = match (content, pick) {
        (Content::Text, _) => of_text(bytes, spec.kind()),
        (Content::Document(document), Pick::At(pointer)) => match pointer.find(document) {
            Some(node) => of_node(node, spec.kind()),
            None => Err(Unread::new(Cause::Malformed, format!("nothing is at {pointer}"))),
        },
        (Content::Document(document), _) => of_node(document, spec.kind()),
        (Content::Bytes, Pick::Bytes { offset, data, order }) => {
            from_bytes(bytes, *offset, *data, *order)
        }
        (Content::Bytes | Content::Pack(_), _) => {
            Err(Unread::new(Cause::ConfigError, "the profile does not say where it lies"))
        }
    }?;
    inside(spec, value)
}

fn inside(spec: &SignalSpec, value: Value) -> Result<Value, Unread> {
    let shown = value.to_string();
    within(spec, value)
        .map_err(|cause| Unread::new(cause, format!("{shown} is outside of the limits")))
}

/// The bytes that a type takes outside of registers: a half of a register is one byte.
pub(super) const fn width(data: DataType) -> usize {
    match data {
        DataType::U8(_) | DataType::I8(_) => 1,
        DataType::U16
        | DataType::I16
        | DataType::U24
        | DataType::I24
        | DataType::U32
        | DataType::I32
        | DataType::U64
        | DataType::I64
        | DataType::F16
        | DataType::F32
        | DataType::F64
        | DataType::Bcd4
        | DataType::Bcd8
        | DataType::Bcd16
        | DataType::SignMagnitude16
        | DataType::SignMagnitude32
        | DataType::Text { .. } => 2 * data.registers() as usize,
    }
}

fn from_bytes(
    bytes: &[u8],
    offset: usize,
    data: DataType,
    order: WordOrder,
) -> Result<Value, Unread> {
    let width = width(data);
    let end = offset.saturating_add(width);
    let Some(own) = bytes.get(offset..end) else {
        let why = format!("{data} at byte {offset} ends at {end}, and there are {}", bytes.len());
        return Err(Unread::new(Cause::Malformed, why));
    };
    let words: Vec<u16> = match own {
        [byte] => vec![u16::from(*byte)],
        pairs => pairs
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |word, b| word << 8 | u16::from(*b)))
            .collect(),
    };
    decode_registers(data, order, &words)
        .map_err(|cause| Unread::new(cause, format!("its bytes are no {data}")))
}

fn from_pack(profile: &Profile, resource: &Resource, records: &[Record]) -> Vec<Reading> {
    let mut picks_by_name: BTreeMap<&str, Vec<(usize, &SignalSpec, Field)>> = BTreeMap::new();
    for (signal, spec, pick) in specs(profile, resource) {
        if let Pick::Record { name, field } = pick {
            picks_by_name.entry(name).or_default().push((signal, spec, *field));
        }
    }
    let mut readings = Vec::new();
    for record in records {
        let Some(picks) = names(&record.name).find_map(|name| picks_by_name.get(name)) else {
            continue;
        };
        for (signal, spec, field) in picks {
            let node = match field {
                Field::Value => &record.value,
                Field::Sum => &record.sum,
            };
            let Some(node) = node else { continue };
            let value = of_node(node, spec.kind()).and_then(|value| inside(spec, value));
            readings.push(Reading { signal: *signal, time: Some(record.time), value });
        }
    }
    readings
}

/// The name, and what of it stands behind each `:` and `/`, the longest first.
fn names(name: &str) -> impl Iterator<Item = &str> {
    let inner = name.match_indices([':', '/']).filter_map(|(at, _)| name.get(at + 1..));
    std::iter::once(name).chain(inner)
}
