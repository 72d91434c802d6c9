//! `[[device]]`: what is wrong with one of them leaves the others alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use fieldgate_modbus::register::UnitId;
use fieldgate_model::{DeviceName, Millis};
use fieldgate_rules::profile::Profile;

use super::coap_file::{self, read_host};
use super::endpoint::Endpoint;
use super::fields::{Fields, Found, Wrong, list, nearest};
use super::file::read_duration;
use super::library::Library;
use super::problem::{Problem, Scope};
use super::{BrokenDevice, BusConfig, DeviceConfig, HostConfig, Place, TIMEOUT_MAX, TIMEOUT_MIN};

/// Below it no Modbus link keeps up.
const EVERY_MIN: Millis = Millis(10);
/// A device that is read less than once a day is rather read by hand.
const EVERY_MAX: Millis = Millis::from_secs(24 * 3600);

/// A device as it was read.
pub(super) struct Device {
    label: String,
    line: usize,
    profile: String,
    config: Option<DeviceConfig>,
    problems: Vec<Problem>,
}

/// What devices refer to.
pub(super) struct Context<'a> {
    pub(super) library: &'a Library,
    pub(super) folder: &'a Path,
    pub(super) base: &'a Path,
    pub(super) buses: &'a [BusConfig],
    pub(super) broken_buses: &'a BTreeSet<String>,
}

/// The name of a bus or device, or its place if it has none that can be used.
pub(super) fn read_label(
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

/// The devices, and the hosts that they name.
pub(super) fn read_devices(
    root: &mut Fields<'_>,
    context: &Context<'_>,
) -> (Vec<Device>, Vec<HostConfig>) {
    let mut devices: Vec<Device> = Vec::new();
    let mut hosts: Vec<HostConfig> = Vec::new();
    for (place, mut fields) in (1..).zip(root.tables("device", "[[device]]")) {
        let label = read_label(&mut fields, "device", place, Scope::Device);
        let line = fields.line();
        let profile = fields.require::<String>("profile");
        let name = profile.as_ref().map(|name| name.value.clone()).unwrap_or_default();
        let profile = profile.and_then(|name| find_profile(&mut fields, &name, context));
        let place = read_place(&mut fields, context, &mut hosts);
        if let (Some(profile), Some(place)) = (&profile, place) {
            check_place(&mut fields, profile, place);
        }
        let every = read_duration(&mut fields, "every", EVERY_MIN, EVERY_MAX);
        let timeout = read_duration(&mut fields, "timeout", TIMEOUT_MIN, TIMEOUT_MAX);
        let problems = fields.finish();
        let config = match (DeviceName::new(label.as_str()), profile, place) {
            (Ok(name), Some(profile), Some(place)) if problems.is_empty() => {
                let every = every.unwrap_or(profile.every);
                let usual = || match place {
                    Place::Bus { bus, .. } => context.buses[bus].timeout,
                    Place::Host { .. } => coap_file::TIMEOUT,
                };
                let timeout = timeout.unwrap_or_else(usual);
                Some(DeviceConfig { name, profile, place, every, timeout })
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
    (devices, hosts)
}

/// Where a device is: on a bus, or at a host of its own.
fn read_place(
    fields: &mut Fields<'_>,
    context: &Context<'_>,
    hosts: &mut Vec<HostConfig>,
) -> Option<Place> {
    if fields.has("coap") {
        for key in ["bus", "unit", "slave"] {
            if fields.has(key) {
                let what = format!("has both `coap` and `{key}`");
                let hint =
                    "a CoAP device is reached by its URL alone, a Modbus device by bus and unit";
                fields.wrong(fields.line_of(key), Wrong::new(what).hint(hint));
                fields.parse_if(false, key, |_| Ok(()));
            }
        }
        let host = read_host(fields, context.base)?;
        let place = hosts.iter().position(|known| *known == host).unwrap_or(hosts.len());
        if place == hosts.len() {
            hosts.push(host);
        }
        return Some(Place::Host { host: place });
    }
    // The fields are known here, too.
    fields.parse_if(false, "coap", |_| Ok(()));
    let bus = fields.require::<String>("bus");
    let bus = bus.and_then(|name| find_bus(fields, &name, context));
    let endpoint = bus.and_then(|bus| context.buses.get(bus)).map(|bus| &bus.endpoint);
    let unit = read_unit(fields, endpoint);
    Some(Place::Bus { bus: bus?, unit: unit? })
}

/// A profile of registers is for a bus, one of resources for a host.
fn check_place(fields: &mut Fields<'_>, profile: &Profile, place: Place) {
    let line = fields.line_of("profile");
    let wrong = match place {
        Place::Bus { .. } if !profile.resources.is_empty() => {
            Wrong::new(format!("`profile`: `{}` is for CoAP devices", profile.name))
                .hint("write `coap = \"coap://192.0.2.20\"` instead of `bus` and `unit`")
        }
        Place::Host { .. } if profile.resources.is_empty() => {
            Wrong::new(format!("`profile`: `{}` is for Modbus devices", profile.name))
                .hint("write `bus` and `unit` instead of `coap`, or name a profile with resources")
        }
        Place::Bus { .. } | Place::Host { .. } => return,
    };
    fields.wrong(line, wrong);
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

/// `unit`, or `slave` as older documents have it. Without an endpoint it may be on any.
fn read_unit(fields: &mut Fields<'_>, endpoint: Option<&Endpoint>) -> Option<UnitId> {
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
    let found = endpoint.map_or_else(|| UnitId::on_tcp(value), |endpoint| endpoint.unit(value));
    let wrong = match (found, UnitId::on_tcp(value)) {
        (Ok(unit), _) => return Some(unit),
        (Err(_), Ok(_)) => {
            Wrong::new(format!("unit id `{value}` is not one of 1 to 247, as on a serial line"))
                .hint("0 is for broadcasts, which nobody answers, and 255 is for hosts on TCP")
        }
        (Err(error), Err(_)) => Wrong::new(error),
    };
    fields.wrong(line, wrong);
    None
}

/// What runs and what does not. Devices of one name are one broken device.
pub(super) fn part(devices: Vec<Device>) -> (Vec<DeviceConfig>, Vec<BrokenDevice>) {
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
