//! `/v1/tenants` and `/v1/tokens`: who may call, and for whom.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::response::{IntoResponse, Response};
use fieldgate_model::TenantId;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fields::{self, Body, Named, Parameters};
use super::problem::{Problem, ProblemBody, internal};
use crate::auth::{self, Caller};
use crate::show;
use crate::state::AppState;
use crate::store::{NewTenant as StoreTenant, NewToken as StoreToken, Scopes, TenantRow, TokenRow};

/// Longest life of a token that has an end.
const TOKEN_TTL_MAX_MILLIS: i64 = 3650 * 86_400_000;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(tenants, add_tenant))
        .routes(routes!(tokens, add_token))
        .routes(routes!(revoke_token))
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TenantDto {
    id: String,
    name: String,
    /// The tenant above it.
    parent: Option<String>,
    created_at: String,
    suspended_at: Option<String>,
}

/// Every tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TenantList {
    items: Vec<TenantDto>,
}

/// A tenant to add.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body, for its description")]
pub(super) struct NewTenant {
    /// Its id, 1 to 64 of `A-Z a-z 0-9 _ -`.
    id: String,
    /// What people call it.
    name: String,
    /// The tenant above it; `management` if not given.
    parent: Option<String>,
}

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenDto {
    id: String,
    name: String,
    scopes: String,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
}

/// The tokens of the tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenList {
    items: Vec<TokenDto>,
}

/// A token to add.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body, for its description")]
pub(super) struct NewToken {
    /// What it is for.
    name: String,
    /// Of `read command admin management`, separated by spaces; no more than the caller has.
    scopes: String,
    /// How long it is good, `90d`; without an end if not given.
    ttl: Option<String>,
    /// Another tenant, for callers with the scope `management`.
    tenant: Option<String>,
}

/// A token, shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenSecret {
    id: String,
    name: String,
    scopes: String,
    tenant: String,
    expires_at: Option<String>,
    /// `fgt_…`: what goes behind `Bearer`.
    token: String,
}

#[utoipa::path(get, path = "/v1/tenants", tag = "tenants",
    responses((status = 200, body = TenantList), (status = 403, body = ProblemBody)))]
async fn tenants(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(query): Parameters,
) -> Result<Json<TenantList>, Problem> {
    caller.need(Scopes::MANAGEMENT)?;
    query.finish()?;
    let rows = state.readers.tenants().await?;
    Ok(Json(TenantList { items: rows.into_iter().map(tenant_dto).collect() }))
}

#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = NewTenant,
    responses((status = 201, body = TenantDto), (status = 400, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn add_tenant(
    State(state): State<AppState>,
    caller: Caller,
    Body(mut body): Body,
) -> Result<Response, Problem> {
    caller.need(Scopes::MANAGEMENT)?;
    let id = body.need("id", fields::tenant);
    let name = body.need("name", fields::text(128));
    let parent = body.take("parent", fields::tenant);
    body.finish()?;
    let (Some(id), Some(name)) = (id, name) else { return Err(Problem::Internal) };
    let tenant = StoreTenant { id, name, parent: Some(parent.unwrap_or(caller.tenant)) };
    let now = state.clock.now();
    let answer = TenantDto {
        id: tenant.id.to_string(),
        name: tenant.name.clone(),
        parent: tenant.parent.as_ref().map(ToString::to_string),
        created_at: show::rfc3339(now),
        suspended_at: None,
    };
    state.writer.run(move |store| store.add_tenant(&tenant, &caller.actor, now)).await?;
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

#[utoipa::path(get, path = "/v1/tokens", tag = "tenants",
    responses((status = 200, body = TokenList), (status = 403, body = ProblemBody)))]
async fn tokens(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(query): Parameters,
) -> Result<Json<TokenList>, Problem> {
    caller.need(Scopes::ADMIN)?;
    query.finish()?;
    let rows = state.readers.tokens(caller.tenant).await?;
    Ok(Json(TokenList { items: rows.into_iter().map(token_dto).collect() }))
}

#[utoipa::path(post, path = "/v1/tokens", tag = "tenants", request_body = NewToken,
    responses((status = 201, body = TokenSecret), (status = 400, body = ProblemBody),
        (status = 403, body = ProblemBody)))]
