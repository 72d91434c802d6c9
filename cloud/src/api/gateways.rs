//! `/v1/gateways`: which there are, what they have, and how to add one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::response::{IntoResponse, Response};
use fieldgate_model::{Catalogue, CatalogueSignal, GatewayId};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fields::{self, Body, Named, Parameters};
use super::problem::{Problem, ProblemBody, internal};
use super::{PAGE_DEFAULT, PAGE_MAX, cursor, live};
use crate::auth::{self, Caller};
use crate::live::LiveSample;
use crate::show;
use crate::state::AppState;
use crate::store::Scopes;
use crate::store::query::{GatewayView, SignalId, SignalKey, StoredSample};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(show))
        .routes(routes!(readopt))
        .routes(routes!(decommission))
        .routes(routes!(devices))
        .routes(routes!(signals))
        .merge(live::routes())
}

/// A gateway.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GatewayDto {
    id: String,
    name: String,
    created_at: String,
    /// Whether it is connected.
    online: bool,
    /// When it was last heard of.
    last_seen_at: Option<String>,
    /// Time of its newest committed sample.
    data_until: Option<String>,
    /// How far the committed data is behind, in milliseconds.
    lag_ms: Option<i64>,
    /// Alarms that are active.
    active_alarms: u32,
    /// Name and version of its daemon.
    software: Option<String>,
    /// Number of its configuration.
    generation: u64,
    /// Number of its ownership.
    epoch: u64,
    /// Its identity is in doubt: commands wait until somebody readopts it.
    contested: bool,
    /// Why: `twin` (another box shows the same), `forked` (it found another history here) or
    /// `journal_lost` (it cannot tell which commands it has run).
    doubt: Option<String>,
    /// Since when it is no more.
    decommissioned_at: Option<String>,
}

/// A page of gateways.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GatewayPage {
    items: Vec<GatewayDto>,
    /// The cursor of the next page.
    next: Option<String>,
}

/// A device of a gateway.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeviceDto {
    name: String,
    /// Name and version of its profile.
    profile: String,
    /// How many signals it has.
    signals: usize,
}

/// The devices of a gateway.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeviceList {
    items: Vec<DeviceDto>,
}

/// A signal with its newest value.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignalDto {
    /// `{gateway}.{device}.{signal}`.
    id: String,
    device: String,
    name: String,
    unit: String,
    /// `bool`, `int`, `unsigned`, `float32`, `float64` or `text`.
    kind: &'static str,
    /// Whether a command may write it.
    writable: bool,
    /// The engineering value; an integer beyond 2^53 is a string.
    value: serde_json::Value,
    /// `good`, `uncertain` or why there is no value; `null` before the first sample.
    quality: Option<String>,
    at: Option<String>,
    /// It is not committed yet.
    provisional: bool,
}

/// The signals of a gateway.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignalList {
    items: Vec<SignalDto>,
}

/// A gateway to add.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body, for its description")]
pub(super) struct NewGateway {
    /// What people call it; unique in the tenant.
    name: String,
}

/// What a gateway needs to connect. The secret is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Credentials {
    gateway: String,
    name: String,
    /// 256 bits as hex.
    secret: String,
    /// Where to connect to, if a link listens.
    url: Option<String>,
    /// The authority that the other end must be certified by, as PEM.
    ca: Option<String>,
}

#[utoipa::path(get, path = "/v1/gateways", tag = "gateways", params(
    ("limit" = Option<u32>, Query, description = "1 to 1,000; 100 if not given"),
    ("cursor" = Option<String>, Query, description = "`next` of the page before"),
), responses((status = 200, body = GatewayPage), (status = 400, body = ProblemBody)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(mut query): Parameters,
) -> Result<Json<GatewayPage>, Problem> {
    caller.need(Scopes::READ)?;
    let limit = query.take("limit", fields::count(PAGE_MAX)).unwrap_or(PAGE_DEFAULT);
    let after = query.take("cursor", |value| cursor::decode("gateways", value));
    query.finish()?;
    let rows = state.readers.gateways(caller.tenant, after, limit + 1).await?;
    let (rows, next) = cursor::page(rows, limit, "gateways", |row| row.name.clone());
    let items = rows.into_iter().map(|row| gateway_dto(&state, row)).collect();
    Ok(Json(GatewayPage { items, next }))
}

