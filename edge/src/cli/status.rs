//! `fieldgate status`: one screen, what is wrong first.

use std::path::Path;

use fieldgate_model::Millis;

use super::args::DaemonArgs;
use super::ask::Daemon;
use super::failure::{Exit, Failure};
use super::format::{bytes, count, duration, table};
use super::screen::{self, Style, Talk, data_is_coloured, paint};
use crate::socket::message::{
    Ask, BufferStatus, BusStatus, CloudStatus, CoapStatus, DeviceState, DeviceStatus, Status,
};

/// Faults that are shown one by one: the worst come first, and the rest mostly follows from them.
const WRONG_SHOWN: usize = 6;
/// Alarms that are shown one by one.
const ALARMS_SHOWN: usize = 4;
/// Devices that are shown one by one. With what stands above and below, this is a screen of 24
/// lines.
const DEVICES_SHOWN: usize = 7;

/// Shows how the gateway is, and ends with a finding if anything is wrong.
pub(super) fn status(config: &Path, args: &DaemonArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    let daemon = Daemon::find(config, args, talk)?;
    let status: Status = daemon.ask(Ask::Status)?;
    if args.json {
        screen::print_json(&status)?;
    } else {
        screen::print(&text(&status, data_is_coloured()))?;
    }
    Ok(if status.wrong.is_empty() { Exit::Good } else { Exit::Findings })
}

fn text(status: &Status, is_coloured: bool) -> String {
    let mut text = String::new();
    let mut line = |style: Style, words: &str| {
        text.push_str(&paint(is_coloured, style, words));
        text.push('\n');
    };
    let wrong = status.wrong.iter().map(|wrong| format!("wrong: {wrong}"));
    for words in first(wrong.collect(), WRONG_SHOWN, "wrong") {
        line(Style::Red, &words);
    }
    let alarms = status.alarms.iter();
    let alarms = alarms.map(|a| format!("alarm: {} ({}, {})", a.message, a.severity, a.alarm));
    for words in first(alarms.collect(), ALARMS_SHOWN, "alarm") {
        line(Style::Red, &words);
    }
    let up = duration(Millis(status.uptime_ms));
    let head = format!("gateway {}, fieldgate {}, up {up}", status.gateway, status.software);
    line(Style::Bold, &head);
    let buses = status.buses.iter().map(bus_text);
    line(Style::Plain, &format!("buses: {}", buses.collect::<Vec<_>>().join("; ")));
    if let Some(coap) = &status.coap {
        line(Style::Plain, &coap_text(coap));
    }
    line(Style::Plain, devices_text(&status.devices).trim_end());
    line(Style::Plain, &buffer_text(&status.buffer));
    line(Style::Plain, &cloud_text(&status.cloud));
    text
}

/// `cabinet up, 12 % busy`, and what silence takes if it takes anything.
fn bus_text(bus: &BusStatus) -> String {
    let head = format!("{} {}, {:.0} % busy", bus.bus, bus.link, bus.load_percent);
    if bus.dead_percent < 0.5 {
        return head;
    }
    format!("{head} ({:.0} % in vain)", bus.dead_percent)
}

fn coap_text(coap: &CoapStatus) -> String {
    format!(
        "coap: {} of {} requests answered, {} notifications, {} pushes stored, {} repetitions",
        coap.answers, coap.requests, coap.notifications, coap.pushed, coap.retransmissions
    )
}

/// The first of these lines, and how many more there are.
fn first(mut lines: Vec<String>, shown: usize, what: &str) -> Vec<String> {
    let rest = lines.len().saturating_sub(shown);
    lines.truncate(shown);
    if rest > 0 {
        lines.push(format!("{what}: {rest} more; `--json` has all"));
    }
    lines
}

/// The devices, those that are not well first.
fn devices_text(devices: &[DeviceStatus]) -> String {
    let is_well = |device: &&DeviceStatus| device.state == DeviceState::Ok;
    let mut shown: Vec<&DeviceStatus> = devices.iter().filter(|d| !is_well(d)).collect();
    let well = devices.iter().filter(is_well);
    shown.extend(well);
    shown.truncate(DEVICES_SHOWN);
    let rest = devices.len() - shown.len();
    let text = table(shown.into_iter().map(row));
    match rest {
        0 => text,
        rest => format!("{text}and {} more; `--json` has all\n", count(rest, "device")),
    }
}

