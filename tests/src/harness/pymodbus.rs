//! A Modbus TCP device that nobody here wrote: pymodbus, with known registers and known faults.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::process::Process;
use super::repository;

/// Python takes a second to load pymodbus; this is for a loaded machine.
const START_AT_MOST: Duration = Duration::from_secs(30);

/// A running pymodbus server.
pub struct Pymodbus {
    process: Process,
    listen: String,
}

impl Pymodbus {
    /// Starts `tests/system/pymodbus_server.py` with `arguments`.
    pub fn start(folder: &Path, arguments: &[&str]) -> Result<Self> {
        Self::start_script("pymodbus_server.py", folder, arguments).map(|(server, _)| server)
    }

    /// Starts another script of `tests/system`; gives the first line that it says as well.
    pub fn start_script(script: &str, folder: &Path, arguments: &[&str]) -> Result<(Self, Value)> {
        let root = repository();
        let python = root.join("tests/.venv/bin/python");
        if !python.is_file() {
            bail!("`tests/.venv` is not there; `tests/run` makes it");
        }
        let script = root.join("tests/system").join(script).display().to_string();
        let all = [script.as_str()].into_iter().chain(arguments.iter().copied());
        let mut process = Process::start("pymodbus", &python, all, folder)?;
        let line = process.first_json_line(START_AT_MOST)?;
        let listen = line.get("listen").and_then(Value::as_str).context("no `listen`")?.to_owned();
        Ok((Self { process, listen }, line))
    }

    /// `host:port`.
    pub fn listen(&self) -> &str {
        &self.listen
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
