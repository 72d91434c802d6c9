//! Many devices at 1 s with the durable buffer on, beside a raw loop that makes the same reads.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use super::peer::RawLoop;
use super::rig::Rig;
use super::{cost, stored};
use crate::harness::{Edge, Scratch, pause};

/// Registers of one device, read with one request.
const REGISTERS: u16 = 100;
/// 25 floats and 50 integers.
const SIGNALS: u32 = 75;
/// Links are opened and first allocations made before the measuring starts.
const WARM_UP: Duration = Duration::from_secs(5);

pub(super) fn run(devices: u16, length: Duration) -> Result<Value> {
    let scratch = Scratch::new("fieldgate-bench")?;
    let peer = RawLoop::libmodbus()?;
    let rig = Rig::start(devices)?;
    let folder = scratch.folder("edge")?;
    scratch.file("edge/profiles/bench-meter.toml", &profile()?)?;
    let config = scratch
        .file("edge/fieldgate.toml", &config(&rig, devices, &folder.display().to_string())?)?;
    let mut edge = Edge::start_with(&folder, &config, "edge")?;
    let pid = edge.process().id();

    pause(WARM_UP);
    rig.forget_intervals();
    let (reads, before, started) = (total(&rig), cost::of(pid)?, Instant::now());
    pause(length);
    let (polls, after, elapsed) = (total(&rig) - reads, cost::of(pid)?, started.elapsed());
    let lateness = [500, 990].map(|share| rig.interval_ms(share));
    edge.stop()?;
    let served = total(&rig);
    let stored = stored::tally(&folder.join("data"), SIGNALS)?;

    let arguments = [
        "poll".to_owned(),
        rig.first_port.to_string(),
        devices.to_string(),
        REGISTERS.to_string(),
        length.as_secs().to_string(),
    ];
    let raw = peer.run(&arguments, length, &scratch)?;

    let share = after.cpu_s_since(before) / elapsed.as_secs_f64();
    let per_poll = after.cpu_s_since(before) * 1e6 / as_f64(polls.max(1));
    let raw_per_poll = raw.cpu_us / raw.requests.max(1.0);
    Ok(json!({
        "work": { "devices": devices, "registers": REGISTERS, "signals": SIGNALS, "every_ms": 1_000 },
        "fieldgate": {
            "polls_per_s": { "asked": devices, "achieved": round(as_f64(polls) / elapsed.as_secs_f64()) },
            "interval_ms": { "p50": lateness[0], "p99": lateness[1] },
            "cpu_percent_of_a_core": round(100.0 * share),
            "cpu_us_per_poll": round(per_poll),
            "rss_mib": round(mib(after.resident)),
            "rss_anonymous_mib": round(mib(after.anonymous)),
            "stored": {
                "polls_served": served, "polls_stored": stored.counted, "lost": stored.lost, "doubled": stored.doubled,
                "samples": stored.samples, "bytes_per_sample": round(as_f64(stored.bytes) / as_f64(stored.samples.max(1))),
            },
        },
        "libmodbus_loop": {
            "polls_per_s": round(raw.requests / raw.seconds),
            "cpu_percent_of_a_core": round(raw.cpu_us / 1e4 / raw.seconds),
            "cpu_us_per_poll": round(raw_per_poll),
        },
        "ratio": { "cpu_per_poll_over_libmodbus": round(per_poll / raw_per_poll) },
    }))
}

pub(super) fn profile() -> Result<String> {
    let mut out = String::from(
        "[profile]\nname = \"bench-meter\"\nversion = 1\ntitle = \"Benchmark\"\nsource = \"the rig\"\n",
    );
    for place in 0..25 {
        write!(
            out,
            "[[signal]]\nname = \"f{place}\"\nread = \"hr:{}\"\ntype = \"f32\"\n",
            2 * place
        )?;
    }
    for place in 50..100 {
        write!(out, "[[signal]]\nname = \"i{place}\"\nread = \"hr:{place}\"\ntype = \"i16\"\n")?;
    }
    Ok(out)
}

fn config(rig: &Rig, devices: u16, folder: &str) -> Result<String> {
    let mut out = format!(
        "[gateway]\nname = \"bench\"\n[buffer]\npath = \"{folder}/data\"\n[socket]\npath = \"{folder}/s\"\n"
    );
    for place in 0..devices {
        let port = rig.first_port + place;
        write!(out, "[[bus]]\nname = \"b{place}\"\nmodbus_tcp = \"127.0.0.1:{port}\"\n")?;
        write!(
            out,
            "[[device]]\nname = \"d{place}\"\nprofile = \"bench-meter\"\nbus = \"b{place}\"\nunit = 1\nevery = \"1 s\"\n"
        )?;
    }
    Ok(out)
}

fn total(rig: &Rig) -> u64 {
    rig.reads().iter().sum()
}

pub(super) fn mib(bytes: u64) -> f64 {
    as_f64(bytes) / f64::from(1 << 20)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(super) fn as_f64(count: u64) -> f64 {
    count as f64
}

/// Two digits after the point: more would be noise.
pub(super) fn round(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}
