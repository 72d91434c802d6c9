//! Requests as bytes and back, with the protocol's limits on both ways.

use thiserror::Error;

use super::{COIL_ON, Length, MEI_DEVICE_ID, bits, request_length, word};
use crate::exception::Exception;
use crate::register::{ReadRequest, Table, WRITE_BITS_MAX, WRITE_REGISTERS_MAX, WriteRequest};
use crate::request::{READ_WRITE_READ_MAX, READ_WRITE_WRITE_MAX, Request};

/// Places in a table.
const TABLE_SIZE: usize = 65_536;

/// Why a request cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// Nothing at all, or more than the function can carry.
    #[error("function {function} carries 1 to {max} items, not {count}")]
    Count {
        /// The function code.
        function: u8,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: u16,
    },
    /// A table ends at 65535.
    #[error("{count} items from PDU address {start} go beyond the end of the table")]
    BeyondTable {
        /// The first.
        start: u16,
        /// How many.
        count: usize,
    },
    /// FC 23 knows holding registers only.
    #[error("function 23 reads holding registers only")]
    NotHolding,
    /// Not one of FC 43's levels.
    #[error("device identification has levels 1 to 4, not {0}")]
    Level(u8),
    /// Nobody answers a broadcast.
    #[error("unit 0 is everybody on a serial line, so nothing can be read from it")]
    BroadcastRead,
    /// The caller did not wait for `may_send`.
    #[error("the line is not free")]
    LineBusy,
}

/// Why bytes are not a request that a device could serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// A function that is not one of ours.
    #[error("function {0} is not served")]
    Function(u8),
    /// Shorter or longer than its function or byte count says.
    #[error("a request of {0} bytes is not as long as it says")]
    Size(usize),
    /// A count or value that the function does not allow.
    #[error("a count or value is not allowed by the function")]
    Value,
    /// It ends beyond its table.
    #[error("it goes beyond the end of the table")]
    BeyondTable,
}

impl RequestError {
    /// What a device answers to it (the state diagrams of section 6).
    pub const fn exception(self) -> Exception {
        match self {
            Self::Function(_) => Exception::IllegalFunction,
            Self::Size(_) | Self::Value => Exception::IllegalDataValue,
            Self::BeyondTable => Exception::IllegalDataAddress,
        }
    }
}

/// Appends the PDU of `request`; on an error nothing is appended.
pub fn encode_request(request: &Request, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    check(request)?;
    out.push(request.function());
    match request {
        Request::Read(read) => words(&[read.start, read.count], out),
        Request::Write(write) => encode_write(write, out),
        Request::ReadWrite { read, start, words: values } => {
            words(&[read.start, read.count, *start, count(values)], out);
            out.push(low(2 * values.len()));
            words(values, out);
        }
        Request::ReportServerId => {}
        Request::DeviceId { level, object } => out.extend([MEI_DEVICE_ID, *level, *object]),
    }
    Ok(())
}

