//! What goes wrong, as `application/problem+json` (RFC 9457).
//!
//! # Invariants
//!
//! - A code never changes its meaning; programs match on it, people read `detail`.
//! - A thing that does not exist and a thing of another tenant give the same bytes.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::AuthError;
use crate::store::StoreError;
use crate::store::query::QueryError;

/// A parameter or field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub detail: String,
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Parameters or fields are wrong: all of them.
    Invalid(Vec<FieldError>),
    /// The body is not what the route takes.
    Malformed(String),
    /// No token, or one that is not valid.
    Unauthenticated(&'static str),
    /// The caller may not.
    Forbidden(String),
    /// There is no such thing, or it is not the caller's.
    NotFound(&'static str),
    /// The route has no such method.
    MethodNotAllowed,
    /// No form of the answer is acceptable.
    NotAcceptable,
    /// The thing's state does not allow it, or its name is taken.
    Conflict(String),
    /// The body is longer than the bound.
    TooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// Try again later.
    Unavailable(&'static str),
    /// We are wrong; the log says how.
    Internal,
}

/// The body of a problem.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProblemBody {
    /// `urn:fieldgate:problem:` and the code.
    pub r#type: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A word that never changes its meaning.
    pub code: String,
    /// What is wrong, for a person.
    pub detail: String,
    /// Each wrong parameter or field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// One wrong parameter or field.
    pub fn field(name: &str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError { name: name.to_owned(), detail: detail.into() }])
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid_request",
            Self::Malformed(_) => "malformed_body",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::Forbidden(_) => "forbidden",
            Self::NotFound(_) => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotAcceptable => "not_acceptable",
            Self::Conflict(_) => "conflict",
            Self::TooLarge => "body_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Unavailable(_) => "unavailable",
            Self::Internal => "internal",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Invalid(errors) => match errors.as_slice() {
                [one] => format!("`{}` {}", one.name, one.detail),
                many => format!("{} parameters are wrong, see `errors`", many.len()),
            },
            Self::Malformed(detail) | Self::Forbidden(detail) | Self::Conflict(detail) => {
                detail.clone()
            }
            Self::Unauthenticated(detail) | Self::Unavailable(detail) => (*detail).to_owned(),
            Self::NotFound(what) => format!("there is no such {what}"),
            Self::MethodNotAllowed => "this route has no such method".to_owned(),
            Self::NotAcceptable => {
                "the answer is application/json, application/x-ndjson or text/csv".to_owned()
            }
            Self::TooLarge => "the body may have at most 64 KiB".to_owned(),
            Self::UnsupportedMediaType => "the body must be application/json".to_owned(),
            Self::Internal => "the service made a mistake, which it has logged".to_owned(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = ProblemBody {
            r#type: format!("urn:fieldgate:problem:{}", self.code()),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            code: self.code().to_owned(),
            detail: self.detail(),
            errors: if let Self::Invalid(errors) = &self { errors.clone() } else { Vec::new() },
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Self::Unauthenticated(_) = self {
            headers
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"fieldgate\""));
        }
        if let Self::Unavailable(_) = self {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing => Self::Unauthenticated("no token is given"),
            AuthError::Invalid => Self::Unauthenticated("the token is not valid"),
            AuthError::Suspended => Self::Forbidden("the tenant is suspended".to_owned()),
            AuthError::ForeignOrigin => {
                Self::Forbidden("the request comes from another origin".to_owned())
            }
            AuthError::Query(error) => error.into(),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Busy => Self::Unavailable("too many requests wait for the store"),
            QueryError::Stopped => Self::Unavailable("the service stops"),
            QueryError::Start(_) | QueryError::Damaged(_) | QueryError::Database(_) => {
                internal(&error)
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exists { .. } | StoreError::State { .. } | StoreError::KeyReused(_) => {
                Self::Conflict(error.to_string())
            }
            StoreError::NotFound { what, .. } => Self::NotFound(what),
            StoreError::Full { .. } => Self::Unavailable("a bound is reached, try again later"),
            StoreError::Stopped => Self::Unavailable("the service stops"),
            StoreError::OutOfOrder { .. }
            | StoreError::TooNew { .. }
            | StoreError::OldSqlite(_)
            | StoreError::File { .. }
            | StoreError::Database(_) => internal(&error),
        }
    }
}

/// Logs a mistake of ours with its whole chain, and tells the caller nothing of it.
pub(super) fn internal(error: &dyn std::error::Error) -> Problem {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        chain = format!("{chain}: {cause}");
        source = cause.source();
    }
    tracing::error!(error = chain, "request failed");
    Problem::Internal
}
