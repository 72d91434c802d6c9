//! The REST API under `/v1`, and its description as `OpenAPI` 3.1.
//!
//! # Invariants
//!
//! - Every handler takes a [`Caller`](crate::auth::Caller) first; the tenant comes from it alone.
//! - Whatever comes in, what goes out is an answer or a problem, never a 500 for bad input.
//! - Lists are paged with opaque cursors; nothing is unbounded.

mod alarms;
mod caller;
mod commands;
mod cursor;
mod export;
mod fields;
mod gateways;
mod health;
mod live;
mod problem;
mod records;
mod request;
mod samples;
mod tenants;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

use crate::state::AppState;

pub use problem::{FieldError, Problem, ProblemBody};

/// Rows of a page, if the caller does not say.
const PAGE_DEFAULT: usize = 100;

/// Rows of a page at most: some hundred kilobytes of JSON.
const PAGE_MAX: usize = 1000;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Fieldgate",
        description = "Gateways, devices, signals and their history; alarms; commands. \
            Times are RFC 3339 in UTC; `from` is inclusive, `to` exclusive. Errors are problems \
            of RFC 9457 whose `code` never changes its meaning.",
        license(name = "MIT OR Apache-2.0")
    ),
    security(("token" = [])),
)]
struct Description;

/// The routes of the API with their description.
pub fn routes() -> Router<AppState> {
    let (router, description) = described();
    router.route("/v1/openapi.json", routing::get(move || async move { Json(description) }))
}

/// The `OpenAPI` description.
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().1
}

fn described() -> (Router<AppState>, utoipa::openapi::OpenApi) {
    let (router, mut description) = OpenApiRouter::with_openapi(Description::openapi())
        .merge(gateways::routes())
        .merge(samples::routes())
        .merge(alarms::routes())
        .merge(commands::routes())
        .merge(tenants::routes())
        .merge(records::routes())
        .merge(health::routes())
        .split_for_parts();
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("fgt_…").build();
    let components = description.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(token));
    (router, description)
}

/// The answer for a path that nothing is at.
pub async fn no_such_route() -> Response {
    Problem::NotFound("route").into_response()
}

/// The answer for a method that a route does not have.
pub async fn no_such_method(_: Request) -> Response {
    Problem::MethodNotAllowed.into_response()
}
