//! A node or a text as a value of a signal's kind.

use fieldgate_model::{Cause, Value, ValueKind};

use super::node::Node;
use super::read::Unread;

/// Whole floats below it are each one whole number and no other (2^53).
const WHOLE_BELOW: f64 = 9_007_199_254_740_992.0;
/// Bytes of one text; what a person reads, and a small part of a message to the cloud.
pub(super) const TEXT_MAX: usize = 1_024;

/// The value that a node is as this kind.
///
/// A whole number may be written as a float and the other way round, and a truth value as 0 or 1;
/// nothing else is converted.
pub(super) fn of_node(node: &Node, kind: ValueKind) -> Result<Value, Unread> {
    let foreign = || {
        let why = format!("{} where a value of kind {} is expected", node.kind(), kind.as_str());
        Unread::new(Cause::Malformed, why)
    };
    match (kind, node) {
        (_, Node::Null) => Err(Unread::new(Cause::Null, "null")),
        (ValueKind::Bool, Node::Bool(on)) => Ok(Value::Bool(*on)),
        (ValueKind::Bool, Node::Int(bit @ (0 | 1))) => Ok(Value::Bool(*bit == 1)),
        (ValueKind::Int, _) => {
            let int = integer(node).ok_or_else(foreign)?;
            i64::try_from(int).map(Value::Int).map_err(|_| beyond(&int, kind))
        }
        (ValueKind::Unsigned, _) => {
            let int = integer(node).ok_or_else(foreign)?;
            u64::try_from(int).map(Value::Unsigned).map_err(|_| beyond(&int, kind))
        }
        (ValueKind::Float32 | ValueKind::Float64, Node::Int(_) | Node::Float(_)) => {
            float(number(node), kind)
        }
        (ValueKind::Text, Node::Text(text)) => words(text),
        (ValueKind::Bool | ValueKind::Float32 | ValueKind::Float64 | ValueKind::Text, _) => {
            Err(foreign())
        }
    }
}

/// The value that a text is as this kind; spaces around it are no part of a number.
pub(super) fn of_text(bytes: &[u8], kind: ValueKind) -> Result<Value, Unread> {
    let Ok(text) = str::from_utf8(bytes) else {
        return Err(Unread::new(Cause::Malformed, "bytes that are no text"));
    };
    let plain = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let no_number = || {
        let shown: String = plain.chars().take(40).collect();
        Unread::new(Cause::Malformed, format!("`{shown}` is no value of kind {}", kind.as_str()))
    };
    match kind {
        ValueKind::Text => words(text),
        ValueKind::Bool => match plain {
            "1" | "true" | "on" => Ok(Value::Bool(true)),
            "0" | "false" | "off" => Ok(Value::Bool(false)),
            _ => Err(no_number()),
        },
        ValueKind::Int | ValueKind::Unsigned => match plain.parse::<i128>() {
            Ok(int) => of_node(&Node::Int(int), kind),
            Err(_) => of_node(&Node::Float(plain.parse().map_err(|_| no_number())?), kind),
        },
        ValueKind::Float32 | ValueKind::Float64 => {
            float(plain.parse().map_err(|_| no_number())?, kind)
        }
    }
}

fn words(text: &str) -> Result<Value, Unread> {
    if text.len() > TEXT_MAX {
        let why = format!("a text of {} bytes, more than {TEXT_MAX}", text.len());
        return Err(Unread::new(Cause::OutOfRange, why));
    }
    Ok(Value::Text(text.to_owned()))
}

fn integer(node: &Node) -> Option<i128> {
    match node {
        Node::Int(int) => Some(*int),
        Node::Float(float) if float.fract() == 0.0 && float.abs() < WHOLE_BELOW => {
            #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
            let int = *float as i128;
            Some(int)
        }
        Node::Float(_)
        | Node::Null
        | Node::Bool(_)
        | Node::Text(_)
        | Node::Bytes(_)
        | Node::List(_)
        | Node::Map(_) => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "the profile asks for a float")]
fn number(node: &Node) -> f64 {
    match node {
        Node::Int(int) => *int as f64,
        Node::Float(float) => *float,
        Node::Null
        | Node::Bool(_)
        | Node::Text(_)
        | Node::Bytes(_)
        | Node::List(_)
        | Node::Map(_) => f64::NAN,
    }
}

