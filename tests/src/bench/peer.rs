//! The peer: a raw libmodbus loop in C, compiled here and run on the same devices.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::harness::{Process, Scratch, repository};

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
    /// Compiles it into `scratch`.
    pub(super) fn compile(scratch: &Scratch) -> Result<Self> {
        let source = repository().join("tests/peers/libmodbus_loop.c");
        let program = scratch.path().join("libmodbus_loop");
        let arguments = [
            "-O2",
            "-I/usr/include/modbus",
            &source.display().to_string(),
            "-lmodbus",
            "-o",
            &program.display().to_string(),
        ]
        .map(str::to_owned);
        let ended = Process::run("cc".as_ref(), arguments, scratch.path())?;
        if !ended.status.success() {
            bail!(
                "libmodbus_loop.c does not compile (apt-get install libmodbus-dev)\n{}",
                ended.stderr
            );
        }
        Ok(Self(program))
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
