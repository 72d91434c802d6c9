//! `fieldgate read`: a device's signals or registers, asked for at once.

use std::path::Path;
use std::time::Duration;

use fieldgate_modbus::register::{Address, ReadRequest, Table};
use serde::Serialize;
use serde_json::Value as Json;

use super::args::ReadArgs;
use super::ask::Daemon;
use super::failure::{Exit, Failure};
use super::format::table;
use super::line::{self, OpenLine, Target};
use super::raw::{Form, RawType};
use super::registers::{self, Reading, Source};
use super::screen::{self, Talk};
use crate::socket::message::{Ask, DeviceNow, SignalNow};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    device: &'a str,
    signals: &'a [SignalNow],
}

/// What was asked for.
enum Asked {
    Signals(Vec<String>),
    Registers(Vec<Reading>),
}

/// Reads once, or again and again with `-l`.
pub(super) fn read(config: &Path, args: &ReadArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    let asked = asked(args)?;
    let target = line::target(&args.target, &args.line)?;
    let mut source = match (&target, &asked) {
        (Target::Name(_), Asked::Signals(names)) => {
            let daemon = Daemon::find(config, &args.daemon, talk)?;
            return repeat(args, talk, |talk| signals(&daemon, args, names, talk));
        }
        (Target::Name(name), Asked::Registers(_)) => {
            let daemon = Daemon::find(config, &args.daemon, talk)?;
            Source::Device { daemon, name: name.clone() }
        }
        (Target::Endpoint(_), Asked::Signals(names)) => {
            let what = match names.first() {
                Some(name) => format!("`{name}` is no address, and an endpoint has no signals"),
                None => "an endpoint has no signals: say what to read".to_owned(),
            };
            return Err(Failure::usage(what)
                .hint("write an address such as `hr:0..9`, or `-t 4 -r 1 -c 10`"));
        }
        (Target::Endpoint(endpoint), Asked::Registers(_)) => {
            let unit = registers::one_unit(&args.line)?;
            let line =
                OpenLine::open(endpoint.clone(), config, args.daemon.socket.as_deref(), talk)?;
            Source::direct(line, unit, &args.line)
        }
    };
    let Asked::Registers(readings) = asked else { return Ok(Exit::Usage) };
    repeat(args, talk, |talk| registers::show(&mut source, &readings, args.daemon.json, talk))
}

/// Once, or every so often; the last reading decides how it ends.
fn repeat(
    args: &ReadArgs,
    talk: &mut Talk,
    mut read: impl FnMut(&mut Talk) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let Some(rate) = args.poll_rate else { return read(talk) };
    loop {
        read(talk)?;
        // Ended by a signal, as a poll of mbpoll is.
        std::thread::park_timeout(Duration::from_millis(rate));
    }
}

/// Signals by name, or registers by address or by mbpoll's letters; not both.
fn asked(args: &ReadArgs) -> Result<Asked, Failure> {
    let form = args.data.map(|data| data.form);
    let order = registers::order(form, args.big_endian);
    if args.reference.is_some() || (args.items.is_empty() && args.data.is_some()) {
        if let Some(item) = args.items.first() {
            return Err(Failure::usage(format!("`{item}` and a reference name two places"))
                .hint("give an address, or `-r`"));
        }
        let read = by_letters(args)?;
        let form = form.unwrap_or(Form::Words);
        return Ok(Asked::Registers(vec![Reading { read, form, order }]));
    }
    let is_address = |item: &String| item.parse::<ReadRequest>();
    if args.items.is_empty() || args.items.iter().all(|item| is_address(item).is_err()) {
        // What was meant as an address and is none must not become the name of a signal.
        let meant = args.items.iter().find(|item| item.contains(':'));
        if let Some(error) = meant.and_then(|item| is_address(item).err()) {
            return Err(Failure::usage(error.to_string()).hint(error.hint()));
        }
        return Ok(Asked::Signals(args.items.clone()));
    }
    let readings = args.items.iter().map(|item| {
        let read = is_address(item)
            .map_err(|error| Failure::usage(error.to_string()).hint(error.hint()))?;
        let count = args.count.map_or(Ok(read.count), |count| items(count, form, read.table))?;
        let form = form.unwrap_or(Form::Words);
        Ok(Reading { read: ReadRequest { count, ..read }, form, order })
    });
    readings.collect::<Result<_, Failure>>().map(Asked::Registers)
}

/// What `-t`, `-r`, `-c` and `-0` name.
fn by_letters(args: &ReadArgs) -> Result<ReadRequest, Failure> {
    let default = RawType { table: Table::HoldingRegister, form: Form::Words };
    let RawType { table, form } = args.data.unwrap_or(default);
    let base = u32::from(!args.from_zero);
    let reference = args.reference.unwrap_or(base);
    let start = reference.checked_sub(base).and_then(|start| u16::try_from(start).ok());
    let Some(start) = start else {
        return Err(Failure::usage(format!("there is no reference `{reference}`"))
            .hint("references count from 1 to 65536, or from 0 to 65535 with `-0`"));
    };
    let count = items(args.count.unwrap_or(1), Some(form), table)?;
    Ok(ReadRequest { table, start, count })
}

/// Items that so many values take.
fn items(values: u16, form: Option<Form>, table: Table) -> Result<u16, Failure> {
    let each = form.map_or(1, Form::registers);
    let max = table.read_max();
    match values.checked_mul(each) {
        Some(items) if (1..=max).contains(&items) => Ok(items),
        Some(_) | None => Err(Failure::usage(format!(
            "{values} values do not go into one read, which has 1 to {max} items"
        ))),
    }
}

/// Reads signals, and ends with a finding if not one has a value.
fn signals(
    daemon: &Daemon,
    args: &ReadArgs,
    names: &[String],
    talk: &mut Talk,
) -> Result<Exit, Failure> {
    let ask = Ask::Read { device: args.target.clone(), signals: names.to_vec() };
    let DeviceNow { device, signals, polled } = daemon.ask(ask)?;
    if !polled.is_empty() {
        let names =
            if polled.len() == signals.len() { "all".to_owned() } else { polled.join(", ") };
        talk.say(&format!(
            "as they came last, since only a parser or the device itself gives them: {names}"
        ));
    }
    let has_value = signals.iter().any(|now| now.value != Json::Null);
    if args.daemon.json {
        screen::print_json(&Printed { device: &device, signals: &signals })?;
    } else {
        screen::print(&table(signals.iter().map(row)))?;
    }
    Ok(if has_value { Exit::Good } else { Exit::Findings })
}

fn row(now: &SignalNow) -> Vec<String> {
    let at = now.at.clone().unwrap_or_default();
    vec![now.signal.clone(), value_text(now), now.quality.clone(), at]
}

/// The value with its word or its unit, or a dash.
pub(super) fn value_text(now: &SignalNow) -> String {
    let value = match &now.value {
        Json::Null => return "-".to_owned(),
        Json::String(text) => text.clone(),
        value @ (Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
            value.to_string()
        }
    };
    match &now.text {
        Some(text) => format!("{text} ({value})"),
        None => format!("{value} {}", now.unit).trim_end().to_owned(),
    }
}

/// Where a read starts, in both notations.
pub(super) const fn start_of(read: ReadRequest) -> Address {
    Address { table: read.table, offset: read.start }
}
