//! `fieldgate run` as a process, its configuration, and the technician's verbs.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::process::{Ended, Process};
use super::wait::until;
use super::{FakeClock, Scratch, binary};

/// Until it is ready: databases are made, buses opened.
const START_AT_MOST: Duration = Duration::from_secs(20);

/// SIGTERM drains and ends in at most 5 s; the rest is for a loaded machine.
const STOP_AT_MOST: Duration = Duration::from_secs(10);

/// What the configuration file says, in the words of the file.
#[derive(Debug, Clone, Default)]
pub struct EdgeConfig {
    /// `[gateway] name`.
    pub name: String,
    /// `[cloud] url` and its credentials; `None` works alone.
    pub cloud: Option<(String, PathBuf)>,
    /// `host:port` of one Modbus TCP bus each, named `bus-1` and so on.
    pub buses: Vec<String>,
    /// Name, profile, bus (from 1), unit id, poll interval.
    pub devices: Vec<(String, String, usize, u8, String)>,
    /// Appended as it is.
    pub rest: String,
}

/// A gateway with a folder of its own.
pub struct Edge {
    process: Process,
    program: PathBuf,
    folder: PathBuf,
    config: PathBuf,
    name: String,
    environment: Vec<(&'static str, OsString)>,
}

impl Edge {
    /// Writes the configuration beside `profiles/` in the folder `name` of `scratch` and starts it.
    pub fn start(scratch: &Scratch, config: &EdgeConfig) -> Result<Self> {
        let folder = scratch.folder(&config.name)?;
        let path = folder.join("fieldgate.toml");
        fs::write(&path, config.text(&folder)?).context("cannot write a configuration")?;
        Self::start_with(&folder, &path, &config.name)
    }

    /// The same, by a wall clock of its own.
    pub fn start_by(scratch: &Scratch, config: &EdgeConfig, clock: &FakeClock) -> Result<Self> {
        let folder = scratch.folder(&config.name)?;
        let path = folder.join("fieldgate.toml");
        fs::write(&path, config.text(&folder)?).context("cannot write a configuration")?;
        Self::launch(&folder, &path, &config.name, clock.environment())
    }

    /// Starts one with a configuration file that is there already.
    pub fn start_with(folder: &Path, config: &Path, name: &str) -> Result<Self> {
        Self::launch(folder, config, name, Vec::new())
    }

    fn launch(
        folder: &Path,
        config: &Path,
        name: &str,
        environment: Vec<(&'static str, OsString)>,
    ) -> Result<Self> {
        let program = binary("fieldgate")?;
        let process = run(&program, folder, config, name, &environment)?;
        let (folder, config) = (folder.to_path_buf(), config.to_path_buf());
        Ok(Self { process, program, folder, config, name: name.to_owned(), environment })
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// SIGTERM: it drains to disk and ends. An error if it takes too long or ends badly.
    pub fn stop(&mut self) -> Result<()> {
        let status = self.process.stop(STOP_AT_MOST)?;
        if !status.success() {
            bail!("the edge was asked to stop and ended with {status}");
        }
        Ok(())
    }

    /// Starts it again on the same files.
    pub fn restart(&mut self) -> Result<()> {
        let (folder, config) = (&self.folder, &self.config);
        self.process = run(&self.program, folder, config, &self.name, &self.environment)?;
        Ok(())
    }

    /// Runs a verb of the technician.
    pub fn verb(&self, arguments: &[&str]) -> Result<Ended> {
        let config = self.config.display().to_string();
        let all = arguments.iter().copied().chain(["--config", &config]);
        Process::run(&self.program, all, &self.folder)
    }

    /// `status --json`.
    pub fn status(&self) -> Result<serde_json::Value> {
        // Findings are no failure here: `status` ends with 1 when something is wrong on the line.
        let ended = self.verb(&["status", "--json"])?;
        serde_json::from_str(&ended.stdout)
            .with_context(|| format!("status said: {}{}", ended.stdout, ended.stderr))
    }
}

impl EdgeConfig {
    /// The file. A unix socket's path must be short, so it lies in the folder itself.
    pub fn text(&self, folder: &Path) -> Result<String> {
        let mut out = String::new();
        writeln!(out, "[gateway]\nname = \"{}\"", self.name)?;
        if let Some((url, credentials)) = &self.cloud {
            writeln!(out, "[cloud]\nurl = \"{url}\"")?;
            writeln!(out, "credentials = \"{}\"", credentials.display())?;
        }
        writeln!(out, "[buffer]\npath = \"{}\"", folder.join("data").display())?;
        writeln!(out, "[socket]\npath = \"{}\"", folder.join("s").display())?;
        for (place, address) in self.buses.iter().enumerate() {
            writeln!(out, "[[bus]]\nname = \"bus-{}\"\nmodbus_tcp = \"{address}\"", place + 1)?;
        }
        for (name, profile, bus, unit, every) in &self.devices {
            writeln!(out, "[[device]]\nname = \"{name}\"\nprofile = \"{profile}\"")?;
            writeln!(out, "bus = \"bus-{bus}\"\nunit = {unit}\nevery = \"{every}\"")?;
        }
        out.push_str(&self.rest);
        Ok(out)
    }
}

/// Starts the daemon as systemd would, and waits for the `READY=1` of `sd_notify(3)`.
fn run(
    program: &Path,
    folder: &Path,
    config: &Path,
    name: &str,
    environment: &[(&'static str, OsString)],
) -> Result<Process> {
    let config = config.display().to_string();
    let path = folder.join("n");
    // A former life's socket; there may be none.
    fs::remove_file(&path).unwrap_or_default();
    let socket = UnixDatagram::bind(&path).context("cannot bind a socket for readiness")?;
    socket.set_nonblocking(true).context("cannot make a socket non-blocking")?;
    let told = ("NOTIFY_SOCKET", path.clone().into_os_string());
    let variables = environment.iter().cloned().chain([told]);
    let arguments = ["run", "--config", &config];
    let mut process = Process::start_with(name, program, arguments, folder, variables)?;
    until("the edge to say that it is ready", START_AT_MOST, || {
        process.must_run()?;
        let mut message = [0; 256];
        let length = socket.recv(&mut message).unwrap_or_default();
        let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default());
        Ok(text.lines().any(|line| line == "READY=1").then_some(()))
    })?;
    Ok(process)
}
