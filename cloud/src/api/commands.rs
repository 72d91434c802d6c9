//! `/v1/commands`: asking a device to act, and what became of it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use fieldgate_model::{CommandId, GatewayId};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fields::{self, Body, Named, Parameters};
use super::problem::{Problem, ProblemBody, internal};
use super::request::CommandRequest;
use super::{PAGE_DEFAULT, PAGE_MAX, cursor, request};
use crate::auth::{self, Caller};
use crate::show;
use crate::state::AppState;
use crate::store::query::Filter;
use crate::store::{CommandState, CommandView, NewCommand, Scopes};

/// Longest wait for an outcome: under the minute after which proxies give up.
const WAIT_MAX_MILLIS: i64 = 55_000;

/// Between two looks at a command that somebody waits for, when nothing says that one was closed:
/// another process may have closed it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, submit)).routes(routes!(show)).routes(routes!(cancel))
}

/// A command and what became of it.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the answer")]
pub(super) struct CommandDto {
    id: String,
    gateway: String,
    device: String,
    signal: String,
    /// The engineering value asked for.
    value: serde_json::Value,
    verify: bool,
    retry_safe: bool,
    dry_run: bool,
    /// `accepted`, `sent`, `done`, `failed`, `expired`, `cancelled`, `interrupted` or
    /// `unconfirmed`.
    state: &'static str,
    /// Whether an outcome may still arrive.
    open: bool,
    created_by: String,
    created_at: String,
    not_after: String,
    sent_at: Option<String>,
    /// When it arrived at the gateway.
    received_at: Option<String>,
    /// When the gateway began with it.
    started_at: Option<String>,
    /// When it was given up waiting for the gateway's word; its return still closes it.
    unconfirmed_at: Option<String>,
    closed_at: Option<String>,
    /// What the device showed afterwards.
    read_back: serde_json::Value,
    /// Why it failed.
    reason: Option<String>,
}

/// A page of commands, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CommandPage {
    items: Vec<CommandDto>,
    /// The cursor of the next page.
    next: Option<String>,
}

#[utoipa::path(get, path = "/v1/commands", tag = "commands", params(
    ("state" = Option<String>, Query, description = "in this state alone"),
    ("gateway" = Option<String>, Query, description = "of this gateway alone"),
    ("limit" = Option<u32>, Query, description = "1 to 1,000; 100 if not given"),
    ("cursor" = Option<String>, Query, description = "`next` of the page before"),
), responses((status = 200, body = CommandPage), (status = 400, body = ProblemBody)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(mut query): Parameters,
) -> Result<Json<CommandPage>, Problem> {
    caller.need(Scopes::READ)?;
    let limit = query.take("limit", fields::count(PAGE_MAX)).unwrap_or(PAGE_DEFAULT);
    let gateway = query.take("gateway", fields::gateway);
    let command_state = query.take("state", |value| {
        let known = value.as_str().and_then(CommandState::parse);
        known.ok_or_else(|| "is not a state of a command".to_owned())
    });
    let before = query.take("cursor", |value| {
        let place = cursor::decode("commands", value)?;
        let place = place.split_once(' ').and_then(|(at, id)| Some((at.parse().ok()?, id.into())));
        place.ok_or_else(|| "is not a cursor of this list".to_owned())
    });
    query.finish()?;
    let filter = Filter { gateway, command_state, before, limit: limit + 1, ..Filter::default() };
    let rows = state.readers.commands(caller.tenant, filter).await?;
    let place = |row: &CommandView| format!("{} {}", row.created_at.0, row.id);
    let (rows, next) = cursor::page(rows, limit, "commands", place);
    Ok(Json(CommandPage { items: rows.into_iter().map(dto).collect(), next }))
}

#[utoipa::path(post, path = "/v1/commands", tag = "commands", request_body = CommandRequest,
    description = "Accepted once it is durable; the outcome comes later, see \
        `GET /v1/commands/{id}?wait=30s`. The same `Idempotency-Key` and request give the same \
        command.",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 128 characters")),
    responses(
        (status = 202, body = CommandDto, headers(("Location" = String, description = "its URL"))),
        (status = 400, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody),
    ))]
