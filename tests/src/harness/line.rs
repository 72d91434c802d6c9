//! A line between two programs that can be cut while both of them live: socat as a relay.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process_group};

use super::process::Process;
use super::wait::{free_port, until};

/// It binds in milliseconds.
const START_AT_MOST: Duration = Duration::from_secs(10);

/// A relay on a loopback port to another address.
pub struct Line {
    process: Process,
    folder: PathBuf,
    port: u16,
    to: String,
}

impl Line {
    /// Relays a free loopback port to `to` (`host:port`).
    pub fn start(folder: &Path, to: &str) -> Result<Self> {
        let port = free_port()?;
        let process = relay(folder, port, to)?;
        let mut line = Self { process, folder: folder.to_path_buf(), port, to: to.to_owned() };
        line.wait_until_it_listens()?;
        Ok(line)
    }

    /// `host:port` of the near end.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Cuts it: connections break and no new one is taken.
    pub fn cut(&mut self) -> Result<()> {
        // socat serves each connection in a child; they share its process group.
        if let Some(group) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            kill_process_group(group, Signal::KILL)?;
        }
        self.process.wait(START_AT_MOST).map(drop)
    }

    /// Mends it.
    pub fn mend(&mut self) -> Result<()> {
        self.process = relay(&self.folder, self.port, &self.to)?;
        self.wait_until_it_listens()
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let address = self.address();
        until("socat to listen", START_AT_MOST, || {
            self.process.must_run()?;
            Ok(TcpStream::connect(&address).ok().map(drop))
        })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.process.is_running() {
            self.cut().unwrap_or_default();
        }
    }
}

fn relay(folder: &Path, port: u16, to: &str) -> Result<Process> {
    let near = format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork");
    let far = format!("TCP:{to}");
    Process::start("socat", Path::new("socat"), [near, far], folder)
}
