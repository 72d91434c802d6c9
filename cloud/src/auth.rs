//! Who is calling: bearer tokens of programs and session cookies of people.
//!
//! # Invariants
//!
//! - The tenant comes from the credential, never from a path, a query or a body.
//! - Only SHA-256 hashes of tokens, sessions and links are stored or looked up.
//! - A cookie opens nothing for another site: a request that changes something must name our own
//!   origin, besides the cookie being `SameSite=Strict`.

use std::fmt::Write as _;

use axum::http::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, ORIGIN};
use axum::http::{HeaderMap, Method};
use fieldgate_model::{TenantId, UtcMillis};
use sha2::{Digest, Sha256};

use crate::store::Scopes;
use crate::store::query::{Credential, QueryError, Readers};

/// Name of the console's session cookie.
pub const SESSION_COOKIE: &str = "fieldgate_session";

/// How long a console session lasts: a shift, with some to spare.
pub const SESSION_SECONDS: i64 = 12 * 3600;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Whose data it is about.
    pub tenant: TenantId,
    /// What it may do.
    pub scopes: Scopes,
    /// `token:{id}` or `console`, for the audit.
    pub actor: String,
}

/// Why nobody is calling.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No token and no session.
    #[error("no token is given")]
    Missing,
    /// The token or session is unknown, too old or revoked.
    #[error("the token is not valid")]
    Invalid,
    /// The tenant is suspended.
    #[error("the tenant is suspended")]
    Suspended,
    /// A session's request comes from another site.
    #[error("the request comes from another origin")]
    ForeignOrigin,
    /// The store did not answer.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// Who stands behind a request's headers.
pub async fn authenticate(
    readers: &Readers,
    method: &Method,
    headers: &HeaderMap,
    now: UtcMillis,
) -> Result<Caller, AuthError> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let token = value.to_str().ok().and_then(bearer).ok_or(AuthError::Invalid)?;
        return accept(readers.token_by_hash(hash(token)).await?, now);
    }
    let session = session_cookie(headers).ok_or(AuthError::Missing)?;
    let caller = accept(readers.session_by_hash(hash(session)).await?, now)?;
    let harmless = *method == Method::GET || *method == Method::HEAD;
    if harmless || is_own_origin(headers) { Ok(caller) } else { Err(AuthError::ForeignOrigin) }
}

/// The session secret in the request's cookies.
pub fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == SESSION_COOKIE).then_some(value))
}

/// The `Set-Cookie` of a session; an empty secret takes the cookie away.
pub fn set_cookie(secret: &str, secure: bool) -> String {
    let age = if secret.is_empty() { 0 } else { SESSION_SECONDS };
    let secure = if secure { "; Secure" } else { "" };
    format!("{SESSION_COOKIE}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}")
}

/// SHA-256 of a token, session or link: what is stored instead of it.
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// `N` random bytes of the kernel as lowercase hex.
pub fn random_hex<const N: usize>() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

/// Lowercase hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

/// A fresh token: the id that may be shown, and the whole text that is shown once.
pub fn new_token() -> Result<(String, String), getrandom::Error> {
    let (id, secret) = (random_hex::<6>()?, random_hex::<32>()?);
    let text = format!("fgt_{id}_{secret}");
    Ok((id, text))
}

fn accept(credential: Option<Credential>, now: UtcMillis) -> Result<Caller, AuthError> {
    let credential = credential.ok_or(AuthError::Invalid)?;
    if credential.revoked || credential.expires_at.is_some_and(|end| end <= now) {
        return Err(AuthError::Invalid);
    }
    if credential.suspended {
        return Err(AuthError::Suspended);
    }
    let actor = credential.token.map_or_else(|| "console".to_owned(), |id| format!("token:{id}"));
    Ok(Caller { tenant: credential.tenant, scopes: credential.scopes, actor })
}

/// The token of `Bearer fgt_…`; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && token.starts_with("fgt_")).then_some(token)
}

fn is_own_origin(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(origin), Some(host)) = (text(ORIGIN), text(HOST)) else { return false };
    origin.split_once("://").is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_session_acts_only_for_its_own_origin() {
        for (origin, expected) in [
            (Some("https://cloud.example:8443"), true),
            (Some("https://CLOUD.example:8443"), true),
            (Some("https://cloud.example"), false),
            (Some("https://evil.example"), false),
            (Some("null"), false),
            (None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("cloud.example:8443"));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(is_own_origin(&headers), expected, "{origin:?}");
        }
    }

    #[test]
    fn a_session_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        let cookies = "theme=dark; fieldgate_session=abc; other=1";
        headers.insert(COOKIE, HeaderValue::from_static(cookies));
        assert_eq!(session_cookie(&headers), Some("abc"));
        assert_eq!(bearer("bearer fgt_1_2"), Some("fgt_1_2"));
        assert_eq!(bearer("Basic fgt_1_2"), None);
    }
}
