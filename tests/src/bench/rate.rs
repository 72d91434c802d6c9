//! One connection as fast as it goes: the whole daemon on a saturated bus, beside a raw loop.
//!
//! Many units with many blocks each, all due far more often than the line can carry, so that the
//! next request is always waiting. Values do not move enough to be reported: what is measured is
//! schedule, line and decoding, not the buffer.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use super::cost;
use super::peer::RawLoop;
use super::poll::{as_f64, round};
use super::rig::Rig;
use crate::harness::{Edge, Scratch, pause};

/// The most that one read brings.
const REGISTERS: u16 = 125;
/// Units on the bus.
const UNITS: u16 = 200;
/// Blocks of a unit; with 10 ms between two polls that asks 160,000 requests a second.
const BLOCKS: u16 = 8;
/// Until every unit has answered and the schedule is full.
const WARM_UP: Duration = Duration::from_secs(3);

struct Side {
    rate: f64,
    cpu_us: f64,
}

pub(super) fn run(in_flight: u16, length: Duration) -> Result<Value> {
    let scratch = Scratch::new("fieldgate-bench")?;
    let peer = RawLoop::libmodbus()?;
    let rig = Rig::start(1)?;
    let serial = daemon(&scratch, &rig, 1, length)?;
    let arguments = [
        "rate".to_owned(),
        rig.first_port.to_string(),
        REGISTERS.to_string(),
        length.as_secs().to_string(),
    ];
    let raw = peer.run(&arguments, length, &scratch)?;
    let pipelined = daemon(&scratch, &rig, in_flight, length)?;
    let raw_rate = raw.requests / raw.seconds;
    let side = |side: &Side| json!({ "requests_per_s": side.rate.round(), "cpu_us_per_request": round(side.cpu_us) });
    Ok(json!({
        "work": { "connections": 1, "registers": REGISTERS, "in_flight": in_flight },
        "fieldgate": side(&serial),
        "fieldgate_pipelined": side(&pipelined),
        "libmodbus_loop": side(&Side { rate: raw_rate, cpu_us: raw.cpu_us / raw.requests.max(1.0) }),
        "ratio": {
            "serial_over_libmodbus": round(serial.rate / raw_rate),
            "pipelined_over_libmodbus": round(pipelined.rate / raw_rate),
        },
    }))
}

fn daemon(scratch: &Scratch, rig: &Rig, in_flight: u16, length: Duration) -> Result<Side> {
    let name = format!("edge-{in_flight}");
    let folder = scratch.folder(&name)?;
    scratch.file(&format!("{name}/profiles/bench-block.toml"), &profile()?)?;
    let config = config(rig, in_flight, &folder.display().to_string())?;
    let config = scratch.file(&format!("{name}/fieldgate.toml"), &config)?;
    let mut edge = Edge::start_with(&folder, &config, &name)?;
    let pid = edge.process().id();
    pause(WARM_UP);
    let reads = || rig.reads().iter().sum::<u64>();
    let (from, before, started) = (reads(), cost::of(pid)?, Instant::now());
    pause(length);
    let (requests, after, elapsed) = (reads() - from, cost::of(pid)?, started.elapsed());
    edge.stop()?;
    Ok(Side {
        rate: as_f64(requests) / elapsed.as_secs_f64(),
        cpu_us: after.cpu_s_since(before) * 1e6 / as_f64(requests.max(1)),
    })
}

/// Two signals hold each block open from its first to its last register.
fn profile() -> Result<String> {
    let mut out = String::from(
        "[profile]\nname = \"bench-block\"\nversion = 1\ntitle = \"Benchmark\"\nsource = \"the rig\"\nevery = \"10 ms\"\n",
    );
    for block in 0..BLOCKS {
        for (edge, offset) in [("first", 0), ("last", REGISTERS - 1)] {
            let address = 1_000 * block + offset;
            write!(
                out,
                "[[signal]]\nname = \"{edge}_{block}\"\nread = \"hr:{address}\"\ntype = \"u16\"\n"
            )?;
            writeln!(out, "report = {{ deadband = 1e9, max_silence = \"1 h\" }}")?;
        }
    }
    Ok(out)
}

fn config(rig: &Rig, in_flight: u16, folder: &str) -> Result<String> {
    let mut out = format!(
        "[gateway]\nname = \"bench\"\n[buffer]\npath = \"{folder}/data\"\n[socket]\npath = \"{folder}/s\"\n"
    );
    writeln!(out, "[[bus]]\nname = \"line\"\nmodbus_tcp = \"127.0.0.1:{}\"", rig.first_port)?;
    if in_flight > 1 {
        writeln!(out, "in_flight = {in_flight}")?;
    }
    for unit in 1..=UNITS {
        write!(
            out,
            "[[device]]\nname = \"d{unit}\"\nprofile = \"bench-block\"\nbus = \"line\"\nunit = {unit}\nevery = \"10 ms\"\n"
        )?;
    }
    Ok(out)
}
