//! The peer: a raw libmodbus loop in C, compiled here and run on the same devices.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::harness::{Process, Scratch, peer};

/// Beyond what it was told to measure: it connects first.
const SLACK: Duration = Duration::from_secs(30);

/// What it printed.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Loop {
    pub(super) requests: f64,
    pub(super) failed: u64,
    pub(super) seconds: f64,
    pub(super) cpu_us: f64,
}

/// The compiled program.
pub(super) struct Libmodbus(PathBuf);

impl Libmodbus {
    /// Compiles it, unless that is done.
    pub(super) fn compile() -> Result<Self> {
        Ok(Self(peer("libmodbus_loop")?))
    }

    /// Runs it for `length` and gives what it measured.
    pub(super) fn run(
        &self,
        arguments: &[String],
        length: Duration,
        scratch: &Scratch,
    ) -> Result<Loop> {
        let mut process = Process::start("libmodbus", &self.0, arguments, scratch.path())?;
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