async fn add_token(
    State(state): State<AppState>,
    caller: Caller,
    Body(mut body): Body,
) -> Result<Response, Problem> {
    caller.need(Scopes::ADMIN)?;
    let name = body.need("name", fields::text(128));
    let scopes = body.need("scopes", scopes);
    let ttl = body.take("ttl", fields::duration(TOKEN_TTL_MAX_MILLIS));
    let tenant = body.take("tenant", fields::tenant);
    body.finish()?;
    let (Some(name), Some(scopes)) = (name, scopes) else { return Err(Problem::Internal) };
    let tenant = grant(&caller, tenant, scopes)?;
    let now = state.clock.now();
    let expires_at = ttl.map(|ttl| fieldgate_model::UtcMillis(now.0.saturating_add(ttl)));
    let (id, text) = auth::new_token().map_err(|error| internal(&error))?;
    let answer = TokenSecret {
        id: id.clone(),
        name: name.clone(),
        scopes: scopes.to_string(),
        tenant: tenant.to_string(),
        expires_at: expires_at.map(show::rfc3339),
        token: text.clone(),
    };
    let location = format!("/v1/tokens/{id}");
    let token = StoreToken { id, tenant, name, hash: auth::hash(&text), scopes, expires_at };
    state.writer.run(move |store| store.add_token(&token, &caller.actor, now)).await?;
    let headers = [(LOCATION, location), (CACHE_CONTROL, "no-store".to_owned())];
    Ok((StatusCode::CREATED, headers, Json(answer)).into_response())
}

#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "tenants",
    params(("id" = String, Path, description = "the token's id, not its secret")),
    responses((status = 204), (status = 404, body = ProblemBody)))]
async fn revoke_token(
    State(state): State<AppState>,
    caller: Caller,
    id: Named,
    Parameters(query): Parameters,
) -> Result<StatusCode, Problem> {
    caller.need(Scopes::ADMIN)?;
    query.finish()?;
    // A token's id has the alphabet of every text id.
    let id = id.parse(TenantId::new)?.to_string();
    let now = state.clock.now();
    state
        .writer
        .run(move |store| store.revoke_token(&caller.tenant, &id, &caller.actor, now))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whose token it may be: nobody gives what they do not have.
fn grant(caller: &Caller, tenant: Option<TenantId>, scopes: Scopes) -> Result<TenantId, Problem> {
    let manages = caller.scopes.contains(Scopes::MANAGEMENT);
    match tenant {
        Some(tenant) if tenant != caller.tenant => {
            caller.need(Scopes::MANAGEMENT)?;
            if scopes.contains(Scopes::MANAGEMENT) {
                let detail = "only the management tenant has the scope `management`";
                return Err(Problem::Forbidden(detail.to_owned()));
            }
            Ok(tenant)
        }
        Some(_) | None if manages || caller.scopes.contains(scopes) => {
            if scopes.contains(Scopes::MANAGEMENT) {
                caller.need(Scopes::MANAGEMENT)?;
            }
            Ok(caller.tenant.clone())
        }
        Some(_) | None => {
            let detail = "a token cannot be given more scopes than its giver has";
            Err(Problem::Forbidden(detail.to_owned()))
        }
    }
}

fn scopes(value: &serde_json::Value) -> Result<Scopes, String> {
    let text = value.as_str().ok_or("must be text")?;
    text.parse().map_err(|error: crate::store::ScopesError| error.to_string())
}

fn tenant_dto(row: TenantRow) -> TenantDto {
    TenantDto {
        id: row.id.to_string(),
        name: row.name,
        parent: row.parent.map(|parent| parent.to_string()),
        created_at: show::rfc3339(row.created_at),
        suspended_at: row.suspended_at.map(show::rfc3339),
    }
}

fn token_dto(row: TokenRow) -> TokenDto {
    TokenDto {
        id: row.id,
        name: row.name,
        scopes: row.scopes.to_string(),
        created_at: show::rfc3339(row.created_at),
        expires_at: row.expires_at.map(show::rfc3339),
        revoked_at: row.revoked_at.map(show::rfc3339),
    }
}
