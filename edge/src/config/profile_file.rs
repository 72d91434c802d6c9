//! A profile's TOML to a [`Profile`] that cannot be wrong.

use std::path::Path;

use fieldgate_modbus::register::ReadRequest;
use fieldgate_model::{Millis, Severity, SignalName, ValueKind};
use fieldgate_rules::alarm::{AlarmRule, Limit};
use fieldgate_rules::profile::{ParserSpec, Profile};
use fieldgate_rules::signal::SignalSpec;

use super::fields::{Fields, Found, Source, Wrong, nearest};
use super::library::stem;
use super::problem::{Problem, Scope};
use super::reading_file::{check_rules, read_rules};
use super::resource_file::Resources;
use super::signal_file::{read_name, unit_wrong};
use super::signals_file::{Signals, read_signals};
use super::source_file::address_wrong;
use super::test_file::read_tests;
use super::units::parse_duration;
use super::{PARSER_ALARM, is_plain};

/// Poll interval, if neither device nor profile says one; what installers expect of a meter.
const EVERY: Millis = Millis::from_secs(1);

/// Message of an alarm, if its profile gives none.
const MESSAGE: &str = "${device}: ${signal} is ${value} ${unit}, limit ${limit} ${unit}";

/// Gives the text of the parser's file that lies beside the profile.
pub(super) type ReadParser<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Reads a profile, or says everything that is wrong with it.
pub(super) fn read_profile(
    file: &Path,
    text: String,
    read_parser: ReadParser<'_>,
) -> Result<Profile, Vec<Problem>> {
    let source = Source::new(file, text);
    let mut root = source.parse(&Scope::Profile(stem(file)))?;
    let mut problems = Vec::new();

    let Some(mut header) = root.table("profile", "[profile]") else {
        root.wrong(1, Wrong::new("has no `[profile]`"));
        return Err(root.finish());
    };
    let name = header.parse_required("name", |text| {
        SignalName::new(text).map(|name| name.to_string()).map_err(Wrong::new)
    });
    let version = header.require::<u32>("version");
    let title = header.take::<String>("title").map(|title| title.value);
    let origin = header.take::<String>("source").map(|origin| origin.value);
    let every = read_duration(&mut header, "every").unwrap_or(EVERY);
    let verified = header.take::<bool>("verified").is_some_and(|verified| verified.value);
    let (parser, parser_line) = read_parser_spec(&mut header, read_parser);
    let reading = read_rules(&mut header);
    let header_line = header.line();

    let mut resources = Resources::read(&mut root, &mut problems);
    let Signals { signals, unverified } =
        read_signals(&mut root, parser_line, verified, &mut resources, &mut problems);
    resources.check(&mut root, parser_line.is_some());
    check_transport(&mut header, &signals, &resources);
    let alarms = read_alarms(&mut root, &signals, &mut problems);
    check_rules(&mut header, &reading, &signals);
    let tests = read_tests(&mut root, &signals, &resources, &mut problems);
    if signals.is_empty() && problems.is_empty() {
        root.wrong(header_line, Wrong::new("has no `[[signal]]` that can be used"));
    }
    problems.extend(header.finish());
    problems.extend(root.finish());
    if let (Some(name), Some(version), true) = (name, version, problems.is_empty()) {
        let title = title.unwrap_or_else(|| name.value.clone());
        let (name, version) = (name.value, version.value);
        let source = origin.unwrap_or_default();
        return Ok(Profile {
            name,
            version,
            title,
            source,
            resources: resources.found,
            signals,
            alarms,
            parser,
            tests,
            every,
            unverified,
            reading,
        });
    }
    problems.sort_by_key(|problem| problem.line);
    Err(problems)
}

/// A device has registers or resources, never both.
fn check_transport(header: &mut Fields<'_>, signals: &[SignalSpec], resources: &Resources) {
    let in_registers = signals.iter().find(|signal| signal.source.read().is_some());
    if let (Some(signal), false) = (in_registers, resources.found.is_empty()) {
        let what = format!("has resources, and `{}` lies in a register", signal.name);
        let hint = "make a profile of each, and a device of each profile";
        header.wrong(header.line(), Wrong::new(what).hint(hint));
    }
}

/// A positive duration.
pub(super) fn read_duration(fields: &mut Fields<'_>, key: &'static str) -> Option<Millis> {
    let found = fields.parse(key, |text| match parse_duration(text) {
        Ok(Millis(0)) => Err(Wrong::new("must be longer than 0")),
        Ok(duration) => Ok(duration),
        Err(error) => Err(unit_wrong(&error)),
    });
    found.map(|found| found.value)
}

