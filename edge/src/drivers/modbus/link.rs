//! An open link, TCP or serial, behind the three things that a bus does with it.
//!
//! # Invariants
//!
//! - Reading and writing may be cancelled at any await without losing a byte.
//! - A link that ended says so once: by an error, or by a read of no bytes.

use std::io;
use std::time::Duration;

use fieldgate_modbus::line::LineSettings;
use fieldgate_model::Millis;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::port::{Port, PortError};
use crate::config::Endpoint;

/// Why a link cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Nobody listens there, or the way there is broken.
    #[error("cannot connect to `{host}:{port}`")]
    Connect {
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// The serial port cannot be used.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// An open link.
#[derive(Debug)]
pub(super) enum Link {
    Tcp(TcpStream),
    Serial(Port),
}

impl OpenError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Connect { .. } => {
                "see whether the host is on, and whether it serves Modbus on this port; many \
                 devices serve one client only"
            }
            Self::Port(error) => error.hint(),
        }
    }
}

impl Link {
    /// Opens the link. Others who want a serial port are told that it is in use for `purpose`.
    pub(super) async fn open(
        endpoint: &Endpoint,
        patience: Millis,
        purpose: &str,
    ) -> Result<Self, OpenError> {
        match endpoint {
            Endpoint::ModbusTcp { host, port, .. } | Endpoint::ModbusRtuOverTcp { host, port } => {
                let wrong = |source| OpenError::Connect { host: host.clone(), port: *port, source };
                let connect = TcpStream::connect((host.as_str(), *port));
                let late = |_| io::Error::from(io::ErrorKind::TimedOut);
                let stream = timeout(Duration::from_millis(patience.0), connect).await;
                let stream = stream.map_err(late).flatten().map_err(wrong)?;
                // A request is one small segment; waiting to fill it would only add latency.
                stream.set_nodelay(true).map_err(wrong)?;
                Ok(Self::Tcp(stream))
            }
            Endpoint::ModbusRtu(serial) | Endpoint::ModbusAscii(serial) => {
                Ok(Self::Serial(Port::open(serial, purpose)?))
            }
        }
    }

    /// Goes on with other settings of the line; TCP has none.
    pub(super) fn set_line(&mut self, line: LineSettings) -> Result<(), OpenError> {
        match self {
            Self::Tcp(_) => Ok(()),
            Self::Serial(port) => Ok(port.set_line(line)?),
        }
    }

    /// What has come, as soon as something has; 0 bytes at the end.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => loop {
                stream.readable().await?;
                match stream.try_read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    read => return read,
                }
            },
            Self::Serial(port) => port.read(buffer).await,
        }
    }

    /// Writes what is taken at once, which for one request is mostly all of it.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Serial(port) => port.try_write(bytes),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            written => written,
        }
    }

    /// Writes what is taken, as soon as something is.
    pub(super) async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => loop {
                stream.writable().await?;
                match stream.try_write(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    written => return written,
                }
            },
            Self::Serial(port) => port.write(bytes).await,
        }
    }
}
