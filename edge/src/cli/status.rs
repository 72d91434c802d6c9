//! `fieldgate status`: one screen, what is wrong first.

use std::path::Path;

use fieldgate_model::Millis;

use super::args::DaemonArgs;
use super::ask::Daemon;
use super::failure::{Exit, Failure};
use super::format::{bytes, count, duration, table};
use super::screen::{self, Style, Talk, data_is_coloured, paint};
use crate::socket::message::{Ask, BufferStatus, CloudStatus, DeviceState, DeviceStatus, Status};

/// Devices that are shown one by one; of more, the good ones are only counted. With what stands
/// above and below, this is a screen of 24 lines.
const DEVICES_SHOWN: usize = 12;

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
    for wrong in &status.wrong {
        line(Style::Red, &format!("wrong: {wrong}"));
    }
    for alarm in &status.alarms {
        let words = format!("alarm: {} ({}, {})", alarm.message, alarm.severity, alarm.alarm);
        line(Style::Red, &words);
    }
    let up = duration(Millis(status.uptime_ms));
    let head = format!("gateway {}, fieldgate {}, up {up}", status.gateway, status.software);
    line(Style::Bold, &head);
    for bus in &status.buses {
        line(Style::Plain, &format!("bus {}: {}", bus.bus, bus.link));
    }
    line(Style::Plain, devices_text(&status.devices).trim_end());
    line(Style::Plain, &buffer_text(&status.buffer));
    line(Style::Plain, &cloud_text(&status.cloud));
    text
}

/// The devices, those that are not well first.
fn devices_text(devices: &[DeviceStatus]) -> String {
    let is_well = |device: &&DeviceStatus| device.state == DeviceState::Ok;
    let mut shown: Vec<&DeviceStatus> = devices.iter().filter(|d| !is_well(d)).collect();
    let well = devices.iter().filter(is_well);
    shown.extend(well.take(DEVICES_SHOWN.saturating_sub(shown.len())));
    let rest = devices.len() - shown.len();
    let text = table(shown.into_iter().map(row));
    match rest {
        0 => text,
        rest => format!("{text}and {} that are well; `--json` has all\n", count(rest, "device")),
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
        "buffer: {} of {}, {} batches, {} samples not sealed yet, {} dropped",
        bytes(buffer.bytes),
        bytes(buffer.max_bytes),
        buffer.batches,
        buffer.unsealed,
        buffer.dropped
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
