//! A reading at once: scheduled on the live bus between two polls, decoded like a poll.

use std::time::Duration;

use fieldgate_model::{Cause, Quality, SignalName};
use fieldgate_rules::decode::decode;
use fieldgate_rules::payload::{self, Reading};
use fieldgate_rules::plan::{Image, wanted};
use fieldgate_rules::signal::{SignalSource, SignalSpec};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::message::{DeviceNow, Refusal, SignalNow};
use super::raw::on_bus;
use super::value::{find, sample_now, signal_now};
use crate::config::{DeviceConfig, Place};
use crate::drivers::host::{Ask, HostJob, Payload};
use crate::drivers::{Class, Job};
use crate::engine::Snapshot;
use crate::handles::Handles;

/// How long a reading may take, its wait on the bus included: the longest timeout that a bus can
/// have, and a little.
const READ_PATIENCE: Duration = Duration::from_secs(65);

/// Reads signals of a device, all without any.
pub(super) async fn read(
    handles: &Handles,
    name: &str,
    wanted: &[String],
) -> Result<DeviceNow, Refusal> {
    let device = device(handles, name)?;
    let specs = pick(device, wanted)?;
    let from_parser = |spec: &&SignalSpec| matches!(spec.source, SignalSource::Parser { .. });
    if let Place::Host { host } = device.place {
        return read_resources(handles, device, host, &specs).await;
    }
    let declared: Vec<SignalSpec> =
        specs.iter().copied().filter(|spec| !from_parser(spec)).cloned().collect();
    let image = if declared.is_empty() {
        Image::default()
    } else {
        ask(handles, device, &declared).await?
    };
    let at = handles.clock.now();
    let snapshot = handles.engine.snapshot(None).await;
    let now = |spec: &SignalSpec| match spec.source {
        SignalSource::Payload { .. } | SignalSource::Parser { .. } => {
            newest(handles, &snapshot, device, spec)
        }
        SignalSource::Registers { .. }
        | SignalSource::Bit { .. }
        | SignalSource::RegisterBit { .. }
        | SignalSource::RegisterBits { .. } => match decode(spec, &image) {
            Ok(value) => signal_now(spec, Some(&value), Quality::Good, Some(at)),
            Err(cause) => signal_now(spec, None, Quality::Bad(cause), Some(at)),
        },
    };
    Ok(DeviceNow {
        device: name.to_owned(),
        signals: specs.iter().map(|spec| now(spec)).collect(),
        polled: specs.iter().filter(|s| from_parser(s)).map(|s| s.name.to_string()).collect(),
    })
}

/// The newest values of a device; it is not asked.
pub(super) async fn values(handles: &Handles, name: &str) -> Result<DeviceNow, Refusal> {
    let device = device(handles, name)?;
    let snapshot = handles.engine.snapshot(None).await;
    let signals = device.profile.signals.iter();
    Ok(DeviceNow {
        device: name.to_owned(),
        signals: signals.map(|spec| newest(handles, &snapshot, device, spec)).collect(),
        polled: Vec::new(),
    })
}

/// The running device of this name, or why there is none.
pub(super) fn device<'a>(handles: &'a Handles, name: &str) -> Result<&'a DeviceConfig, Refusal> {
    let devices = &handles.targets.devices;
    if let Some(device) = devices.iter().find(|device| device.name.as_str() == name) {
        return Ok(device);
    }
    if let Some(broken) = handles.config.broken.iter().find(|broken| broken.name == name) {
        let cause = broken.problems.first().map(|problem| problem.what.clone());
        let refusal =
            Refusal::new(format!("device `{name}` does not run: its configuration is wrong"));
        return Err(Refusal { cause, ..refusal }.hint("`fieldgate check` says where"));
    }
    let known: Vec<String> = devices.iter().map(|device| format!("`{}`", device.name)).collect();
    let hint = if known.is_empty() {
        "no device runs".to_owned()
    } else {
        format!("known are {}", known.join(", "))
    };
    Err(Refusal::new(format!("there is no device `{name}`")).hint(hint))
}

/// The signal of this name, or why there is none.
pub(super) fn signal<'a>(
    device: &'a DeviceConfig,
    name: &str,
) -> Result<(SignalName, &'a SignalSpec), Refusal> {
    let found = SignalName::new(name).ok().and_then(|name| {
        let (_, spec) = device.profile.signal(&name)?;
        Some((name, spec))
    });
    found.ok_or_else(|| {
        Refusal::new(format!("device `{}` has no signal `{name}`", device.name))
            .hint(format!("`fieldgate read {}` shows all", device.name))
    })
}

fn pick<'a>(device: &'a DeviceConfig, wanted: &[String]) -> Result<Vec<&'a SignalSpec>, Refusal> {
    if wanted.is_empty() {
        return Ok(device.profile.signals.iter().collect());
    }
    wanted.iter().map(|name| signal(device, name).map(|(_, spec)| spec)).collect()
}

