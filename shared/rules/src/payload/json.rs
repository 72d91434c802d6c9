//! JSON (RFC 8259) to a document.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::node::{DocumentError, Key, Node, Room, insert};

/// The document that these bytes are, all of them.
pub fn parse(bytes: &[u8]) -> Result<Node, DocumentError> {
    let mut room = Room::of(bytes)?;
    let mut refused = None;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let seed = Seed { depth: 0, room: &mut room, refused: &mut refused };
    let parsed = seed.deserialize(&mut json).and_then(|node| json.end().map(|()| node));
    parsed.map_err(|error| {
        let broken = || DocumentError::Broken { format: "JSON", why: error.to_string() };
        refused.unwrap_or_else(broken)
    })
}

/// One value at a depth; a refusal of ours is kept beside the decoder's own error, which is text.
struct Seed<'a> {
    depth: usize,
    room: &'a mut Room,
    refused: &'a mut Option<DocumentError>,
}

impl Seed<'_> {
    fn inner(&mut self) -> Seed<'_> {
        Seed { depth: self.depth + 1, room: self.room, refused: self.refused }
    }

    fn hold<T, E: serde::de::Error>(&mut self, result: Result<T, DocumentError>) -> Result<T, E> {
        result.map_err(|error| {
            let text = error.to_string();
            *self.refused = Some(error);
            E::custom(text)
        })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(mut self, json: D) -> Result<Node, D::Error> {
        let taken = self.room.take(self.depth);
        self.hold::<(), D::Error>(taken)?;
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, on: bool) -> Result<Node, E> {
        Ok(Node::Bool(on))
    }

    fn visit_i64<E>(self, int: i64) -> Result<Node, E> {
        Ok(Node::Int(int.into()))
    }

    fn visit_u64<E>(self, unsigned: u64) -> Result<Node, E> {
        Ok(Node::Int(unsigned.into()))
    }

    fn visit_f64<E>(self, float: f64) -> Result<Node, E> {
        Ok(Node::Float(float))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = items.next_element_seed(self.inner())? {
            list.push(node);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            let node = entries.next_value_seed(self.inner())?;
            let inserted = insert(&mut map, Key::Text(key), node);
            self.hold::<(), A::Error>(inserted)?;
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{DEPTH_MAX, NODES_MAX, PAYLOAD_MAX};

    #[test]
    fn whole_numbers_stay_exact_and_others_are_the_nearest_float() {
        for (text, expected) in [
            ("18446744073709551615", Node::Int(u64::MAX.into())),
            ("-9223372036854775808", Node::Int(i64::MIN.into())),
            ("9007199254740993", Node::Int(9_007_199_254_740_993)),
            ("21.5", Node::Float(21.5)),
            ("1e2", Node::Float(100.0)),
            ("0.1", Node::Float(0.1)),
            // A decimal that a careless conversion puts one float beside.
            ("51.24817837550540", Node::Float(51.248_178_375_505_4)),
            (" null ", Node::Null),
            ("true", Node::Bool(true)),
            (r#""\u00b0C""#, Node::Text("°C".to_owned())),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_or_means_two_things_is_refused() {
        for text in
            ["", "{", "21.5 C", "NaN", "Infinity", "1e999", "[1,]", "{\"a\":1}x", "\"\u{1}\""]
        {
            let refused = parse(text.as_bytes());
            assert!(matches!(refused, Err(DocumentError::Broken { .. })), "{text}: {refused:?}");
        }
        let twice = parse(br#"{"a":1,"a":2}"#);
        assert_eq!(twice, Err(DocumentError::Twice { key: "a".to_owned() }));
    }

    #[test]
    fn depth_count_and_length_have_their_ends() {
        let nested = |depth: usize| "[".repeat(depth) + "0" + &"]".repeat(depth);
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(parse(nested(DEPTH_MAX + 1).as_bytes()), Err(DocumentError::TooDeep));
        let many = |count: usize| format!("[{}]", vec!["0"; count].join(","));
        assert!(parse(many(NODES_MAX - 1).as_bytes()).is_ok());
        assert_eq!(parse(many(NODES_MAX).as_bytes()), Err(DocumentError::TooMany));
        let long = format!("\"{}\"", "a".repeat(PAYLOAD_MAX));
        assert_eq!(parse(long.as_bytes()), Err(DocumentError::TooLong { bytes: PAYLOAD_MAX + 2 }));
    }
}
