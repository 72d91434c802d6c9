//! A serial port byte by byte, for frames that no Modbus client would send.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::OFlags;

use super::wait::pause;

/// Between two looks at the port.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// An open port. It keeps the settings that it was found with: a pseudo-terminal of QEMU is raw.
pub struct RawSerial(File);

impl RawSerial {
    /// Opens the port at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits())?;
        let file = File::options().read(true).write(true).custom_flags(flags).open(path);
        Ok(Self(file.with_context(|| format!("cannot open `{}`", path.display()))?))
    }

    /// Sends `pieces` with `gap` between two of them. A gap is at least so long.
    pub fn send(&mut self, pieces: &[&[u8]], gap: Duration) -> Result<()> {
        for (place, piece) in pieces.iter().enumerate() {
            if place > 0 {
                pause(gap);
            }
            self.0.write_all(piece).context("cannot write to the port")?;
        }
        Ok(())
    }

    /// Forgets what has come so far, such as an answer that came too late for who asked.
    pub fn forget(&mut self) -> Result<()> {
        while self.read()?.is_some() {}
        Ok(())
    }

    /// What comes within `at_most`, until `is_whole` says that it is all.
    pub fn receive(
        &mut self,
        at_most: Duration,
        is_whole: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>> {
        let deadline = Instant::now() + at_most;
        let mut received = Vec::new();
        while !is_whole(&received) && Instant::now() < deadline {
            match self.read()? {
                Some(bytes) => received.extend(bytes),
                None => pause(LOOK_EVERY),
            }
        }
        Ok(received)
    }

    /// What is there, if anything is.
    fn read(&mut self) -> Result<Option<Vec<u8>>> {
        let mut some = [0; 256];
        match self.0.read(&mut some) {
            Ok(count) => Ok(some.get(..count).map(<[u8]>::to_vec)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => bail!("cannot read from the port: {error}"),
        }
    }
}
