//! A serial port: found, locked, set up, and told apart from every way in which that can fail.
//!
//! # Invariants
//!
//! - A path is resolved at each opening, so that an adapter that comes back under another name is
//!   found again by its stable link.
//! - A port that is open is ours alone: lock file, flock and the kernel's exclusive mode.
//! - The port has the settings that were asked for; what the driver took back is an error.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use fieldgate_modbus::line::{LineSettings, Parity};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::termios::{ioctl_tiocexcl, ioctl_tiocnxcl};
use serial2_tokio::rs4xx::{Rs485Config, TransceiverMode};
use serial2_tokio::{CharSize, FlowControl, SerialPort, StopBits};
use thiserror::Error;

use super::lock::{Held, Holder, PortLock};
use super::rs485::{Plan, Reported, plan};
use crate::config::{PortPath, SerialEndpoint};

/// Why a serial port cannot be used.
#[derive(Debug, Error)]
pub enum PortError {
    /// There is nothing of this name.
    #[error("serial port `{port}` is not there")]
    Missing {
        /// As configured.
        port: PortPath,
        /// What the system says.
        source: io::Error,
    },
    /// There is something else of this name.
    #[error("`{port}` is not a serial port")]
    NotAPort {
        /// As configured.
        port: PortPath,
        /// What the system says.
        source: io::Error,
    },
    /// This user may not open it.
    #[error("serial port `{port}` may not be opened by this user")]
    Denied {
        /// As configured.
        port: PortPath,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody else has it.
    #[error("serial port `{port}` is in use by {}", by(holder.as_ref()))]
    Busy {
        /// As configured.
        port: PortPath,
        /// Who, if they said so.
        holder: Option<Holder>,
        /// What the system says.
        source: io::Error,
    },
    /// Its driver cannot have these settings.
    #[error("serial port `{port}` refuses `{line}`")]
    Line {
        /// As configured.
        port: PortPath,
        /// The settings.
        line: LineSettings,
        /// What the system says.
        source: io::Error,
    },
    /// Its driver cannot turn the direction.
    #[error("serial port `{port}` refuses to turn the direction of RS-485")]
    Rs485 {
        /// As configured.
        port: PortPath,
        /// What the system says.
        source: io::Error,
    },
    /// Anything else.
    #[error("serial port `{port}` cannot be opened")]
    Other {
        /// As configured.
        port: PortPath,
        /// What the system says.
        source: io::Error,
    },
}

/// An open port. It closes, and its lock ends, when it is dropped.
#[derive(Debug)]
pub(super) struct Port {
    io: SerialPort,
    /// The same device once more: for what the other cannot do.
    raw: File,
    path: PortPath,
    _lock: PortLock,
}

impl PortError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Missing { .. } => {
                "see whether the adapter is plugged in; `ls -l /dev/serial/by-id` shows those that are"
            }
            Self::NotAPort { .. } => "name a device such as one of `/dev/serial/by-id`",
            Self::Denied { .. } => {
                "add the user to the group of the port, mostly `usermod -aG dialout USER`, and log \
                 in anew"
            }
            Self::Busy { holder: Some(_), .. } => {
                "stop it, or ask a running daemon for the bus: `read`, `watch` and `trace` go \
                 through it"
            }
            Self::Busy { holder: None, .. } => "`fuser -v` with the port's path shows who has it",
            Self::Line { .. } => {
                "choose settings that its driver can have; a pseudo-terminal has no parity"
            }
            Self::Rs485 { .. } => {
                "most USB adapters turn by themselves: set `rs485 = \"off\"`; a UART on the board \
                 needs `linux,rs485-enabled-at-boot-time` and its RTS line in the device tree"
            }
            Self::Other { .. } => "unplug the adapter and plug it in again; `dmesg` may say more",
        }
    }
}

fn by(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "another program".to_owned(), ToString::to_string)
}

impl Port {
    /// Opens and sets up the port; `purpose` is what others are told who want it, too.
    pub(super) fn open(serial: &SerialEndpoint, purpose: &str) -> Result<Self, PortError> {
        let path = &serial.port;
        let device = resolve(path)?;
        let lock = PortLock::take(&device, purpose).map_err(|Held(holder)| PortError::Busy {
            port: path.clone(),
            holder,
            source: Errno::BUSY.into(),
        })?;
        let port = SerialPort::open(&device, serial2_tokio::KeepSettings);
        let port = port.map_err(|error| classify(path, error))?;
        let raw = open_raw(&device).map_err(|error| classify(path, error))?;
        flock(&raw, FlockOperation::NonBlockingLockExclusive)
            .and_then(|()| ioctl_tiocexcl(&raw))
            .map_err(|errno| classify(path, errno.into()))?;
        let mut port = Self { io: port, raw, path: path.clone(), _lock: lock };
        configure(&mut port.io, path, serial.line)?;
        turn(&port.io, serial)?;
        port.discard()?;
        Ok(port)
    }

    /// Goes on with other settings; what waited to be read is thrown away.
    pub(super) fn set_line(&mut self, line: LineSettings) -> Result<(), PortError> {
        configure(&mut self.io, &self.path, line)?;
        self.discard()
    }

