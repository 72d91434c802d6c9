//! How the gateway is, and what is wrong with it.

use std::collections::BTreeMap;

use fieldgate_modbus::client::LineCounters;
use fieldgate_model::{DeviceName, Millis, Quality};
use fieldgate_protocol::clock::SystemClock;
use fieldgate_rules::schedule::{BreakerState, Permille};

use super::message::{
    AlarmNow, BufferStatus, BusStatus, ClockNow, CloudStatus, CoapStatus, DeviceState,
    DeviceStatus, LineStatus, Status,
};
use super::value::{find, rfc3339, utc_of};
use crate::config::DeviceConfig;
use crate::drivers::host::Endpoints;
use crate::drivers::{self, LinkState};
use crate::engine::Snapshot;
use crate::handles::Handles;
use crate::sync::SyncStatus;

/// Polls without data after which a device counts as failing: one may be bad luck.
const FAILING_POLLS: u64 = 3;

/// The status of the whole gateway.
pub(super) async fn status(handles: &Handles) -> Status {
    let snapshot = handles.engine.snapshot(None).await;
    let buses = handles.line_status();
    let buffer = handles.buffer.borrow().clone();
    let up = handles.clock.now().since(handles.started);
    let written = written();
    let mut status = Status {
        gateway: handles.config.gateway.name.clone(),
        software: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: up.0,
        wrong: Vec::new(),
        alarms: snapshot.alarms.iter().map(alarm).collect(),
        devices: devices(handles, &buses, &snapshot),
        buses: buses.iter().map(bus).collect(),
        coap: handles.endpoints.as_ref().map(|endpoints| coap(handles, endpoints, &snapshot)),
        buffer: BufferStatus {
            bytes: buffer.bytes,
            max_bytes: buffer.max_bytes,
            batches: buffer.batches,
            unsealed: buffer.tail,
            dropped: buffer.dropped,
            commits: buffer.commits,
            written_bytes: written,
            written_bytes_per_day: a_day(written, up),
            failing: buffer.failing,
        },
        cloud: cloud(handles),
        clock: clock(handles),
    };
    status.wrong = wrong(&status, &snapshot);
    status
}

/// Bytes that this process has sent towards its disks, as the kernel counts them; 0 where it does not.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes:"));
    line.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0)
}

/// What so many bytes in this time come to in a day.
fn a_day(bytes: u64, within: Millis) -> u64 {
    const DAY: u128 = 86_400_000;
    let a_day = u128::from(bytes) * DAY / u128::from(within.0.max(1));
    u64::try_from(a_day).unwrap_or(u64::MAX)
}

fn alarm(alarm: &fieldgate_model::AlarmTransition) -> AlarmNow {
    AlarmNow {
        device: alarm.key.device.to_string(),
        alarm: alarm.key.alarm.to_string(),
        severity: alarm.severity.as_str().to_owned(),
        message: alarm.message.clone(),
    }
}

fn bus(bus: &drivers::BusStatus) -> BusStatus {
    let link = match bus.link {
        LinkState::Untried => "untried",
        LinkState::Up => "up",
        LinkState::Down => "down",
        LinkState::Taken { .. } => "taken",
    };
    BusStatus {
        bus: bus.name.clone(),
        link: link.to_owned(),
        trouble: bus.trouble.clone(),
        load_percent: percent(bus.load.busy),
        dead_percent: percent(bus.load.dead),
        jobs: bus.jobs,
        frames_skipped: bus.frames_skipped,
        line: line(&bus.counters),
    }
}

fn percent(share: Permille) -> f64 {
    f64::from(share.0) / 10.0
}

fn line(counters: &LineCounters) -> LineStatus {
    LineStatus {
        requests: counters.requests,
        answers: counters.answers,
        timeouts: counters.timeouts,
        checksum: counters.checksum,
        malformed: counters.malformed,
        links_lost: counters.links_lost,
        late: counters.late,
        foreign: counters.foreign,
        echoes: counters.echoes,
        noise_bytes: counters.noise_bytes,
        stray_bytes: counters.stray_bytes,
        exceptions: counters.exceptions.clone(),
    }
}

