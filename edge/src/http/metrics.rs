//! Counters and gauges as Prometheus reads them (text exposition format 0.0.4).

use std::fmt::Display;

use fieldgate_modbus::client::LineCounters;
use fieldgate_protocol::clock::SystemClock;
use fieldgate_rules::schedule::{Class, Permille, PollSnapshot};

use crate::drivers::{BusStatus, LinkState};
use crate::engine::Snapshot;
use crate::handles::Handles;

/// The text of one scrape, under construction.
#[derive(Debug, Default)]
struct Text(String);

/// A counter of one device.
type Count = fn(&PollSnapshot) -> u64;

/// A counter of one line.
type LineCount = fn(&LineCounters) -> u64;

/// What kind of number it is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// Everything that is measured. Names end in `_total` where they only grow.
pub(super) fn render(handles: &Handles, snapshot: &Snapshot) -> String {
    let mut text = Text::default();
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    text.head("fieldgate_build_info", Kind::Gauge, "The running software.");
    text.line("fieldgate_build_info", &version, 1);
    let uptime = handles.clock.now().since(handles.started).0 / 1000;
    text.one("fieldgate_uptime_seconds", Kind::Gauge, "Seconds since the start.", uptime);

    let buses = handles.line_status();
    render_buses(&mut text, &buses);
    render_lines(&mut text, &buses);
    render_devices(&mut text, handles, &buses);
    render_buffer(&mut text, handles);
    render_sync(&mut text, handles);
    render_clock(&mut text, handles);

    let alarms = snapshot.alarms.len();
    text.one("fieldgate_alarms_active", Kind::Gauge, "Alarms that are active.", alarms);
    let failing = snapshot.parser_errors.len();
    let help = "Devices whose parser failed on its last frame.";
    text.one("fieldgate_parser_errors", Kind::Gauge, help, failing);
    let help = "Frames that no parser took, and readings that no profile declares.";
    text.one("fieldgate_parser_skipped_total", Kind::Counter, help, snapshot.skipped);
    let broken = handles.config.broken.len();
    let help = "Devices that do not run because their configuration is wrong.";
    text.one("fieldgate_devices_broken", Kind::Gauge, help, broken);
    text.0
}

fn render_buses(text: &mut Text, buses: &[BusStatus]) {
    let name = "fieldgate_bus_up";
    text.head(name, Kind::Gauge, "1 if the bus was reached when last tried.");
    for bus in buses {
        let up = match bus.link {
            LinkState::Up => 1,
            LinkState::Untried | LinkState::Down | LinkState::Taken { .. } => 0,
        };
        text.line(name, &[("bus", &bus.name)], up);
    }
    let name = "fieldgate_bus_frames_skipped_total";
    text.head(name, Kind::Counter, "Polls thrown away because the engine did not take them.");
    for bus in buses {
        text.line(name, &[("bus", &bus.name)], bus.frames_skipped);
    }
    let name = "fieldgate_bus_jobs_total";
    text.head(name, Kind::Counter, "Reads and writes asked for by people and commands.");
    for bus in buses {
        text.line(name, &[("bus", &bus.name)], bus.jobs);
    }
}

/// What each line has done right and wrong, and how full it is.
fn render_lines(text: &mut Text, buses: &[BusStatus]) {
    let counters: [(&str, &str, LineCount); 8] = [
        ("fieldgate_bus_requests_total", "Requests sent.", |line| line.requests),
        ("fieldgate_bus_answers_total", "Requests answered as they should be.", |l| l.answers),
        ("fieldgate_bus_sent_bytes_total", "Bytes sent.", |line| line.bytes_sent),
        ("fieldgate_bus_received_bytes_total", "Bytes received.", |line| line.bytes_received),
        ("fieldgate_bus_noise_bytes_total", "Bytes on a serial line in no frame.", |line| {
            line.noise_bytes
        }),
        ("fieldgate_bus_stray_bytes_total", "Bytes on TCP in no frame.", |l| l.stray_bytes),
        ("fieldgate_bus_echoes_total", "Own requests that came back.", |line| line.echoes),
        ("fieldgate_bus_reopens_total", "Links closed for being of no use.", |l| l.reopens),
    ];
    for (name, help, count) in counters {
        text.head(name, Kind::Counter, help);
        for bus in buses {
            text.line(name, &[("bus", &bus.name)], count(&bus.counters));
        }
    }
    let name = "fieldgate_bus_faults_total";
    text.head(name, Kind::Counter, "What went wrong on the line, by kind.");
    for bus in buses {
        let line = &bus.counters;
        let faults = [
            ("timeout", line.timeouts),
            ("checksum", line.checksum),
            ("malformed", line.malformed),
            ("link_lost", line.links_lost),
            ("late", line.late),
            ("foreign", line.foreign),
        ];
        for (fault, count) in faults {
            text.line(name, &[("bus", &bus.name), ("fault", fault)], count);
        }
        for (code, count) in &line.exceptions {
            let fault = match code {
                // No exception of Modbus is as high, and every refusal of CoAP is.
                128.. => fieldgate_model::Cause::Refused(*code).to_string(),
                code => format!("exception_{code}"),
            };
            text.line(name, &[("bus", &bus.name), ("fault", &fault)], count);
        }
    }
    let name = "fieldgate_bus_busy_ratio";
    text.head(name, Kind::Gauge, "Share of the last minute in use, 0 to 1, by class.");
    for bus in buses {
        for class in Class::ALL {
            let labels = [("bus", bus.name.as_str()), ("class", class.as_str())];
            text.line(name, &labels, ratio(bus.load.of(class)));
        }
    }
    let name = "fieldgate_bus_dead_ratio";
    text.head(name, Kind::Gauge, "Share of the last minute that silence took, 0 to 1.");
    for bus in buses {
        text.line(name, &[("bus", &bus.name)], ratio(bus.load.dead));
    }
}