/// The request that a PDU is.
pub fn decode_request(pdu: &[u8]) -> Result<Request, RequestError> {
    let wrong_size = RequestError::Size(pdu.len());
    let function = *pdu.first().ok_or(wrong_size)?;
    match request_length(pdu) {
        Length::Bytes(length) if length == pdu.len() => {}
        Length::Bytes(_) | Length::More => return Err(wrong_size),
        Length::Impossible if matches!(function, 15 | 16 | 23) => return Err(wrong_size),
        Length::Impossible => return Err(RequestError::Function(function)),
    }
    let at = |at| word(pdu, at).ok_or(wrong_size);
    let request = match function {
        1 => read(Table::Coil, at(1)?, at(3)?),
        2 => read(Table::DiscreteInput, at(1)?, at(3)?),
        3 => read(Table::HoldingRegister, at(1)?, at(3)?),
        4 => read(Table::InputRegister, at(1)?, at(3)?),
        5 => match at(3)? {
            COIL_ON => Request::Write(WriteRequest::Coil { offset: at(1)?, on: true }),
            0 => Request::Write(WriteRequest::Coil { offset: at(1)?, on: false }),
            _ => return Err(RequestError::Value),
        },
        6 => Request::Write(WriteRequest::Register { offset: at(1)?, word: at(3)? }),
        15 => {
            let (data, count) = (pdu.get(6..).unwrap_or_default(), usize::from(at(3)?));
            if data.len() != count.div_ceil(8) {
                return Err(RequestError::Value);
            }
            let states = bits::unpack(data, count);
            Request::Write(WriteRequest::Coils { start: at(1)?, states })
        }
        16 => {
            let words = registers(pdu.get(6..), at(3)?)?;
            Request::Write(WriteRequest::Registers { start: at(1)?, words })
        }
        17 => Request::ReportServerId,
        22 => {
            let write = WriteRequest::MaskRegister { offset: at(1)?, and: at(3)?, or: at(5)? };
            Request::Write(write)
        }
        23 => Request::ReadWrite {
            read: ReadRequest { table: Table::HoldingRegister, start: at(1)?, count: at(3)? },
            start: at(5)?,
            words: registers(pdu.get(10..), at(7)?)?,
        },
        43 => match pdu {
            [_, _, level, object] => Request::DeviceId { level: *level, object: *object },
            _ => return Err(wrong_size),
        },
        other => return Err(RequestError::Function(other)),
    };
    match check(&request) {
        Ok(()) => Ok(request),
        Err(EncodeError::BeyondTable { .. }) => Err(RequestError::BeyondTable),
        Err(_) => Err(RequestError::Value),
    }
}

fn check(request: &Request) -> Result<(), EncodeError> {
    let function = request.function();
    let range = |start: u16, count: usize, max: u16| {
        if count == 0 || count > usize::from(max) {
            return Err(EncodeError::Count { function, count, max });
        }
        if usize::from(start) + count > TABLE_SIZE {
            return Err(EncodeError::BeyondTable { start, count });
        }
        Ok(())
    };
    match request {
        Request::Read(read) => range(read.start, usize::from(read.count), read.table.read_max()),
        Request::Write(write) => match write {
            WriteRequest::Coil { .. }
            | WriteRequest::Register { .. }
            | WriteRequest::MaskRegister { .. } => Ok(()),
            WriteRequest::Coils { start, states } => range(*start, states.len(), WRITE_BITS_MAX),
            WriteRequest::Registers { start, words } => {
                range(*start, words.len(), WRITE_REGISTERS_MAX)
            }
        },
        Request::ReadWrite { read, start, words } => {
            if read.table != Table::HoldingRegister {
                return Err(EncodeError::NotHolding);
            }
            range(read.start, usize::from(read.count), READ_WRITE_READ_MAX)?;
            range(*start, words.len(), READ_WRITE_WRITE_MAX)
        }
        Request::DeviceId { level: 1..=4, .. } | Request::ReportServerId => Ok(()),
        Request::DeviceId { level, .. } => Err(EncodeError::Level(*level)),
    }
}

fn encode_write(write: &WriteRequest, out: &mut Vec<u8>) {
    match write {
        WriteRequest::Coil { offset, on } => {
            words(&[*offset, if *on { COIL_ON } else { 0 }], out);
        }
        WriteRequest::Register { offset, word } => words(&[*offset, *word], out),
        WriteRequest::Coils { start, states } => {
            words(&[*start, count(states)], out);
            out.push(low(states.len().div_ceil(8)));
            bits::pack(states, out);
        }
        WriteRequest::Registers { start, words: values } => {
            words(&[*start, count(values)], out);
            out.push(low(2 * values.len()));
            words(values, out);
        }
        WriteRequest::MaskRegister { offset, and, or } => words(&[*offset, *and, *or], out),
    }
}

fn words(words: &[u16], out: &mut Vec<u8>) {
    out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
}

fn read(table: Table, start: u16, count: u16) -> Request {
    Request::Read(ReadRequest { table, start, count })
}

fn registers(data: Option<&[u8]>, count: u16) -> Result<Vec<u16>, RequestError> {
    let data = data.unwrap_or_default();
    if data.len() != 2 * usize::from(count) {
        return Err(RequestError::Value);
    }
    Ok(data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
}

/// `check` has seen that it fits.
fn count<T>(items: &[T]) -> u16 {
    u16::try_from(items.len()).unwrap_or(u16::MAX)
}

/// `check` has seen that it fits.
fn low(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}
