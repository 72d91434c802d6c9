//! `fieldgate explain`: all about one signal, why it has no value first.

use std::path::Path;

use fieldgate_model::Millis;

use super::args::ExplainArgs;
use super::ask::Daemon;
use super::failure::{Exit, Failure};
use super::format::{duration, table};
use super::read::value_text;
use super::screen::{self, Style, Talk, data_is_coloured, paint};
use crate::socket::live::{Explained, ExplainedAlarm};
use crate::socket::message::Ask;

/// Explains a signal, and ends with a finding if it has no value.
pub(super) fn explain(config: &Path, args: &ExplainArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    let daemon = Daemon::find(config, &args.daemon, talk)?;
    let ask = Ask::Explain { device: args.device.clone(), signal: args.signal.clone() };
    let explained: Explained = daemon.ask(ask)?;
    if args.daemon.json {
        screen::print_json(&explained)?;
    } else {
        screen::print(&text(&explained, data_is_coloured()))?;
    }
    Ok(if explained.why.is_none() { Exit::Good } else { Exit::Findings })
}

fn text(its: &Explained, is_coloured: bool) -> String {
    let mut text = String::new();
    let head = format!("{}/{}: {}", its.device, its.now.signal, its.title);
    let mut line = |style, words: &str| {
        text.push_str(&paint(is_coloured, style, words));
        text.push('\n');
    };
    line(Style::Bold, &head);
    if let Some(why) = &its.why {
        line(Style::Red, &format!("no value: {why}"));
    }
    if let Some(hint) = &its.hint {
        line(Style::Cyan, &format!("hint: {hint}"));
    }
    text.push_str(&table(rows(its)));
    text
}

fn rows(its: &Explained) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |name: &str, words: String| {
        if !words.is_empty() {
            rows.push(vec![name.to_owned(), words]);
        }
    };
    let at = its.now.at.as_deref().unwrap_or("never");
    row("value", format!("{}, {}, at {at}", value_text(&its.now), its.now.quality));
    row("address", its.address.clone().unwrap_or_default());
    row("raw words", raw(its));
    row("type", its.data.clone());
    row("scale", its.scale.clone());
    row("writable", if its.writable { "yes" } else { "no" }.to_owned());
    row("profile", its.profile.clone());
    row("source", its.source.clone());
    row("origin", its.origin.clone());
    row("read by", its.request.clone().unwrap_or_default());
    row("polled", format!("every {}", duration(Millis(its.every_ms))));
    let last_good = its.device_last_good_at.as_deref().unwrap_or("never");
    let unit = its.unit_id;
    let unit = if unit == 0 { String::new() } else { format!("unit {unit}, ") };
    row("device", format!("{unit}{}, last good poll {last_good}", its.device_state));
    row("bus", format!("{} ({}), {}", its.bus, its.endpoint, its.bus_state));
    for alarm in &its.alarms {
        row("alarm", alarm_text(alarm));
    }
    rows
}

/// What the wire holds at this moment.
fn raw(its: &Explained) -> String {
    match (&its.words, &its.read_fault) {
        (Some(words), _) => format!("{}, read just now", words.join(" ")),
        (None, Some(fault)) => format!("not read just now: {fault}"),
        (None, None) => String::new(),
    }
}

fn alarm_text(its: &ExplainedAlarm) -> String {
    let ExplainedAlarm { alarm, rule, severity, active } = its;
    let state = active.as_ref().map_or("not active", |alarm| &alarm.message);
    format!("{alarm}: {rule}, {severity}, {state}")
}
