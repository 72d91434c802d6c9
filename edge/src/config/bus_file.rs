//! `[[bus]]`: what is wrong with one of them leaves the others alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use fieldgate_modbus::line::LineSettings;
use fieldgate_model::Millis;

use super::device_file::read_label;
use super::endpoint::{Echo, Endpoint, PortPath, Rs485, SerialEndpoint};
use super::fields::{Fields, Wrong, list};
use super::file::{parse_host_port, read_duration};
use super::problem::{Problem, Scope};
use super::{BusConfig, TIMEOUT_MAX, TIMEOUT_MIN};

/// Patience for an answer if the file does not say.
const TIMEOUT: Millis = Millis::from_secs(1);
/// Longer quiet times than any device wants.
const PAUSE_MAX: Millis = Millis::from_secs(10);
/// Share of the bus for silent units if the file does not say, in percent.
const DEAD_SHARE: u8 = 10;
/// More would leave less than half of the bus to those that answer.
const DEAD_SHARE_MAX: u8 = 50;
/// More requests under way than any device on the market queues.
const IN_FLIGHT_MAX: i64 = 16;
/// Port of Modbus TCP by default (IANA).
const PORT_MODBUS: u16 = 502;
/// What a bus can be.
const KINDS: [&str; 4] = ["modbus_tcp", "modbus_rtu", "modbus_ascii", "modbus_rtu_over_tcp"];

/// A bus as it was read.
struct Bus {
    name: String,
    line: usize,
    config: Option<BusConfig>,
}

/// The buses that can be used, and the names of those that cannot.
pub(super) fn read_buses(
    root: &mut Fields<'_>,
    problems: &mut Vec<Problem>,
) -> (Vec<BusConfig>, BTreeSet<String>) {
    let mut read: Vec<Bus> = Vec::new();
    let mut bus_by_port: BTreeMap<PathBuf, String> = BTreeMap::new();
    for (place, mut fields) in (1..).zip(root.tables("bus", "[[bus]]")) {
        let (line, name) = (fields.line(), read_label(&mut fields, "bus", place, Scope::Bus));
        let endpoint = read_endpoint(&mut fields, problems);
        let timeout = read_duration(&mut fields, "timeout", TIMEOUT_MIN, TIMEOUT_MAX);
        let pause = read_duration(&mut fields, "pause", Millis(0), PAUSE_MAX);
        let dead_share = fields.parse("dead_share", parse_share);
        let close_after_cycle = fields.take::<bool>("close_after_cycle");
        if let Some(twin) = read.iter_mut().find(|other| other.name == name) {
            let what = format!("has the name `{name}` of the bus in line {}", twin.line);
            fields.wrong(line, Wrong::new(what).hint("give each bus a name of its own"));
            twin.config = None;
        }
        if let Some(serial) = endpoint.as_ref().and_then(Endpoint::serial)
            && let Some(other) = bus_by_port.insert(device_of(&serial.port), name.clone())
        {
            let what = format!("has the port `{}` of bus `{other}`", serial.port);
            let hint = "put the devices of one line on one bus; it asks them in turn";
            fields.wrong(line, Wrong::new(what).hint(hint));
        }
        let found = fields.finish();
        let config = endpoint.filter(|_| found.is_empty()).map(|endpoint| BusConfig {
            name: name.clone(),
            endpoint,
            timeout: timeout.unwrap_or(TIMEOUT),
            pause: pause.unwrap_or(Millis(0)),
            dead_share: dead_share.map_or(DEAD_SHARE, |found| found.value),
            close_after_cycle: close_after_cycle.is_some_and(|found| found.value),
        });
        problems.extend(found);
        read.push(Bus { name, line, config });
    }
    let broken = read.iter().filter(|bus| bus.config.is_none()).map(|bus| bus.name.clone());
    let broken: BTreeSet<String> = broken.collect();
    (read.into_iter().filter_map(|bus| bus.config).collect(), broken)
}

