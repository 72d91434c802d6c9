//! Raw loops that do the gateway's work and nothing else: libmodbus and libcoap in C, compiled here,
//! and our own CoAP endpoint.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::harness::{Process, Scratch, binary, peer};

/// Beyond what it was told to measure: it connects first.
const SLACK: Duration = Duration::from_secs(30);

/// What it printed.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Loop {
    pub(super) requests: f64,
    pub(super) failed: u64,
    pub(super) seconds: f64,
    pub(super) cpu_us: f64,
}

impl Loop {
    /// Adds another turn.
    pub(super) fn add(&mut self, turn: Self) {
        self.requests += turn.requests;
        self.failed += turn.failed;
        self.seconds += turn.seconds;
        self.cpu_us += turn.cpu_us;
    }
}

/// A program that prints a [`Loop`].
pub(super) struct RawLoop(PathBuf);

impl RawLoop {
    /// libmodbus. Compiles it, unless that is done.
    pub(super) fn libmodbus() -> Result<Self> {
        Ok(Self(peer("libmodbus_loop", "modbus")?))
    }

    /// libcoap, likewise.
    pub(super) fn libcoap() -> Result<Self> {
        Ok(Self(peer("libcoap_loop", "coap-3-notls")?))
    }

    /// Our endpoint: `edge/examples/coap_loop/`, which `tests/bench` builds.
    pub(super) fn endpoint() -> Result<Self> {
        Ok(Self(binary("examples/coap_loop")?))
    }

    /// Runs it for `length` and gives what it measured.
    pub(super) fn run(
        &self,
        arguments: &[String],
        length: Duration,
        scratch: &Scratch,
    ) -> Result<Loop> {
        let mut process = Process::start("loop", &self.0, arguments, scratch.path())?;
        process.wait(length + SLACK)?;
        let text = process.stdout();
        let measured: Loop = serde_json::from_str(&text)
            .with_context(|| format!("the loop said: {text}{}", process.stderr()))?;
        if measured.failed > 0 {
            bail!("{} of {} reads of the raw loop failed", measured.failed, measured.requests);
        }
        Ok(measured)
    }
}
