//! Reads the parameters of a query and the fields of a body, and names everything that is wrong.
//!
//! # Invariants
//!
//! - A name that nobody asked for is an error: a misspelt filter must not look like no filter.
//! - Every error is reported at once.

use std::collections::BTreeMap;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use fieldgate_model::{DeviceName, GatewayId, IdError, SignalName, TenantId, UtcMillis};
use serde_json::Value;

use super::problem::{FieldError, Problem};
use crate::show;
use crate::state::AppState;

/// No request needs more: the largest is a command with a text.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Parameters of a query, or fields of a body.
#[derive(Debug, Default)]
pub(super) struct Fields {
    values: BTreeMap<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// The field, if it is there and can be read; `null` is as good as not there.
    pub(super) fn take<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.values.remove(name).filter(|value| !value.is_null())?;
        read(&value).map_err(|detail| self.wrong(name, detail)).ok()
    }

    /// The field; it is an error if it is not there.
    pub(super) fn need<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        if self.values.get(name).is_none_or(Value::is_null) {
            self.values.remove(name);
            self.wrong(name, "is missing");
            return None;
        }
        self.take(name, read)
    }

    /// Notes what is wrong with a field.
    pub(super) fn wrong(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(FieldError { name: name.to_owned(), detail: detail.into() });
    }

    /// Whether everything was right, and nothing was left over.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        for name in std::mem::take(&mut self.values).into_keys() {
            // Echoed so that a typing error is seen; bounded, as a name may be a kilobyte.
            let short: String = name.chars().take(64).collect();
            self.wrong(&short, "is unknown here");
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::Invalid(self.errors)) }
    }
}

/// The parameters of a query.
#[derive(Debug)]
pub(super) struct Parameters(pub(super) Fields);

impl FromRequestParts<AppState> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::Malformed("the query cannot be read".to_owned()))?;
        let mut fields = Fields::default();
        for (name, value) in pairs {
            if fields.values.insert(name.clone(), Value::String(value)).is_some() {
                fields.wrong(&name, "is given twice");
            }
        }
        Ok(Self(fields))
    }
}

/// The fields of a JSON object.
#[derive(Debug)]
pub(super) struct Body(pub(super) Fields);

impl FromRequest<AppState> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &AppState) -> Result<Self, Problem> {
        let media = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media = media.and_then(|media| media.split(';').next()).unwrap_or_default();
        if !media.trim().eq_ignore_ascii_case("application/json") {
            return Err(Problem::UnsupportedMediaType);
        }
        let announced = request.headers().get("content-length");
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > BODY_BYTES_MAX) {
            return Err(Problem::TooLarge);
        }
        // Fails if the body is longer, or if the connection broke and nobody reads the answer.
        let bytes =
            to_bytes(request.into_body(), BODY_BYTES_MAX).await.map_err(|_| Problem::TooLarge)?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(object)) => {
                Ok(Self(Fields { values: object.into_iter().collect(), errors: Vec::new() }))
            }
            Ok(_) => Err(Problem::Malformed("the body must be a JSON object".to_owned())),
            Err(error) => Err(Problem::Malformed(format!("the body is not JSON: {error}"))),
        }
    }
}

/// Text of at most `max` characters, and at least one.
pub(super) fn text(max: usize) -> impl Fn(&Value) -> Result<String, String> {
    move |value| {
        let text = value.as_str().ok_or("must be text")?;
        let count = text.chars().count();
        if count == 0 || count > max || text.chars().any(char::is_control) {
            return Err(format!("must have 1 to {max} characters and no control characters"));
        }
        Ok(text.to_owned())
    }
}

fn id<T>(value: &Value, new: fn(String) -> Result<T, IdError>) -> Result<T, String> {
    let text = value.as_str().ok_or("must be text")?;
    new(text.to_owned()).map_err(|error| error.to_string())
}

/// A gateway's id.
pub(super) fn gateway(value: &Value) -> Result<GatewayId, String> {
    id(value, GatewayId::new)
}

/// A tenant's id.
pub(super) fn tenant(value: &Value) -> Result<TenantId, String> {
    id(value, TenantId::new)
}

/// A device's name.
pub(super) fn device(value: &Value) -> Result<DeviceName, String> {
    id(value, DeviceName::new)
}

/// A signal's name.
pub(super) fn signal(value: &Value) -> Result<SignalName, String> {
    id(value, SignalName::new)
}

/// RFC 3339, or integer milliseconds since 1970.
pub(super) fn time(value: &Value) -> Result<UtcMillis, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    };
    show::parse_time(&text)
        .ok_or_else(|| "must be a time of RFC 3339 or integer milliseconds since 1970".to_owned())
}

/// A day of UTC, as days since 1970.
pub(super) fn day(value: &Value) -> Result<i64, String> {
    let text = value.as_str().unwrap_or_default();
    show::parse_date(text).ok_or_else(|| "must be a day, `2026-11-22`".to_owned())
}

/// `true` or `false`.
pub(super) fn flag(value: &Value) -> Result<bool, String> {
    match (value.as_bool(), value.as_str()) {
        (Some(flag), _) => Ok(flag),
        (None, Some("true")) => Ok(true),
        (None, Some("false")) => Ok(false),
        (None, _) => Err("must be `true` or `false`".to_owned()),
    }
}

/// A whole number of `1..=max`.
pub(super) fn count(max: usize) -> impl Fn(&Value) -> Result<usize, String> {
    move |value| {
        let number = match value {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_u64().and_then(|number| number.try_into().ok()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number
            .filter(|number| (1..=max).contains(number))
            .ok_or_else(|| format!("must be a whole number from 1 to {max}"))
    }
}

/// A duration in milliseconds from `500ms`, `30s`, `5m`, `2h`, `7d`, at most `max` milliseconds.
pub(super) fn duration(max: i64) -> impl Fn(&Value) -> Result<i64, String> {
    move |value| {
        let text = value.as_str().unwrap_or_default();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let parsed = text.split_at_checked(digits).and_then(|(number, unit)| {
            let factor = match unit.trim() {
                "ms" => 1,
                "s" => 1000,
                "m" | "min" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return None,
            };
            number.parse::<i64>().ok()?.checked_mul(factor)
        });
        parsed.filter(|millis| (0..=max).contains(millis)).ok_or_else(|| {
            format!("must be a duration like `30s` or `5m`, at most {} s", max / 1000)
        })
    }
}

/// The one name in a path.
#[derive(Debug)]
pub(super) struct Named(String);

impl FromRequestParts<AppState> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|_| Problem::field("id", "cannot be read"))
    }
}

impl Named {
    /// The id that the path names.
    pub(super) fn parse<T, E: std::fmt::Display>(
        self,
        new: impl FnOnce(String) -> Result<T, E>,
    ) -> Result<T, Problem> {
        new(self.0).map_err(|error| Problem::field("id", error.to_string()))
    }
}
