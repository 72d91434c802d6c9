//! `/v1/usage` and `/v1/audit`: what was used, and who changed what.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, VARY};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::export::{Format, csv_field, negotiate};
use super::fields::{self, Parameters};
use super::problem::{Problem, ProblemBody};
use super::{PAGE_DEFAULT, PAGE_MAX, cursor};
use crate::auth::Caller;
use crate::show;
use crate::state::AppState;
use crate::store::Scopes;
use crate::store::query::{AuditView, UsageView};

/// Days of a usage report, if the caller does not say: a month and some.
const USAGE_DAYS: i64 = 35;

/// Lines of a usage report: three years of ninety gateways.
const USAGE_MAX: usize = 100_000;

const DAY_MILLIS: i64 = 86_400_000;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(usage)).routes(routes!(audit))
}

/// A day of a gateway.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UsageDto {
    tenant: String,
    gateway: String,
    /// A day of UTC, `2026-11-22`.
    day: String,
    batches: u64,
    samples: u64,
    events: u64,
    bytes: u64,
}

/// A usage report, by day.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UsageReport {
    items: Vec<UsageDto>,
}

/// A line of the audit.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditDto {
    sequence: i64,
    at: String,
    actor: String,
    action: String,
    target: String,
    detail: String,
}

/// A page of the audit, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditPage {
    items: Vec<AuditDto>,
    /// The cursor of the next page.
    next: Option<String>,
}

#[utoipa::path(get, path = "/v1/usage", tag = "tenants",
    description = "What was committed, by day of UTC and gateway. CSV by `Accept: text/csv`.",
    params(
        ("from" = Option<String>, Query, description = "first day, `2026-11-01`"),
        ("to" = Option<String>, Query, description = "day after the last, `2026-12-01`"),
        ("all" = Option<bool>, Query, description = "of every tenant; scope `management`"),
    ),
    responses(
        (status = 200, content((UsageReport = "application/json"), (String = "text/csv"))),
        (status = 400, body = ProblemBody),
    ))]
async fn usage(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Parameters(mut query): Parameters,
) -> Result<Response, Problem> {
    caller.need(Scopes::READ)?;
    let format = negotiate(&headers)?;
    let (from, to) = (query.take("from", fields::day), query.take("to", fields::day));
    let all = query.take("all", fields::flag).unwrap_or(false);
    query.finish()?;
    if all {
        caller.need(Scopes::MANAGEMENT)?;
    }
    let to = to.unwrap_or_else(|| state.clock.now().0.div_euclid(DAY_MILLIS) + 1);
    let from = from.unwrap_or(to - USAGE_DAYS);
    let tenant = (!all).then_some(caller.tenant);
    let rows = state.readers.usage(tenant, from, to, USAGE_MAX + 1).await?;
    if rows.len() > USAGE_MAX {
        return Err(Problem::field("from", "asks for more than 100,000 lines"));
    }
    let items: Vec<UsageDto> = rows.into_iter().map(usage_dto).collect();
    match format {
        Format::Json => Ok(([(VARY, "accept")], Json(UsageReport { items })).into_response()),
        Format::Ndjson => Err(Problem::NotAcceptable),
        Format::Csv => {
            let mut text = "tenant,gateway,day,batches,samples,events,bytes\r\n".to_owned();
            for item in &items {
                text.push_str(&usage_line(item));
            }
            let headers = [(CONTENT_TYPE, format.media()), (VARY, "accept")];
            Ok((headers, text).into_response())
        }
    }
}

#[utoipa::path(get, path = "/v1/audit", tag = "tenants", params(
    ("limit" = Option<u32>, Query, description = "1 to 1,000; 100 if not given"),
    ("cursor" = Option<String>, Query, description = "`next` of the page before"),
), responses((status = 200, body = AuditPage), (status = 400, body = ProblemBody)))]
async fn audit(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(mut query): Parameters,
) -> Result<Json<AuditPage>, Problem> {
    caller.need(Scopes::READ)?;
    let limit = query.take("limit", fields::count(PAGE_MAX)).unwrap_or(PAGE_DEFAULT);
    let place = query.take("cursor", |value| cursor::decode("audit", value));
    query.finish()?;
    let before = place.map(|place| cursor::number(&place)).transpose()?;
    let rows = state.readers.audit(caller.tenant, before, limit + 1).await?;
    let (rows, next) = cursor::page(rows, limit, "audit", |row| row.sequence.to_string());
    Ok(Json(AuditPage { items: rows.into_iter().map(audit_dto).collect(), next }))
}

fn usage_dto(row: UsageView) -> UsageDto {
    UsageDto {
        tenant: row.tenant,
        gateway: row.gateway,
        day: show::date(row.day),
        batches: row.batches,
        samples: row.samples,
        events: row.events,
        bytes: row.bytes,
    }
}

fn usage_line(item: &UsageDto) -> String {
    let UsageDto { day, batches, samples, events, bytes, .. } = item;
    let (tenant, gateway) = (csv_field(&item.tenant), csv_field(&item.gateway));
    format!("{tenant},{gateway},{day},{batches},{samples},{events},{bytes}\r\n")
}

fn audit_dto(row: AuditView) -> AuditDto {
    AuditDto {
        sequence: row.sequence,
        at: show::rfc3339(row.at),
        actor: row.actor,
        action: row.action,
        target: row.target,
        detail: row.detail,
    }
}
