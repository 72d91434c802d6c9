//! Mosquitto as an external broker: a configuration of its own, persistence off as by default.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::process::Process;
use super::wait::{free_port, until};

/// It starts in milliseconds.
const START_AT_MOST: Duration = Duration::from_secs(10);

/// A broker that keeps its port over restarts and forgets everything else.
pub struct Mosquitto {
    process: Process,
    program: PathBuf,
    config: PathBuf,
    folder: PathBuf,
    port: u16,
}

impl Mosquitto {
    /// Starts one on a free loopback port, open to everybody.
    pub fn start(folder: &Path) -> Result<Self> {
        Self::start_on(folder, free_port()?)
    }

    /// Starts one on this loopback port, open to everybody.
    pub fn start_on(folder: &Path, port: u16) -> Result<Self> {
        let config = folder.join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest stderr\n"
        );
        fs::write(&config, text).context("cannot write mosquitto's configuration")?;
        let program = program();
        let process = spawn(&program, &config, folder)?;
        let mut broker = Self { process, program, config, folder: folder.to_path_buf(), port };
        broker.wait_until_it_listens()?;
        Ok(broker)
    }

    /// `mqtt://host:port`.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// `kill -9`: all that it had acknowledged and not delivered is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts it again on the same port.
    pub fn restart(&mut self) -> Result<()> {
        self.process = spawn(&self.program, &self.config, &self.folder)?;
        self.wait_until_it_listens()
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let address = self.address();
        until("mosquitto to listen", START_AT_MOST, || {
            self.process.must_run()?;
            Ok(TcpStream::connect(&address).ok().map(drop))
        })
    }
}

fn spawn(program: &Path, config: &Path, folder: &Path) -> Result<Process> {
    let config = config.display().to_string();
    Process::start("mosquitto", program, ["-c", &config], folder)
}

/// Debian keeps it out of a user's path.
fn program() -> PathBuf {
    let debian = Path::new("/usr/sbin/mosquitto");
    if debian.is_file() { debian.to_path_buf() } else { PathBuf::from("mosquitto") }
}