/// The parser, and the line that names it even where it cannot be used.
fn read_parser_spec(
    header: &mut Fields<'_>,
    read_parser: ReadParser<'_>,
) -> (Option<ParserSpec>, Option<usize>) {
    let file = header.take::<String>("parser");
    let reads = header.take::<Vec<String>>("parser_read");
    let mut requests = Vec::new();
    if let Some(Found { value, line }) = reads {
        for text in &value {
            match text.parse::<ReadRequest>() {
                Ok(request) => requests.push(request),
                Err(error) => {
                    let Wrong { what, hint } = address_wrong(&error);
                    header.wrong(line, Wrong { what: format!("`parser_read`: {what}"), hint });
                }
            }
        }
    }
    let Some(Found { value: file, line }) = file else { return (None, None) };
    let text = if is_plain(&file) {
        read_parser(&file)
    } else {
        Err("must be the name of a file beside the profile".to_owned())
    };
    match text {
        Ok(source) => (Some(ParserSpec { file, source, reads: requests }), Some(line)),
        Err(why) => {
            header.wrong(line, Wrong::new(format!("`parser`: `{file}` {why}")));
            (None, Some(line))
        }
    }
}

fn read_alarms(
    root: &mut Fields<'_>,
    signals: &[SignalSpec],
    problems: &mut Vec<Problem>,
) -> Vec<AlarmRule> {
    let mut alarms: Vec<AlarmRule> = Vec::new();
    for mut fields in root.tables("alarm", "[[alarm]]") {
        let line = fields.line();
        if let Some(alarm) = read_alarm(&mut fields, signals) {
            if alarms.iter().any(|other| other.name == alarm.name) {
                let what = format!("has the name `{}` of another alarm", alarm.name);
                fields.wrong(line, Wrong::new(what));
            }
            if alarm.name.as_str() == PARSER_ALARM {
                let what =
                    format!("has the name `{PARSER_ALARM}`, which the gateway's own alarm has");
                fields.wrong(line, Wrong::new(what));
            }
            alarms.push(alarm);
        }
        problems.extend(fields.finish());
    }
    alarms
}

fn read_alarm(fields: &mut Fields<'_>, signals: &[SignalSpec]) -> Option<AlarmRule> {
    let name = read_name(fields, "name");
    let signal = fields.parse_required("signal", |text| {
        match signals.iter().find(|signal| signal.name.as_str() == text) {
            None => Err(unknown_signal(text, signals)),
            Some(signal) if signal.kind() == ValueKind::Text => {
                Err(Wrong::new(format!("`{text}` is text, and has no limit")))
            }
            Some(signal) => Ok(signal.name.clone()),
        }
    });
    let high = fields.take::<f64>("high");
    let low = fields.take::<f64>("low");
    let deadband = fields.take::<f64>("deadband");
    let on_delay =
        fields.parse("on_delay", |text| parse_duration(text).map_err(|error| unit_wrong(&error)));
    let severity = fields.parse("severity", parse_severity);
    let message = fields.take::<String>("message");

    if let Some(Found { value, line }) = &deadband
        && !(value.is_finite() && *value >= 0.0)
    {
        fields.wrong(*line, Wrong::new("`deadband` must be a number of at least 0"));
    }
    let limit = match (high, low) {
        (Some(high), None) if high.value.is_finite() => Some(Limit::High(high.value)),
        (None, Some(low)) if low.value.is_finite() => Some(Limit::Low(low.value)),
        (Some(_) | None, Some(_) | None) => {
            let line = fields.line();
            fields.wrong(line, Wrong::new("needs either `high` or `low`, a finite number"));
            None
        }
    };
    Some(AlarmRule {
        name: name?,
        signal: signal?.value,
        limit: limit?,
        deadband: deadband.map_or(0.0, |deadband| deadband.value),
        on_delay: on_delay.map_or(Millis(0), |delay| delay.value),
        severity: severity.map_or(Severity::Medium, |severity| severity.value),
        message: message.map_or_else(|| MESSAGE.to_owned(), |message| message.value),
    })
}

fn parse_severity(text: &str) -> Result<Severity, Wrong> {
    [Severity::Low, Severity::Medium, Severity::High, Severity::Urgent]
        .into_iter()
        .find(|severity| severity.as_str() == text)
        .ok_or_else(|| {
            Wrong::new(format!("`{text}` is not a severity"))
                .hint("known are `low`, `medium`, `high`, `urgent`")
        })
}

pub(super) fn unknown_signal(name: &str, signals: &[SignalSpec]) -> Wrong {
    let wrong = Wrong::new(format!("there is no signal `{name}`"));
    match nearest(name, signals.iter().map(|signal| signal.name.as_str())) {
        Some(near) => wrong.hint(format!("did you mean `{near}`?")),
        None => wrong,
    }
}
