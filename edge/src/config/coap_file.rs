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

#[cfg(test)]
mod tests {
    use super::super::tests::{Folder, GOOD, lines};
    use super::super::{HostConfig, Place, load};

    const SENSOR: &str = "profile = \"demo-coap-sensor\"\n";

    #[test]
    fn devices_of_one_url_share_a_host_and_others_have_their_own() {
        let device = |name: &str, url: &str| {
            format!("[[device]]\nname = \"{name}\"\n{SENSOR}coap = \"{url}\"\n")
        };
        let text = [
            GOOD,
            &device("a", "coap://192.0.2.20"),
            &device("b", "coap://192.0.2.20:5683/"),
            &device("c", "coap://[fe80::1]:1234"),
            "[coap]\nlisten = \"127.0.0.1:5683\"\n",
        ];
        let folder = Folder::new();
        let loaded = load(&folder.write("gate.toml", &text.concat())).expect("good");
        assert_eq!(lines(&folder, &loaded.problems), [] as [&str; 0]);
        let urls: Vec<_> = loaded.config.hosts.iter().map(HostConfig::url).collect();
        assert_eq!(urls, ["coap://192.0.2.20:5683", "coap://[fe80::1]:1234"]);
        let places: Vec<_> =
            loaded.config.devices.iter().filter_map(|its| its.place.host()).collect();
        assert_eq!(places, [0, 0, 1]);
        assert!(matches!(loaded.config.devices[0].place, Place::Bus { .. }));
        assert_eq!(loaded.config.coap.listen.map(|at| at.port()), Some(5683));
    }

    #[test]
    fn what_is_wrong_with_a_coap_device_breaks_that_device_alone() {
        for (device, expected) in [
            ("coap = \"192.0.2.20\"\n", "`coap`: `192.0.2.20` is not a URL"),
            ("coap = \"http://192.0.2.20\"\n", "`coap`: `http` is not CoAP"),
            (
                "coap = \"coap://a/temp\"\n",
                "`coap`: `coap://a/temp` has more than a host and a port",
            ),
            ("coap = \"coap://a\"\nunit = 1\n", "has both `coap` and `unit`"),
            ("bus = \"cabinet\"\nunit = 1\n", "`profile`: `demo-coap-sensor` is for CoAP devices"),
        ] {
            let folder = Folder::new();
            let text = format!("{GOOD}[[device]]\nname = \"sensor\"\n{SENSOR}{device}");
            let loaded = load(&folder.write("gate.toml", &text)).expect("the rest runs");
            let found = lines(&folder, &loaded.problems);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].ends_with(expected), "{found:?}, not {expected}");
            assert_eq!((loaded.config.devices.len(), loaded.config.broken.len()), (1, 1));
        }
        let folder = Folder::new();
        let text = format!(
            "{GOOD}[[device]]\nname = \"b\"\nprofile = \"eastron-sdm630\"\ncoap = \"coap://a\"\n"
        );
        let loaded = load(&folder.write("gate.toml", &text)).expect("the rest runs");
        let found = lines(&folder, &loaded.problems);
        assert!(
            found[0].ends_with("`profile`: `eastron-sdm630` is for Modbus devices"),
            "{found:?}"
        );
    }
}