    /// What has come, as soon as something has; 0 bytes if the port is gone. May be cancelled.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.io.read(buffer).await
    }

    /// Writes what the driver takes at once.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        rustix::io::write(&self.raw, bytes).map_err(Into::into)
    }

    /// Writes what the driver takes, as soon as it takes something. May be cancelled.
    pub(super) async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.io.write(bytes).await
    }

    /// What came before we listened is nobody's answer.
    fn discard(&self) -> Result<(), PortError> {
        let fault = |source| PortError::Other { port: self.path.clone(), source };
        self.io.discard_buffers().map_err(fault)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // A pseudo-terminal would stay closed to others for as long as its other end lives.
        ioctl_tiocnxcl(&self.raw).ok();
    }
}

fn open_raw(device: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(device)
}

/// The device that the path leads to at this moment.
fn resolve(path: &PortPath) -> Result<PathBuf, PortError> {
    std::fs::canonicalize(path.as_path()).map_err(|error| classify(path, error))
}

/// Raw, without flow control, and as asked for.
fn configure(port: &mut SerialPort, path: &PortPath, line: LineSettings) -> Result<(), PortError> {
    let refused = |source: io::Error| match Errno::from_io_error(&source) {
        Some(Errno::NOTTY) => PortError::NotAPort { port: path.clone(), source },
        // The crate has no number for settings that the driver silently did not take.
        Some(Errno::INVAL) | None => {
            PortError::Line { port: path.clone(), line, source: Errno::INVAL.into() }
        }
        Some(_) => classify(path, source),
    };
    let mut settings = port.get_configuration().map_err(refused)?;
    settings.set_raw();
    settings.set_baud_rate(line.baud).map_err(refused)?;
    settings.set_char_size(if line.data_bits == 7 { CharSize::Bits7 } else { CharSize::Bits8 });
    settings.set_parity(match line.parity {
        Parity::None => serial2_tokio::Parity::None,
        Parity::Even => serial2_tokio::Parity::Even,
        Parity::Odd => serial2_tokio::Parity::Odd,
    });
    settings.set_stop_bits(if line.stop_bits == 2 { StopBits::Two } else { StopBits::One });
    settings.set_flow_control(FlowControl::None);
    port.set_configuration(&settings).map_err(refused)
}

/// Lets the kernel turn the direction, as far as that is wanted and possible.
fn turn(port: &SerialPort, serial: &SerialEndpoint) -> Result<(), PortError> {
    let reported = match port.get_rs4xx_mode() {
        Err(_) => Reported::Unsupported,
        Ok(TransceiverMode::Default) => Reported::Plain,
        Ok(TransceiverMode::Rs422 | TransceiverMode::Rs485(_)) => Reported::Turning,
    };
    let set = || port.set_rs4xx_mode(Rs485Config::new());
    match plan(serial.rs485, reported) {
        Plan::Leave => Ok(()),
        Plan::Try => {
            if let Err(error) = set() {
                tracing::debug!(port = %serial.port, %error, "the kernel does not turn the line");
            }
            Ok(())
        }
        Plan::Insist => {
            set().map_err(|source| PortError::Rs485 { port: serial.port.clone(), source })
        }
    }
}

/// What an error of the system means for a port.
fn classify(path: &PortPath, source: io::Error) -> PortError {
    let port = path.clone();
    match Errno::from_io_error(&source) {
        // An adapter that is just being unplugged is there and gives one of the latter three.
        Some(Errno::NOENT | Errno::NODEV | Errno::NXIO | Errno::IO) => {
            PortError::Missing { port, source }
        }
        Some(Errno::ACCESS | Errno::PERM) => PortError::Denied { port, source },
        Some(Errno::BUSY | Errno::AGAIN) => PortError::Busy { port, holder: None, source },
        Some(Errno::NOTTY | Errno::ISDIR | Errno::NOTDIR) => PortError::NotAPort { port, source },
        Some(_) | None => PortError::Other { port, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_of_the_system_names_the_port_and_a_way_out() {
        let path = PortPath::new("/dev/ttyUSB0").expect("absolute");
        for (errno, shown, hint) in [
            (Errno::NOENT, "serial port `/dev/ttyUSB0` is not there", "plugged in"),
            (Errno::IO, "serial port `/dev/ttyUSB0` is not there", "by-id"),
            (Errno::ACCESS, "serial port `/dev/ttyUSB0` may not be opened by this user", "dialout"),
            (Errno::BUSY, "serial port `/dev/ttyUSB0` is in use by another program", "fuser"),
            (Errno::NOTTY, "`/dev/ttyUSB0` is not a serial port", "by-id"),
            (Errno::NOMEM, "serial port `/dev/ttyUSB0` cannot be opened", "dmesg"),
        ] {
            let error = classify(&path, errno.into());
            assert_eq!(error.to_string(), shown);
            assert!(error.hint().contains(hint), "{errno}: {}", error.hint());
            let source = std::error::Error::source(&error).expect("the system's word");
            assert!(source.to_string().contains("os error"), "{source}");
        }
    }
}
