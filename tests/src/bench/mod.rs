//! Benchmarks: what gateway and cloud cost on a given work, beside a peer on the same work.
//!
//! # Invariants
//!
//! - A figure is printed beside the peer's of the same run, and as their ratio: machines differ, and
//!   so does one machine from minute to minute.
//! - Nothing here passes or fails by time. What is counted (polls, values) is checked; what is timed
//!   is told.

mod coap;
mod cost;
mod dead;
mod encode;
mod fleet;
mod idle;
mod ingest;
mod inside;
mod mqtt;
mod observe;
mod over_mqtt;
mod parse;
mod peer;
mod poll;
mod query;
mod rate;
mod raw_rows;
mod rig;
mod stored;
mod sync;

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use serde_json::Value;

use crate::harness::duration;

/// What gateway and cloud cost, beside a peer on the same work in the same run.
#[derive(Debug, Parser)]
#[command(
    name = "tests/bench",
    after_help = "Examples:\n  tests/bench poll\n  tests/bench poll --devices 100 --for 30s --json\n  \
                  tests/bench rate\n  tests/bench dead\n  tests/bench ingest --for 1m\n  \
                  tests/bench query\n  tests/bench idle --for 1m\n  tests/bench coap\n  \
                  tests/bench coap-observe --for 10s\n  \
                  tests/bench sync\n  \
                  tests/bench parse --for 10s"
)]
pub struct Options {
    /// Print one JSON object instead of lines.
    #[arg(long, global = true)]
    json: bool,
    /// How long each side is measured.
    #[arg(long = "for", global = true, value_name = "TIME", value_parser = duration, default_value = "30s")]
    length: Duration,
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Many Modbus TCP devices, 100 registers (75 signals) each at 1 s, durable buffer on
    Poll {
        /// How many devices, each with a port of its own.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=2_000))]
        devices: u16,
    },
    /// One connection as fast as it goes, reads of 125 registers, without and with pipelining
    Rate {
        /// Requests in flight of the pipelined run.
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=64))]
        in_flight: u16,
    },
    /// CoAP requests one after the other: our endpoint and libcoap's client, of the same libcoap server
    Coap,
    /// Observed CoAP resources that each change once a second; the simulated device's cost apart
    CoapObserve {
        /// How many.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=5_000))]
        resources: u16,
    },
    /// Parses a second through the parsers' boundary, beside Luau with the same limits called bare
    Parse,
    /// One dead unit among 20 on a simulated line at 9600 Bd: what it costs the others
    Dead,
    /// Bytes a sample and samples a second of the wire's encoding
    Encode,
    /// Samples a second into the cloud, at 1,000 and at 100 a batch, in process and over MQTT
    Ingest {
        /// How many gateways send.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        gateways: u16,
    },
    /// A month of one signal at one sample a second: charted, and read
    Query,
    /// Memory of the cloud for each gateway that is connected and silent
    Idle {
        /// How many gateways are connected.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=4_000))]
        gateways: u16,
    },
    /// A backlog on its way into the cloud: samples a second, their cost, commands meanwhile
    Sync {
        /// Samples of the backlog.
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(20_000..))]
        samples: u64,
    },
}

/// Runs the chosen benchmark and prints its figures.
pub fn run(options: &Options) -> Result<()> {
    let figures = match options.work {
        Work::Poll { devices } => poll::run(devices, options.length)?,
        Work::Rate { in_flight } => rate::run(in_flight, options.length)?,
        Work::Coap => coap::run(options.length)?,
        Work::CoapObserve { resources } => observe::run(resources, options.length)?,
        Work::Parse => parse::run(options.length)?,
        Work::Dead => dead::run(options.length)?,
        Work::Encode => encode::run(options.length),
        Work::Ingest { gateways } => ingest::run(gateways.into(), options.length)?,
        Work::Query => query::run()?,
        Work::Idle { gateways } => idle::run(gateways.into(), options.length)?,
        Work::Sync { samples } => sync::run(samples)?,
    };
    print(&figures, options.json)
}

/// An object's leaves, one a line, or the object itself.
fn print(figures: &Value, json: bool) -> Result<()> {
    fn lines(out: &mut impl Write, prefix: &str, value: &Value) -> std::io::Result<()> {
        let Some(fields) = value.as_object() else {
            return writeln!(out, "{prefix:<44} {value}");
        };
        fields.iter().try_for_each(|(name, value)| {
            let dot = if prefix.is_empty() { "" } else { "." };
            lines(out, &format!("{prefix}{dot}{name}"), value)
        })
    }
    let mut out = std::io::stdout().lock();
    if json { writeln!(out, "{figures}") } else { lines(&mut out, "", figures) }
        .context("nobody reads the figures")
}
