//! An open link, TCP or serial, behind the three things that a bus does with it.
//!
//! # Invariants
//!
//! - Waiting for what moves may be cancelled at any time without losing a byte.
//! - A link that ended says so once: by an error, or by a read of no bytes.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use fieldgate_modbus::line::LineSettings;
use fieldgate_model::Millis;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
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

/// What moved over a link, in bytes.
#[derive(Debug)]
pub(super) enum Moved {
    /// 0 at the end.
    Read(io::Result<usize>),
    Written(io::Result<usize>),
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

    /// Writes what is taken at once, which for one request is mostly all of it.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Serial(port) => port.stream().try_write(bytes),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            written => written,
        }
    }

    /// Waits until `unsent` has become shorter, if there is some, or something has come.
    pub(super) async fn exchange(&mut self, unsent: &[u8], buffer: &mut [u8]) -> Moved {
        poll_fn(|cx| match self {
            Self::Tcp(stream) => poll_exchange(stream, cx, unsent, buffer),
            Self::Serial(port) => poll_exchange(port.stream(), cx, unsent, buffer),
        })
        .await
    }
}

/// Written first: `unsent` is short, and a line that never stops talking must not hold it up.
fn poll_exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    unsent: &[u8],
    buffer: &mut [u8],
) -> Poll<Moved> {
    if !unsent.is_empty()
        && let Poll::Ready(written) = Pin::new(&mut *stream).poll_write(cx, unsent)
    {
        return Poll::Ready(Moved::Written(written));
    }
    let mut into = ReadBuf::new(buffer);
    let read = Pin::new(stream).poll_read(cx, &mut into);
    read.map(|read| Moved::Read(read.map(|()| into.filled().len())))
}
