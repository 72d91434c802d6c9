//! A backlog on its way into the cloud, and commands while it drains.
//!
//! A gateway polls without a cloud until its buffer holds the backlog. The same buffer and the same
//! empty cloud then meet twice: once as fast as both can, for samples a second and their cost; once
//! at the pace of the product, with one command after another. The limit beside it is the round trip
//! of the same commands without a backlog, in the same run.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::cost;
use super::poll::{as_f64, round};
use super::rig::Rig;
use crate::harness::{
    Api, Cloud, CloudOptions, Edge, Scratch, Simulator, free_port, percentile, until,
};

/// Devices that fill the buffer, 75 signals each.
const DEVICES: u16 = 20;
/// The simulated device that commands are written to.
const PUMP: &str = "demo-pump";
/// Longer than any backlog takes that somebody wants to wait for.
const PATIENCE: Duration = Duration::from_mins(10);
/// Commands without a backlog, to compare with.
const IDLE_COMMANDS: usize = 200;

pub(super) fn run(samples: u64) -> Result<Value> {
    let bench = Bench::start()?;
    let filled = bench.fill(samples)?;
    let fast = bench.drain("fast", Some("1000000000/s"), filled)?;
    let paced = bench.drain("paced", None, filled)?;
    let per_s = |drained: &Drained| as_f64(filled) / drained.seconds;
    let cost = |cpu_s: f64| round(cpu_s * 1e6 / as_f64(filled) * 1_000.0);
    let trip = |times: &[i64]| {
        let mut times = times.to_vec();
        let of = |times: &mut Vec<i64>, share| percentile(times, share).map(milli);
        json!({
            "commands": times.len(),
            "p50_ms": of(&mut times, 0.5),
            "p99_ms": of(&mut times, 0.99),
        })
    };
    Ok(json!({
        "work": { "backlog_samples": filled, "signals": u32::from(DEVICES) * 75 },
        "as_fast_as_it_goes": {
            "samples_per_s": per_s(&fast).round(),
            "gateway_cpu_ns_per_sample": cost(fast.edge_cpu_s),
            "cloud_cpu_ns_per_sample": cost(fast.cloud_cpu_s),
            "command": trip(&fast.busy),
        },
        "at_its_pace": {
            "samples_per_s": per_s(&paced).round(),
            "command": trip(&paced.busy),
        },
        "without_backlog": { "command": trip(&paced.idle) },
        "ratio": {
            "p99_at_its_pace_over_without": ratio(&paced.busy, &paced.idle),
            "p99_as_fast_as_it_goes_over_without": ratio(&fast.busy, &fast.idle),
        },
    }))
}

/// Microseconds as milliseconds.
fn milli(micros: i64) -> f64 {
    round(as_f64(micros.unsigned_abs()) / 1_000.0)
}

fn ratio(busy: &[i64], idle: &[i64]) -> Option<f64> {
    let p99 = |times: &[i64]| percentile(&mut times.to_vec(), 0.99).map(i64::unsigned_abs);
    Some(round(as_f64(p99(busy)?) / as_f64(p99(idle)?.max(1))))
}

/// What one meeting of buffer and cloud took.
struct Drained {
    seconds: f64,
    edge_cpu_s: f64,
    cloud_cpu_s: f64,
    /// Round trips of commands in microseconds, while it drained and afterwards.
    busy: Vec<i64>,
    idle: Vec<i64>,
}

struct Bench {
    rig: Rig,
    simulator: Simulator,
    mqtt: u16,
    gateway: String,
    token: String,
    cloud: PathBuf,
    edge: PathBuf,
    scratch: Scratch,
}

impl Bench {
    /// Everything but the backlog: a cloud that knows the gateway, and is stopped.
    fn start() -> Result<Self> {
        let scratch = Scratch::new("fieldgate-bench")?;
        let rig = Rig::start(DEVICES)?;
        let edge = scratch.folder("edge")?;
        let simulator = Simulator::start("simulator", &[PUMP], &edge)?;
        scratch.file("edge/profiles/bench-meter.toml", &super::poll::profile()?)?;
        let mqtt = free_port()?;
        let mut cloud = Cloud::start(&scratch, plain(mqtt))?;
        cloud.add_tenant("acme")?;
        let url = format!("mqtt://127.0.0.1:{mqtt}");
        let gateway = cloud.add_gateway("acme", "bench", &url, &edge.join("credentials.toml"))?;
        let token = cloud.add_token("acme", "read command", "bench")?;
        cloud.stop()?;
        let cloud = cloud.data();
        Ok(Self { rig, simulator, mqtt, gateway, token, cloud, edge, scratch })
    }

    /// Polls without a cloud until the buffer holds so many samples; how many it holds then.
    fn fill(&self, samples: u64) -> Result<u64> {
        let config = self.scratch.file("edge/fill.toml", &self.config(true, None)?)?;
        let mut edge = Edge::start_with(&self.edge, &config, "fill")?;
        until("the backlog", PATIENCE, || Ok((backlog(&edge)? >= samples).then_some(())))?;
        edge.stop()?;
        let stored = super::stored::tally(&self.edge.join("data"), 75)?;
        Ok(stored.samples)
    }

