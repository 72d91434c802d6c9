//! The payload that a device of a profile would show: what a simulator answers with.

use fieldgate_model::Value;

use super::compose::{cbor, head, int, json, quoted, senml_label, senml_number, text};
use super::node::{Key, Node};
use super::read::width;
use super::{Field, Format, Pick, Resource};
use crate::encode::encode_registers;

/// The payload of a resource whose signals have these raw values, by place of the signal in its
/// profile. What has no value is left out.
pub fn present(resource: &Resource, raw: &dyn Fn(usize) -> Option<Value>) -> Vec<u8> {
    let picked = || resource.picks.iter().filter_map(|its| Some((&its.pick, raw(its.signal)?)));
    match resource.format {
        Format::Text => picked().next().map_or_else(Vec::new, |(_, raw)| text(&raw).into_bytes()),
        Format::Json => {
            let mut bytes = String::new();
            write_json(&document(picked()), &mut bytes);
            bytes.into_bytes()
        }
        Format::Cbor => {
            let mut bytes = Vec::new();
            write_cbor(&document(picked()), &mut bytes);
            bytes
        }
        Format::SenmlJson => {
            let records: Vec<String> = picked()
                .filter_map(|(pick, raw)| {
                    let name = name(pick)?;
                    let (label, value) = (label(pick, senml_label(&raw), "s"), json(&raw));
                    Some(format!("{{\"n\":{},\"{label}\":{value}}}", quoted(name)))
                })
                .collect();
            format!("[{}]", records.join(",")).into_bytes()
        }
        Format::SenmlCbor => {
            let records: Vec<_> = picked().filter(|(pick, _)| name(pick).is_some()).collect();
            let mut bytes = Vec::new();
            head(&mut bytes, 4, records.len() as u64);
            for (pick, raw) in &records {
                head(&mut bytes, 5, 2);
                int(&mut bytes, 0);
                cbor(&mut bytes, &Value::Text(name(pick).unwrap_or_default().to_owned()));
                int(&mut bytes, label(pick, senml_number(raw), 5));
                cbor(&mut bytes, raw);
            }
            bytes
        }
        Format::Octets => octets(picked()),
    }
}

fn name(pick: &Pick) -> Option<&str> {
    match pick {
        Pick::Record { name, .. } => Some(name),
        Pick::Whole | Pick::At(_) | Pick::Bytes { .. } => None,
    }
}

fn label<T>(pick: &Pick, value: T, sum: T) -> T {
    match pick {
        Pick::Record { field: Field::Sum, .. } => sum,
        Pick::Record { field: Field::Value, .. }
        | Pick::Whole
        | Pick::At(_)
        | Pick::Bytes { .. } => value,
    }
}

/// One document with a value at each pointer; a value for all of it is all of it.
fn document<'a>(picked: impl Iterator<Item = (&'a Pick, Value)>) -> Node {
    let mut root = Node::Map(std::collections::BTreeMap::new());
    for (pick, raw) in picked {
        let node = node(&raw);
        let steps = match pick {
            Pick::At(pointer) => pointer.steps(),
            Pick::Whole | Pick::Record { .. } | Pick::Bytes { .. } => &[],
        };
        *at(&mut root, steps) = node;
    }
    root
}

/// The place of a pointer in a document, made if it is not there. Steps that are places of a list make
/// a map of numbers in CBOR and of texts in JSON, which a pointer finds as well.
fn at<'a>(root: &'a mut Node, steps: &[String]) -> &'a mut Node {
    steps.iter().fold(root, |node, step| {
        if !matches!(node, Node::Map(_)) {
            *node = Node::Map(std::collections::BTreeMap::new());
        }
        match node {
            Node::Map(map) => map.entry(Key::Text(step.clone())).or_insert(Node::Null),
            other @ (Node::Null
            | Node::Bool(_)
            | Node::Int(_)
            | Node::Float(_)
            | Node::Text(_)
            | Node::Bytes(_)
            | Node::List(_)) => other,
        }
    })
}

fn node(raw: &Value) -> Node {
    match raw {
        Value::Bool(on) => Node::Bool(*on),
        Value::Int(int) => Node::Int((*int).into()),
        Value::Unsigned(unsigned) => Node::Int((*unsigned).into()),
        Value::Float32(float) => Node::Float(float.to_string().parse().unwrap_or(0.0)),
        Value::Float64(float) => Node::Float(*float),
        Value::Text(text) => Node::Text(text.clone()),
    }
}

fn write_json(node: &Node, out: &mut String) {
    match node {
        Node::Null | Node::Bytes(_) => out.push_str("null"),
        Node::Bool(on) => out.push_str(&on.to_string()),
        Node::Int(int) => out.push_str(&int.to_string()),
        Node::Float(float) => out.push_str(&float.to_string()),
        Node::Text(text) => out.push_str(&quoted(text)),
        Node::List(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_json(item, out);
            }
            out.push(']');
        }
        Node::Map(map) => {
            out.push('{');
            for (place, (key, inner)) in map.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                out.push_str(&quoted(&key.to_string()));
                out.push(':');
                write_json(inner, out);
            }
            out.push('}');
        }
    }
}

fn write_cbor(node: &Node, out: &mut Vec<u8>) {
    match node {
        Node::Null => out.push(0xF6),
        Node::Bool(on) => cbor(out, &Value::Bool(*on)),
        Node::Int(number) => int(out, *number),
        Node::Float(float) => cbor(out, &Value::Float64(*float)),
        Node::Text(text) => cbor(out, &Value::Text(text.clone())),
        Node::Bytes(bytes) => {
            head(out, 2, bytes.len() as u64);
            out.extend(bytes);
        }
        Node::List(items) => {
            head(out, 4, items.len() as u64);
            for item in items {
                write_cbor(item, out);
            }
        }
        Node::Map(map) => {
            head(out, 5, map.len() as u64);
            for (key, inner) in map {
                match key {
                    Key::Text(text) => super::compose::key(out, text),
                    Key::Int(number) => int(out, *number),
                }
                write_cbor(inner, out);
            }
        }
    }
}

fn octets<'a>(picked: impl Iterator<Item = (&'a Pick, Value)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (pick, raw) in picked {
        let Pick::Bytes { offset, data, order } = pick else { continue };
        let Ok(words) = encode_registers(*data, *order, &raw) else { continue };
        let all: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let own = all.get(all.len() - width(*data)..).unwrap_or_default();
        let end = offset + own.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        if let Some(place) = bytes.get_mut(*offset..end) {
            place.copy_from_slice(own);
        }
    }
    bytes
}
