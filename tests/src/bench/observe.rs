//! Many observed CoAP resources: what the gateway costs while they tell of their changes, and apart
//! from it what the device costs that tells them.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::cost;
use super::poll::{as_f64, mib, round};
use crate::harness::{Edge, EdgeConfig, Process, Scratch, binary, pause, until};

/// Registrations go one after the other; this is for a loaded machine.
const OBSERVED_AT_MOST: Duration = Duration::from_mins(5);
/// The simulator reads one profile and binds.
const START_AT_MOST: Duration = Duration::from_secs(30);

pub(super) fn run(resources: u16, length: Duration) -> Result<Value> {
    let scratch = Scratch::new("fieldgate-observe")?;
    let profile = profile(resources)?;
    let file = scratch.file("edge/profiles/observed.toml", &profile)?;
    let file = file.display().to_string();
    let arguments = ["simulate", &file, "--listen", "127.0.0.1:0", "--json"];
    let mut device = Process::start("simulator", &binary("fieldgate")?, arguments, scratch.path())?;
    let line = device.first_json_line(START_AT_MOST)?;
    let listen = line.get("listen").and_then(Value::as_str).context("no `listen`")?;
    let rest = format!(
        "[[device]]\nname = \"observed\"\nprofile = \"observed\"\ncoap = \"coap://{listen}\"\n"
    );
    let config = EdgeConfig { name: "edge".to_owned(), rest, ..EdgeConfig::default() };
    let mut edge = Edge::start(&scratch, &config)?;
    until("all resources to be observed", OBSERVED_AT_MOST, || {
        let observed = device_status(&edge, "observed")?;
        Ok((observed == u64::from(resources)).then_some(()))
    })?;

    let pids = [edge.process().id(), device.id()];
    let costs = || -> Result<Vec<cost::Cost>> { pids.iter().map(|pid| cost::of(*pid)).collect() };
    let (told, before, started) =
        (device_status(&edge, "notifications")?, costs()?, Instant::now());
    pause(length);
    let (told_after, after) = (device_status(&edge, "notifications")?, costs()?);
    let seconds = started.elapsed().as_secs_f64();
    let told = as_f64(told_after - told);
    let figures = |which: usize| {
        let cpu = after[which].cpu_s_since(before[which]);
        json!({
            "cpu_percent_of_a_core": round(100.0 * cpu / seconds),
            "cpu_us_per_notification": round(cpu * 1e6 / told.max(1.0)),
            "rss_mib": round(mib(after[which].resident)),
            "rss_anonymous_mib": round(mib(after[which].anonymous)),
        })
    };
    let (gateway, simulator) = (figures(0), figures(1));
    let ratio = after[0].cpu_s_since(before[0]) / after[1].cpu_s_since(before[1]).max(1e-9);
    edge.stop()?;
    Ok(json!({
        "work": { "observed_resources": resources, "notifications_every_ms": 1_000 },
        "notifications_per_s": round(told / seconds),
        "fieldgate": gateway,
        "simulator": simulator,
        "ratio": { "cpu_over_simulator": round(ratio) },
    }))
}

/// A figure of the one device.
fn device_status(edge: &Edge, key: &str) -> Result<u64> {
    let status = edge.status()?;
    let figure = status.pointer(&format!("/devices/0/{key}")).and_then(Value::as_u64);
    figure.with_context(|| format!("no `{key}` in {status}"))
}

/// A resource each of one number.
fn profile(resources: u16) -> Result<String> {
    let mut out = "[profile]\nname = \"observed\"\nversion = 1\nevery = \"60 s\"\n".to_owned();
    for number in 0..resources {
        writeln!(out, "[[resource]]\npath = \"/r/{number}\"\nobserve = true")?;
        writeln!(out, "[[signal]]\nname = \"r{number}\"\nread = \"/r/{number}\"")?;
    }
    Ok(out)
}
