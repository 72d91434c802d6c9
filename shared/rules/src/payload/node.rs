//! A decoded JSON or CBOR document: one tree for both, so that pointers and `SenML` know no encoding.
//!
//! # Invariants
//!
//! - A tree is at most [`DEPTH_MAX`] deep and has at most [`NODES_MAX`] nodes, whatever its bytes
//!   claim: nothing is allocated for a length before its content is there.
//! - Integers are exact to 64 bits and their sign; only what was written as a float is one.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

/// Levels of lists and maps in each other. A pack of `SenML` has two, and no device's report comes
/// near; what is deeper is meant to exhaust a stack.
pub const DEPTH_MAX: usize = 32;
/// Values in one document, keys aside: as many as fit into a payload of the largest size if each is
/// a record of `SenML` of a dozen bytes.
pub const NODES_MAX: usize = 8_192;
/// Bytes of one payload; as much as a message to the cloud carries. A larger one is not looked at.
pub const PAYLOAD_MAX: usize = 64 << 10;

/// One value of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// JSON's `null`, CBOR's null and undefined.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number as it was written.
    Int(i128),
    /// A number with a fraction or an exponent, or CBOR's float; it need not be finite.
    Float(f64),
    /// Text.
    Text(String),
    /// CBOR's bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Node>),
    /// A map; no key stands in it twice.
    Map(BTreeMap<Key, Node>),
}

/// A key of a map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The only kind that JSON has.
    Text(String),
    /// What compact CBOR has.
    Int(i128),
}

/// Why bytes are no document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DocumentError {
    /// More bytes than are looked at.
    #[error("the payload has {bytes} bytes, more than {PAYLOAD_MAX}")]
    TooLong {
        /// How many it has.
        bytes: usize,
    },
    /// Nested too deep.
    #[error("the document is more than {DEPTH_MAX} levels deep")]
    TooDeep,
    /// Too many values.
    #[error("the document has more than {NODES_MAX} values")]
    TooMany,
    /// A map with two values for one key could mean either.
    #[error("the key `{key}` stands twice in one map")]
    Twice {
        /// Which.
        key: String,
    },
    /// Not of its format.
    #[error("not {format}: {why}")]
    Broken {
        /// Which format it should have.
        format: &'static str,
        /// In the words of the decoder.
        why: String,
    },
}

impl Node {
    /// What stands behind a text key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(map) => map.get(&Key::Text(key.to_owned())),
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Bytes(_)
            | Self::List(_) => None,
        }
    }

    /// What it is, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => text.fmt(f),
            Self::Int(int) => int.fmt(f),
        }
    }
}

/// How much of a document may still come.
#[derive(Debug)]
pub(super) struct Room {
    nodes: usize,
}

impl Room {
    /// Room for a document of these bytes, if they are not too many.
    pub(super) const fn of(bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() > PAYLOAD_MAX {
            return Err(DocumentError::TooLong { bytes: bytes.len() });
        }
        Ok(Self { nodes: NODES_MAX })
    }

    /// Takes the place of one value at this depth, counted from 0.
    pub(super) const fn take(&mut self, depth: usize) -> Result<(), DocumentError> {
        if depth > DEPTH_MAX {
            return Err(DocumentError::TooDeep);
        }
        match self.nodes.checked_sub(1) {
            Some(nodes) => self.nodes = nodes,
            None => return Err(DocumentError::TooMany),
        }
        Ok(())
    }
}

/// Puts a value into a map, unless its key is there.
pub(super) fn insert(
    map: &mut BTreeMap<Key, Node>,
    key: Key,
    node: Node,
) -> Result<(), DocumentError> {
    let twice = DocumentError::Twice { key: key.to_string() };
    match map.insert(key, node) {
        None => Ok(()),
        Some(_) => Err(twice),
    }
}
