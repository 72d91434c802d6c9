//! `/healthz`, `/readyz` and `/metrics`: for supervisors and Prometheus, without a token.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Problem, ProblemBody};
use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics))
}

#[utoipa::path(get, path = "/healthz", tag = "health", description = "The process answers.",
    responses((status = 200, body = String)), security(()))]
async fn healthz() -> &'static str {
    "ok\n"
}

#[utoipa::path(get, path = "/readyz", tag = "health",
    description = "The store answers readers and the writer.",
    responses((status = 200, body = String), (status = 503, body = ProblemBody)), security(()))]
async fn readyz(State(state): State<AppState>) -> Result<&'static str, Problem> {
    let unready = Problem::Unavailable("the store does not answer");
    state.readers.bytes().await.map_err(|_| unready.clone())?;
    state.writer.run(|_| Ok(())).await.map_err(|_| unready)?;
    Ok("ready\n")
}

#[utoipa::path(get, path = "/metrics", tag = "health",
    description = "Figures of the instance, as Prometheus text 0.0.4.",
    responses((status = 200, body = String)), security(()))]
async fn metrics(State(state): State<AppState>) -> Response {
    if let Ok(bytes) = state.readers.bytes().await {
        state.metrics.store_bytes.set(bytes);
    }
    let headers = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let link = state.link.as_ref().map(|link| link.readings()).unwrap_or_default();
    (headers, state.metrics.render(&link)).into_response()
}