fn row(device: &DeviceStatus) -> Vec<String> {
    vec![
        format!("device {}", device.device),
        device.state.as_str().to_owned(),
        device.profile.clone(),
        format!("{} of {} polls good", device.good, device.polls),
        format!("{} of {} signals bad", device.bad_signals, device.signals),
    ]
}

fn buffer_text(buffer: &BufferStatus) -> String {
    format!(
        "buffer: {} of {}, {} batches, {} samples not sealed yet, {} dropped, {} a day to disk",
        bytes(buffer.bytes),
        bytes(buffer.max_bytes),
        buffer.batches,
        buffer.unsealed,
        buffer.dropped,
        bytes(buffer.written_bytes_per_day)
    )
}

fn cloud_text(cloud: &CloudStatus) -> String {
    let state = match cloud.state.as_str() {
        "none" => return "cloud: none, working alone".to_owned(),
        "no_identity" => "no credentials",
        "welcomed" => "connected",
        "connected" => "connected, not welcomed yet",
        _ => "not reached",
    };
    let acked = cloud.acked_at.as_deref().unwrap_or("never");
    format!("cloud: {state}, {} to send, last acknowledged {acked}", count_of(cloud.backlog))
}

fn count_of(records: u64) -> String {
    count(usize::try_from(records).unwrap_or(usize::MAX), "record")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::message::{AlarmNow, ClockNow, LineStatus};

    fn device(number: usize, state: DeviceState) -> DeviceStatus {
        DeviceStatus {
            device: format!("device-{number}"),
            bus: "cabinet".to_owned(),
            unit: 1,
            profile: "demo-meter@1".to_owned(),
            state,
            bad_signals: 0,
            signals: 40,
            polls: 10,
            good: 10,
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

    #[test]
    fn the_worst_gateway_fits_one_screen() {
        let alarm = |number| AlarmNow {
            device: format!("device-{number}"),
            alarm: "high".to_owned(),
            severity: "low".to_owned(),
            message: "too high".to_owned(),
        };
        let mut devices: Vec<DeviceStatus> = (0..99).map(|n| device(n, DeviceState::Ok)).collect();
        devices.push(device(99, DeviceState::Silent));
        let status = Status {
            gateway: "x".to_owned(),
            software: "0".to_owned(),
            uptime_ms: 61_000,
            wrong: (0..50).map(|number| format!("fault {number}")).collect(),
            alarms: (0..50).map(alarm).collect(),
            devices,
            buses: vec![BusStatus {
                bus: "cabinet".to_owned(),
                link: "up".to_owned(),
                trouble: None,
                load_percent: 12.0,
                dead_percent: 0.0,
                jobs: 0,
                frames_skipped: 0,
                line: LineStatus::default(),
            }],
            coap: None,
            buffer: BufferStatus {
                bytes: 0,
                max_bytes: 0,
                batches: 0,
                unsealed: 0,
                dropped: 0,
                commits: 0,
                written_bytes: 0,
                written_bytes_per_day: 0,
                failing: None,
            },
            cloud: CloudStatus {
                state: "disconnected".to_owned(),
                contested: false,
                withheld: false,
                backlog: 1,
                acked_at: None,
            },
            clock: ClockNow { system: "believed".to_owned(), utc: None, steps: 0 },
        };
        let text = text(&status, false);
        assert!(text.lines().count() <= 24, "{text}");
        assert!(text.starts_with("wrong: fault 0\n"), "{text}");
        assert!(text.contains("wrong: 44 more; `--json` has all"), "{text}");
        let first = text.lines().find(|line| line.starts_with("device "));
        assert!(first.is_some_and(|line| line.starts_with("device device-99  silent")), "{text}");
        assert!(text.contains("and 93 devices more; `--json` has all"), "{text}");
    }
}
