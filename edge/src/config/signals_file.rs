//! The `[[signal]]`s of a profile together: names, what refers to another, what lies on another.

use std::collections::BTreeSet;

use fieldgate_modbus::register::ReadRequest;
use fieldgate_model::{SignalName, ValueKind};
use fieldgate_rules::signal::{ScaleFrom, SignalSource, SignalSpec};

use super::fields::{Fields, Found, Wrong, nearest};
use super::problem::Problem;
use super::signal_file::{RawSignal, read_signal};

/// The signals of a profile, and those whose facts no second source has confirmed.
#[derive(Debug, Default)]
pub(super) struct Signals {
    pub(super) signals: Vec<SignalSpec>,
    pub(super) unverified: BTreeSet<SignalName>,
}

/// Every signal that can be one; `parser_line` is there if the profile names a parser, and
/// `verified` is what the profile says of signals that do not say it themselves.
pub(super) fn read_signals(
    root: &mut Fields<'_>,
    parser_line: Option<usize>,
    verified: bool,
    problems: &mut Vec<Problem>,
) -> Signals {
    let mut unverified = BTreeSet::new();
    let mut read: Vec<(Fields<'_>, RawSignal)> = Vec::new();
    for mut fields in root.tables("signal", "[[signal]]") {
        let is_verified = fields.take("verified").map_or(verified, |verified| verified.value);
        match read_signal(&mut fields) {
            Some(signal) => {
                if !is_verified {
                    unverified.insert(signal.spec.name.clone());
                }
                read.push((fields, signal));
            }
            None => problems.extend(fields.finish()),
        }
    }
    let all: Vec<(SignalSpec, bool)> =
        read.iter().map(|(_, signal)| (signal.spec.clone(), signal.scale_from.is_some())).collect();
    let mut signals: Vec<SignalSpec> = Vec::new();
    for (mut fields, RawSignal { mut spec, scale_from }) in read {
        check_names(&mut fields, &spec, &signals, &all);
        if matches!(spec.source, SignalSource::Parser { .. }) && parser_line.is_none() {
            let what = format!("`{}` comes from a parser, and there is none", spec.name);
            let wrong = Wrong::new(what).hint("name it in `[profile] parser = …`");
            fields.wrong(fields.line(), wrong);
        }
        check_overlap(&mut fields, &spec, &signals);
        if let Some(Found { value, line }) = scale_from {
            match find_factor(&spec.name, &value, &all) {
                Ok(factor) => spec.scale_from = Some(factor),
                Err(Wrong { what, hint }) => {
                    fields.wrong(line, Wrong { what: format!("`scale_from`: {what}"), hint });
                }
            }
        }
        signals.push(spec);
        problems.extend(fields.finish());
    }
    Signals { signals, unverified }
}

/// A name stands for one signal, and what once was a name for at most one.
fn check_names(
    fields: &mut Fields<'_>,
    spec: &SignalSpec,
    before: &[SignalSpec],
    all: &[(SignalSpec, bool)],
) {
    let line = fields.line();
    if before.iter().any(|other| other.name == spec.name) {
        let what = format!("has the name `{}` of another signal", spec.name);
        fields.wrong(line, Wrong::new(what));
    }
    for (place, was) in spec.was.iter().enumerate() {
        let owner = before.iter().find(|other| other.was.contains(was));
        let wrong = if all.iter().any(|(other, _)| other.name == *was) {
            Wrong::new(format!("`was`: there is a signal `{was}`"))
                .hint("`was` is for a name that no signal has any more")
        } else if let Some(owner) = owner {
            Wrong::new(format!("`was`: `{}` was `{was}` too", owner.name))
                .hint("one of them goes on with its history, the other is a new signal")
        } else if spec.was.iter().take(place).any(|other| other == was) {
            Wrong::new(format!("`was`: `{was}` stands there twice"))
        } else {
            continue;
        };
        fields.wrong(line, wrong);
    }
}

/// Two values may lie in the same registers, or one in another: a register and its bits, one number
/// seen as two. That two share a part and each has another part of its own is a wrong address.
fn check_overlap(fields: &mut Fields<'_>, spec: &SignalSpec, before: &[SignalSpec]) {
    let Some(range) = spec.source.read() else { return };
    let end = |range: ReadRequest| u32::from(range.start) + u32::from(range.count);
    let cuts = |other: &SignalSpec| {
        other.source.read().is_some_and(|other| {
            let shares = other.table == range.table
                && u32::from(other.start) < end(range)
                && u32::from(range.start) < end(other);
            let is_within = |a: ReadRequest, b: ReadRequest| b.start <= a.start && end(a) <= end(b);
            shares && !is_within(range, other) && !is_within(other, range)
        })
    };
    let Some(other) = before.iter().find(|other| cuts(other)) else { return };
    let place = |range: ReadRequest| match range.count {
        1 => format!("{}", range.start),
        _ => format!("{} to {}", range.start, end(range) - 1),
    };
    let others = other.source.read().map(place).unwrap_or_default();
    let what = format!(
        "lies at {}, `{}` at {others}: they cannot share a part of their registers",
        place(range),
        other.name
    );
    let hint = "one of the two addresses or types is wrong";
    fields.wrong(fields.line(), Wrong::new(what).hint(hint));
}

/// The power of ten of `name`: a whole number in registers, without a scale of its own.
fn find_factor(
    name: &SignalName,
    factor: &str,
    all: &[(SignalSpec, bool)],
) -> Result<ScaleFrom, Wrong> {
    let Some((spec, is_scaled)) = all.iter().find(|(spec, _)| spec.name.as_str() == factor) else {
        let wrong = Wrong::new(format!("there is no signal `{factor}`"));
        let names = all.iter().map(|(spec, _)| spec.name.as_str());
        return Err(match nearest(factor, names) {
            Some(near) => wrong.hint(format!("did you mean `{near}`?")),
            None => wrong,
        });
    };
    let is_integer = match spec.source.kind() {
        ValueKind::Int | ValueKind::Unsigned => spec.source.read().is_some(),
        ValueKind::Bool | ValueKind::Float32 | ValueKind::Float64 | ValueKind::Text => false,
    };
    if spec.name == *name {
        return Err(Wrong::new("a signal cannot be its own power of ten"));
    }
    if !is_integer {
        return Err(Wrong::new(format!("`{factor}` is no whole number in registers"))
            .hint("it must hold a power of ten, as a SunSpec scale factor does"));
    }
    if *is_scaled || !spec.scale.is_identity() {
        return Err(Wrong::new(format!("`{factor}` has a scale itself"))
            .hint("a power of ten is taken as it stands in its register"));
    }
    Ok(ScaleFrom { signal: spec.name.clone(), source: spec.source, nulls: spec.nulls.clone() })
}
