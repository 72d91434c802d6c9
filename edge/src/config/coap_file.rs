//! `coap = "coap://host"` of a `[[device]]`, and `[coap]`: how the gateway itself is reached.

use std::net::SocketAddr;

use fieldgate_model::Millis;

use super::fields::{Fields, Wrong};
use super::file::parse_host_port;
use super::problem::Problem;
use super::{CoapConfig, HostConfig};

/// Port of `CoAP` by default (RFC 7252, section 6.1).
const PORT_COAP: u16 = 5683;
/// Patience for an answer of a device if the file does not say: the first message and two more, in
/// the standard's own intervals (RFC 7252, section 4.8), which end after 9 s at the latest.
pub(super) const TIMEOUT: Millis = Millis::from_secs(10);

/// The host of a device, if it names one.
pub(super) fn read_host(fields: &mut Fields<'_>) -> Option<HostConfig> {
    let found = fields.parse("coap", parse_url)?;
    Some(found.value)
}

/// `coap://192.0.2.20`, with a port if it is not 5683.
pub(crate) fn parse_url(text: &str) -> Result<HostConfig, Wrong> {
    const HINT: &str = "write `coap://192.0.2.20`, or `coap://[fe80::1]:5683` with a port";
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(Wrong::new(format!("`{text}` is not a URL")).hint(HINT));
    };
    if scheme == "coaps" {
        return Err(Wrong::new("`coaps` is not spoken here").hint("use `coap://`"));
    }
    if scheme != "coap" {
        return Err(Wrong::new(format!("`{scheme}` is not CoAP")).hint(HINT));
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '@', '?', '#']) {
        let wrong = Wrong::new(format!("`{text}` has more than a host and a port"));
        return Err(wrong.hint("paths stand in the profile, as in `read = \"/temp\"`"));
    }
    let (host, port) = parse_host_port(rest, PORT_COAP)?;
    Ok(HostConfig { host, port })
}

/// `[coap]`: where devices reach the gateway.
pub(super) fn read_coap(root: &mut Fields<'_>, problems: &mut Vec<Problem>) -> CoapConfig {
    let Some(mut fields) = root.table("coap", "[coap]") else { return CoapConfig::default() };
    let listen = fields.parse_required("listen", |text| {
        text.parse::<SocketAddr>().map_err(|_| {
            Wrong::new(format!("`{text}` is not an address and a port"))
                .hint("write `0.0.0.0:5683`, or `[::]:5683` for IPv6")
        })
    });
    problems.extend(fields.finish());
    CoapConfig { listen: listen.map(|listen| listen.value) }
}