#[utoipa::path(get, path = "/v1/gateways/{id}", tag = "gateways",
    params(("id" = String, Path, description = "the gateway")),
    responses((status = 200, body = GatewayDto), (status = 404, body = ProblemBody)))]
async fn show(
    State(state): State<AppState>,
    caller: Caller,
    id: Named,
    Parameters(query): Parameters,
) -> Result<Json<GatewayDto>, Problem> {
    caller.need(Scopes::READ)?;
    query.finish()?;
    let row = owned(&state, &caller, id.parse(GatewayId::new)?).await?;
    Ok(Json(gateway_dto(&state, row)))
}

#[utoipa::path(get, path = "/v1/gateways/{id}/devices", tag = "gateways",
    params(("id" = String, Path, description = "the gateway")),
    responses((status = 200, body = DeviceList), (status = 404, body = ProblemBody)))]
async fn devices(
    State(state): State<AppState>,
    caller: Caller,
    id: Named,
    Parameters(query): Parameters,
) -> Result<Json<DeviceList>, Problem> {
    caller.need(Scopes::READ)?;
    query.finish()?;
    let gateway = owned(&state, &caller, id.parse(GatewayId::new)?).await?.id;
    let catalogue = state.readers.catalogue(gateway).await?.unwrap_or_default();
    let items = catalogue.devices.into_iter().map(|device| DeviceDto {
        name: device.name.to_string(),
        profile: device.profile,
        signals: device.signals.len(),
    });
    Ok(Json(DeviceList { items: items.collect() }))
}

#[utoipa::path(get, path = "/v1/gateways/{id}/signals", tag = "gateways",
    params(("id" = String, Path, description = "the gateway")),
    responses((status = 200, body = SignalList), (status = 404, body = ProblemBody)))]
async fn signals(
    State(state): State<AppState>,
    caller: Caller,
    id: Named,
    Parameters(query): Parameters,
) -> Result<Json<SignalList>, Problem> {
    caller.need(Scopes::READ)?;
    query.finish()?;
    let gateway = owned(&state, &caller, id.parse(GatewayId::new)?).await?.id;
    let catalogue = state.readers.catalogue(gateway.clone()).await?.unwrap_or_default();
    let stored = state.readers.newest(gateway.clone()).await?;
    Ok(Json(SignalList { items: signal_dtos(&state, &gateway, &catalogue, &stored) }))
}

#[utoipa::path(post, path = "/v1/gateways", tag = "gateways", request_body = NewGateway,
    responses((status = 201, body = Credentials), (status = 400, body = ProblemBody),
        (status = 409, body = ProblemBody)))]
async fn add(
    State(state): State<AppState>,
    caller: Caller,
    Body(mut body): Body,
) -> Result<Response, Problem> {
    caller.need(Scopes::ADMIN)?;
    let name = body.need("name", fields::text(128));
    body.finish()?;
    let name = name.unwrap_or_default();
    let id = auth::random_hex::<10>().map_err(|error| internal(&error))?;
    let id = GatewayId::new(format!("gw-{id}")).map_err(|error| internal(&error))?;
    let secret = auth::random_hex::<32>().map_err(|error| internal(&error))?;
    let hash = auth::hash(&secret);
    let (now, endpoint) = (state.clock.now(), state.endpoint.as_deref().cloned());
    let answer = Credentials {
        gateway: id.to_string(),
        name: name.clone(),
        secret,
        url: endpoint.as_ref().map(|endpoint| endpoint.url.clone()),
        ca: endpoint.and_then(|endpoint| endpoint.ca_pem),
    };
    let location = format!("/v1/gateways/{id}");
    state
        .writer
        .run(move |store| store.add_gateway(&caller.tenant, &id, &name, &hash, &caller.actor, now))
        .await?;
    let headers = [(LOCATION, location), (CACHE_CONTROL, "no-store".to_owned())];
    Ok((StatusCode::CREATED, headers, Json(answer)).into_response())
}

#[utoipa::path(post, path = "/v1/gateways/{id}/readopt", tag = "gateways",
    description = "Says that the gateway is the one it claims to be. Commands go to it again once \
        it has heard of that, within half a minute.",
    params(("id" = String, Path, description = "the gateway")),
    responses((status = 200, body = GatewayDto), (status = 404, body = ProblemBody)))]
