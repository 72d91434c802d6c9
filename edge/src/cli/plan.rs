//! `fieldgate plan`: what is asked of each device, in which requests, and what that costs.

use std::path::Path;

use clap::Args;
use fieldgate_modbus::line::LineSettings;
use fieldgate_model::Millis;
use serde::Serialize;

use super::bus_plan::{
    BusPlan, DevicePlan, Known, LOAD_FULL, LOAD_WARNED, PlannedRead, plan_buses, range_text,
};
use super::failure::{Exit, Failure};
use super::format::{self, count, table};
use super::host_plan::{self, HostPlan, plan_hosts};
use super::screen::{self, Style, Talk, data_is_coloured, paint};
use crate::buffer;
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// One device only; its name in the configuration.
    pub(super) device: Option<String>,
    /// One bus or host only; its name in the configuration, or its URL.
    #[arg(long, value_name = "NAME")]
    pub(super) bus: Option<String>,
    /// Plan for Modbus RTU on this serial line, whatever the configuration says.
    #[arg(long, value_name = "LINE", value_parser = line)]
    pub(super) line: Option<LineSettings>,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    buses: Vec<BusPlan>,
    hosts: Vec<HostPlan>,
}

/// Shows the plan; nothing is asked of any device.
pub(super) fn plan(path: &Path, args: &PlanArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    let config = super::load(path, talk)?.config;
    let known = Known { line: args.line, ..learned(&config, talk) };
    let mut buses = plan_buses(&config, &known);
    let mut hosts = plan_hosts(&config);
    let is_full = warn(&buses, talk);
    if let Some(name) = &args.bus {
        buses.retain(|bus| bus.bus == *name);
        hosts.retain(|host| host.host == *name);
    }
    if let Some(name) = &args.device {
        for bus in &mut buses {
            bus.devices.retain(|device| device.device == *name);
        }
        buses.retain(|bus| !bus.devices.is_empty());
        for host in &mut hosts {
            host.devices.retain(|device| device.device == *name);
        }
        hosts.retain(|host| !host.devices.is_empty());
    }
    if buses.is_empty() && hosts.is_empty() && (args.bus.is_some() || args.device.is_some()) {
        let name = args.device.as_ref().or(args.bus.as_ref()).map_or("", String::as_str);
        let what = if args.device.is_some() { "device" } else { "bus" };
        let refused = Failure::refused(format!("no {what} `{name}` runs"));
        return Err(refused.hint("`fieldgate plan` without a name shows all"));
    }
    if args.json {
        screen::print_json(&Report { buses, hosts })?;
    } else {
        screen::print(&format!("{}{}", text(&buses), host_plan::text(&hosts)))?;
    }
    Ok(if is_full { Exit::Findings } else { Exit::Good })
}

/// What the gateway has learned of its devices, as far as its buffer can be read.
pub(super) fn learned(config: &Config, talk: &mut Talk) -> Known {
    match buffer::stored_maps(&config.buffer.path) {
        Ok(map_by_device) => Known { map_by_device, line: None },
        Err(error) => {
            talk.say(&format!(
                "warning: planned without what devices have taught: {}",
                crate::telemetry::chain(&error)
            ));
            Known::default()
        }
    }
}

/// Says which buses are asked for too much; whether one of them is asked for more than it can give.
pub(super) fn warn(buses: &[BusPlan], talk: &mut Talk) -> bool {
    for bus in buses.iter().filter(|bus| bus.load_percent > LOAD_WARNED) {
        let (name, load) = (&bus.bus, bus.load_percent);
        talk.say(&format!("warning: bus `{name}` is asked for {load:.0} % of its time"));
        talk.say("  hint: poll less often with `every`, use a faster line, or split the bus");
    }
    buses.iter().any(|bus| bus.load_percent > LOAD_FULL)
}

/// Buses, devices and requests, for people.
pub(super) fn text(buses: &[BusPlan]) -> String {
    let is_coloured = data_is_coloured();
    let mut text = String::new();
    let mut line = |style: Style, words: &str| {
        text.push_str(&paint(is_coloured, style, words));
        text.push('\n');
    };
    for bus in buses {
        line(Style::Bold, &format!("bus {} ({})", bus.bus, bus.endpoint));
        for device in &bus.devices {
            line(Style::Plain, &device_line(device));
            line(Style::Plain, device_text(device).trim_end());
        }
        let style = if bus.load_percent > LOAD_WARNED { Style::Red } else { Style::Plain };
        let BusPlan { requests_per_s, bytes_per_s, load_percent, .. } = bus;
        let load = percent(*load_percent);
        let words = format!(
            "  {requests_per_s:.1} requests/s, {bytes_per_s:.0} bytes/s, {load} of its time"
        );
        line(style, &words);
    }
    text
}

fn device_line(device: &DevicePlan) -> String {
    format!(
        "  {}, unit {}, {}, every {}: {}, {} bytes and {} a cycle, {} of the bus",
        device.device,
        device.unit,
        device.profile,
        format::duration(Millis(device.every_ms)),
        count(device.requests.len(), "request"),
        device.bytes_per_cycle,
        millis(device.us_per_cycle),
        percent(device.load_percent),
    )
}

fn device_text(device: &DevicePlan) -> String {
    let row = |planned: &PlannedRead| {
        let items = if planned.read.table.is_bits() { "bit" } else { "register" };
        vec![
            "  ".to_owned(),
            range_text(planned.read),
            count(usize::from(planned.count), items),
            format!("{} bytes", planned.bytes),
            millis(planned.us),
            match planned.unwanted {
                0 => String::new(),
                unwanted => format!("{unwanted} for nothing"),
            },
        ]
    };
    let mut text = table(device.requests.iter().map(row));
    let mut note = |words: String| {
        text.push_str("    ");
        text.push_str(&words);
        text.push('\n');
    };
    for hole in &device.holes {
        note(format!("hole {}: exception_{}", range_text(hole.read), hole.exception));
    }
    for cut in &device.cuts {
        note(format!("cannot be read across {cut}"));
    }
    if let Some(max) = device.registers_max {
        note(format!("gives at most {} at once", count(usize::from(max), "register")));
    }
    text
}

fn millis(us: u64) -> String {
    format!("{}.{} ms", us / 1000, us % 1000 / 100)
}

fn percent(load: f64) -> String {
    if load < 10.0 { format!("{load:.1} %") } else { format!("{load:.0} %") }
}

fn line(text: &str) -> Result<LineSettings, String> {
    text.parse::<LineSettings>().map_err(|error| format!("{error}; {}", error.hint()))
}