async fn submit(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    caller.need(Scopes::COMMAND)?;
    let now = state.clock.now();
    let idempotency_key = request::idempotency_key(&headers)?;
    let id = auth::random_hex::<12>().map_err(|error| internal(&error))?;
    let id = CommandId::new(format!("cmd-{id}")).map_err(|error| internal(&error))?;
    let (gateway, command) = request::read(&state, &caller, body, id, now).await?;
    let new = NewCommand { command, gateway: gateway.clone(), idempotency_key };
    let tenant = caller.tenant.clone();
    let submitted = state.writer.run(move |store| store.submit_command(&tenant, &new, now)).await?;
    if !submitted.replayed {
        state.metrics.commands_accepted.count();
        (state.wake)(&gateway);
    }
    let location = format!("/v1/commands/{}", submitted.id);
    let row = state.readers.command(caller.tenant, submitted.id).await?;
    let row = row.ok_or(Problem::NotFound("command"))?;
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Json(dto(row))).into_response())
}

#[utoipa::path(get, path = "/v1/commands/{id}", tag = "commands", params(
    ("id" = String, Path, description = "the command"),
    ("wait" = Option<String>, Query, description = "answer when it has an outcome, or after this \
        time: `30s`, at most `55s`"),
), responses((status = 200, body = CommandDto), (status = 404, body = ProblemBody)))]
async fn show(
    State(state): State<AppState>,
    caller: Caller,
    id: Named,
    Parameters(mut query): Parameters,
) -> Result<Json<CommandDto>, Problem> {
    caller.need(Scopes::READ)?;
    let wait = query.take("wait", fields::duration(WAIT_MAX_MILLIS)).unwrap_or(0);
    query.finish()?;
    let id = id.parse(CommandId::new)?;
    let until = Instant::now() + Duration::from_millis(wait.unsigned_abs());
    let mut closed = state.closed.clone();
    loop {
        closed.mark_unchanged();
        let row = state.readers.command(caller.tenant.clone(), id.clone()).await?;
        let row = row.ok_or(Problem::NotFound("command"))?;
        if !row.state.is_open() || Instant::now() >= until {
            return Ok(Json(dto(row)));
        }
        let pause = sleep(LOOK_EVERY.min(until - Instant::now()));
        tokio::select! {
            Ok(()) = closed.changed() => {}
            () = pause => {}
        }
    }
}

#[utoipa::path(post, path = "/v1/commands/{id}/cancel", tag = "commands",
    description = "Withdraws a command that was not sent.",
    params(("id" = String, Path, description = "the command")),
    responses((status = 200, body = CommandDto), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody)))]
async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    id: Named,
    Parameters(query): Parameters,
) -> Result<Json<CommandDto>, Problem> {
    caller.need(Scopes::COMMAND)?;
    query.finish()?;
    let id = id.parse(CommandId::new)?;
    let (tenant, by, now) = (caller.tenant.clone(), caller.actor.clone(), state.clock.now());
    let cancelled = id.clone();
    state.writer.run(move |store| store.cancel_command(&tenant, &cancelled, &by, now)).await?;
    let row = state.readers.command(caller.tenant, id).await?;
    row.map(|row| Json(dto(row))).ok_or(Problem::NotFound("command"))
}

fn dto(row: CommandView) -> CommandDto {
    let engineering = |value| show::engineering(value, fieldgate_model::Scale::IDENTITY);
    let gateway: GatewayId = row.gateway;
    CommandDto {
        id: row.id.to_string(),
        gateway: gateway.to_string(),
        device: row.device,
        signal: row.signal,
        value: engineering(&row.value),
        verify: row.verify,
        retry_safe: row.retry_safe,
        dry_run: row.dry_run,
        state: row.state.as_str(),
        open: row.state.is_open(),
        created_by: row.created_by,
        created_at: show::rfc3339(row.created_at),
        not_after: show::rfc3339(row.not_after),
        sent_at: row.sent_at.map(show::rfc3339),
        received_at: row.received_at.map(show::rfc3339),
        started_at: row.started_at.map(show::rfc3339),
        unconfirmed_at: row.unconfirmed_at.map(show::rfc3339),
        closed_at: row.closed_at.map(show::rfc3339),
        read_back: row.read_back.as_ref().map(engineering).unwrap_or_default(),
        reason: row.reason,
    }
}