fn float(float: f64, kind: ValueKind) -> Result<Value, Unread> {
    #[expect(clippy::cast_possible_truncation, reason = "what is too large becomes infinite")]
    let narrow = float as f32;
    match kind {
        ValueKind::Float32 if narrow.is_finite() => Ok(Value::Float32(narrow)),
        ValueKind::Float64 if float.is_finite() => Ok(Value::Float64(float)),
        ValueKind::Float32
        | ValueKind::Float64
        | ValueKind::Bool
        | ValueKind::Int
        | ValueKind::Unsigned
        | ValueKind::Text => Err(beyond(&float, kind)),
    }
}

fn beyond(number: &impl std::fmt::Display, kind: ValueKind) -> Unread {
    Unread::new(Cause::OutOfRange, format!("{number} does not fit into {}", kind.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_becomes_the_kind_of_its_signal_or_a_cause() {
        use ValueKind::{Bool, Float32, Float64, Int, Text, Unsigned};
        let good = |node: Node, kind| of_node(&node, kind).map_err(|unread| unread.cause);
        let text = || Node::Text("a".to_owned());
        for (node, kind, expected) in [
            (Node::Int(u64::MAX.into()), Unsigned, Ok(Value::Unsigned(u64::MAX))),
            (Node::Int(i64::MIN.into()), Int, Ok(Value::Int(i64::MIN))),
            (Node::Int(i128::from(i64::MIN) - 1), Int, Err(Cause::OutOfRange)),
            (Node::Int(-1), Unsigned, Err(Cause::OutOfRange)),
            (Node::Float(7.0), Unsigned, Ok(Value::Unsigned(7))),
            (Node::Float(7.5), Int, Err(Cause::Malformed)),
            // Which whole number this once was nobody knows.
            (Node::Float(-9_223_372_036_854_775_808.0), Int, Err(Cause::Malformed)),
            (Node::Int(3), Float64, Ok(Value::Float64(3.0))),
            (Node::Float(f64::NAN), Float64, Err(Cause::OutOfRange)),
            (Node::Float(f64::INFINITY), Float32, Err(Cause::OutOfRange)),
            (Node::Float(1e300), Float32, Err(Cause::OutOfRange)),
            (Node::Float(21.1), Float32, Ok(Value::Float32(21.1))),
            (Node::Bool(true), Bool, Ok(Value::Bool(true))),
            (Node::Int(0), Bool, Ok(Value::Bool(false))),
            (Node::Int(2), Bool, Err(Cause::Malformed)),
            (Node::Bool(true), Float64, Err(Cause::Malformed)),
            (text(), Text, Ok(Value::Text("a".to_owned()))),
            (text(), Float64, Err(Cause::Malformed)),
            (Node::Int(1), Text, Err(Cause::Malformed)),
            (Node::Null, Text, Err(Cause::Null)),
            (Node::Text("a".repeat(TEXT_MAX + 1)), Text, Err(Cause::OutOfRange)),
        ] {
            assert_eq!(good(node.clone(), kind), expected, "{node:?} {kind:?}");
        }
    }

    #[test]
    fn a_text_is_a_number_only_if_all_of_it_is() {
        use ValueKind::{Bool, Float64, Int, Text, Unsigned};
        let read = |text: &str, kind| of_text(text.as_bytes(), kind).map_err(|unread| unread.cause);
        for (text, kind, expected) in [
            ("21.5", Float64, Ok(Value::Float64(21.5))),
            (" 21.5\r\n", Float64, Ok(Value::Float64(21.5))),
            ("21.5\0", Float64, Ok(Value::Float64(21.5))),
            ("21.5 C", Float64, Err(Cause::Malformed)),
            ("", Float64, Err(Cause::Malformed)),
            ("nan", Float64, Err(Cause::OutOfRange)),
            ("inf", Float64, Err(Cause::OutOfRange)),
            ("18446744073709551615", Unsigned, Ok(Value::Unsigned(u64::MAX))),
            ("18446744073709551616", Unsigned, Err(Cause::OutOfRange)),
            ("-3", Int, Ok(Value::Int(-3))),
            ("3.0", Int, Ok(Value::Int(3))),
            ("on", Bool, Ok(Value::Bool(true))),
            ("2", Bool, Err(Cause::Malformed)),
            (" a ", Text, Ok(Value::Text(" a ".to_owned()))),
        ] {
            assert_eq!(read(text, kind), expected, "{text:?} {kind:?}");
        }
        let bytes = of_text(&[0xFF], Text).map_err(|unread| unread.cause);
        assert_eq!(bytes, Err(Cause::Malformed));
    }
}