fn coap(handles: &Handles, endpoints: &Endpoints, snapshot: &Snapshot) -> CoapStatus {
    let pushes = *handles.pushes.borrow();
    let mut sum = CoapStatus {
        pushed: pushes.stored,
        push_unknown_peers: pushes.unknown_peers,
        push_unknown_paths: pushes.unknown_paths,
        push_malformed: pushes.malformed,
        push_put_off: pushes.put_off,
        samples_again: snapshot.duplicates,
        ..CoapStatus::default()
    };
    for counters in endpoints.iter().map(crate::drivers::coap::Endpoint::counters) {
        sum.requests += counters.requests;
        sum.answers += counters.answers;
        sum.notifications += counters.notifications;
        sum.datagrams_sent += counters.datagrams_sent;
        sum.datagrams_received += counters.datagrams_received;
        sum.retransmissions += counters.retransmissions;
        sum.timeouts += counters.timeouts;
        sum.duplicates += counters.duplicates;
        sum.malformed += counters.malformed;
        sum.foreign += counters.foreign;
        sum.observations_lost += counters.observations_lost;
        sum.push_unknown_peers += counters.unknown_peers;
        sum.push_put_off += counters.overload;
    }
    sum
}

fn devices(
    handles: &Handles,
    buses: &[drivers::BusStatus],
    snapshot: &Snapshot,
) -> Vec<DeviceStatus> {
    let mut bad_by_device: BTreeMap<&DeviceName, usize> = BTreeMap::new();
    for sample in &snapshot.samples {
        if let (Quality::Bad(_), Some((device, _))) =
            (sample.quality, find(&handles.targets.devices, sample))
        {
            *bad_by_device.entry(&device.name).or_default() += 1;
        }
    }
    let now = handles.clock.now();
    let mut devices = Vec::new();
    for bus in buses {
        for on_it in &bus.devices {
            let Some(config) = handles.targets.devices.get(on_it.index.0) else { continue };
            let polled = &on_it.polled;
            devices.push(DeviceStatus {
                device: config.name.to_string(),
                bus: bus.name.clone(),
                unit: on_it.unit.0,
                profile: config.profile.id(),
                state: state(config, bus.link, on_it, now),
                observed: on_it.observed,
                notifications: on_it.notifications,
                bad_signals: bad_by_device.get(&config.name).copied().unwrap_or(0),
                signals: config.profile.signals.len(),
                polls: polled.polls,
                good: polled.good,
                missed: polled.missed,
                no_answer: polled.no_answer,
                link_faults: polled.link,
                malformed: polled.malformed,
                exceptions: polled.exceptions.values().sum(),
                last_good_at: polled.last_good_at.map(|at| rfc3339(utc_of(at))),
            });
        }
    }
    devices.extend(handles.config.broken.iter().map(broken));
    devices
}

fn broken(device: &crate::config::BrokenDevice) -> DeviceStatus {
    DeviceStatus {
        device: device.name.clone(),
        bus: String::new(),
        unit: 0,
        profile: device.profile.clone(),
        state: DeviceState::ConfigError,
        bad_signals: 0,
        signals: 0,
        polls: 0,
        good: 0,
        missed: 0,
        no_answer: 0,
        link_faults: 0,
        malformed: 0,
        exceptions: 0,
        observed: 0,
        notifications: 0,
        last_good_at: None,
    }
}

fn state(
    config: &DeviceConfig,
    link: LinkState,
    on_it: &drivers::DeviceStatus,
    now: Millis,
) -> DeviceState {
    let polled = &on_it.polled;
    match (link, polled.breaker) {
        (LinkState::Down, _) => DeviceState::LinkDown,
        (LinkState::Untried | LinkState::Up, BreakerState::Open) => DeviceState::Silent,
        (LinkState::Taken { .. }, _)
        | (LinkState::Untried | LinkState::Up, BreakerState::Untried) => DeviceState::Waiting,
        (LinkState::Untried | LinkState::Up, BreakerState::Closed) => {
            if on_it.observed > 0 {
                return DeviceState::Ok;
            }
            let patience = Millis(config.every.0 * FAILING_POLLS) + Millis::from_secs(1);
            match polled.last_good_at {
                Some(at) if now.since(at) <= patience => DeviceState::Ok,
                None if polled.polls < FAILING_POLLS => DeviceState::Waiting,
                Some(_) | None => DeviceState::Failing,
            }
        }
    }
}

