//! A serial line made of a pseudo-terminal: this is its far end.
//!
//! Bytes take the time they would take on the line, and they are garbled while whoever opened the
//! other end has set another speed. A pseudo-terminal knows no parity and no data bits but eight,
//! and refuses to be told of RS-485: these cannot be rehearsed here.
//!
//! # Invariants
//!
//! - A byte leaves no earlier than its last bit would.
//! - The line waits for nobody: what nobody reads is lost.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fieldgate_modbus::line::LineSettings;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{ControlModes, OptionalActions, tcgetattr, tcsetattr};
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep, sleep_until};

use super::uart;

/// While nobody has the line open, how often it is looked whether somebody has. A client that
/// opens a port waits longer for its first answer.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What is read at once; the terminal's own buffer holds no more.
const READ_MAX: usize = 4_096;

/// The far end of a simulated serial line.
#[derive(Debug)]
pub(super) struct Pty {
    /// Its master side; a terminal is read like a pipe. Gone for a moment while nobody has the other
    /// end open.
    master: Option<pipe::Receiver>,
    line: LineSettings,
    is_echoing: bool,
    path: PathBuf,
    symlink: Option<PathBuf>,
}

impl Pty {
    /// Makes a line, and a link to it that replaces a former link.
    pub(super) fn open(
        line: LineSettings,
        is_echoing: bool,
        symlink: Option<PathBuf>,
    ) -> io::Result<Self> {
        let (fd, path) = make(line)?;
        if let Some(link) = &symlink {
            point(link, &path)?;
        }
        Ok(Self { master: Some(registered(fd)?), line, is_echoing, path, symlink })
    }

    /// What a client opens.
    pub(super) fn path(&self) -> &Path {
        self.symlink.as_deref().unwrap_or(&self.path)
    }

    pub(super) fn line(&self) -> LineSettings {
        self.line
    }

    /// Waits until bytes come and adds what is heard of them; gives how many were sent.
    ///
    /// Cancel safe: what was read has been added.
    pub(super) async fn hear(&mut self, heard: &mut Vec<u8>) -> io::Result<Vec<u8>> {
        loop {
            let sent = self.receive().await?;
            if !sent.is_empty() {
                heard.extend(uart::heard(&sent, self.theirs(), self.line));
                return Ok(sent);
            }
        }
    }

    /// Waits as long as what was heard took on the line, and echoes it.
    pub(super) async fn settle(&self, sent: &[u8]) {
        sleep(Duration::from_micros(self.line.time_us(count(sent)))).await;
        if self.is_echoing {
            self.put(sent);
        }
    }

    /// Sends after the silence that frames need; `is_split` leaves a pause after each byte.
    pub(super) async fn say(&self, bytes: &[u8], is_split: bool, pause: Duration) {
        let bytes = uart::heard(bytes, self.line, self.theirs());
        sleep(Duration::from_micros(self.line.frame_gap_us())).await;
        let started = Instant::now();
        let pause = if is_split { pause } else { Duration::ZERO };
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let said = bytes.len() - rest.len();
            let due = |place: usize| {
                let place = u32::try_from(place).unwrap_or(u32::MAX);
                let on_line = Duration::from_micros(self.line.time_us(u64::from(place)));
                started + on_line + pause * place
            };
            sleep_until(due(said + 1)).await;
            let now = Instant::now();
            let ready = (1..=rest.len()).take_while(|more| due(said + more) <= now).count();
            let (ready, later) = rest.split_at(ready.max(1));
            self.put(ready);
            rest = later;
        }
    }

    /// What came; nothing if nobody has the line open.
    async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let Some(master) = &self.master else { return Err(io::ErrorKind::NotConnected.into()) };
        master.readable().await?;
        let mut buffer = vec![0; READ_MAX];
        match master.try_read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                Ok(buffer)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Vec::new()),
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                sleep(LOOK_EVERY).await;
                self.await_another()?;
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Gets ready for the next client after everybody has closed the line.
    fn await_another(&mut self) -> io::Result<()> {
        let fd = self.master.take().map(pipe::Receiver::into_nonblocking_fd).transpose()?;
        // A client that was killed leaves its exclusive lock on a pseudo-terminal, where no other
        // gets in: behind a link, another one takes its place.
        let fd = match &self.symlink {
            Some(link) if is_locked(&self.path) => {
                let (fd, path) = make(self.line)?;
                point(link, &path)?;
                self.path = path;
                Some(fd)
            }
            Some(_) | None => fd,
        };
        // The reactor would report the old end for ever; a fresh registration hears what is next.
        self.master = fd.map(registered).transpose()?;
        Ok(())
    }

    /// Puts bytes where a client reads them.
    fn put(&self, bytes: &[u8]) {
        if let Some(master) = &self.master {
            // Nobody listens, or nobody reads: a line loses what it carries then.
            rustix::io::write(master, bytes).map(drop).unwrap_or_default();
        }
    }

    /// What the client has set, as far as a pseudo-terminal can tell.
    fn theirs(&self) -> LineSettings {
        let settings = self.master.as_ref().and_then(|master| tcgetattr(master).ok());
        settings.map_or(self.line, |settings| LineSettings {
            baud: settings.output_speed(),
            stop_bits: if settings.control_modes.contains(ControlModes::CSTOPB) { 2 } else { 1 },
            ..self.line
        })
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // A link that somebody else has re-pointed is theirs.
        if let Some(link) = &self.symlink
            && fs::read_link(link).is_ok_and(|target| target == self.path)
        {
            fs::remove_file(link).unwrap_or_default();
        }
    }
}

/// A pseudo-terminal in raw mode, set as the line is; and what a client opens.
fn make(line: LineSettings) -> io::Result<(OwnedFd, PathBuf)> {
    let fd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&fd)?;
    unlockpt(&fd)?;
    let name = ptsname(&fd, Vec::new())?;
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(name.as_bytes()));
    let mut settings = tcgetattr(&fd)?;
    settings.make_raw();
    settings.set_speed(line.baud)?;
    settings.control_modes.set(ControlModes::CSTOPB, line.stop_bits == 2);
    tcsetattr(&fd, OptionalActions::Now, &settings)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok((fd, path))
}

/// Whether a client that is gone has left it locked.
fn is_locked(path: &Path) -> bool {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).is_err_and(|errno| errno == Errno::BUSY)
}

/// Makes `link` point to `path`, instead of what it pointed to; anything but a link is left alone.
fn point(link: &Path, path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(link).is_ok_and(|found| found.is_symlink()) {
        fs::remove_file(link)?;
    }
    std::os::unix::fs::symlink(path, link)
}

fn registered(fd: OwnedFd) -> io::Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd_unchecked(fd)
}

fn count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
