//! `coap = "coap://host"` of a `[[device]]`, and `[coap]`: how the gateway itself is reached.

use std::net::SocketAddr;
use std::path::Path;

use fieldgate_model::Millis;

use super::fields::{Fields, Found, Wrong};
use super::file::parse_host_port;
use super::problem::Problem;
use super::{CoapConfig, HostConfig, KeyPlace, PskConfig};

/// Port of `CoAP` by default (RFC 7252, section 6.1).
const PORT_COAP: u16 = 5683;
/// The same with DTLS.
const PORT_COAPS: u16 = 5684;
/// Patience for an answer of a device if the file does not say: the first message and two more, in
/// the standard's own intervals (RFC 7252, section 4.8), which end after 9 s at the latest.
pub(super) const TIMEOUT: Millis = Millis::from_secs(10);

/// Whether this program can speak DTLS.
const HAS_DTLS: bool = cfg!(feature = "coap-dtls");

/// Scheme, host and port of a URL.
pub(crate) struct CoapUrl {
    pub(crate) is_secure: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The host of a device, if it names one. Relative paths of keys are relative to `base`.
pub(super) fn read_host(fields: &mut Fields<'_>, base: &Path) -> Option<HostConfig> {
    let parse = |text: &str| parse_url(text).map_err(|(what, hint)| Wrong { what, hint });
    let url = fields.parse("coap", parse);
    let line = fields.line_of("psk");
    let has_psk = fields.has("psk");
    let psk = read_psk(fields, base);
    let Found { value: CoapUrl { is_secure, host, port }, line: url_line } = url?;
    let wrong = match (is_secure, has_psk) {
        (true, false) => {
            let hint = "write `psk = { identity = \"gateway\", key_file = \"keys/sensor\" }`";
            Some((url_line, Wrong::new("`coaps` needs a key").hint(hint)))
        }
        (false, true) => {
            let wrong = Wrong::new("`psk` is for `coaps://`");
            Some((line, wrong.hint("without it nothing is encrypted; write `coaps://`")))
        }
        (true, true) if !HAS_DTLS => {
            let wrong = Wrong::new("`coaps` is not spoken by this program");
            Some((url_line, wrong.hint("build it with `--features coap-dtls`")))
        }
        (true, true) | (false, false) => None,
    };
    if let Some((line, wrong)) = wrong {
        fields.wrong(line, wrong);
        return None;
    }
    if is_secure && psk.is_none() {
        return None;
    }
    Some(HostConfig { host, port, psk })
}

/// `psk = { identity = "gateway", key_file = "keys/sensor" }`: a key by reference, never itself.
fn read_psk(fields: &mut Fields<'_>, base: &Path) -> Option<PskConfig> {
    let mut table = fields.table("psk", "psk")?;
    let identity = table.require::<String>("identity");
    let file = table.take::<String>("key_file").map(|key| KeyPlace::File(base.join(key.value)));
    let variable = table.take::<String>("key_env");
    let variable = variable.map(|key| KeyPlace::Environment(key.value));
    let credential = table.take::<String>("key_credential");
    let credential = credential.map(|key| KeyPlace::Credential(key.value));
    let mut keys: Vec<KeyPlace> = [file, variable, credential].into_iter().flatten().collect();
    if keys.len() != 1 {
        let line = table.line();
        let wrong = Wrong::new("needs one of `key_file`, `key_env` and `key_credential`");
        table.wrong(line, wrong.hint("the key itself never stands in the configuration"));
    }
    let found = table.finish();
    let is_good = found.is_empty();
    fields.add(found);
    let (identity, key) = (identity?.value, keys.pop()?);
    is_good.then_some(PskConfig { identity, key })
}

/// `coap://192.0.2.20`, with a port if it is not 5683; or what is wrong with it, and a hint.
pub(crate) fn parse_url(text: &str) -> Result<CoapUrl, (String, Option<String>)> {
    const HINT: &str = "write `coap://192.0.2.20`, or `coap://[fe80::1]:5683` with a port";
    let wrong = |what: String, hint: &str| Err((what, Some(hint.to_owned())));
    let Some((scheme, rest)) = text.split_once("://") else {
        return wrong(format!("`{text}` is not a URL"), HINT);
    };
    let is_secure = match scheme {
        "coap" => false,
        "coaps" => true,
        _ => return wrong(format!("`{scheme}` is not CoAP"), HINT),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '@', '?', '#']) {
        let what = format!("`{text}` has more than a host and a port");
        return wrong(what, "paths stand in the profile, as in `read = \"/temp\"`");
    }
    let usual = if is_secure { PORT_COAPS } else { PORT_COAP };
    let (host, port) = parse_host_port(rest, usual).map_err(|wrong| (wrong.what, wrong.hint))?;
    Ok(CoapUrl { is_secure, host, port })
}

/// `[coap]`: where devices reach the gateway.
pub(super) fn read_coap(root: &mut Fields<'_>, problems: &mut Vec<Problem>) -> CoapConfig {
    let Some(mut fields) = root.table("coap", "[coap]") else { return CoapConfig::default() };
    let address = |text: &str| {
        text.parse::<SocketAddr>().map_err(|_| {
            Wrong::new(format!("`{text}` is not an address and a port"))
                .hint("write `0.0.0.0:5683`, or `[::]:5683` for IPv6")
        })
    };
    let listen = fields.parse("listen", address).map(|listen| listen.value);
    let listen_secure = fields.parse("listen_secure", address).map(|listen| listen.value);
    problems.extend(fields.finish());
    CoapConfig { listen, listen_secure }
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
            ("coap = \"coaps://a\"\n", "`coaps` needs a key"),
            (
                "coap = \"coap://a\"\npsk = { identity = \"g\", key_env = \"K\" }\n",
                "`psk` is for `coaps://`",
            ),
            (
                "coap = \"coaps://a\"\npsk = { identity = \"g\", key = \"secret\" }\n",
                "has an unknown field `key`",
            ),
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
