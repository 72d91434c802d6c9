//! All about one signal: where it is from, how it is read, and why it has no value.

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{Address, ReadReply, ReadRequest};
use fieldgate_model::{Cause, Quality, Sample};
use fieldgate_rules::alarm::{AlarmRule, Limit};
use fieldgate_rules::signal::{SignalSource, SignalSpec};

use super::live::{Explained, ExplainedAlarm};
use super::message::{DeviceStatus, Refusal, SignalNow};
use super::raw::{ask, fault_text};
use super::value::{find, sample_now, signal_now};
use super::{explain_resource, read, status};
use crate::config::{DeviceConfig, Place};
use crate::drivers::NO_UNIT;
use crate::engine::Snapshot;
use crate::handles::Handles;

/// Explains a signal of a device; reads it once over the live bus for its words.
pub(super) async fn explain(
    handles: &Handles,
    name: &str,
    signal: &str,
) -> Result<Explained, Refusal> {
    let device = read::device(handles, name)?;
    let (_, spec) = read::signal(device, signal)?;
    let snapshot = handles.engine.snapshot(None).await;
    let now = status::status(handles).await;
    let its = now.devices.iter().find(|its| its.device == name);
    let sample = sample(handles, &snapshot, device, spec);
    let place = spec.source.read();
    let read_now = match place {
        Some(place) => Some(ask(handles, device, place).await?),
        None => None,
    };
    let look = explain_resource::look(handles, device, spec).await?;
    let (bus_name, endpoint, unit) = on(handles, device);
    let quality = sample.map_or(Quality::Bad(Cause::NoAnswer), |sample| sample.quality);
    let why = why(quality, spec, its, sample.is_some());
    let shown: SignalNow = match sample {
        Some(sample) => sample_now(spec, sample),
        None => signal_now(spec, None, quality, None),
    };
    let link = now.buses.iter().find(|link| link.bus == bus_name);
    Ok(Explained {
        device: name.to_owned(),
        profile: device.profile.id(),
        source: device.profile.source.clone(),
        title: spec.title.clone(),
        origin: spec.origin.clone(),
        endpoint,
        unit_id: unit,
        address: place.map(|place| at(place).to_string()).or(look.place),
        data: data_text(&spec.source),
        scale: scale_text(spec),
        writable: spec.writable.is_some(),
        request: place.and_then(|place| request(device, place)).or(look.request),
        every_ms: device.every.0,
        now: shown,
        device_last_good_at: its.and_then(|its| its.last_good_at.clone()),
        words: read_now.as_ref().and_then(|answer| answer.as_ref().ok()).map(words).or(look.words),
        read_fault: read_now
            .and_then(Result::err)
            .map(|fault| fault_text(fault, unit))
            .or(look.fault),
        hint: why.as_ref().map(|(_, hint)| hint.clone()),
        why: why.map(|(why, _)| why),
        alarms: alarms(device, spec, &now.alarms),
        bus_state: link.map_or_else(|| "unknown".to_owned(), |link| link.link.clone()),
        device_state: its.map_or("unknown", |its| its.state.as_str()).to_owned(),
        bus: bus_name,
    })
}

/// The name of the bus or host that a device is on, what that is, and the unit id there.
fn on(handles: &Handles, device: &DeviceConfig) -> (String, String, u8) {
    match device.place {
        Place::Bus { bus, unit } => {
            let bus = handles.config.buses.get(bus);
            let name = bus.map(|bus| bus.name.clone()).unwrap_or_default();
            (name, bus.map(|bus| bus.endpoint.to_string()).unwrap_or_default(), unit.0)
        }
        Place::Host { host } => {
            let host = handles.config.hosts.get(host);
            let url = host.map(crate::config::HostConfig::url).unwrap_or_default();
            (url, "coap".to_owned(), NO_UNIT.0)
        }
    }
}

fn at(read: ReadRequest) -> Address {
    Address { table: read.table, offset: read.start }
}

fn sample<'a>(
    handles: &Handles,
    snapshot: &'a Snapshot,
    device: &DeviceConfig,
    spec: &SignalSpec,
) -> Option<&'a Sample> {
    snapshot.samples.iter().find(|sample| {
        let found = find(&handles.targets.devices, sample);
        found.is_some_and(|(its, signal)| its.name == device.name && signal.name == spec.name)
    })
}

fn data_text(source: &SignalSource) -> String {
    match source {
        SignalSource::Registers { data, order, .. } => {
            format!("{data} {}", order.letters(data.registers()))
        }
        SignalSource::Bit { .. } => "one bit".to_owned(),
        SignalSource::RegisterBit { bit, .. } => format!("bit {bit} of the register"),
        SignalSource::RegisterBits { first, last, .. } => {
            format!("bits {first} to {last} of the register")
        }
        SignalSource::Payload { .. } => explain_resource::data_text(source),
        SignalSource::Parser { .. } => "as the profile's parser gives it".to_owned(),
    }
}

fn scale_text(spec: &SignalSpec) -> String {
    if let Some(from) = &spec.scale_from {
        return format!("raw x 10 to the power of `{}`", from.signal);
    }
    if spec.scale.is_identity() {
        return String::new();
    }
    let (mantissa, exponent, offset) = spec.scale.parts();
    // As a decimal: 0.1 and not 1e-1.
    let factor: f64 = format!("{mantissa}e{exponent}").parse().unwrap_or(1.0);
    let offset = if offset == 0.0 { String::new() } else { format!(" + {offset}") };
    format!("raw x {factor}{offset}")
}

