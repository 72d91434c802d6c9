//! `/v1/alarms`: what needs a person, and what did.

use axum::Json;
use axum::extract::State;
use fieldgate_model::AlarmState;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fields::{self, Parameters};
use super::problem::{Problem, ProblemBody};
use super::{PAGE_DEFAULT, PAGE_MAX, cursor};
use crate::auth::Caller;
use crate::show;
use crate::state::AppState;
use crate::store::Scopes;
use crate::store::query::{AlarmView, Filter};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// One occurrence of an alarm.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlarmDto {
    id: i64,
    gateway: String,
    device: String,
    alarm: String,
    /// Counts how often the condition became true.
    occurrence: u64,
    /// `active` or `normal`.
    state: String,
    /// `low`, `medium`, `high` or `urgent`.
    severity: String,
    signal: String,
    /// Engineering value at the last transition.
    value: f64,
    limit: f64,
    message: String,
    raised_at: Option<String>,
    returned_at: Option<String>,
}

/// A page of alarms, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlarmPage {
    items: Vec<AlarmDto>,
    /// The cursor of the next page.
    next: Option<String>,
}

#[utoipa::path(get, path = "/v1/alarms", tag = "alarms", params(
    ("state" = Option<String>, Query, description = "`active` or `normal`"),
    ("gateway" = Option<String>, Query, description = "of this gateway alone"),
    ("limit" = Option<u32>, Query, description = "1 to 1,000; 100 if not given"),
    ("cursor" = Option<String>, Query, description = "`next` of the page before"),
), responses((status = 200, body = AlarmPage), (status = 400, body = ProblemBody)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(mut query): Parameters,
) -> Result<Json<AlarmPage>, Problem> {
    caller.need(Scopes::READ)?;
    let limit = query.take("limit", fields::count(PAGE_MAX)).unwrap_or(PAGE_DEFAULT);
    let gateway = query.take("gateway", fields::gateway);
    let alarm_state = query.take("state", alarm_state);
    let place = query.take("cursor", |value| cursor::decode("alarms", value));
    query.finish()?;
    let before = place.map(|place| cursor::number(&place)).transpose()?;
    let before = before.map(|id| (id, String::new()));
    let filter = Filter { gateway, alarm_state, before, limit: limit + 1, ..Filter::default() };
    let rows = state.readers.alarms(caller.tenant, filter).await?;
    let (rows, next) = cursor::page(rows, limit, "alarms", |row| row.id.to_string());
    Ok(Json(AlarmPage { items: rows.into_iter().map(dto).collect(), next }))
}

fn alarm_state(value: &serde_json::Value) -> Result<AlarmState, String> {
    match value.as_str() {
        Some("active") => Ok(AlarmState::Active),
        Some("normal") => Ok(AlarmState::Normal),
        Some(_) | None => Err("must be `active` or `normal`".to_owned()),
    }
}

fn dto(row: AlarmView) -> AlarmDto {
    AlarmDto {
        id: row.id,
        gateway: row.gateway.to_string(),
        device: row.device,
        alarm: row.alarm,
        occurrence: row.occurrence,
        state: row.state,
        severity: row.severity,
        signal: row.signal,
        value: row.value,
        limit: row.limit,
        message: row.message,
        raised_at: row.raised_at.map(show::rfc3339),
        returned_at: row.returned_at.map(show::rfc3339),
    }
}