fn ratio(share: Permille) -> f64 {
    f64::from(share.0) / 1000.0
}

fn render_devices(text: &mut Text, handles: &Handles, buses: &[BusStatus]) {
    let devices = || {
        buses.iter().flat_map(|bus| {
            let named = |device: &'_ crate::drivers::DeviceStatus| {
                let config = handles.targets.devices.get(device.index.0)?;
                Some((config.name.to_string(), bus.name.clone(), device.polled.clone()))
            };
            bus.devices.iter().filter_map(named).collect::<Vec<_>>()
        })
    };
    let counters: [(&str, &str, Count); 5] = [
        ("fieldgate_polls_total", "Polls that ended, in whatever way.", |p| p.polls),
        ("fieldgate_polls_good_total", "Polls that brought data.", |p| p.good),
        ("fieldgate_polls_missed_total", "Polls left out, the bus being busy.", |p| p.missed),
        ("fieldgate_polls_withheld_total", "Polls left out, the device being silent.", |p| {
            p.withheld
        }),
        ("fieldgate_probes_total", "Probes of a silent device.", |p| p.probes),
    ];
    for (name, help, count) in counters {
        text.head(name, Kind::Counter, help);
        for (device, bus, polled) in devices() {
            text.line(name, &[("device", &device), ("bus", &bus)], count(&polled));
        }
    }
    let name = "fieldgate_faults_total";
    text.head(name, Kind::Counter, "Requests without data, by what was wrong.");
    for (device, bus, polled) in devices() {
        let mut fault = |fault: &str, count: u64| {
            text.line(name, &[("device", &device), ("bus", &bus), ("fault", fault)], count);
        };
        fault("no_answer", polled.no_answer);
        fault("link", polled.link);
        fault("malformed", polled.malformed);
        for (code, count) in &polled.exceptions {
            fault(&format!("exception_{code}"), *count);
        }
    }
}

fn render_buffer(text: &mut Text, handles: &Handles) {
    let buffer = handles.buffer.borrow().clone();
    let gauges = [
        ("fieldgate_buffer_bytes", "Bytes of file and WAL.", buffer.bytes),
        ("fieldgate_buffer_max_bytes", "Bytes that it may have at most.", buffer.max_bytes),
        ("fieldgate_buffer_batches", "Sealed batches that are held.", buffer.batches),
        ("fieldgate_buffer_tail", "Samples that are not sealed yet.", buffer.tail),
        (
            "fieldgate_buffer_failing",
            "1 while the disk refuses.",
            u64::from(buffer.failing.is_some()),
        ),
    ];
    for (name, help, value) in gauges {
        text.one(name, Kind::Gauge, help, value);
    }
    let help = "Samples that gave way for want of room.";
    text.one("fieldgate_buffer_dropped_total", Kind::Counter, help, buffer.dropped);
    let help = "Commits since the start.";
    text.one("fieldgate_buffer_commits_total", Kind::Counter, help, buffer.commits);
}

/// Nothing is said of an uplink where there is none.
fn render_sync(text: &mut Text, handles: &Handles) {
    let Some(sync) = handles.sync.as_ref().map(|sync| sync.borrow().clone()) else { return };
    let flag = |on: bool| u64::from(on);
    let gauges = [
        ("fieldgate_sync_connected", "1 while a connection stands.", flag(sync.connected)),
        ("fieldgate_sync_welcomed", "1 while the owner has us.", flag(sync.welcomed)),
        ("fieldgate_sync_contested", "1 while the owner doubts us.", flag(sync.contested)),
        ("fieldgate_sync_backlog", "Sealed records not committed there.", sync.backlog),
    ];
    for (name, help, value) in gauges {
        text.one(name, Kind::Gauge, help, value);
    }
    let counters = [
        ("fieldgate_sync_batches_sent_total", "Batches sent, resent too.", sync.batches_sent),
        ("fieldgate_sync_malformed_total", "Messages not understood.", sync.malformed),
        ("fieldgate_sync_stale_total", "Messages not from the owner.", sync.stale),
    ];
    for (name, help, value) in counters {
        text.one(name, Kind::Counter, help, value);
    }
}

fn render_clock(text: &mut Text, handles: &Handles) {
    let known = *handles.time.status.borrow();
    let believed = u64::from(known.system == SystemClock::Believed);
    let help = "1 while the system clock can be right.";
    text.one("fieldgate_clock_believed", Kind::Gauge, help, believed);
    let help = "Steps of the system clock since the start.";
    text.one("fieldgate_clock_steps_total", Kind::Counter, help, known.steps);
}

impl Text {
    fn head(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.0.extend(["# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n"]);
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> =
            labels.iter().map(|(key, text)| format!("{key}=\"{}\"", escaped(text))).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.0.extend([name, &labels, " ", &value.to_string(), "\n"]);
    }

    fn one(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }
}

/// A label's value: backslash, quote and line feed are escaped.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::default();
        text.line("x", &[("bus", "a\"b\\c\nd")], 3);
        assert_eq!(text.0, "x{bus=\"a\\\"b\\\\c\\nd\"} 3\n");
    }
}