/// The request of a poll that brings what lies there.
fn request(device: &DeviceConfig, place: ReadRequest) -> Option<String> {
    let end = |read: &ReadRequest| u32::from(read.start) + u32::from(read.count);
    let plan = device.profile.plan();
    let covers = |read: &&ReadRequest| {
        read.table == place.table && read.start <= place.start && end(&place) <= end(read)
    };
    let (number, read) = (1..).zip(&plan).find(|(_, read)| covers(read))?;
    let function = read.table.read_function();
    let (of, first, count) = (plan.len(), at(*read), read.count);
    Some(format!("{number} of {of}: FC {function} from {first}, {count} items"))
}

/// Why a signal has no value, and what to do; nothing if it has one.
fn why(
    quality: Quality,
    spec: &SignalSpec,
    device: Option<&DeviceStatus>,
    was_polled: bool,
) -> Option<(String, String)> {
    let cause = match quality {
        Quality::Good => return None,
        Quality::Uncertain => {
            let hint = "see what the device says of itself";
            return Some(("the value's source doubts it".to_owned(), hint.to_owned()));
        }
        Quality::Bad(cause) => cause,
    };
    if !was_polled {
        let hint = "wait for a poll, or see `fieldgate status`";
        return Some(("it was not polled yet".to_owned(), hint.to_owned()));
    }
    let unit = device.map_or(0, |device| device.unit);
    let bus = device.map_or("", |device| &device.bus);
    let (why, hint) = match cause {
        Cause::NoAnswer if unit == NO_UNIT.0 => (
            "the device does not answer".to_owned(),
            "see whether it has power and is on the network".to_owned(),
        ),
        Cause::NoAnswer => (
            fault_text(Fault::NoAnswer, unit),
            format!(
                "see whether it has power and is wired; `fieldgate scan {bus}` finds its unit id"
            ),
        ),
        Cause::LinkDown => (
            format!("`{bus}` cannot be reached"),
            "see cable, port and address; `fieldgate status` says more".to_owned(),
        ),
        Cause::Malformed if unit == NO_UNIT.0 => (
            "the payload is not what the profile says, or the answer breaks the protocol"
                .to_owned(),
            format!("`fieldgate trace {bus}` shows the datagrams"),
        ),
        Cause::Malformed => (
            "the answer breaks the protocol, or its bytes are not what the type allows".to_owned(),
            format!("`fieldgate trace {bus}` shows the frames; two devices may share one unit id"),
        ),
        Cause::Null => (
            "the device says that it has no value: these raw bits mean that in its profile"
                .to_owned(),
            "nothing may be connected to this input".to_owned(),
        ),
        Cause::OutOfRange => (
            range_text(spec),
            "see whether type, word order and scale are right: `fieldgate decode` shows all"
                .to_owned(),
        ),
        Cause::Script => (
            "the profile's parser failed".to_owned(),
            "`fieldgate status` has its error; `fieldgate parser test` tries it".to_owned(),
        ),
        Cause::ScriptLimit => (
            "the profile's parser was cut off: it took too long or too much memory".to_owned(),
            "`fieldgate parser test` tries it".to_owned(),
        ),
        Cause::ConfigError => (
            "its part of the configuration is wrong".to_owned(),
            "`fieldgate check` says where".to_owned(),
        ),
        Cause::Exception(code) => exception(code, unit),
        Cause::Refused(code) => {
            (explain_resource::refusal(code), explain_resource::refusal_hint(code).to_owned())
        }
    };
    Some((why, hint))
}

fn range_text(spec: &SignalSpec) -> String {
    match spec.limits {
        Some((low, high)) => format!(
            "the value is not a number, or outside the limits {low} to {high} {}",
            spec.unit
        )
        .trim_end()
        .to_owned(),
        None => "the value is not a number that can be stored".to_owned(),
    }
}

fn exception(code: u8, unit: u8) -> (String, String) {
    let why = fault_text(Fault::Exception(code), unit);
    let hint = match code {
        1 => "the device does not know this function; another table may hold the signal",
        2 => "there is no such address; manuals that count from 1 are off by one",
        3 => "the device refuses this number of registers; a smaller request may do",
        4 => "the device itself has failed; its own display may say why",
        5 | 6 => "the device is busy; it is asked again",
        0x0A | 0x0B => "the gateway in between does not reach the device; see the line behind it",
        _ => "the device's manual may explain this code",
    };
    (why, hint.to_owned())
}

fn alarms(
    device: &DeviceConfig,
    spec: &SignalSpec,
    active: &[super::message::AlarmNow],
) -> Vec<ExplainedAlarm> {
    let rules = device.profile.alarms.iter().filter(|rule| rule.signal == spec.name);
    let explained = |rule: &AlarmRule| {
        let is_it = |alarm: &&super::message::AlarmNow| {
            alarm.device == device.name.as_str() && alarm.alarm == rule.name.as_str()
        };
        ExplainedAlarm {
            alarm: rule.name.to_string(),
            rule: rule_text(rule, &spec.unit),
            severity: rule.severity.as_str().to_owned(),
            active: active.iter().find(is_it).cloned(),
        }
    };
    rules.map(explained).collect()
}

fn rule_text(rule: &AlarmRule, unit: &str) -> String {
    let (word, limit) = match rule.limit {
        Limit::High(limit) => ("above", limit),
        Limit::Low(limit) => ("below", limit),
    };
    format!("{word} {limit} {unit}").trim_end().to_owned()
}

/// Words in hex, or bits.
fn words(reply: &ReadReply) -> Vec<String> {
    match reply {
        ReadReply::Registers(words) => words.iter().map(|word| format!("0x{word:04X}")).collect(),
        ReadReply::Bits(states) => states.iter().map(|on| u8::from(*on).to_string()).collect(),
    }
}
