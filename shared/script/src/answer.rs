//! Reads the table that a parser returned.
//!
//! # Invariants
//!
//! - Every access is raw: no metamethod of the script runs while its answer is read.
//! - One signal without a usable value is bad; an answer of the wrong shape fails as a whole,
//!   since then nobody knows what its author meant.

use std::collections::BTreeMap;

use fieldgate_model::{Cause, Millis, Quality, SignalName, Value};

use crate::error::Failure;
use crate::helpers::Exact;
use crate::{Limits, Reading};

/// Largest integer up to which every integer is a float: beyond it, digits are already lost.
const EXACT_MAX: i64 = 1 << 53;

/// The readings in `answer`, ordered by name.
pub(crate) fn readings(
    answer: &mlua::Value,
    at: Millis,
    limits: &Limits,
) -> Result<Vec<Reading>, Failure> {
    let Some(table) = answer.as_table() else {
        return Err(Failure::result(format!(
            "must give back a table of signals, gave back a {}",
            kind_of(answer)
        )));
    };
    let mut reading_by_name = BTreeMap::new();
    for pair in table.pairs::<mlua::Value, mlua::Value>() {
        let (key, value) = pair?;
        if reading_by_name.len() >= limits.signals_max {
            return Err(Failure::output(format!("more than {} signals", limits.signals_max)));
        }
        let reading = reading(name(&key)?, &value, at, limits)?;
        reading_by_name.insert(reading.name.clone(), reading);
    }
    Ok(reading_by_name.into_values().collect())
}

fn name(key: &mlua::Value) -> Result<SignalName, Failure> {
    let Some(text) = key.as_string() else {
        return Err(Failure::result(format!(
            "a signal's name must be text, is a {}",
            kind_of(key)
        )));
    };
    let text = text.to_string_lossy();
    SignalName::new(text.as_str()).map_err(|error| {
        let shown: String = text.chars().take(40).collect();
        Failure::result(format!("`{}` is not a signal's name: it {error}", shown.escape_debug()))
    })
}

fn reading(
    name: SignalName,
    value: &mlua::Value,
    at: Millis,
    limits: &Limits,
) -> Result<Reading, Failure> {
    let Some(entry) = value.as_table() else {
        let (value, quality) = match plain(&name, value, limits)? {
            Ok(value) => (Some(value), Quality::Good),
            Err(cause) => (None, Quality::Bad(cause)),
        };
        return Ok(Reading { name, value, quality, at: None });
    };
    for pair in entry.pairs::<mlua::Value, mlua::Value>() {
        let (key, _) = pair?;
        let text = key.as_string().map(mlua::LuaString::to_string_lossy);
        if !matches!(text.as_deref(), Some("value" | "quality" | "at")) {
            let shown: String = text.unwrap_or_else(|| kind_of(&key).to_owned());
            let shown: String = shown.chars().take(40).collect();
            return Err(Failure::result(format!(
                "signal `{name}` has `{}`; only `value`, `quality` and `at` mean something",
                shown.escape_debug()
            )));
        }
    }
    let asked = quality(&name, &entry.raw_get("quality")?)?;
    let (own_at, in_time) = time(&entry.raw_get("at")?, at);
    let (value, quality) = match (asked, plain(&name, &entry.raw_get("value")?, limits)?) {
        (Asked::Bad, _) => (None, Quality::Bad(Cause::Null)),
        (Asked::Good | Asked::Uncertain, Err(cause)) => (None, Quality::Bad(cause)),
        (Asked::Good, Ok(value)) if in_time => (Some(value), Quality::Good),
        (Asked::Good | Asked::Uncertain, Ok(value)) => (Some(value), Quality::Uncertain),
    };
    Ok(Reading { name, value, quality, at: own_at })
}

/// The quality that the script asks for.
enum Asked {
    Good,
    Uncertain,
    Bad,
}

fn quality(name: &SignalName, word: &mlua::Value) -> Result<Asked, Failure> {
    if word.is_nil() {
        return Ok(Asked::Good);
    }
    match word.as_string().map(mlua::LuaString::to_string_lossy).as_deref() {
        Some("good") => Ok(Asked::Good),
        Some("uncertain") => Ok(Asked::Uncertain),
        Some("bad") => Ok(Asked::Bad),
        Some(_) | None => Err(Failure::result(format!(
            "signal `{name}`: `quality` must be \"good\", \"uncertain\" or \"bad\""
        ))),
    }
}

