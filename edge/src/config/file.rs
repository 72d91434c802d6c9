//! The configuration file: TOML to a [`Config`] that cannot be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fieldgate_model::{DeviceName, Millis};
use fieldgate_rules::profile::Profile;
use fieldgate_rules::register::UnitId;

use super::fields::{Fields, Found, Source, Wrong, list, nearest};
use super::library::Library;
use super::problem::{Problem, Scope};
use super::signal_file::unit_wrong;
use super::units::{parse_duration, parse_size};
use super::{
    BrokenDevice, BufferConfig, BusConfig, CloudConfig, CloudUrl, Config, DeviceConfig, Endpoint,
    GatewayConfig, Loaded,
};

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
/// Longer than any patience for an answer; a deeper wait is a dead device.
const TIMEOUT_MAX: Millis = Millis::from_secs(60);
/// Patience for an answer if the file does not say.
const TIMEOUT: Millis = Millis::from_secs(1);
/// Below it no Modbus link keeps up.
const EVERY_MIN: Millis = Millis(10);
/// A device that is read less than once a day is rather read by hand.
const EVERY_MAX: Millis = Millis::from_secs(24 * 3600);
/// Ports that the protocols have by default (IANA).
const PORT_MODBUS: u16 = 502;
const PORT_MQTT: u16 = 1883;
const PORT_MQTTS: u16 = 8883;

/// A bus as it was read.
struct Bus {
    name: String,
    line: usize,
    config: Option<BusConfig>,
}

/// A device as it was read.
struct Device {
    label: String,
    line: usize,
    profile: String,
    config: Option<DeviceConfig>,
    problems: Vec<Problem>,
}

