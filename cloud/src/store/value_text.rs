//! A value in a text column: its kind, a colon, its text. The kind keeps `1` and `1.0` apart.

use fieldgate_model::{Value, ValueKind};

/// The text of a value, `float64:230.2`.
pub fn encode(value: &Value) -> String {
    format!("{}:{value}", value.kind().as_str())
}

/// The value of a text; `None` if [`encode`] did not write it.
pub fn decode(text: &str) -> Option<Value> {
    let (word, text) = text.split_once(':')?;
    let kind = ValueKind::ALL.into_iter().find(|kind| kind.as_str() == word)?;
    Some(match kind {
        ValueKind::Bool => Value::Bool(text.parse().ok()?),
        ValueKind::Int => Value::Int(text.parse().ok()?),
        ValueKind::Unsigned => Value::Unsigned(text.parse().ok()?),
        ValueKind::Float32 => Value::Float32(text.parse().ok()?),
        ValueKind::Float64 => Value::Float64(text.parse().ok()?),
        ValueKind::Text => Value::Text(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_as_it_went_in() {
        for value in [
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Unsigned(u64::MAX),
            Value::Float32(0.1),
            Value::Float64(230.2),
            Value::Text("a:b".to_owned()),
        ] {
            assert_eq!(decode(&encode(&value)), Some(value));
        }
        assert_eq!(decode("float64:nonsense"), None);
        assert_eq!(decode("230.2"), None);
    }
}
