//! `fieldgate profile show`: one profile, signal by signal.

use std::path::Path;

use fieldgate_rules::payload::Pick;
use fieldgate_rules::profile::Profile;
use fieldgate_rules::signal::{SignalSource, SignalSpec};
use serde::Serialize;

use super::args::ProfileShowArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::format::{count, duration, table};
use crate::cli::screen::{self, Talk};

/// A profile as `--json` prints it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    name: &'a str,
    version: u32,
    title: &'a str,
    source: &'a str,
    /// Poll interval, milliseconds.
    every_ms: u64,
    parser: Option<&'a str>,
    tests: usize,
    alarms: Vec<&'a str>,
    signals: Vec<ShownSignal<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownSignal<'a> {
    name: &'a str,
    title: &'a str,
    /// `hr:0 (4x0001)`; absent if the parser gives it.
    address: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    order: Option<String>,
    unit: &'a str,
    scale: f64,
    offset: f64,
    limits: Option<(f64, f64)>,
    access: &'static str,
    source: &'a str,
    verified: bool,
}

/// Shows the profile.
pub(super) fn show(
    config: &Path,
    args: &ProfileShowArgs,
    talk: &mut Talk,
) -> Result<Exit, Failure> {
    let library = super::library(config, args.profiles.as_deref())?;
    let profile = super::find(&library, &args.profile, talk)?;
    let shown = shown(&profile);
    if args.json {
        screen::print_json(&shown)?;
    } else {
        screen::print(&text(&profile, &shown))?;
    }
    Ok(Exit::Good)
}

fn shown(profile: &Profile) -> Shown<'_> {
    Shown {
        name: &profile.name,
        version: profile.version,
        title: &profile.title,
        source: &profile.source,
        every_ms: profile.every.0,
        parser: profile.parser.as_ref().map(|parser| parser.file.as_str()),
        tests: profile.tests.len(),
        alarms: profile.alarms.iter().map(|alarm| alarm.name.as_str()).collect(),
        signals: profile.signals.iter().map(|signal| shown_signal(profile, signal)).collect(),
    }
}

fn shown_signal<'a>(profile: &'a Profile, signal: &'a SignalSpec) -> ShownSignal<'a> {
    let (address, kind, order) = match signal.source {
        SignalSource::Registers { address, data, order } => {
            (Some(address), data.to_string(), Some(order.letters(data.registers()).to_owned()))
        }
        SignalSource::Bit { address } => (Some(address), "bit".to_owned(), None),
        SignalSource::RegisterBit { address, bit } => (Some(address), format!("bit {bit}"), None),
        SignalSource::RegisterBits { address, first, last } => {
            (Some(address), format!("bits {first} to {last}"), None)
        }
        SignalSource::Payload { kind, .. } | SignalSource::Parser { kind } => {
            (None, kind.as_str().to_owned(), None)
        }
    };
    let in_resource = profile.picked(signal);
    let in_resource = in_resource.map(|(_, resource, pick)| match pick {
        Pick::Whole => resource.path.clone(),
        Pick::At(_) | Pick::Record { .. } | Pick::Bytes { .. } => {
            format!("{} {pick}", resource.path)
        }
    });
    let address = address.map(|address| address.to_string()).or(in_resource);
    let (mantissa, exponent, offset) = signal.scale.parts();
    // The text of a decimal is read to the float that is nearest to it.
    let scale = format!("{mantissa}e{exponent}").parse().unwrap_or(f64::NAN);
    ShownSignal {
        name: signal.name.as_str(),
        title: &signal.title,
        address,
        kind,
        order,
        unit: &signal.unit,
        scale,
        offset,
        limits: signal.limits,
        access: if signal.writable.is_some() { "rw" } else { "r" },
        source: &signal.origin,
        verified: !profile.unverified.contains(&signal.name),
    }
}

fn text(profile: &Profile, shown: &Shown<'_>) -> String {
    let mut lines = vec![format!("{}: {}", profile.id(), profile.title)];
    if !profile.source.is_empty() {
        lines.push(format!("source: {}", profile.source));
    }
    let parser = shown.parser.map_or(String::new(), |parser| format!(", parser {parser}"));
    lines.push(format!(
        "{}, {}, {}, polled every {}{parser}\n",
        count(shown.signals.len(), "signal"),
        count(shown.alarms.len(), "alarm"),
        count(shown.tests, "test"),
        duration(profile.every),
    ));
    let head =
        ["signal", "address", "type", "order", "unit", "scale", "access", "verified", "source"];
    let head = head.map(str::to_owned).to_vec();
    let row = |signal: &ShownSignal<'_>| {
        let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        vec![
            signal.name.to_owned(),
            signal.address.clone().unwrap_or_else(|| "parser".to_owned()),
            signal.kind.clone(),
            dash(signal.order.as_deref().unwrap_or_default()),
            dash(signal.unit),
            scale(signal),
            signal.access.to_owned(),
            if signal.verified { "yes" } else { "no" }.to_owned(),
            dash(signal.source),
        ]
    };
    lines.push(table(std::iter::once(head).chain(shown.signals.iter().map(row))));
    let unverified = profile.unverified.len();
    if unverified > 0 {
        let what = "known from one source alone: compare with the device before you rely on it";
        lines.push(format!("{} {what}\n", count(unverified, "signal")));
    }
    lines.join("\n")
}

/// `x 0.1 - 40`, or `-` where the number is the value.
#[expect(clippy::float_cmp, reason = "what is exactly neutral is not shown")]
fn scale(signal: &ShownSignal<'_>) -> String {
    let mut parts = Vec::new();
    if signal.scale != 1.0 {
        parts.push(format!("x {}", signal.scale));
    }
    if signal.offset != 0.0 {
        let sign = if signal.offset < 0.0 { '-' } else { '+' };
        parts.push(format!("{sign} {}", signal.offset.abs()));
    }
    if parts.is_empty() { "-".to_owned() } else { parts.join(" ") }
}