/// Asks the device for what these signals need.
async fn ask(
    handles: &Handles,
    device: &DeviceConfig,
    specs: &[SignalSpec],
) -> Result<Image, Refusal> {
    let stopped = || Refusal::new("the bus has stopped");
    let requests = device.profile.plan_of(&wanted(specs, &[]));
    let (bus, unit) = on_bus(device)?;
    let bus = handles.targets.buses.get(bus).ok_or_else(stopped)?;
    let (done, replies) = oneshot::channel();
    let class = Class::Command;
    let job = Job::Read { unit, requests: requests.clone(), class, done };
    let asked = async {
        bus.send(job).await.map_err(|_| stopped())?;
        replies.await.map_err(|_| stopped())
    };
    let replies = timeout(READ_PATIENCE, asked).await.map_err(|_| {
        Refusal::new("its turn on the bus did not come in time")
            .hint("`fieldgate status` shows why")
    })??;
    Ok(Image::new(requests.into_iter().zip(replies).collect()))
}

/// Reads the resources that these signals lie in; those of a parser, and those that the device only
/// pushes, are as they came last.
async fn read_resources(
    handles: &Handles,
    device: &DeviceConfig,
    host: usize,
    specs: &[&SignalSpec],
) -> Result<DeviceNow, Refusal> {
    let profile = &device.profile;
    let place = |spec: &SignalSpec| {
        let (place, resource, _) = profile.picked(spec)?;
        (!resource.push).then_some(place)
    };
    let mut places: Vec<usize> = specs.iter().filter_map(|spec| place(spec)).collect();
    places.sort_unstable();
    places.dedup();
    let payloads = fetch(handles, host, device, &places).await?;
    let at = handles.clock.now();
    let readings: Vec<Reading> = places
        .iter()
        .zip(&payloads)
        .flat_map(|(place, payload)| match (profile.resources.get(*place), payload) {
            (Some(resource), Ok(payload)) => {
                payload::read(profile, resource, payload.format, &payload.bytes)
            }
            (Some(_) | None, Ok(_) | Err(_)) => Vec::new(),
        })
        .collect();
    let snapshot = handles.engine.snapshot(None).await;
    let now = |spec: &SignalSpec| {
        let Some(place) = place(spec) else { return newest(handles, &snapshot, device, spec) };
        let failed = places.iter().zip(&payloads).find_map(|(known, payload)| {
            (*known == place).then(|| payload.as_ref().err().copied()).flatten()
        });
        let signal = profile.signal(&spec.name).map(|(signal, _)| signal);
        let its = readings.iter().rev().find(|reading| Some(reading.signal) == signal);
        match (failed, its.map(|reading| &reading.value)) {
            (Some(cause), _) => signal_now(spec, None, Quality::Bad(cause), Some(at)),
            (None, Some(Ok(value))) => signal_now(spec, Some(value), Quality::Good, Some(at)),
            (None, Some(Err(unread))) => {
                signal_now(spec, None, Quality::Bad(unread.cause), Some(at))
            }
            // This time the device did not speak of it.
            (None, None) => newest(handles, &snapshot, device, spec),
        }
    };
    Ok(DeviceNow {
        device: device.name.to_string(),
        signals: specs.iter().map(|spec| now(spec)).collect(),
        polled: specs
            .iter()
            .filter(|spec| place(spec).is_none())
            .map(|spec| spec.name.to_string())
            .collect(),
    })
}

/// Asks a host for resources of a device, by their places in its profile.
pub(super) async fn fetch(
    handles: &Handles,
    host: usize,
    device: &DeviceConfig,
    places: &[usize],
) -> Result<Vec<Result<Payload, Cause>>, Refusal> {
    let stopped = || Refusal::new("the host's task has stopped");
    let resources = places.iter().filter_map(|place| device.profile.resources.get(*place));
    let asks = resources.map(Ask::of).collect();
    let jobs = handles.targets.hosts.get(host).ok_or_else(stopped)?;
    let (done, payloads) = oneshot::channel();
    let asked = async {
        let job = HostJob::Fetch { asks, class: Class::Command, done };
        jobs.send(job).await.map_err(|_| stopped())?;
        payloads.await.map_err(|_| stopped())
    };
    timeout(READ_PATIENCE, asked).await.map_err(|_| {
        Refusal::new("its turn at the host did not come in time")
            .hint("`fieldgate status` shows why")
    })?
}

/// A parser's signal as the last poll brought it.
fn newest(
    handles: &Handles,
    snapshot: &Snapshot,
    device: &DeviceConfig,
    spec: &SignalSpec,
) -> SignalNow {
    let sample = snapshot.samples.iter().find(|sample| {
        let found = find(&handles.targets.devices, sample);
        found.is_some_and(|(its, signal)| its.name == device.name && signal.name == spec.name)
    });
    match sample {
        Some(sample) => sample_now(spec, sample),
        None => signal_now(spec, None, Quality::Bad(Cause::NoAnswer), None),
    }
}
