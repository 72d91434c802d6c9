//! One dead unit among twenty on a simulated serial line: what it costs those that answer.
//!
//! The line is asked for more than it can carry, so that every millisecond of the dead unit is one
//! that the others lack: the worst case there is for the budget.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::poll::{as_f64, round};
use crate::harness::{Edge, Scratch, Simulator, pause};

/// Units on the line.
const UNITS: u16 = 20;
/// The one that does not answer.
const DEAD: u16 = 7;
/// The line, as people write it.
const LINE: &str = "9600-8N1";
/// Registers of one read: 33 characters there and back.
const REGISTERS: u16 = 10;
/// Between two polls of a unit; twenty reads take about twice as long.
const EVERY: &str = "500 ms";
/// Most of the bus's time that dead units may take: the gateway's own default.
const BUDGET_PERCENT: u64 = 10;
/// The first tries of a unit that was never heard of are over, and its probes are rare.
const WARM_UP: Duration = Duration::from_secs(15);

/// What the others got.
struct Side {
    cycle_ms: f64,
    no_answer: u64,
}

pub(super) fn run(length: Duration) -> Result<Value> {
    let scratch = Scratch::new("fieldgate-bench")?;
    let without = daemon(&scratch, "well", &[], length)?;
    let dead = DEAD.to_string();
    let with = daemon(&scratch, "dead", &["--silent-unit", &dead], length)?;
    let growth = 100.0 * (with.cycle_ms / without.cycle_ms - 1.0);
    Ok(json!({
        "work": { "units": UNITS, "dead": 1, "line": LINE, "registers": REGISTERS, "every": EVERY },
        "others": {
            "cycle_ms_without": round(without.cycle_ms),
            "cycle_ms_with": round(with.cycle_ms),
            "growth_percent": round(growth),
            "no_answer": without.no_answer + with.no_answer,
        },
        "budget_percent": BUDGET_PERCENT,
    }))
}

fn daemon(scratch: &Scratch, name: &str, flags: &[&str], length: Duration) -> Result<Side> {
    let folder = scratch.folder(name)?;
    let profile = scratch.file(&format!("{name}/profiles/bench-unit.toml"), &profile()?)?;
    let link = format!("--rtu={}", folder.join("line").display());
    let count = UNITS.to_string();
    let usual = [link.as_str(), "--line", LINE, "--count", &count];
    let flags = usual.into_iter().chain(flags.iter().copied()).collect::<Vec<_>>();
    let profile = profile.display().to_string();
    let _simulator = Simulator::start_with(&format!("line-{name}"), &[&profile], &flags, &folder)?;
    let config = config(&folder.display().to_string())?;
    let config = scratch.file(&format!("{name}/fieldgate.toml"), &config)?;
    let mut edge = Edge::start_with(&folder, &config, name)?;
    pause(WARM_UP);
    let (before, started) = (polled(&edge)?, Instant::now());
    pause(length);
    let (after, elapsed) = (polled(&edge)?, started.elapsed());
    edge.stop()?;
    let good = after.0 - before.0;
    Ok(Side {
        cycle_ms: elapsed.as_secs_f64() * 1e3 * f64::from(UNITS - 1) / as_f64(good.max(1)),
        no_answer: after.1 - before.1,
    })
}

/// Good polls of all units but the dead one, and their timeouts.
fn polled(edge: &Edge) -> Result<(u64, u64)> {
    let status = edge.status()?;
    let devices = status.pointer("/devices").and_then(Value::as_array).context("no devices")?;
    let dead = format!("d{DEAD}");
    let others = devices.iter().filter(|device| device["name"] != dead.as_str());
    let sum = |key: &str| others.clone().filter_map(|device| device[key].as_u64()).sum();
    Ok((sum("good"), sum("no_answer")))
}

fn profile() -> Result<String> {
    let mut out = String::from(
        "[profile]\nname = \"bench-unit\"\nversion = 1\ntitle = \"Benchmark\"\nsource = \"the rig\"\n",
    );
    for place in 0..REGISTERS {
        writeln!(out, "[[signal]]\nname = \"r{place}\"\nread = \"hr:{place}\"\ntype = \"u16\"")?;
    }
    Ok(out)
}

fn config(folder: &str) -> Result<String> {
    let mut out = format!(
        "[gateway]\nname = \"bench\"\n[buffer]\npath = \"{folder}/data\"\n[socket]\npath = \"{folder}/s\"\n"
    );
    writeln!(
        out,
        "[[bus]]\nname = \"line\"\nmodbus_rtu = {{ port = \"{folder}/line\", line = \"{LINE}\" }}"
    )?;
    for unit in 1..=UNITS {
        writeln!(
            out,
            "[[device]]\nname = \"d{unit}\"\nprofile = \"bench-unit\"\nbus = \"line\"\nunit = {unit}\nevery = \"{EVERY}\""
        )?;
    }
    Ok(out)
}
