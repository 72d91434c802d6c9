//! One request to a host: from a resource of a profile to the endpoint, and back to what qualities and
//! the schedule know.

use std::net::SocketAddr;
use std::time::Duration;

use fieldgate_modbus::fault::Fault;
use fieldgate_model::{Cause, Millis};
use fieldgate_rules::payload::{self, Format, Resource};
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::{Endpoints, Payload};
use crate::config::HostConfig;
use crate::drivers::coap::{CoapRequest, CoapResponse, ContentFormat, Method, RequestError};

/// How long a name may take to become an address; a resolver that is down takes longer than any
/// device.
const RESOLVE_MAX: Duration = Duration::from_secs(5);

/// What is asked of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// GET, mostly.
    pub method: Method,
    /// Segments.
    pub path: Vec<String>,
    /// Parts.
    pub query: Vec<String>,
    /// What the answer should be.
    pub format: Format,
}

/// How a request ended.
#[derive(Debug)]
pub(super) struct Answered {
    /// Where the host was found, or is no more.
    pub(super) peer: Option<SocketAddr>,
    pub(super) outcome: Result<Payload, Failed>,
}

/// Why there is no payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    /// As qualities know it.
    pub(super) cause: Cause,
    /// As the schedule knows it. A code of CoAP is above all that Modbus has for an exception, so
    /// that it asks for nothing but to be counted.
    pub(super) fault: Fault,
    /// For people.
    pub(super) why: String,
}

impl Ask {
    /// What a poll asks of a resource.
    pub fn of(resource: &Resource) -> Self {
        let method = match resource.method {
            payload::Method::Get => Method::Get,
            payload::Method::Post => Method::Post,
        };
        let (path, query) = (resource.segments(), resource.query());
        Self { method, path, query, format: resource.format }
    }

    pub(super) fn request(&self, deadline: Millis) -> CoapRequest {
        CoapRequest {
            method: self.method,
            path: self.path.clone(),
            query: self.query.clone(),
            accept: Some(ContentFormat(self.format.code())),
            content_format: None,
            payload: Vec::new(),
            confirmable: true,
            block_size: None,
            deadline,
        }
    }
}

impl Failed {
    pub(super) fn of(error: &RequestError) -> Self {
        let (cause, fault) = match error {
            RequestError::Timeout => (Cause::NoAnswer, Fault::NoAnswer),
            RequestError::Unreachable
            | RequestError::Refused(_)
            | RequestError::Security
            | RequestError::Closed => (Cause::LinkDown, Fault::NoLink),
            RequestError::Reset | RequestError::TooLarge | RequestError::Protocol(_) => {
                (Cause::Malformed, Fault::Malformed)
            }
        };
        Self { cause, fault, why: error.to_string() }
    }

    fn unknown(host: &HostConfig) -> Self {
        let why = format!("the name `{}` has no address", host.host);
        Self { cause: Cause::LinkDown, fault: Fault::NoLink, why }
    }
}

/// Asks the host, whose address is looked up if it is not known.
pub(super) async fn ask(
    endpoints: Endpoints,
    host: HostConfig,
    peer: Option<SocketAddr>,
    request: CoapRequest,
) -> Answered {
    let found = match peer {
        Some(peer) => Some(peer),
        None => resolve(&host).await,
    };
    let Some(peer) = found else {
        return Answered { peer: None, outcome: Err(Failed::unknown(&host)) };
    };
    let Some(endpoint) = endpoints.to(peer, host.psk.is_some()) else {
        return Answered { peer: None, outcome: Err(Failed::of(&RequestError::Security)) };
    };
    match endpoint.request(peer, request).await {
        Ok(response) => Answered { peer: Some(peer), outcome: payload(response) },
        Err(error) => {
            // Behind a name there may be another address by now.
            Answered { peer: None, outcome: Err(Failed::of(&error)) }
        }
    }
}

/// The payload of a good answer, whichever 2.xx it is.
pub(super) fn payload(response: CoapResponse) -> Result<Payload, Failed> {
    let CoapResponse { code, content_format, payload, .. } = response;
    if code.is_success() {
        return Ok(Payload { format: content_format.map(|format| format.0), bytes: payload });
    }
    let why = format!("the device refuses with {code} {}", code.words());
    let (cause, fault) = (Cause::Refused(code.0), Fault::Exception(code.0));
    Err(Failed { cause, fault, why: why.trim_end().to_owned() })
}

/// Where the host is by now; IPv4 first, which devices have.
pub(crate) async fn resolve(host: &HostConfig) -> Option<SocketAddr> {
    if let Ok(ip) = host.host.parse() {
        return Some(SocketAddr::new(ip, host.port));
    }
    let looked_up = lookup_host((host.host.as_str(), host.port));
    let found = timeout(RESOLVE_MAX, looked_up).await.ok()?.ok()?;
    found.min_by_key(SocketAddr::is_ipv6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::coap::Code;

    #[test]
    fn a_refusal_is_a_quality_of_its_own_and_no_silence_to_the_schedule() {
        let response = |code| CoapResponse {
            code,
            content_format: Some(ContentFormat(0)),
            etag: None,
            max_age: Millis(0),
            payload: b"21.5".to_vec(),
        };
        let good = payload(response(Code::CONTENT));
        assert_eq!(good, Ok(Payload { format: Some(0), bytes: b"21.5".to_vec() }));
        for (code, shown) in [
            (Code::NOT_FOUND, "coap_4.04"),
            (Code::UNAVAILABLE, "coap_5.03"),
            (Code::TOO_MANY_REQUESTS, "coap_4.29"),
        ] {
            let failed = payload(response(code)).expect_err("a refusal");
            assert_eq!(failed.cause.to_string(), shown);
            let policy = failed.fault.policy();
            assert_eq!(policy, Some(fieldgate_modbus::exception::Policy::ReportFailure), "{shown}");
        }
        assert_eq!(Failed::of(&RequestError::Timeout).cause, Cause::NoAnswer);
        assert_eq!(Failed::of(&RequestError::Unreachable).fault, Fault::NoLink);
    }
}
