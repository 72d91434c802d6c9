//! What must hold for any bytes: an answer of bounded size, and never a panic.
//!
//! `tests/fuzz/` includes this file and searches for bytes that break it.

use fieldgate_rules::payload::{Node, Pointer, cbor, json, senml};

/// CBOR: a document of bounded size or an error, and every value is found by its own pointer.
pub(crate) fn any_cbor(bytes: &[u8]) {
    if let Ok(document) = cbor::parse(bytes) {
        check(&document, bytes);
    }
}

/// JSON likewise.
pub(crate) fn any_json(bytes: &[u8]) {
    if let Ok(document) = json::parse(bytes) {
        check(&document, bytes);
        find_all(&document, &document, &mut Vec::new());
    }
}

/// A pack in either has no more records than bytes, and each a name.
pub(crate) fn any_senml(bytes: &[u8]) {
    for records in [senml::from_json(bytes), senml::from_cbor(bytes)].into_iter().flatten() {
        assert!(records.len() <= bytes.len());
        assert!(records.iter().all(|record| !record.name.is_empty()));
        assert!(records.iter().all(|record| record.value.is_some() || record.sum.is_some()));
    }
}

/// Any text is a pointer that is written as it was read, or none; it finds at most what is there.
pub(crate) fn any_pointer(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let document = json::parse(br#"{"a":[1,{"b/c":2,"~":3}],"":4}"#).expect("JSON");
    if let Ok(pointer) = text.parse::<Pointer>() {
        assert_eq!(pointer.to_string(), text);
        assert!(pointer.find(&document).is_none_or(|found| nodes(found) <= nodes(&document)));
    }
}

/// A value takes at least one byte, so that no length that is only claimed is believed.
fn check(document: &Node, bytes: &[u8]) {
    assert!(nodes(document) <= bytes.len(), "{bytes:02x?}");
}

fn nodes(node: &Node) -> usize {
    1 + match node {
        Node::List(items) => items.iter().map(nodes).sum::<usize>(),
        Node::Map(map) => map.values().map(nodes).sum(),
        Node::Null
        | Node::Bool(_)
        | Node::Int(_)
        | Node::Float(_)
        | Node::Text(_)
        | Node::Bytes(_) => 0,
    }
}

fn find_all(document: &Node, node: &Node, way: &mut Vec<String>) {
    let escaped = way.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1")));
    let text: String = escaped.collect();
    let pointer: Pointer = text.parse().expect("a pointer");
    assert_eq!(pointer.find(document), Some(node), "{text}");
    assert_eq!(pointer.to_string(), text);
    match node {
        Node::List(items) => {
            for (place, item) in items.iter().enumerate() {
                way.push(place.to_string());
                find_all(document, item, way);
                way.pop();
            }
        }
        Node::Map(map) => {
            for (key, item) in map {
                way.push(key.to_string());
                find_all(document, item, way);
                way.pop();
            }
        }
        Node::Null
        | Node::Bool(_)
        | Node::Int(_)
        | Node::Float(_)
        | Node::Text(_)
        | Node::Bytes(_) => {}
    }
}
