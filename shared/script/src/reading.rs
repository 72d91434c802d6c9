//! What a parser gives back, and how it becomes a value of the declared kind.

use fieldgate_model::{Cause, Millis, Quality, SignalName, Value, ValueKind};

/// One signal of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The signal.
    pub name: SignalName,
    /// The raw value; `None` exactly when the quality is bad.
    pub value: Option<Value>,
    /// How far it can be trusted.
    pub quality: Quality,
    /// When it was taken, if the script knows better than the frame; never later than the frame.
    pub at: Option<Millis>,
}

/// `value` as a value of the kind that the profile declares.
///
/// A script has one type of number, so 230 comes as an integer and 230.5 as a float, and a signal
/// must not change its kind from sample to sample. Refused with the cause for its quality: text for
/// a number and the reverse, a fraction for an integer, and what the kind cannot hold.
pub fn fit(value: Value, kind: ValueKind) -> Result<Value, Cause> {
    if value.kind() == kind {
        return Ok(value);
    }
    let number = value.as_f64().ok_or(Cause::Script)?;
    match kind {
        ValueKind::Bool => match value {
            Value::Int(0) | Value::Unsigned(0) => Ok(Value::Bool(false)),
            Value::Int(1) | Value::Unsigned(1) => Ok(Value::Bool(true)),
            Value::Bool(_)
            | Value::Int(_)
            | Value::Unsigned(_)
            | Value::Float32(_)
            | Value::Float64(_)
            | Value::Text(_) => Err(Cause::OutOfRange),
        },
        ValueKind::Int => {
            integer(&value).and_then(|i| i.try_into().ok()).map(Value::Int).ok_or(Cause::OutOfRange)
        }
        ValueKind::Unsigned => integer(&value)
            .and_then(|i| i.try_into().ok())
            .map(Value::Unsigned)
            .ok_or(Cause::OutOfRange),
        ValueKind::Float32 => {
            #[expect(clippy::cast_possible_truncation, reason = "the declared width")]
            let float = number as f32;
            if float.is_finite() { Ok(Value::Float32(float)) } else { Err(Cause::OutOfRange) }
        }
        ValueKind::Float64 => Ok(Value::Float64(number)),
        ValueKind::Text => Err(Cause::Script),
    }
}

/// The integer that `value` is, if it is one. A float that is integral may be as large as the
/// kind it is meant for.
fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Bool(on) => Some(i128::from(*on)),
        Value::Int(int) => Some(i128::from(*int)),
        Value::Unsigned(unsigned) => Some(i128::from(*unsigned)),
        Value::Float32(float) => whole(f64::from(*float)),
        Value::Float64(float) => whole(*float),
        Value::Text(_) => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a cast to i128 saturates and stays too large")]
fn whole(float: f64) -> Option<i128> {
    (float.is_finite() && float.fract() == 0.0).then_some(float as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_takes_the_declared_kind_or_is_refused() {
        let big = 9_007_199_254_740_993;
        for (value, kind, expected) in [
            (Value::Int(230), ValueKind::Float64, Ok(Value::Float64(230.0))),
            (Value::Float64(230.5), ValueKind::Float32, Ok(Value::Float32(230.5))),
            (Value::Float64(1e39), ValueKind::Float32, Err(Cause::OutOfRange)),
            (Value::Int(7), ValueKind::Unsigned, Ok(Value::Unsigned(7))),
            (Value::Int(-7), ValueKind::Unsigned, Err(Cause::OutOfRange)),
            (Value::Unsigned(big), ValueKind::Int, Ok(Value::Int(big.cast_signed()))),
            (Value::Unsigned(u64::MAX), ValueKind::Int, Err(Cause::OutOfRange)),
            (Value::Float64(0.5), ValueKind::Int, Err(Cause::OutOfRange)),
            (Value::Float64(1e18), ValueKind::Int, Ok(Value::Int(1_000_000_000_000_000_000))),
            (Value::Float64(1e300), ValueKind::Unsigned, Err(Cause::OutOfRange)),
            (Value::Int(1), ValueKind::Bool, Ok(Value::Bool(true))),
            (Value::Int(2), ValueKind::Bool, Err(Cause::OutOfRange)),
            (Value::Bool(true), ValueKind::Int, Ok(Value::Int(1))),
            (Value::Text("a".into()), ValueKind::Int, Err(Cause::Script)),
            (Value::Int(1), ValueKind::Text, Err(Cause::Script)),
        ] {
            assert_eq!(fit(value.clone(), kind), expected, "{value:?} as {kind:?}");
        }
    }
}
