//! Programs around libmodbus, which nobody here wrote: a server with traps, a client that only
//! asks. They are compiled from `tests/peers/` when they are first used.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::process::Process;
use super::{binary, repository};

/// It binds or opens a port; this is for a loaded machine.
const START_AT_MOST: Duration = Duration::from_secs(15);

/// A running `tests/peers/libmodbus_server.c`.
pub struct Libmodbus {
    process: Process,
    listen: String,
}

impl Libmodbus {
    /// Serves Modbus TCP on a free loopback port.
    pub fn tcp(folder: &Path) -> Result<Self> {
        Self::start(folder, &["tcp"])
    }

    /// Serves RTU on a serial port.
    pub fn rtu(folder: &Path, port: &Path, baud: u32) -> Result<Self> {
        let (port, baud) = (port.display().to_string(), baud.to_string());
        Self::start(folder, &["rtu", &port, &baud])
    }

    fn start(folder: &Path, arguments: &[&str]) -> Result<Self> {
        let program = peer("libmodbus_server", "modbus")?;
        let mut process = Process::start("libmodbus", &program, arguments, folder)?;
        let line = process.first_json_line(START_AT_MOST)?;
        let listen = line.get("listen").and_then(Value::as_str).context("no `listen`")?.to_owned();
        Ok(Self { process, listen })
    }

    /// `host:port`, or the path of its port.
    pub fn listen(&self) -> &str {
        &self.listen
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Path of `tests/peers/<name>.c`, compiled and linked with the system's `lib<library>`; it lies
/// beside the binary that is tested.
pub fn peer(name: &str, library: &str) -> Result<PathBuf> {
    let source = repository().join("tests/peers").join(name).with_extension("c");
    let program = binary("fieldgate")?.with_file_name(name);
    let changed_at = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    let is_fresh = match (changed_at(&source), changed_at(&program)) {
        (Ok(source), Ok(program)) => source <= program,
        (_, _) => false,
    };
    if is_fresh {
        return Ok(program);
    }
    // Tests run beside each other: each writes its own file, and the last one to be named stays.
    let draft = program.with_extension(format!("{}", super::free_port()?));
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&draft);
    let output = compiler.arg(&source).arg(format!("-l{library}")).output();
    let output = output.context("cannot start `cc`")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` does not compile; is lib{library} there?\n{said}", source.display());
    }
    fs::rename(&draft, &program).context("cannot name a compiled program")?;
    Ok(program)
}
