//! Health and metrics over HTTP, for supervisors and Prometheus. Nothing here changes anything.
//!
//! ```text
//! /healthz   200 while the engine turns
//! /readyz    200 once every bus has polled, or is known to be down
//! /metrics   Prometheus text format 0.0.4
//! ```

mod listener;
mod metrics;

use std::io;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use fieldgate_model::Millis;
use tokio::net::TcpListener;
use tokio::time::timeout;

use self::listener::BoundedListener;
use crate::drivers::{BusStatus, LinkState};
use crate::handles::Handles;

/// How long the engine may take to answer and still count as turning: it answers within one turn,
/// and the longest thing in a turn is handing samples to the buffer.
const ENGINE_PATIENCE: Duration = Duration::from_secs(2);

/// Serves until the task is ended.
pub(crate) async fn serve(listener: TcpListener, handles: Handles) -> io::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "serving health and metrics");
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        // One request a connection: idle ones must not hold the places of others.
        .layer(map_response(close))
        .with_state(handles);
    axum::serve(BoundedListener::new(listener), router).await
}

async fn healthz(State(handles): State<Handles>) -> (StatusCode, &'static str) {
    // From the far future on there is nothing to copy: the question is whether it answers.
    let turned = timeout(ENGINE_PATIENCE, handles.engine.snapshot(Some(Millis(u64::MAX)))).await;
    match turned {
        Ok(_) => (StatusCode::OK, "ok\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the engine does not turn\n"),
    }
}

async fn readyz(State(handles): State<Handles>) -> (StatusCode, String) {
    let waiting: Vec<String> = handles
        .line_status()
        .into_iter()
        .filter(|bus| !is_known(bus))
        .map(|bus| bus.name)
        .collect();
    if waiting.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        let text = format!("waiting for bus {}\n", waiting.join(", "));
        (StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

async fn close(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Whether it is known how the bus is: it has polled, or cannot be reached, or has nobody on it.
fn is_known(bus: &BusStatus) -> bool {
    match bus.link {
        LinkState::Down | LinkState::Taken { .. } => true,
        LinkState::Untried | LinkState::Up => {
            bus.devices.is_empty() || bus.devices.iter().any(|device| device.polled.polls > 0)
        }
    }
}

async fn metrics(State(handles): State<Handles>) -> impl IntoResponse {
    let snapshot = timeout(ENGINE_PATIENCE, handles.engine.snapshot(Some(Millis(u64::MAX)))).await;
    let text = metrics::render(&handles, &snapshot.unwrap_or_default());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
