//! The fleet at a glance.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;

use super::session::{caller, failed, render};
use super::words;
use crate::state::AppState;
use crate::store::INVENTORY_MAX;
use crate::store::query::GatewayView;

#[derive(Template)]
#[template(path = "fleet.html")]
struct Fleet {
    tenant: String,
    online: usize,
    alarms: u32,
    gateways: Vec<GatewayRow>,
}

/// A gateway as the pages show it.
pub(super) struct GatewayRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) online: bool,
    pub(super) contested: bool,
    pub(super) seen: String,
    pub(super) seen_ago: String,
    /// What its state is called.
    pub(super) word: &'static str,
    pub(super) data: String,
    pub(super) data_ago: String,
    pub(super) alarms: u32,
    pub(super) software: String,
}

impl GatewayRow {
    pub(super) fn new(state: &AppState, row: GatewayView) -> Self {
        let now = state.clock.now();
        let online = state.is_online(&row);
        let never = |text: String| if text.is_empty() { "never".to_owned() } else { text };
        Self {
            online,
            word: match (online, row.last_seen_at) {
                (true, _) => "online",
                (false, Some(_)) => "offline",
                (false, None) => "never connected",
            },
            id: row.id.to_string(),
            name: row.name,
            contested: row.contested,
            seen: words::at(row.last_seen_at),
            seen_ago: never(words::ago(row.last_seen_at, now)),
            data: words::at(row.data_until),
            data_ago: never(words::ago(row.data_until, now)),
            alarms: row.active_alarms,
            software: row.software.unwrap_or_else(|| "never connected".to_owned()),
        }
    }
}

pub(super) async fn page(State(state): State<AppState>, uri: Uri, headers: HeaderMap) -> Response {
    let caller = match caller(&state, &headers, &uri).await {
        Ok(caller) => caller,
        Err(page) => return page,
    };
    let tenant = caller.tenant.to_string();
    let rows = match state.readers.gateways(caller.tenant, None, INVENTORY_MAX).await {
        Ok(rows) => rows,
        Err(error) => {
            tracing::error!(%error, "fleet page failed");
            return failed();
        }
    };
    let gateways: Vec<GatewayRow> =
        rows.into_iter().map(|row| GatewayRow::new(&state, row)).collect();
    let online = gateways.iter().filter(|row| row.online).count();
    let alarms = gateways.iter().map(|row| row.alarms).sum();
    render(StatusCode::OK, &Fleet { tenant, online, alarms, gateways })
}