/// How far before its frame a value may have been taken: a week, which a logger may hold back.
const AGE_MAX: Millis = Millis::from_secs(7 * 86_400);

/// The script's own time, and whether it can be one: whole milliseconds of this boot that are not
/// ahead of the frame, nor older than a device holds values back. With one that cannot be (seconds
/// or milliseconds since 1970, a clock that was never set), the frame's time stands and the value is
/// uncertain.
fn time(value: &mlua::Value, frame: Millis) -> (Option<Millis>, bool) {
    if value.is_nil() {
        return (None, true);
    }
    let millis = value.as_integer().and_then(|at| u64::try_from(at).ok()).map(Millis);
    match millis.filter(|at| *at <= frame && at.0 > 0 && frame.since(*at) <= AGE_MAX) {
        Some(at) => (Some(at), true),
        None => (None, false),
    }
}

/// A value, or why there is none.
fn plain(
    name: &SignalName,
    value: &mlua::Value,
    limits: &Limits,
) -> Result<Result<Value, Cause>, Failure> {
    match value {
        // The second is `json.null` and `cbor.null`, so that what was decoded can be handed on.
        mlua::Value::Nil => Ok(Err(Cause::Null)),
        mlua::Value::LightUserData(_) if value.is_null() => Ok(Err(Cause::Null)),
        mlua::Value::Boolean(on) => Ok(Ok(Value::Bool(*on))),
        mlua::Value::Integer(int) => Ok(Ok(integer(*int))),
        mlua::Value::Number(number) => Ok(float(*number)),
        mlua::Value::String(text) => {
            let bytes = text.as_bytes();
            if bytes.len() > limits.text_bytes_max {
                return Err(Failure::output(format!(
                    "signal `{name}` has {} bytes of text, {} are allowed",
                    bytes.len(),
                    limits.text_bytes_max
                )));
            }
            // The bytes came from the device, so it is the device's text that is broken.
            Ok(String::from_utf8(bytes.to_vec()).map(Value::Text).map_err(|_| Cause::Malformed))
        }
        mlua::Value::UserData(data) => match data.borrow::<Exact>() {
            Ok(exact) => Ok(Ok(exact.value())),
            Err(_) => Err(unfit(name, value)),
        },
        mlua::Value::LightUserData(_)
        | mlua::Value::Vector(_)
        | mlua::Value::Table(_)
        | mlua::Value::Function(_)
        | mlua::Value::Thread(_)
        | mlua::Value::Buffer(_)
        | mlua::Value::Error(_)
        | mlua::Value::Other(_) => Err(unfit(name, value)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "it was this float before the VM's binding cast it")]
fn integer(int: i64) -> Value {
    if int.abs() <= EXACT_MAX { Value::Int(int) } else { Value::Float64(int as f64) }
}

fn float(number: f64) -> Result<Value, Cause> {
    if !number.is_finite() {
        return Err(Cause::OutOfRange);
    }
    // Zero with a sign is the one integral float that the VM's binding does not cast.
    if number == 0.0 { Ok(Value::Int(0)) } else { Ok(Value::Float64(number)) }
}

fn unfit(name: &SignalName, value: &mlua::Value) -> Failure {
    Failure::result(format!("signal `{name}` is a {}, which is not a value", kind_of(value)))
}

/// The type of a value as a script's author knows it.
pub(crate) fn kind_of(value: &mlua::Value) -> &'static str {
    match value {
        mlua::Value::Integer(_) => "number",
        mlua::Value::Nil
        | mlua::Value::Boolean(_)
        | mlua::Value::LightUserData(_)
        | mlua::Value::Number(_)
        | mlua::Value::Vector(_)
        | mlua::Value::String(_)
        | mlua::Value::Table(_)
        | mlua::Value::Function(_)
        | mlua::Value::Thread(_)
        | mlua::Value::UserData(_)
        | mlua::Value::Buffer(_)
        | mlua::Value::Error(_)
        | mlua::Value::Other(_) => value.type_name(),
    }
}