/// The one of [`KINDS`] that the bus is.
fn read_endpoint(fields: &mut Fields<'_>, problems: &mut Vec<Problem>) -> Option<Endpoint> {
    let line = fields.line();
    let mut present: Vec<&str> = KINDS.into_iter().filter(|kind| fields.has(kind)).collect();
    if present.len() != 1 {
        let what = match present.as_slice() {
            [] => "does not say what it is".to_owned(),
            kinds => format!("is several things at once: {}", list(kinds)),
        };
        fields.wrong(line, Wrong::new(what).hint(format!("write one of {}", list(&KINDS))));
        present.clear();
    }
    let is = |kind: &str| present.contains(&kind);
    let tcp = fields.parse_if(is("modbus_tcp"), "modbus_tcp", parse_address);
    let in_flight = if is("modbus_tcp") { read_in_flight(fields) } else { 1 };
    let over = fields.parse_if(is("modbus_rtu_over_tcp"), "modbus_rtu_over_tcp", parse_address);
    let rtu = read_serial(fields, is("modbus_rtu"), "modbus_rtu", problems);
    let ascii = read_serial(fields, is("modbus_ascii"), "modbus_ascii", problems);
    let tcp = tcp.map(|(host, port)| Endpoint::ModbusTcp { host, port, in_flight });
    let over = over.map(|(host, port)| Endpoint::ModbusRtuOverTcp { host, port });
    tcp.or(over).or(rtu.map(Endpoint::ModbusRtu)).or(ascii.map(Endpoint::ModbusAscii))
}

fn parse_address(text: &str) -> Result<(String, u16), Wrong> {
    parse_host_port(text, PORT_MODBUS)
}

/// How many requests may be under way; 1 if the file does not say.
fn read_in_flight(fields: &mut Fields<'_>) -> usize {
    let Some(found) = fields.take::<i64>("in_flight") else { return 1 };
    match usize::try_from(found.value) {
        Ok(count) if (1..=IN_FLIGHT_MAX).contains(&found.value) => count,
        Ok(_) | Err(_) => {
            let what = format!("`in_flight`: {} is not from 1 to {IN_FLIGHT_MAX}", found.value);
            let hint = "1 suits every device; `fieldgate scan` finds out whether more do";
            fields.wrong(found.line, Wrong::new(what).hint(hint));
            1
        }
    }
}

/// A table with `port`, `line` and the rest, or the port alone with the rest beside it.
fn read_serial(
    fields: &mut Fields<'_>,
    is_read: bool,
    kind: &'static str,
    problems: &mut Vec<Problem>,
) -> Option<SerialEndpoint> {
    if !is_read || fields.is_text(kind) {
        let port = fields.parse_if(is_read, kind, parse_port);
        return if is_read { read_line(fields, port) } else { None };
    }
    let mut table = fields.table(kind, kind)?;
    let port = table.parse_required("port", parse_port);
    let serial = read_line(&mut table, port.map(|found| found.value));
    let found = table.finish();
    let serial = serial.filter(|_| found.is_empty());
    problems.extend(found);
    serial
}

/// How a port is to be used.
fn read_line(fields: &mut Fields<'_>, port: Option<PortPath>) -> Option<SerialEndpoint> {
    let line = fields.parse_required("line", |text| {
        text.parse::<LineSettings>().map_err(|error| Wrong::new(&error).hint(error.hint()))
    });
    let rs485 = fields.parse("rs485", |text| match text {
        "auto" => Ok(Rs485::Auto),
        "kernel" => Ok(Rs485::Kernel),
        "off" => Ok(Rs485::Off),
        other => Err(word_wrong(other, &["auto", "kernel", "off"])),
    });
    let echo = fields.parse("echo", |text| match text {
        "auto" => Ok(Echo::Auto),
        "yes" => Ok(Echo::Expect),
        "no" => Ok(Echo::None),
        other => Err(word_wrong(other, &["auto", "yes", "no"])),
    });
    Some(SerialEndpoint {
        port: port?,
        line: line?.value,
        rs485: rs485.map(|found| found.value).unwrap_or_default(),
        echo: echo.map_or(Echo::Auto, |found| found.value),
    })
}

fn parse_port(text: &str) -> Result<PortPath, Wrong> {
    PortPath::new(text).ok_or_else(|| {
        Wrong::new(format!("`{text}` is not the path of a port"))
            .hint("write it whole, best one of `/dev/serial/by-id/`, which stays when others move")
    })
}

/// `10 %`, in whole percent.
fn parse_share(text: &str) -> Result<u8, Wrong> {
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse().ok());
    number.filter(|share| (1..=DEAD_SHARE_MAX).contains(share)).ok_or_else(|| {
        Wrong::new(format!("`{text}` is not from 1 % to {DEAD_SHARE_MAX} %"))
            .hint("write a share of the bus's time such as `10 %`")
    })
}

fn word_wrong(word: &str, known: &[&str]) -> Wrong {
    Wrong::new(format!("`{word}` is none of {}", list(known)))
}

/// The device file that a path leads to today, so that two names of one port are found out.
fn device_of(port: &PortPath) -> PathBuf {
    std::fs::canonicalize(port.as_path()).unwrap_or_else(|_| port.as_path().to_owned())
}
