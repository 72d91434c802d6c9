//! The HTTP face: API and console in one router, with what holds for every answer.
//!
//! # Invariants
//!
//! - No answer may be framed, sniffed or may load anything from elsewhere.
//! - A request is counted by its route's pattern, so that no caller can grow the figures.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

use crate::metrics::Metrics;
use crate::state::AppState;
use crate::{api, console};

/// Scripts, styles and connections of our own origin alone; nothing inline, no frames, no plugins.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

/// Everything that the service answers by HTTP.
pub fn router(state: AppState) -> Router {
    let metrics = Arc::clone(&state.metrics);
    api::routes()
        .merge(console::routes())
        .fallback(api::no_such_route)
        .method_not_allowed_fallback(api::no_such_method)
        .layer(from_fn_with_state(metrics, observe))
        .with_state(state)
}

async fn observe(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = method_word(request.method());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let mut response = next.run(request).await;
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    let route = route.as_deref().unwrap_or("none");
    metrics.count_request(route, method, response.status().as_u16(), micros);
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What is a tenant's is nobody else's; a handler that knows better has said so.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
    response
}

/// Callers may invent methods; the figures know these.
fn method_word(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
