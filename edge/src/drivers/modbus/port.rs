//! A serial port: found, locked, set up, and told apart from every way in which that can fail.
//!
//! tokio-serial carries the port; what it cannot do is done through serial2 just before. Its errors
//! have no number of the system, so the path is opened once without it, and whatever is in the way
//! shows with its number. And it knows nothing of RS-485: who turns the direction is a property of
//! the port and not of whoever has opened it, so it can be set through the first opening, which
//! lasts until the second one is made, because a driver may forget it when nobody has the port.
//!
//! # Invariants
//!
//! - A path is resolved at each opening, so that an adapter that comes back under another name is
//!   found again by its stable link.
//! - A port that is open is ours alone: lock file, flock and the kernel's exclusive mode.
//! - The port has the settings that were asked for; what the driver took back is an error.

use std::io;
use std::path::{Path, PathBuf};

use fieldgate_modbus::line::{LineSettings, Parity};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serial2::rs4xx::{Rs485Config, TransceiverMode};
use thiserror::Error;
use tokio_serial::{
    ClearBuffer, DataBits, ErrorKind, FlowControl, SerialPort as _, SerialStream, StopBits,
};

use super::lock::{Held, Holder, PortLock};
use super::rs485::{Plan, Reported, plan};
use crate::config::{PortPath, SerialEndpoint};

/// How far the speed that a port has may be from the one it was asked for, in percent. Adapters
/// divide a clock and tell what has come of it; a receiver samples the last bit of a character in
/// its middle as long as both ends together are off by less than 5 %.
const BAUD_OFF_MAX: u32 = 3;

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
    io: SerialStream,
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
        let first = serial2::SerialPort::open(&device, serial2::KeepSettings)
            .map_err(|error| classify(path, error))?;
        // A second opening that fails would lift the exclusive mode of whoever has the port.
        flock(&first, FlockOperation::NonBlockingLockExclusive)
            .and_then(|()| flock(&first, FlockOperation::Unlock))
            .map_err(|errno| classify(path, errno.into()))?;
        turn(&first, serial)?;
        let io = open_stream(&device, serial.line)
            .map_err(|error| refusal(path, serial.line, error.kind()))?;
        let port = Self { io, path: path.clone(), _lock: lock };
        port.confirm(serial.line)?;
        port.discard()?;
        Ok(port)
    }

    /// Goes on with other settings; what waited to be read is thrown away.
    pub(super) fn set_line(&mut self, line: LineSettings) -> Result<(), PortError> {
        configure(&mut self.io, line).map_err(|error| refusal(&self.path, line, error.kind()))?;
        self.confirm(line)?;
        self.discard()
    }

    /// What reads and writes.
    pub(super) fn stream(&mut self) -> &mut SerialStream {
        &mut self.io
    }

    /// A driver may take settings without a word and not have them.
    fn confirm(&self, line: LineSettings) -> Result<(), PortError> {
        match has(&self.io, line) {
            Ok(true) => Ok(()),
            Ok(false) => Err(refusal(&self.path, line, ErrorKind::InvalidInput)),
            Err(error) => Err(refusal(&self.path, line, error.kind())),
        }
    }

    /// What came before we listened is nobody's answer.
    fn discard(&self) -> Result<(), PortError> {
        let fault = |error| PortError::Other { port: self.path.clone(), source: error };
        self.io.clear(ClearBuffer::All).map_err(io::Error::from).map_err(fault)
    }
}

/// The device that the path leads to at this moment.
fn resolve(path: &PortPath) -> Result<PathBuf, PortError> {
    std::fs::canonicalize(path.as_path()).map_err(|error| classify(path, error))
}

/// Lets the kernel turn the direction, as far as that is wanted and possible.
fn turn(port: &serial2::SerialPort, serial: &SerialEndpoint) -> Result<(), PortError> {
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

/// Raw, without flow control, exclusive, and as asked for.
fn open_stream(device: &Path, line: LineSettings) -> tokio_serial::Result<SerialStream> {
    let (data_bits, parity, stop_bits) = form(line);
    let builder = tokio_serial::new(device.to_string_lossy(), line.baud)
        .data_bits(data_bits)
        .parity(parity)
        .stop_bits(stop_bits)
        .flow_control(FlowControl::None)
        .exclusive(true);
    SerialStream::open(&builder)
}

fn configure(io: &mut SerialStream, line: LineSettings) -> tokio_serial::Result<()> {
    let (data_bits, parity, stop_bits) = form(line);
    io.set_baud_rate(line.baud)?;
    io.set_data_bits(data_bits)?;
    io.set_parity(parity)?;
    io.set_stop_bits(stop_bits)
}

/// Whether the port is set as asked for.
fn has(io: &SerialStream, line: LineSettings) -> tokio_serial::Result<bool> {
    let is_form = (io.data_bits()?, io.parity()?, io.stop_bits()?) == form(line);
    let is_plain = io.flow_control()? == FlowControl::None;
    let off = u64::from(io.baud_rate()?.abs_diff(line.baud));
    Ok(is_form && is_plain && off * 100 <= u64::from(line.baud) * u64::from(BAUD_OFF_MAX))
}

fn form(line: LineSettings) -> (DataBits, tokio_serial::Parity, StopBits) {
    let data_bits = if line.data_bits == 7 { DataBits::Seven } else { DataBits::Eight };
    let parity = match line.parity {
        Parity::None => tokio_serial::Parity::None,
        Parity::Even => tokio_serial::Parity::Even,
        Parity::Odd => tokio_serial::Parity::Odd,
    };
    (data_bits, parity, if line.stop_bits == 2 { StopBits::Two } else { StopBits::One })
}

/// What it means that a port which could be opened a moment ago is not to be had with these
/// settings.
fn refusal(path: &PortPath, line: LineSettings, kind: ErrorKind) -> PortError {
    // An adapter that was pulled in the meantime refuses everything.
    if let Err(gone) = resolve(path) {
        return gone;
    }
    match kind {
        // The kernel's exclusive mode (EBUSY) and the flock have this kind.
        ErrorKind::NoDevice => classify(path, Errno::BUSY.into()),
        ErrorKind::Io(kind) => classify(path, kind.into()),
        // Neither the crate nor the kernel has a number for settings that were silently not taken.
        ErrorKind::InvalidInput | ErrorKind::Unknown => {
            PortError::Line { port: path.clone(), line, source: Errno::INVAL.into() }
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
