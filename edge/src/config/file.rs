//! The configuration file: TOML to a [`Config`] that cannot be wrong.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use fieldgate_model::Millis;

use super::bus_file::read_buses;
use super::coap_file::read_coap;
use super::device_file::{Context, part, read_devices};
use super::fields::{Fields, Found, Source, Wrong};
use super::library::Library;
use super::problem::{Problem, Scope};
use super::signal_file::unit_wrong;
use super::units::{parse_duration, parse_size};
use super::{BufferConfig, CloudConfig, CloudUrl, Config, GatewayConfig, Loaded};

/// Where the buffer lies if the file does not say; what the systemd unit creates.
const BUFFER_PATH: &str = "/var/lib/fieldgate";
/// Cap of the buffer if the file does not say: some weeks of a small site.
const BUFFER_BYTES: u64 = 512 << 20;
/// Below it, two databases with their WAL have no room to work.
const BUFFER_BYTES_MIN: u64 = 8 << 20;
/// Loss window on a power cut if the file does not say.
const FLUSH: Millis = Millis::from_secs(1);
/// Shorter would be a commit for every answer and wear out the flash.
const FLUSH_MIN: Millis = Millis(100);
/// Longer would hold samples in memory that nobody expects to lose.
const FLUSH_MAX: Millis = Millis::from_secs(60);
/// Age at which a batch is sealed if the file does not say.
const SEAL_AFTER: Millis = Millis::from_secs(2);
/// Samples a second of a backlog if the file does not say: some ten times what the largest gateway
/// takes in, and a fraction of what a cloud commits.
const HISTORY_RATE: u64 = 250_000;
/// Below it a gateway may never catch up with itself.
const HISTORY_RATE_MIN: u64 = 1_000;
/// Ports that the protocols have by default (IANA).
const PORT_MQTT: u16 = 1883;
const PORT_MQTTS: u16 = 8883;

pub(super) fn load(path: &Path) -> Result<Loaded, Vec<Problem>> {
    let text = Source::read_text(path).map_err(|problem| vec![problem])?;
    let source = Source::new(path, text);
    let mut root = source.parse(&Scope::Fatal)?;
    let mut problems = Vec::new();
    // An empty parent is the working directory of a bare file name.
    let base = path.parent().unwrap_or(Path::new(""));

    let (gateway, folder) = read_gateway(&mut root, base, &mut problems);
    let buffer = read_buffer(&mut root, base, &mut problems);
    let cloud = read_cloud(&mut root, base, &buffer.path, &mut problems);
    let http = read_http(&mut root, &mut problems);
    let coap = read_coap(&mut root, &mut problems);
    let socket = read_socket(&mut root, base, &buffer.path, &mut problems);
    let library = Library::open(&folder);
    let (buses, broken_buses) = read_buses(&mut root, &mut problems);
    let context = Context {
        library: &library,
        folder: &folder,
        base,
        buses: &buses,
        broken_buses: &broken_buses,
    };
    let (devices, hosts) = read_devices(&mut root, &context);
    let (devices, broken) = part(devices);

    problems.extend(root.finish());
    problems.extend(broken.iter().flat_map(|device| device.problems.iter().cloned()));
    let wrong_profiles = library.iter().filter_map(|(_, profile)| profile.as_ref().err());
    problems.extend(wrong_profiles.flatten().cloned());
    problems
        .sort_by(|a, b| (a.file != path, &a.file, a.line).cmp(&(b.file != path, &b.file, b.line)));
    if problems.iter().any(|problem| problem.scope == Scope::Fatal) {
        return Err(problems);
    }
    let profiles = folder;
    let config = Config {
        gateway,
        cloud,
        buffer,
        http,
        socket,
        profiles,
        buses,
        hosts,
        coap,
        devices,
        broken,
    };
    Ok(Loaded { config, problems })
}

fn read_gateway(
    root: &mut Fields<'_>,
    base: &Path,
    problems: &mut Vec<Problem>,
) -> (GatewayConfig, PathBuf) {
    /// As long as an id: it stands in lists and titles.
    const NAME_MAX: usize = 64;
    let mut gateway = GatewayConfig { name: String::new() };
    let mut folder = base.join("profiles");
    let Some(mut fields) = root.table("gateway", "[gateway]") else {
        root.wrong(1, Wrong::new("has no `[gateway]`").hint("write `[gateway]` and `name = …`"));
        return (gateway, folder);
    };
    let name = fields.parse_required("name", |text| match text.trim() {
        "" => Err(Wrong::new("must not be empty")),
        name if name.chars().count() > NAME_MAX => {
            Err(Wrong::new(format!("must have at most {NAME_MAX} characters")))
        }
        name => Ok(name.to_owned()),
    });
    gateway.name = name.map(|name| name.value).unwrap_or_default();
    if let Some(Found { value, line }) = fields.take::<String>("profiles") {
        folder = base.join(&value);
        if !folder.is_dir() {
            let what = format!("`profiles`: there is no folder `{}`", folder.display());
            fields.wrong(line, Wrong::new(what));
        }
    }
    problems.extend(fields.finish());
    (gateway, folder)
}