fn cloud(handles: &Handles) -> CloudStatus {
    let sync = handles.sync.as_ref().map(|sync| sync.borrow().clone());
    let state = match (&handles.config.cloud, &sync) {
        (None, _) => "none",
        (Some(_), None) => "no_identity",
        (Some(_), Some(SyncStatus { welcomed: true, .. })) => "welcomed",
        (Some(_), Some(SyncStatus { connected: true, .. })) => "connected",
        (Some(_), Some(_)) => "disconnected",
    };
    let sync = sync.unwrap_or_default();
    CloudStatus {
        state: state.to_owned(),
        contested: sync.contested,
        withheld: sync.withheld,
        backlog: sync.backlog,
        acked_at: sync.acked_at.map(rfc3339),
    }
}

fn clock(handles: &Handles) -> ClockNow {
    let known = *handles.time.status.borrow();
    let system = match known.system {
        SystemClock::Unset => "unset",
        SystemClock::Doubted => "doubted",
        SystemClock::Believed => "believed",
    };
    let utc = known.offset.map(|offset| rfc3339(offset + handles.clock.now()));
    ClockNow { system: system.to_owned(), utc, steps: known.steps }
}

/// What is wrong, the worst first: what loses data, what brings none, what waits.
fn wrong(status: &Status, snapshot: &Snapshot) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some(why) = &status.buffer.failing {
        wrong.push(format!("the buffer's disk refuses: {why}"));
    }
    if status.buffer.dropped > 0 {
        wrong.push(format!("{} samples gave way for want of room", status.buffer.dropped));
    }
    for bus in &status.buses {
        if let Some(trouble) = &bus.trouble {
            wrong.push(format!("bus `{}`: {trouble}", bus.bus));
        }
    }
    for device in &status.devices {
        let (name, bus) = (&device.device, &device.bus);
        match device.state {
            DeviceState::ConfigError => {
                wrong.push(format!("device `{name}` does not run: its configuration is wrong"));
            }
            DeviceState::LinkDown => {
                wrong.push(format!("device `{name}`: `{bus}` cannot be reached"));
            }
            DeviceState::Silent => {
                wrong.push(match device.unit {
                    0 => format!("device `{name}` does not answer"),
                    unit => format!("device `{name}`: unit {unit} does not answer"),
                });
            }
            DeviceState::Failing => {
                wrong.push(format!("device `{name}` answers, but gives no data"));
            }
            DeviceState::Ok if device.bad_signals > 0 => {
                let (bad, all) = (device.bad_signals, device.signals);
                wrong.push(format!("device `{name}`: {bad} of {all} signals have no value"));
            }
            DeviceState::Ok | DeviceState::Waiting => {}
        }
    }
    for (device, error) in &snapshot.parser_errors {
        wrong.push(format!("device `{device}`, parser: {error}"));
    }
    for bus in status.buses.iter().filter(|bus| bus.frames_skipped > 0) {
        wrong.push(format!("bus `{}`: {} polls were thrown away", bus.bus, bus.frames_skipped));
    }
    let cloud = &status.cloud;
    match cloud.state.as_str() {
        "no_identity" => wrong.push("no credentials for the cloud, working alone".to_owned()),
        "disconnected" | "connected" => wrong.push("the cloud is not reached".to_owned()),
        _ => {}
    }
    match (status.clock.system.as_str(), &status.clock.utc) {
        ("unset", None) => wrong.push("nobody has set the clock since power-up".to_owned()),
        ("doubted", _) => {
            let known = status.clock.utc.as_deref().unwrap_or("unknown");
            wrong.push(format!("the system clock cannot be right, it is {known}"));
        }
        _ => {}
    }
    if cloud.contested {
        wrong.push("the cloud doubts this gateway's identity: commands wait".to_owned());
    }
    if cloud.withheld {
        wrong.push("the command journal was lost: no command of the cloud runs".to_owned());
    }
    wrong
}