    fn drain(&self, name: &str, rate: Option<&str>, filled: u64) -> Result<Drained> {
        let edge_folder = self.scratch.path().join(name).join("edge");
        copy(&self.edge, &edge_folder)?;
        let scratch = Scratch::new("fieldgate-bench-cloud")?;
        copy(&self.cloud, &scratch.folder("cloud")?.join("data"))?;
        let mut cloud = Cloud::start(&scratch, plain(self.mqtt))?;
        let api = cloud.api(Some(&self.token));
        let config = self
            .config(false, rate)?
            .replace(&self.edge.display().to_string(), &edge_folder.display().to_string());
        let config = self.scratch.file(&format!("{name}/edge/drain.toml"), &config)?;
        let started = Instant::now();
        let mut edge = Edge::start_with(&edge_folder, &config, "drain")?;
        let (edge_pid, cloud_pid) = (edge.process().id(), cloud.process().id());
        let before = (cost::of(edge_pid)?, cost::of(cloud_pid)?);
        let behind = || backlog(&edge);
        until("the drain to begin", PATIENCE, || Ok((behind()? < filled).then_some(())))?;
        let mut busy = Vec::new();
        while behind()? > 10_000 {
            busy.push(self.command(&api)?);
            ensure!(started.elapsed() < PATIENCE, "the backlog does not drain");
        }
        let (seconds, after) =
            (started.elapsed().as_secs_f64(), (cost::of(edge_pid)?, cost::of(cloud_pid)?));
        let mut idle = Vec::new();
        for _ in 0..IDLE_COMMANDS {
            idle.push(self.command(&api)?);
        }
        edge.stop()?;
        Ok(Drained {
            seconds,
            edge_cpu_s: after.0.cpu_s_since(before.0),
            cloud_cpu_s: after.1.cpu_s_since(before.1),
            busy,
            idle,
        })
    }

    /// One write from the request to its outcome, in microseconds.
    fn command(&self, api: &Api) -> Result<i64> {
        let body = json!({
            "gateway": self.gateway, "device": PUMP, "signal": "speed_setpoint", "value": 1200.0,
        });
        let started = Instant::now();
        let command = api.post("/v1/commands", &body)?.good("the command")?;
        let id = command.get("id").and_then(Value::as_str).context("no id")?;
        let command = api.json(&format!("/v1/commands/{id}?wait=30s"))?;
        let micros = started.elapsed().as_micros();
        let state = command.get("state").and_then(Value::as_str);
        ensure!(state == Some("done"), "it ended as {command}");
        i64::try_from(micros).context("a long command")
    }

    fn config(&self, fills: bool, rate: Option<&str>) -> Result<String> {
        let folder = self.edge.display();
        let port = if fills { free_port()? } else { self.mqtt };
        let mut out = format!(
            "[gateway]\nname = \"bench\"\n[buffer]\npath = \"{folder}/data\"\nmax_bytes = \"2 GiB\"\n\
             [socket]\npath = \"{folder}/s\"\n[cloud]\nurl = \"mqtt://127.0.0.1:{port}\"\n\
             credentials = \"{folder}/credentials.toml\"\n"
        );
        if let Some(rate) = rate {
            writeln!(out, "history_rate = \"{rate}\"")?;
        }
        write!(out, "[[bus]]\nname = \"pump\"\nmodbus_tcp = \"{}\"\n", self.simulator.listen())?;
        writeln!(
            out,
            "[[device]]\nname = \"{PUMP}\"\nprofile = \"{PUMP}\"\nbus = \"pump\"\nunit = 1\nevery = \"1 s\""
        )?;
        for place in 0..if fills { DEVICES } else { 0 } {
            let port = self.rig.first_port + place;
            write!(out, "[[bus]]\nname = \"b{place}\"\nmodbus_tcp = \"127.0.0.1:{port}\"\n")?;
            writeln!(
                out,
                "[[device]]\nname = \"d{place}\"\nprofile = \"bench-meter\"\nbus = \"b{place}\"\nunit = 1\nevery = \"10 ms\""
            )?;
        }
        Ok(out)
    }
}

fn plain(port: u16) -> CloudOptions {
    CloudOptions { arguments: vec!["--mqtt-plain".to_owned(), format!("127.0.0.1:{port}")] }
}

/// Records that the cloud has not committed.
fn backlog(edge: &Edge) -> Result<u64> {
    let status = edge.status()?;
    let backlog = status.pointer("/cloud/backlog").and_then(Value::as_u64);
    backlog.context("no backlog in the status")
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).context("cannot create a folder")?;
    }
    let status = Command::new("cp").arg("-r").arg(from).arg(to).status().context("no `cp`")?;
    ensure!(status.success(), "cannot copy `{}`", from.display());
    Ok(())
}