fn read_buffer(root: &mut Fields<'_>, base: &Path, problems: &mut Vec<Problem>) -> BufferConfig {
    let mut buffer = BufferConfig {
        path: PathBuf::from(BUFFER_PATH),
        max_bytes: BUFFER_BYTES,
        flush: FLUSH,
        seal_after: SEAL_AFTER,
    };
    let Some(mut fields) = root.table("buffer", "[buffer]") else { return buffer };
    if let Some(path) = read_path(&mut fields, "path", base) {
        buffer.path = path;
    }
    let max_bytes = fields.parse("max_bytes", |text| match parse_size(text) {
        Ok(bytes) if bytes >= BUFFER_BYTES_MIN => Ok(bytes),
        Ok(_) => Err(Wrong::new(format!("must be at least {} MiB", BUFFER_BYTES_MIN >> 20))),
        Err(error) => Err(unit_wrong(&error)),
    });
    buffer.max_bytes = max_bytes.map_or(BUFFER_BYTES, |found| found.value);
    buffer.flush = read_duration(&mut fields, "flush", FLUSH_MIN, FLUSH_MAX).unwrap_or(FLUSH);
    buffer.seal_after =
        read_duration(&mut fields, "seal_after", FLUSH_MIN, FLUSH_MAX).unwrap_or(SEAL_AFTER);
    problems.extend(fields.finish());
    buffer
}

fn read_cloud(
    root: &mut Fields<'_>,
    base: &Path,
    buffer: &Path,
    problems: &mut Vec<Problem>,
) -> Option<CloudConfig> {
    let mut fields = root.table("cloud", "[cloud]")?;
    let url = fields.parse_required("url", parse_url);
    let credentials = read_path(&mut fields, "credentials", base)
        .unwrap_or_else(|| buffer.join("credentials.toml"));
    let history_rate = fields.parse("history_rate", parse_rate);
    let history_rate = history_rate.map_or(HISTORY_RATE, |found| found.value);
    problems.extend(fields.finish());
    Some(CloudConfig { url: url?.value, credentials, history_rate })
}

/// `250000/s`.
fn parse_rate(text: &str) -> Result<u64, Wrong> {
    const HINT: &str = "write samples a second, such as `250000/s`";
    let number = text.strip_suffix("/s").map(|number| number.trim().replace('_', "").parse());
    match number {
        Some(Ok(rate)) if rate >= HISTORY_RATE_MIN => Ok(rate),
        Some(Ok(_)) => Err(Wrong::new(format!("must be at least {HISTORY_RATE_MIN}/s")).hint(HINT)),
        Some(Err(_)) | None => Err(Wrong::new(format!("`{text}` is no rate")).hint(HINT)),
    }
}

fn parse_url(text: &str) -> Result<CloudUrl, Wrong> {
    const HINT: &str = "write `mqtts://cloud.example.com:8883`";
    let (tls, rest) = match text.split_once("://") {
        Some(("mqtts", rest)) => (true, rest),
        Some(("mqtt", rest)) => (false, rest),
        Some((scheme, _)) => {
            let what = format!("`{scheme}` is not a way to the cloud");
            return Err(Wrong::new(what).hint("use `mqtts://`, or `mqtt://` without encryption"));
        }
        None => return Err(Wrong::new(format!("`{text}` is not a URL")).hint(HINT)),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '@', '?', '#']) {
        let what = format!("`{text}` has more than a host and a port");
        return Err(Wrong::new(what).hint(HINT));
    }
    let (host, port) = parse_host_port(rest, if tls { PORT_MQTTS } else { PORT_MQTT })?;
    Ok(CloudUrl { tls, host, port })
}

/// `host`, `host:port`, `[::1]`, `[::1]:port`.
pub(super) fn parse_host_port(text: &str, port_default: u16) -> Result<(String, u16), Wrong> {
    let wrong =
        |what: String| Wrong::new(what).hint("write `192.168.1.20:502`, or `[fe80::1]:502`");
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(wrong(format!("`{text}` is an IPv6 address without brackets")));
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/' || c == ']') {
        return Err(wrong(format!("`{text}` names no host")));
    }
    let port = match port.map(str::parse::<u16>) {
        None => port_default,
        Some(Ok(port)) if port > 0 => port,
        Some(Ok(_) | Err(_)) => {
            return Err(wrong(format!("`{text}` has no port from 1 to 65535")));
        }
    };
    Ok((host.to_owned(), port))
}

fn read_http(root: &mut Fields<'_>, problems: &mut Vec<Problem>) -> Option<SocketAddr> {
    let mut fields = root.table("http", "[http]")?;
    let listen = fields.parse_required("listen", |text| {
        text.parse::<SocketAddr>().map_err(|_| {
            Wrong::new(format!("`{text}` is not an address and a port"))
                .hint("write `127.0.0.1:9273`")
        })
    });
    problems.extend(fields.finish());
    listen.map(|listen| listen.value)
}

fn read_socket(
    root: &mut Fields<'_>,
    base: &Path,
    buffer: &Path,
    problems: &mut Vec<Problem>,
) -> PathBuf {
    let default = buffer.join("fieldgate.sock");
    let Some(mut fields) = root.table("socket", "[socket]") else { return default };
    let path = read_path(&mut fields, "path", base);
    problems.extend(fields.finish());
    path.unwrap_or(default)
}

/// A path, relative to `base` unless it is absolute.
fn read_path(fields: &mut Fields<'_>, key: &'static str, base: &Path) -> Option<PathBuf> {
    let path = fields.parse(key, |text| match text {
        "" => Err(Wrong::new("must not be empty")),
        path => Ok(base.join(path)),
    });
    path.map(|path| path.value)
}

/// A duration within bounds, both inclusive.
pub(super) fn read_duration(
    fields: &mut Fields<'_>,
    key: &'static str,
    min: Millis,
    max: Millis,
) -> Option<Millis> {
    let found = fields.parse(key, |text| match parse_duration(text) {
        Ok(duration) if (min..=max).contains(&duration) => Ok(duration),
        Ok(_) => {
            Err(Wrong::new(format!("`{text}` is not between {} ms and {} s", min.0, max.0 / 1000)))
        }
        Err(error) => Err(unit_wrong(&error)),
    });
    found.map(|found| found.value)
}
