//! Into the console: a one-time link becomes a session.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use fieldgate_model::UtcMillis;

use crate::auth::{self, AuthError, Caller, SESSION_SECONDS, authenticate};
use crate::state::AppState;
use crate::store::Scopes;

/// A page that says one thing.
#[derive(Template)]
#[template(path = "notice.html")]
struct Notice {
    title: &'static str,
    text: &'static str,
    /// Show how to get a link.
    hint: bool,
    /// Where to go at once.
    refresh: Option<String>,
}

/// Opens a session with a link that was not used before.
pub(super) async fn login(State(state): State<AppState>, Path(link): Path<String>) -> Response {
    let Ok(secret) = auth::random_hex::<32>() else { return failed() };
    let (hash, session) = (auth::hash(&link), auth::hash(&secret));
    let now = state.clock.now();
    let expires_at = UtcMillis(now.0.saturating_add(SESSION_SECONDS * 1000));
    let used = state
        .writer
        .run(move |store| store.use_console_link(&hash, &session, expires_at, now))
        .await;
    match used {
        Ok(Some(_)) => {
            let cookie = auth::set_cookie(&secret, state.secure_cookies);
            let headers = [
                (SET_COOKIE, cookie),
                (LOCATION, "/console/".to_owned()),
                (CACHE_CONTROL, "no-store".to_owned()),
            ];
            (StatusCode::SEE_OTHER, headers).into_response()
        }
        Ok(None) => {
            let text = "A link opens the console once and only for some minutes. Make another one \
                on the machine that runs the service.";
            notice(StatusCode::GONE, "This link was used, or is too old", text, true)
        }
        Err(error) => {
            tracing::error!(%error, "console link failed");
            failed()
        }
    }
}

/// Whose session it is; otherwise the page to show instead.
pub(super) async fn caller(
    state: &AppState,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Caller, Response> {
    let found = authenticate(&state.readers, &Method::GET, headers, state.clock.now()).await;
    match found {
        Ok(caller) if caller.scopes.contains(Scopes::READ) => Ok(caller),
        Ok(_) => Err(notice(
            StatusCode::FORBIDDEN,
            "This session may not read",
            "It was opened without the scope to read.",
            true,
        )),
        Err(AuthError::Missing) if is_cross_site(headers) => Err(again(uri)),
        Err(AuthError::Missing | AuthError::Invalid | AuthError::ForeignOrigin) => Err(notice(
            StatusCode::UNAUTHORIZED,
            "Open the console with a link",
            "There are no passwords here. Make a one-time link on the machine that runs the \
                service, and open it in this browser:",
            true,
        )),
        Err(AuthError::Suspended) => Err(notice(
            StatusCode::FORBIDDEN,
            "This tenant is suspended",
            "Its gateways keep their data until it is activated again.",
            false,
        )),
        Err(AuthError::Query(error)) => {
            tracing::error!(%error, "console session failed");
            Err(failed())
        }
    }
}

/// A link in a chat or a mail leads here from another site, and then the browser holds a strict
/// cookie back. A page of our own that leads on is our own site.
fn is_cross_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site")
}

fn again(uri: &Uri) -> Response {
    let refresh = Some(uri.path().to_owned());
    render(StatusCode::OK, &Notice { title: "Opening", text: "", hint: false, refresh })
}

pub(super) fn notice(
    status: StatusCode,
    title: &'static str,
    text: &'static str,
    hint: bool,
) -> Response {
    render(status, &Notice { title, text, hint, refresh: None })
}

pub(super) fn failed() -> Response {
    let text = "The service's log says why. Trying again in a moment often helps.";
    notice(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be made", text, false)
}

pub(super) fn render(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            tracing::error!(%error, "template failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