/// What devices refer to.
struct Context<'a> {
    library: &'a Library,
    folder: &'a Path,
    buses: &'a [BusConfig],
    broken_buses: &'a BTreeSet<String>,
}

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
    let socket = read_socket(&mut root, base, &buffer.path, &mut problems);
    let library = Library::open(&folder);
    let (buses, broken_buses) = read_buses(&mut root, &mut problems);
    let context =
        Context { library: &library, folder: &folder, buses: &buses, broken_buses: &broken_buses };
    let devices = read_devices(&mut root, &context);
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
    let config = Config { gateway, cloud, buffer, http, socket, buses, devices, broken };
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
    problems.extend(fields.finish());
    Some(CloudConfig { url: url?.value, credentials })
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
fn parse_host_port(text: &str, port_default: u16) -> Result<(String, u16), Wrong> {
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

/// The buses that can be used, and the names of those that cannot.
fn read_buses(
    root: &mut Fields<'_>,
    problems: &mut Vec<Problem>,
) -> (Vec<BusConfig>, BTreeSet<String>) {
    let mut read: Vec<Bus> = Vec::new();
    for (place, mut fields) in (1..).zip(root.tables("bus", "[[bus]]")) {
        let (line, name) = (fields.line(), read_label(&mut fields, "bus", place, Scope::Bus));
        let endpoint = fields.parse_required("modbus_tcp", |text| {
            let (host, port) = parse_host_port(text, PORT_MODBUS)?;
            Ok(Endpoint::ModbusTcp { host, port })
        });
        let timeout = read_duration(&mut fields, "timeout", EVERY_MIN, TIMEOUT_MAX);
        if let Some(twin) = read.iter_mut().find(|other| other.name == name) {
            let what = format!("has the name `{name}` of the bus in line {}", twin.line);
            fields.wrong(line, Wrong::new(what).hint("give each bus a name of its own"));
            twin.config = None;
        }
        let found = fields.finish();
        let config = endpoint.filter(|_| found.is_empty()).map(|endpoint| BusConfig {
            name: name.clone(),
            endpoint: endpoint.value,
            timeout: timeout.unwrap_or(TIMEOUT),
        });
        problems.extend(found);
        read.push(Bus { name, line, config });
    }
    let broken = read.iter().filter(|bus| bus.config.is_none()).map(|bus| bus.name.clone());
    let broken: BTreeSet<String> = broken.collect();
    (read.into_iter().filter_map(|bus| bus.config).collect(), broken)
}

/// The name of a bus or device, or its place if it has none that can be used.
fn read_label(
    fields: &mut Fields<'_>,
    what: &str,
    place: usize,
    scope: impl Fn(String) -> Scope,
) -> String {
    let fallback = format!("{what} {place}");
    fields.set_scope(scope(fallback.clone()));
    let name = fields.parse_required("name", |text| {
        DeviceName::new(text).map_err(|error| Wrong::new(format!("`{text}` {error}")))
    });
    let label = name.map_or(fallback, |name| name.value.to_string());
    fields.set_scope(scope(label.clone()));
    label
}

fn read_devices(root: &mut Fields<'_>, context: &Context<'_>) -> Vec<Device> {
    let mut devices: Vec<Device> = Vec::new();
    for (place, mut fields) in (1..).zip(root.tables("device", "[[device]]")) {
        let label = read_label(&mut fields, "device", place, Scope::Device);
        let line = fields.line();
        let profile = fields.require::<String>("profile");
        let name = profile.as_ref().map(|name| name.value.clone()).unwrap_or_default();
        let profile = profile.and_then(|name| find_profile(&mut fields, &name, context));
        let bus = fields.require::<String>("bus");
        let bus = bus.and_then(|name| find_bus(&mut fields, &name, context));
        let unit = read_unit(&mut fields);
        let every = read_duration(&mut fields, "every", EVERY_MIN, EVERY_MAX);
        let problems = fields.finish();
        let config = match (DeviceName::new(label.as_str()), profile, bus, unit) {
            (Ok(name), Some(profile), Some(bus), Some(unit)) if problems.is_empty() => {
                let every = every.unwrap_or(profile.every);
                Some(DeviceConfig { name, profile, bus, unit, every })
            }
            (Ok(_) | Err(_), ..) => None,
        };
        devices.push(Device { label, line, profile: name, config, problems });
    }
    let names: Vec<(&str, usize)> = devices.iter().map(|d| (d.label.as_str(), d.line)).collect();
    let twins = root.twins(&names);
    for (device, twin) in devices.iter_mut().zip(twins) {
        if let Some(problem) = twin {
            device.config = None;
            device.problems.push(problem);
        }
    }
    devices
}

fn find_profile(
    fields: &mut Fields<'_>,
    name: &Found<String>,
    context: &Context<'_>,
) -> Option<Arc<Profile>> {
    let text = name.value.as_str();
    match context.library.get(text) {
        Some(Ok(profile)) => Some(Arc::clone(profile)),
        Some(Err(problems)) => {
            let file = problems.first().map(|problem| problem.file.display().to_string());
            let wrong = Wrong::new(format!("`profile`: `{text}` cannot be used"));
            let hint = format!("see what is wrong with {}", file.unwrap_or_default());
            fields.wrong(name.line, wrong.hint(hint));
            None
        }
        None => {
            let known = context.library.iter().map(|(name, _)| name.as_str());
            let hint = nearest(text, known).map_or_else(
                || format!("put `{text}.toml` into the folder {}", context.folder.display()),
                |near| format!("did you mean `{near}`?"),
            );
            let what = format!("`profile`: there is no profile `{text}`");
            fields.wrong(name.line, Wrong::new(what).hint(hint));
            None
        }
    }
}

fn find_bus(fields: &mut Fields<'_>, name: &Found<String>, context: &Context<'_>) -> Option<usize> {
    let text = name.value.as_str();
    if context.broken_buses.contains(text) {
        let what = format!("`bus`: `{text}` cannot be used");
        fields.wrong(name.line, Wrong::new(what).hint("see what is wrong with its `[[bus]]`"));
        return None;
    }
    let found = context.buses.iter().position(|bus| bus.name == text);
    if found.is_none() {
        let known: Vec<&str> = context.buses.iter().map(|bus| bus.name.as_str()).collect();
        let hint = nearest(text, known.iter().copied()).map_or_else(
            || match known.as_slice() {
                [] => "the file has no `[[bus]]` that can be used".to_owned(),
                known => format!("known are {}", list(known)),
            },
            |near| format!("did you mean `{near}`?"),
        );
        let what = format!("`bus`: there is no bus `{text}`");
        fields.wrong(name.line, Wrong::new(what).hint(hint));
    }
    found
}

/// `unit`, or `slave` as older documents have it.
fn read_unit(fields: &mut Fields<'_>) -> Option<UnitId> {
    let slave = fields.take::<i64>("slave");
    let unit = match slave {
        None => fields.require::<i64>("unit"),
        Some(slave) => match fields.take::<i64>("unit") {
            None => Some(slave),
            Some(unit) => {
                fields.wrong(unit.line, Wrong::new("has both `unit` and `slave`"));
                None
            }
        },
    };
    let Found { value, line } = unit?;
    match UnitId::on_tcp(value) {
        Ok(unit) => Some(unit),
        Err(error) => {
            fields.wrong(line, Wrong::new(error));
            None
        }
    }
}

/// What runs and what does not. Devices of one name are one broken device.
fn part(devices: Vec<Device>) -> (Vec<DeviceConfig>, Vec<BrokenDevice>) {
    let mut good = Vec::new();
    let mut broken: Vec<BrokenDevice> = Vec::new();
    let mut place_by_name: BTreeMap<String, usize> = BTreeMap::new();
    for Device { label, profile, config, problems, .. } in devices {
        match (config, place_by_name.get(&label).and_then(|place| broken.get_mut(*place))) {
            (Some(config), _) => good.push(config),
            (None, Some(first)) => first.problems.extend(problems),
            (None, None) => {
                place_by_name.insert(label.clone(), broken.len());
                broken.push(BrokenDevice { name: label, profile, problems });
            }
        }
    }
    (good, broken)
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
fn read_duration(
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
