//! What a bus is: a host or a serial port, and what is spoken there.

use core::fmt;
use std::path::{Path, PathBuf};

pub use fieldgate_modbus::client::Echo;
use fieldgate_modbus::line::LineSettings;
use fieldgate_modbus::register::{UnitId, UnitIdError};

/// What a bus is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Modbus over TCP.
    ModbusTcp {
        /// Name or address, without the brackets of an IPv6 one.
        host: String,
        /// TCP port; 502 by default.
        port: u16,
        /// Most requests that may be under way at a time; 1 by default.
        in_flight: usize,
    },
    /// Modbus RTU on a serial port.
    ModbusRtu(SerialEndpoint),
    /// Modbus ASCII on a serial port.
    ModbusAscii(SerialEndpoint),
    /// Frames of Modbus RTU over TCP, as serial servers without a gateway in them do it.
    ModbusRtuOverTcp {
        /// Name or address, without the brackets of an IPv6 one.
        host: String,
        /// TCP port; 502 by default.
        port: u16,
    },
}

/// A serial port and how it is to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialEndpoint {
    /// The device file, as people wrote it.
    pub port: PortPath,
    /// Speed and form of the characters.
    pub line: LineSettings,
    /// Who turns the direction of a two-wire line.
    pub rs485: Rs485,
    /// Whether the transceiver hears what it sends.
    pub echo: Echo,
}

/// Path of a serial port; absolute. It may be a link that leads elsewhere tomorrow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortPath(PathBuf);

/// Who turns the direction of a two-wire line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rs485 {
    /// The kernel where it can; else the adapter itself.
    #[default]
    Auto,
    /// The kernel, or the port is not used.
    Kernel,
    /// The adapter itself, or there is nothing to turn.
    Off,
}

impl PortPath {
    /// `None` unless the path is absolute.
    pub fn new(path: impl Into<PathBuf>) -> Option<Self> {
        let path = path.into();
        path.is_absolute().then_some(Self(path))
    }

    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for PortPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Endpoint {
    /// The serial port, if it is on one.
    pub const fn serial(&self) -> Option<&SerialEndpoint> {
        match self {
            Self::ModbusRtu(serial) | Self::ModbusAscii(serial) => Some(serial),
            Self::ModbusTcp { .. } | Self::ModbusRtuOverTcp { .. } => None,
        }
    }

    /// The unit id of a device there, if there can be such a device. Behind a serial server the
    /// devices are on a serial line, too.
    pub fn unit(&self, number: i64) -> Result<UnitId, UnitIdError> {
        match self {
            Self::ModbusTcp { .. } => UnitId::on_tcp(number),
            Self::ModbusRtu(_) | Self::ModbusAscii(_) | Self::ModbusRtuOverTcp { .. } => {
                UnitId::on_serial(number)
            }
        }
    }
}

/// `modbus_tcp 10.0.0.7:502`, `modbus_rtu /dev/ttyUSB0 9600-8N1`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ModbusTcp { host, port, .. } => write!(f, "modbus_tcp {host}:{port}"),
            Self::ModbusRtuOverTcp { host, port } => {
                write!(f, "modbus_rtu_over_tcp {host}:{port}")
            }
            Self::ModbusRtu(serial) => write!(f, "modbus_rtu {} {}", serial.port, serial.line),
            Self::ModbusAscii(serial) => write!(f, "modbus_ascii {} {}", serial.port, serial.line),
        }
    }
}
