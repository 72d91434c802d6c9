//! NATS with JetStream as an external broker: its own store folder, no accounts.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::process::Process;
use super::wait::{free_port, until};

/// JetStream makes its files first.
const START_AT_MOST: Duration = Duration::from_secs(20);

/// A server that keeps its MQTT port over restarts and forgets everything else.
pub struct Nats {
    process: Process,
    folder: PathBuf,
    port: u16,
}

impl Nats {
    /// Starts one on this loopback port, open to everybody.
    pub fn start(folder: &Path, port: u16) -> Result<Self> {
        let process = spawn(folder, port)?;
        let mut nats = Self { process, folder: folder.to_path_buf(), port };
        nats.wait_until_it_listens()?;
        Ok(nats)
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts it again on the same port, with nothing of what it had stored.
    pub fn restart_empty(&mut self) -> Result<()> {
        fs::remove_dir_all(self.folder.join("nats")).context("cannot remove what NATS stored")?;
        self.process = spawn(&self.folder, self.port)?;
        self.wait_until_it_listens()
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let address = format!("127.0.0.1:{}", self.port);
        until("nats-server to listen", START_AT_MOST, || {
            self.process.must_run()?;
            Ok(TcpStream::connect(&address).ok().map(drop))
        })
    }
}

fn spawn(folder: &Path, port: u16) -> Result<Process> {
    let config = folder.join("nats.conf");
    let text = format!(
        "server_name: fieldgate\nhost: 127.0.0.1\nport: {}\njetstream {{ store_dir: \"{}\" }}\n\
         mqtt {{ host: 127.0.0.1, port: {port} }}\n",
        free_port()?,
        folder.join("nats").display()
    );
    fs::write(&config, text).context("cannot write the configuration of NATS")?;
    let config = config.display().to_string();
    Process::start("nats-server", &program(), ["-c", &config], folder)
}

/// Debian keeps it out of a user's path.
fn program() -> PathBuf {
    let debian = Path::new("/usr/sbin/nats-server");
    if debian.is_file() { debian.to_path_buf() } else { PathBuf::from("nats-server") }
}
