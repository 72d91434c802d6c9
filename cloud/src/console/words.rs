//! Times and values in the words of a screen. The scripts say the same a second later.

use fieldgate_model::{Scale, UtcMillis, Value};

use crate::show;

/// `3 s ago`; nothing for no time.
pub(super) fn ago(at: Option<UtcMillis>, now: UtcMillis) -> String {
    let Some(at) = at else { return String::new() };
    let seconds = now.0.saturating_sub(at.0).max(0) / 1000;
    match seconds {
        0..=1 => "now".to_owned(),
        2..=59 => format!("{seconds} s ago"),
        60..=3599 => format!("{} min ago", seconds / 60),
        3600..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// RFC 3339 for a script; nothing for no time.
pub(super) fn at(at: Option<UtcMillis>) -> String {
    at.map(show::rfc3339).unwrap_or_default()
}

/// A value as an operator reads it: three decimals at most, `on` and `off`.
pub(super) fn value(value: Option<&Value>, scale: Scale) -> String {
    let json = value.map(|value| show::engineering(value, scale)).unwrap_or_default();
    match &json {
        serde_json::Value::Null => "–".to_owned(),
        serde_json::Value::Bool(on) => if *on { "on" } else { "off" }.to_owned(),
        serde_json::Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => {
                let text = format!("{float:.3}");
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            Some(_) | None => number.to_string(),
        },
        serde_json::Value::String(_)
        | serde_json::Value::Array(_)
        | serde_json::Value::Object(_) => show::plain(&json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_as_short_as_an_operator_wants_it() {
        for (raw, expected) in [
            (Some(Value::Float64(50.0)), "50"),
            (Some(Value::Float64(0.123_45)), "0.123"),
            (Some(Value::Bool(false)), "off"),
            (Some(Value::Unsigned(u64::MAX)), "18446744073709551615"),
            (None, "–"),
        ] {
            assert_eq!(value(raw.as_ref(), Scale::IDENTITY), expected);
        }
        assert_eq!(ago(Some(UtcMillis(0)), UtcMillis(180_000)), "3 min ago");
    }
}
