//! The console: pages for people, rendered here and kept true by the API's own streams.
//!
//! # Invariants
//!
//! - A page holds nothing inline and loads nothing from elsewhere; the policy that says so is in
//!   `http`.
//! - A one-time link opens one session; the session is a cookie that no script can read.
//! - Nothing changes by a GET but the use of a link.

mod assets;
mod fleet;
mod gateway;
mod session;
mod words;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;

use crate::state::AppState;

/// The console's routes.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(|| async { Redirect::to("/console/") }))
        .route("/console", get(|| async { Redirect::to("/console/") }))
        .route("/console/", get(fleet::page))
        .route("/console/gateways/{id}", get(gateway::page))
        .route("/console/login/{link}", get(session::login))
        .route("/console/assets/{name}", get(assets::asset))
}
