//! Reads the request for a command: everything that can be refused at once is refused at once.

use axum::http::HeaderMap;
use fieldgate_model::{
    Action, Command, CommandId, DeviceName, GatewayId, SignalName, UtcMillis, Value, ValueKind,
};
use utoipa::ToSchema;

use super::fields::{self, Fields};
use super::gateways::owned;
use super::problem::Problem;
use crate::auth::Caller;
use crate::state::AppState;

/// Without a deadline, a command means "within a minute": a person is waiting for it.
const TTL_DEFAULT_MILLIS: i64 = 60_000;

/// The model's bound for a deadline: seven days.
const TTL_MAX_MILLIS: i64 = 7 * 86_400_000;

/// A request to write a signal.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body, for its description")]
pub(super) struct CommandRequest {
    /// The gateway.
    gateway: String,
    /// The device in it.
    device: String,
    /// A writable signal of the device.
    signal: String,
    /// The engineering value; an integer beyond 2^53 as a string.
    value: serde_json::Value,
    /// Read back and compare; true if not given.
    verify: Option<bool>,
    /// It must not be written at or after this time; at most seven days ahead.
    not_after: Option<String>,
    /// Instead of `not_after`: from this moment, `60s` if neither is given.
    ttl: Option<String>,
    /// Doing it twice does no more than doing it once.
    retry_safe: Option<bool>,
    /// Check everything, write nothing.
    dry_run: Option<bool>,
}

/// The `Idempotency-Key` of a request.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| (1..=128).contains(&key.len()));
    key.map(|key| Some(key.to_owned()))
        .ok_or_else(|| Problem::field("Idempotency-Key", "must have 1 to 128 characters of ASCII"))
}

/// The command that a body asks for, and its gateway, which is the caller's.
pub(super) async fn read(
    state: &AppState,
    caller: &Caller,
    mut body: Fields,
    id: CommandId,
    now: UtcMillis,
) -> Result<(GatewayId, Command), Problem> {
    let gateway = body.need("gateway", fields::gateway);
    let device = body.need("device", fields::device);
    let signal = body.need("signal", fields::signal);
    let value = body.need("value", value);
    let verify = body.take("verify", fields::flag).unwrap_or(true);
    let retry_safe = body.take("retry_safe", fields::flag).unwrap_or(false);
    let dry_run = body.take("dry_run", fields::flag).unwrap_or(false);
    let not_after = deadline(&mut body, now);
    body.finish()?;
    let (Some(gateway), Some(device), Some(signal), Some(value)) = (gateway, device, signal, value)
    else {
        // Each missing one is an error that `finish` has returned.
        return Err(Problem::Internal);
    };
    let gateway = owned(state, caller, gateway).await?.id;
    let value = fit(state, &gateway, &device, &signal, value).await?;
    let action = Action::Write { device, signal, value, verify };
    let by = caller.actor.clone();
    Ok((gateway, Command { id, action, not_after, retry_safe, dry_run, by }))
}

fn deadline(body: &mut Fields, now: UtcMillis) -> UtcMillis {
    let not_after = body.take("not_after", fields::time);
    let ttl = body.take("ttl", fields::duration(TTL_MAX_MILLIS));
    if not_after.is_some() && ttl.is_some() {
        body.wrong("ttl", "cannot be given with `not_after`");
    }
    if let Some(end) = not_after {
        if end <= now {
            body.wrong("not_after", "has passed");
        } else if end.0 - now.0 > TTL_MAX_MILLIS {
            body.wrong("not_after", "is more than seven days ahead");
        }
        return end;
    }
    if ttl == Some(0) {
        body.wrong("ttl", "must be longer than nothing");
    }
    UtcMillis(now.0.saturating_add(ttl.unwrap_or(TTL_DEFAULT_MILLIS)))
}

fn value(value: &serde_json::Value) -> Result<serde_json::Value, String> {
    match value {
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => Ok(value.clone()),
        serde_json::Value::String(_) => fields::text(1024)(value).map(serde_json::Value::String),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            Err("must be a number, true, false or text".to_owned())
        }
    }
}

/// The value as the signal's kind takes it. Before its first catalogue a gateway decides itself.
async fn fit(
    state: &AppState,
    gateway: &GatewayId,
    device: &DeviceName,
    signal: &SignalName,
    value: serde_json::Value,
) -> Result<Value, Problem> {
    let Some(catalogue) = state.readers.catalogue(gateway.clone()).await? else {
        let plain = number(&value).or_else(|| value.as_bool().map(Value::Bool));
        let text = || Value::Text(value.as_str().unwrap_or_default().to_owned());
        return Ok(plain.unwrap_or_else(text));
    };
    let mut of_device = catalogue.signals().filter(|(known, _)| known.name == *device).peekable();
    if of_device.peek().is_none() {
        return Err(Problem::field("device", "is not a device of this gateway"));
    }
    let Some((_, known)) = of_device.find(|(_, known)| known.name == *signal) else {
        return Err(Problem::field("signal", "is not a signal of this device"));
    };
    if !known.writable {
        return Err(Problem::field("signal", "cannot be written"));
    }
    let fitted = match known.kind {
        ValueKind::Bool => value.as_bool().map(Value::Bool),
        ValueKind::Text => value.as_str().map(|text| Value::Text(text.to_owned())),
        ValueKind::Int | ValueKind::Unsigned | ValueKind::Float32 | ValueKind::Float64 => {
            number(&value).or_else(|| number_text(&value))
        }
    };
    let kind = known.kind.as_str();
    fitted.ok_or_else(|| Problem::field("value", format!("does not fit the kind `{kind}`")))
}

fn number(value: &serde_json::Value) -> Option<Value> {
    let number = value.as_number()?;
    let integer = number.as_i64().map(Value::Int);
    let integer = integer.or_else(|| number.as_u64().map(Value::Unsigned));
    integer.or_else(|| number.as_f64().filter(|float| float.is_finite()).map(Value::Float64))
}

/// An integer that JSON readers would round, written as text.
fn number_text(value: &serde_json::Value) -> Option<Value> {
    let text = value.as_str()?;
    let integer = text.parse().ok().map(Value::Int);
    integer.or_else(|| text.parse().ok().map(Value::Unsigned))
}
