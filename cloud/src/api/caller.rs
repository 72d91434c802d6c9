//! Takes the caller from a request, and says what the caller may not.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::problem::Problem;
use crate::auth::{AuthError, Caller, authenticate};
use crate::state::AppState;
use crate::store::Scopes;

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let now = state.clock.now();
        let caller = authenticate(&state.readers, &parts.method, &parts.headers, now).await;
        caller.map_err(|error: AuthError| error.into())
    }
}

impl Caller {
    /// An error unless the caller has all of `scopes`.
    pub(super) fn need(&self, scopes: Scopes) -> Result<(), Problem> {
        if self.scopes.contains(scopes) {
            return Ok(());
        }
        Err(Problem::Forbidden(format!("this needs the scope `{scopes}`")))
    }
}
