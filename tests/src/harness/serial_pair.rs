//! Two serial ports that socat joins: what one end is told, the other hears.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::process::Process;
use super::wait::until;

/// It makes two pseudo-terminals; this is for a loaded machine.
const START_AT_MOST: Duration = Duration::from_secs(15);

/// A pair of joined pseudo-terminals. They keep no time and know no parity.
pub struct SerialPair {
    _process: Process,
    ends: [PathBuf; 2],
}

impl SerialPair {
    /// Joins the ports `near` and `far` in `folder`.
    pub fn start(folder: &Path) -> Result<Self> {
        let ends = ["near", "far"].map(|name| folder.join(name));
        let addresses = ends.each_ref().map(|end| format!("pty,raw,echo=0,link={}", end.display()));
        let mut process = Process::start("socat", Path::new("/usr/bin/socat"), addresses, folder)?;
        until("two serial ports", START_AT_MOST, || {
            process.must_run()?;
            Ok(ends.iter().all(|end| end.exists()).then_some(()))
        })?;
        Ok(Self { _process: process, ends })
    }

    /// The client's end.
    pub fn near(&self) -> &Path {
        &self.ends[0]
    }

    /// The server's end.
    pub fn far(&self) -> &Path {
        &self.ends[1]
    }
}
