//! A caller of the cloud's HTTP API.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;

/// Longer than the longest poll the API offers (`wait=30s`).
const REQUEST_AT_MOST: Duration = Duration::from_secs(40);

/// One caller with one token.
#[derive(Clone)]
pub struct Api {
    agent: Agent,
    base: String,
    token: Option<String>,
}

/// What came back, whatever the status.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`, empty if there was none.
    pub content_type: String,
    /// The body as it came.
    pub text: String,
}

impl Api {
    /// A caller of the API at `base` (`http://host:port`).
    pub fn new(base: &str, token: Option<&str>) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(REQUEST_AT_MOST))
            .max_redirects(0)
            .proxy(None)
            .build()
            .new_agent();
        Self { agent, base: base.to_owned(), token: token.map(str::to_owned) }
    }

    /// Where it calls.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Its token.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// GET.
    pub fn get(&self, path: &str) -> Result<Reply> {
        let mut request = self.agent.get(self.url(path));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        Reply::read(request.call().with_context(|| format!("GET {path}"))?)
    }

    /// GET with an `Accept` of its own.
    pub fn get_as(&self, path: &str, accept: &str) -> Result<Reply> {
        let mut request = self.agent.get(self.url(path)).header("Accept", accept);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        Reply::read(request.call().with_context(|| format!("GET {path}"))?)
    }

    /// POST of JSON.
    pub fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        self.post_text(path, "application/json", &body.to_string())
    }

    /// POST of anything.
    pub fn post_text(&self, path: &str, content_type: &str, body: &str) -> Result<Reply> {
        let mut request = self.agent.post(self.url(path)).header("Content-Type", content_type);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        Reply::read(request.send(body).with_context(|| format!("POST {path}"))?)
    }

    /// The JSON of a GET that must succeed.
    pub fn json(&self, path: &str) -> Result<Value> {
        self.get(path)?.good(path)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

impl Reply {
    fn read(mut response: Response<ureq::Body>) -> Result<Self> {
        let content_type = response.headers().get("content-type");
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok(Self {
            status: response.status().as_u16(),
            content_type: content_type.to_owned(),
            text: response.body_mut().read_to_string().context("the body broke off")?,
        })
    }

    /// Its body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).with_context(|| format!("not JSON: {}", self.text))
    }

    /// Its JSON, or an error if the status is not 2xx.
    pub fn good(&self, what: &str) -> Result<Value> {
        if !(200..300).contains(&self.status) {
            bail!("{what} was answered {}: {}", self.status, self.text);
        }
        self.json()
    }
}
