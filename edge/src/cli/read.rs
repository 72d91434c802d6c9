//! `fieldgate read`: a device's signals, asked for at once.

use std::path::Path;

use serde::Serialize;
use serde_json::Value as Json;

use super::args::ReadArgs;
use super::ask::Daemon;
use super::failure::{Exit, Failure};
use super::format::table;
use super::screen::{self, Talk};
use crate::socket::message::{Ask, DeviceNow, SignalNow};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    device: &'a str,
    signals: &'a [SignalNow],
}

/// Reads, and ends with a finding if not one signal has a value.
pub(super) fn read(config: &Path, args: &ReadArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    let daemon = Daemon::find(config, &args.daemon, talk)?;
    let ask = Ask::Read { device: args.device.clone(), signals: args.signals.clone() };
    let DeviceNow { device, signals, polled } = daemon.ask(ask)?;
    if !polled.is_empty() {
        let names =
            if polled.len() == signals.len() { "all".to_owned() } else { polled.join(", ") };
        talk.say(&format!("from the last poll, since a parser gives them: {names}"));
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