async fn readopt(
    State(state): State<AppState>,
    caller: Caller,
    id: Named,
    Parameters(query): Parameters,
) -> Result<Json<GatewayDto>, Problem> {
    caller.need(Scopes::ADMIN)?;
    query.finish()?;
    let id = id.parse(GatewayId::new)?;
    let (tenant, by, now) = (caller.tenant.clone(), caller.actor.clone(), state.clock.now());
    let of = id.clone();
    state.writer.run(move |store| store.readopt(Some(&tenant), &of, &by, now)).await?;
    let row = owned(&state, &caller, id).await?;
    Ok(Json(gateway_dto(&state, row)))
}

#[utoipa::path(post, path = "/v1/gateways/{id}/decommission", tag = "gateways",
    description = "Shuts the gateway out for good. What it has sent stays; its open commands are \
        closed: `cancelled` if it was never given them, else `interrupted`.",
    params(("id" = String, Path, description = "the gateway")),
    responses((status = 200, body = GatewayDto), (status = 404, body = ProblemBody)))]
async fn decommission(
    State(state): State<AppState>,
    caller: Caller,
    id: Named,
    Parameters(query): Parameters,
) -> Result<Json<GatewayDto>, Problem> {
    caller.need(Scopes::ADMIN)?;
    query.finish()?;
    let id = id.parse(GatewayId::new)?;
    let (tenant, by, now) = (caller.tenant.clone(), caller.actor.clone(), state.clock.now());
    let of = id.clone();
    state.writer.run(move |store| store.decommission(Some(&tenant), &of, &by, now)).await?;
    let row = owned(&state, &caller, id).await?;
    Ok(Json(gateway_dto(&state, row)))
}

/// The gateway, if it is the caller's.
pub(super) async fn owned(
    state: &AppState,
    caller: &Caller,
    id: GatewayId,
) -> Result<GatewayView, Problem> {
    let row = state.readers.gateway(caller.tenant.clone(), id).await?;
    row.ok_or(Problem::NotFound("gateway"))
}

fn gateway_dto(state: &AppState, row: GatewayView) -> GatewayDto {
    let now = state.clock.now();
    let seen = |at: fieldgate_model::UtcMillis| now.0.saturating_sub(at.0);
    let online = state.is_online(&row);
    GatewayDto {
        id: row.id.to_string(),
        name: row.name,
        created_at: show::rfc3339(row.created_at),
        online,
        last_seen_at: row.last_seen_at.map(show::rfc3339),
        data_until: row.data_until.map(show::rfc3339),
        lag_ms: row.data_until.map(|at| seen(at).max(0)),
        active_alarms: row.active_alarms,
        software: row.software,
        generation: row.generation,
        epoch: row.epoch,
        contested: row.contested,
        doubt: row.doubt,
        decommissioned_at: row.decommissioned_at.map(show::rfc3339),
    }
}

fn signal_dtos(
    state: &AppState,
    gateway: &GatewayId,
    catalogue: &Catalogue,
    stored: &BTreeMap<SignalKey, StoredSample>,
) -> Vec<SignalDto> {
    let live: BTreeMap<SignalKey, Arc<LiveSample>> =
        state.live.latest(gateway).into_iter().map(|sample| (sample.key.clone(), sample)).collect();
    let dto = |key: SignalKey, signal: &CatalogueSignal| {
        let newest = live.get(&key).map(|sample| {
            let value = sample.value.as_ref();
            (value, sample.signal.scale, sample.quality, sample.at, sample.provisional)
        });
        let newest = newest.or_else(|| {
            let sample = stored.get(&key)?;
            let value = sample.value.as_ref();
            Some((value, sample.signal.scale, sample.quality, sample.at(), false))
        });
        let id = SignalId { gateway: gateway.clone(), key };
        SignalDto {
            id: id.to_string(),
            device: id.key.device.to_string(),
            name: signal.name.to_string(),
            unit: signal.unit.clone(),
            kind: signal.kind.as_str(),
            writable: signal.writable,
            value: newest
                .and_then(|(value, scale, ..)| Some(show::engineering(value?, scale)))
                .unwrap_or_default(),
            quality: newest.map(|(_, _, quality, ..)| quality.to_string()),
            at: newest.and_then(|(_, _, _, at, _)| at).map(show::rfc3339),
            provisional: newest.is_some_and(|(.., provisional)| provisional),
        }
    };
    let named = catalogue.signals().map(|(device, signal)| {
        let key = SignalKey { device: device.name.clone(), signal: signal.name.clone() };
        dto(key, signal)
    });
    named.collect()
}
