//! All that can be asked of a unit, and all that it can answer.
//!
//! Source: MODBUS Application Protocol Specification V1.1b3, section 6.

use crate::register::{ReadReply, ReadRequest, WriteRequest};

/// Most registers that the read part of FC 23 may ask for (section 6.17).
pub const READ_WRITE_READ_MAX: u16 = 125;
/// Most registers that the write part of FC 23 may carry (section 6.17).
pub const READ_WRITE_WRITE_MAX: u16 = 121;

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// FC 1 to 4.
    Read(ReadRequest),
    /// FC 5, 6, 15, 16, 22.
    Write(WriteRequest),
    /// FC 23: the write comes first, both of holding registers.
    ReadWrite {
        /// What to read; its table is the holding registers.
        read: ReadRequest,
        /// PDU address of the first register to write.
        start: u16,
        /// The words to set, 1 to 121.
        words: Vec<u16>,
    },
    /// FC 17: what the device says it is; its form is the maker's own.
    ReportServerId,
    /// FC 43/14: device identification.
    DeviceId {
        /// 1 basic, 2 regular, 3 extended, 4 one object.
        level: u8,
        /// The first object asked for.
        object: u8,
    },
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To a read, or the read part of FC 23: exactly what was asked for.
    Read(ReadReply),
    /// To a write: the device echoed it.
    Written,
    /// To FC 17, after the byte count.
    ServerId(Vec<u8>),
    /// To FC 43/14.
    DeviceId(DeviceId),
}

/// One answer of device identification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceId {
    /// What the device supports: 1 to 3, and 0x81 to 0x83 if single objects can be asked for.
    pub conformity: u8,
    /// The object to go on with; `None` if this was the last answer.
    pub next: Option<u8>,
    /// Objects by id, as bytes: 0 vendor, 1 product code, 2 revision, 3 URL, 4 product name,
    /// 5 model, 6 application.
    pub objects: Vec<(u8, Vec<u8>)>,
}

impl Request {
    /// The function code.
    pub const fn function(&self) -> u8 {
        match self {
            Self::Read(read) => read.table.read_function(),
            Self::Write(write) => write.function(),
            Self::ReadWrite { .. } => 23,
            Self::ReportServerId => 17,
            Self::DeviceId { .. } => 43,
        }
    }
}
