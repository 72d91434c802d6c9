//! A `SunSpec` device that nobody here wrote: found, made into a profile, and read point by point.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fieldgate_rules::sunspec::{PointKind, PointScale, known, known_ids};
use fieldgate_tests::harness::{Process, Pymodbus, Scratch, binary};
use serde_json::Value;

use crate::rig::alone;

#[test]
fn every_point_of_a_foreign_sunspec_device_is_its_own_computed_value() -> Result<()> {
    // Points that the device's own file has, less what is none: padding, ids and lengths.
    for (device, least) in [("device_1547.json", 384), ("inverter_123.json", 150)] {
        let scratch = Scratch::new("fieldgate-sunspec")?;
        let (server, told) =
            Pymodbus::start_script("sunspec_server.py", scratch.path(), &["--device", device])?;
        let profile = import(&scratch, &server, &told)?;
        let edge = alone(&scratch, server.listen(), &profile, "")?;
        let again =
            edge.verb(&["profile", "import", "--from", "sunspec-device", server.listen()])?;
        ensure!(again.stderr.contains("is taken from the gateway"), "{again:?}");
        ensure!(again.stdout.contains("[[signal]]"), "{again:?}");
        let ended = edge.verb(&["read", "dut", "--json"])?;
        let answer: Value = serde_json::from_str(&ended.stdout)
            .with_context(|| format!("read said: {}{}", ended.stdout, ended.stderr))?;
        let signals = answer.get("signals").and_then(Value::as_array).context("no `signals`")?;
        let signal_by_name: BTreeMap<&str, &Value> = signals
            .iter()
            .filter_map(|signal| Some((signal.get("signal")?.as_str()?, signal)))
            .collect();
        let points = told.get("points").and_then(Value::as_array).context("no `points`")?;
        let (mut compared, mut problems) = (0, Vec::new());
        for point in points.iter().filter(|point| is_signal(point)) {
            compared += 1;
            problems.extend(difference(point, &signal_by_name));
        }
        ensure!(problems.is_empty(), "{device}: {} differ: {problems:#?}", problems.len());
        ensure!(compared >= least, "{device}: only {compared} points were compared");
        writeln!(std::io::stderr(), "{device}: {compared} points compared, all equal")?;
    }
    Ok(())
}

#[test]
fn the_definitions_in_the_binary_are_those_of_the_alliance() -> Result<()> {
    let scratch = Scratch::new("fieldgate-models")?;
    let (_server, told) = Pymodbus::start_script("sunspec_server.py", scratch.path(), &[])?;
    let folder = told.get("models").and_then(Value::as_str).context("no `models`")?;
    let mut compared = 0;
    for id in known_ids() {
        let text = fs::read_to_string(Path::new(folder).join(format!("model_{id}.json")))?;
        let model: Value = serde_json::from_str(&text)?;
        let points = model.pointer("/group/points").and_then(Value::as_array);
        let points = points.context("no points")?;
        let ours = known(id).context("no definition")?;
        ensure!(ours.group.points.len() == points.len(), "model {id} has other points");
        for (ours, theirs) in ours.group.points.iter().zip(points) {
            let text = |key: &str| theirs.get(key).and_then(Value::as_str).unwrap_or_default();
            let kind = PointKind::from_name(text("type")).context("an unknown type")?;
            let size = theirs.get("size").and_then(Value::as_u64);
            let scale = match text("sf") {
                "" => PointScale::One,
                name => PointScale::Point(name.to_owned()),
            };
            let same = ours.name == text("name")
                && ours.kind == kind
                && Some(u64::from(ours.registers)) == size
                && ours.scale == scale
                && ours.unit == text("units");
            ensure!(same, "model {id}: {ours:?} is {theirs}");
            compared += 1;
        }
    }
    writeln!(std::io::stderr(), "{compared} points of definitions compared, all equal")?;
    Ok(())
}

#[test]
fn every_definition_of_the_alliance_becomes_a_profile_unless_it_only_repeats() -> Result<()> {
    let scratch = Scratch::new("fieldgate-definitions")?;
    let (_server, told) = Pymodbus::start_script("sunspec_server.py", scratch.path(), &[])?;
    let folder = told.get("models").and_then(Value::as_str).context("no `models`")?;
    let fieldgate = binary("fieldgate")?;
    let (mut made, mut only_repeat) = (0, 0);
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_json = file.extension().is_some_and(|extension| extension == "json");
        if !(name.starts_with("model_") && is_json) {
            continue;
        }
        let path = file.display().to_string();
        let arguments = ["profile", "import", "--from", "sunspec", &path];
        let ended = Process::run(&fieldgate, arguments, scratch.path())?;
        match ended.status.code() {
            Some(0 | 1) => made += 1,
            Some(2) if ended.stderr.contains("no signal that a profile could have") => {
                ensure!(ended.stderr.contains("repeats as often"), "{name}: {}", ended.stderr);
                only_repeat += 1;
            }
            Some(_) | None => anyhow::bail!("{name}: {}", ended.stderr),
        }
    }
    ensure!(made >= 108, "only {made} definitions became profiles");
    writeln!(std::io::stderr(), "{made} definitions made profiles, {only_repeat} only repeat")?;
    Ok(())
}

/// The profile that the device gives of itself, under the name that the rig knows.
fn import(scratch: &Scratch, server: &Pymodbus, told: &Value) -> Result<String> {
    let models = told.get("models").and_then(Value::as_str).context("no `models`")?;
    let arguments = [
        "profile",
        "import",
        "--from",
        "sunspec-device",
        server.listen(),
        "--models",
        models,
        "--name",
        "dut",
    ];
    let ended = Process::run(&binary("fieldgate")?, arguments, scratch.path())?;
    ended.good("the import")
}

/// Padding is no signal, and the walk over the models has read their ids and lengths.
fn is_signal(point: &Value) -> bool {
    let is_header = matches!(point.get("path").and_then(Value::as_str), Some("ID" | "L"));
    !is_header && point.get("type").and_then(Value::as_str) != Some("pad")
}

/// How what was read differs from the point's own value.
fn difference(point: &Value, signal_by_name: &BTreeMap<&str, &Value>) -> Option<String> {
    let path = point.get("path").and_then(Value::as_str).unwrap_or_default();
    let name = format!("m{}_{path}", point.get("model").unwrap_or(&Value::Null));
    let expected = point.get("value").unwrap_or(&Value::Null);
    let Some(signal) = signal_by_name.get(name.as_str()) else {
        return Some(format!("`{name}` was not read"));
    };
    let found = signal.get("value").unwrap_or(&Value::Null);
    let number = |value: &Value| match value {
        Value::Number(number) => number.as_f64(),
        // Whole numbers beyond 2^53 are texts in our JSON.
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let is_equal = match (expected, found) {
        // A text that is not implemented is all NUL, which is also the empty text.
        (Value::Null, Value::String(text)) => text.is_empty(),
        (Value::String(expected), Value::String(found)) => expected == found,
        (expected, found) => match (number(expected), number(found)) {
            // pysunspec2 computes with floats and rounds, we with decimals.
            (Some(expected), Some(found)) => {
                (expected - found).abs() <= 1e-9 * expected.abs().max(1.0)
            }
            (expected, found) => expected == found,
        },
    };
    (!is_equal).then(|| format!("`{name}` is {expected}, and was read as {signal}"))
}
