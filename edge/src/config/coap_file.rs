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
    let parse = |text: &str| parse_url(text).map_err(|(what, hint)| Wrong { what, hint });
    Some(fields.parse("coap", parse)?.value)
}

/// `coap://192.0.2.20`, with a port if it is not 5683; or what is wrong with it, and a hint.
pub(crate) fn parse_url(text: &str) -> Result<HostConfig, (String, Option<String>)> {
    const HINT: &str = "write `coap://192.0.2.20`, or `coap://[fe80::1]:5683` with a port";
    let wrong = |what: String, hint: &str| Err((what, Some(hint.to_owned())));
    let Some((scheme, rest)) = text.split_once("://") else {
        return wrong(format!("`{text}` is not a URL"), HINT);
    };
    if scheme == "coaps" {
        return wrong("`coaps` is not spoken here".to_owned(), "use `coap://`");
    }
    if scheme != "coap" {
        return wrong(format!("`{scheme}` is not CoAP"), HINT);
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '@', '?', '#']) {
        let what = format!("`{text}` has more than a host and a port");
        return wrong(what, "paths stand in the profile, as in `read = \"/temp\"`");
    }
    let (host, port) =
        parse_host_port(rest, PORT_COAP).map_err(|wrong| (wrong.what, wrong.hint))?;
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
