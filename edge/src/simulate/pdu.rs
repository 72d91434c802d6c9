//! Requests and answers without their frames.
//!
//! # Invariants
//!
//! - No bytes panic: lengths are checked before tokio-modbus, which trusts the counts of FC 15, 16
//!   and 23, decodes them.

use fieldgate_modbus::register::{
    ReadReply, ReadRequest, Table, WRITE_BITS_MAX, WRITE_REGISTERS_MAX, WriteRequest,
};
use fieldgate_modbus::request::READ_WRITE_WRITE_MAX;
use tokio_modbus::Request;
use tokio_modbus::bytes::Bytes;

/// Illegal function (MODBUS Application Protocol V1.1b3, section 7).
pub(super) const ILLEGAL_FUNCTION: u8 = 1;
/// Illegal data address.
pub(super) const ILLEGAL_ADDRESS: u8 = 2;
/// Illegal data value.
pub(super) const ILLEGAL_VALUE: u8 = 3;
/// Server device busy.
pub(super) const BUSY: u8 = 6;
/// A gateway's: the target device failed to respond.
pub(super) const NOBODY_THERE: u8 = 11;

/// MODBUS Encapsulated Interface: read device identification (section 6.21).
const DEVICE_IDENTIFICATION: u8 = 14;
/// Identification by stream and by object, regular level.
const CONFORMITY: u8 = 0x82;
/// Objects of an answer are cut so that the PDU keeps its 253 bytes: seven of at most 30.
const OBJECT_MAX: usize = 30;

/// What a request wants of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    Read(ReadRequest),
    Write(WriteRequest),
    /// FC 23: the write comes first.
    ReadWrite {
        read: ReadRequest,
        write: WriteRequest,
    },
    ServerId,
    /// FC 43/14.
    DeviceId {
        level: u8,
        object: u8,
    },
}

impl Wanted {
    /// The ranges it touches.
    pub(super) fn ranges(&self) -> Vec<ReadRequest> {
        match self {
            Self::Read(read) => vec![*read],
            Self::Write(write) => vec![range(write)],
            Self::ReadWrite { read, write } => vec![*read, range(write)],
            Self::ServerId | Self::DeviceId { .. } => Vec::new(),
        }
    }
}

/// What a request wants, or the exception it earns.
pub(super) fn wanted(pdu: &[u8]) -> Result<Wanted, u8> {
    check_counts(pdu)?;
    if let &[43, DEVICE_IDENTIFICATION, level, object] = pdu {
        return Ok(Wanted::DeviceId { level, object });
    }
    let request = Request::try_from(Bytes::copy_from_slice(pdu)).map_err(|_| ILLEGAL_VALUE)?;
    let read = |table, start, count| ReadRequest { table, start, count };
    Ok(match request {
        Request::ReadCoils(start, count) => Wanted::Read(read(Table::Coil, start, count)),
        Request::ReadDiscreteInputs(start, count) => {
            Wanted::Read(read(Table::DiscreteInput, start, count))
        }
        Request::ReadInputRegisters(start, count) => {
            Wanted::Read(read(Table::InputRegister, start, count))
        }
        Request::ReadHoldingRegisters(start, count) => {
            Wanted::Read(read(Table::HoldingRegister, start, count))
        }
        Request::WriteSingleCoil(offset, on) => Wanted::Write(WriteRequest::Coil { offset, on }),
        Request::WriteSingleRegister(offset, word) => {
            Wanted::Write(WriteRequest::Register { offset, word })
        }
        Request::WriteMultipleCoils(start, states) => {
            Wanted::Write(WriteRequest::Coils { start, states: states.into_owned() })
        }
        Request::WriteMultipleRegisters(start, words) => {
            Wanted::Write(WriteRequest::Registers { start, words: words.into_owned() })
        }
        Request::MaskWriteRegister(offset, and, or) => {
            Wanted::Write(WriteRequest::MaskRegister { offset, and, or })
        }
        Request::ReadWriteMultipleRegisters(from, count, start, words) => Wanted::ReadWrite {
            read: read(Table::HoldingRegister, from, count),
            write: WriteRequest::Registers { start, words: words.into_owned() },
        },
        Request::ReportServerId => Wanted::ServerId,
        Request::ReadDeviceIdentification(..) | Request::Custom(..) => {
            return Err(ILLEGAL_FUNCTION);
        }
    })
}

/// Refuses counts that their data does not hold.
fn check_counts(pdu: &[u8]) -> Result<(), u8> {
    let word = |place: usize| {
        let bytes = pdu.get(place..place + 2)?.first_chunk().copied()?;
        Some(u16::from_be_bytes(bytes))
    };
    let (count, max, place) = match pdu.first() {
        Some(15) => (word(3), WRITE_BITS_MAX, 5),
        Some(16) => (word(3), WRITE_REGISTERS_MAX, 5),
        Some(23) => (word(7), READ_WRITE_WRITE_MAX, 9),
        // Functions end where exceptions begin.
        Some(1..=0x7F) => return Ok(()),
        Some(_) | None => return Err(ILLEGAL_FUNCTION),
    };
    let count = count.filter(|count| (1..=max).contains(count)).ok_or(ILLEGAL_VALUE)?;
    let length = if max == WRITE_BITS_MAX { count.div_ceil(8) } else { count * 2 };
    let (declared, there) = (pdu.get(place).copied(), pdu.len().saturating_sub(place + 1));
    let is_right = declared.map(u16::from) == Some(length) && there == usize::from(length);
    if is_right { Ok(()) } else { Err(ILLEGAL_VALUE) }
}

/// A device's refusal.
pub(super) fn exception(request: &[u8], code: u8) -> Vec<u8> {
    vec![request.first().copied().unwrap_or_default() | 0x80, code]
}

/// The answer to FC 1 to 4 and 23.
pub(super) fn read_answer(function: u8, reply: &ReadReply) -> Vec<u8> {
    let data: Vec<u8> = match reply {
        ReadReply::Bits(bits) => bits
            .chunks(8)
            .map(|bits| (0..).zip(bits).fold(0, |byte, (bit, on)| byte | u8::from(*on) << bit))
            .collect(),
        ReadReply::Registers(words) => words.iter().flat_map(|word| word.to_be_bytes()).collect(),
    };
    counted(function, &data)
}

/// The answer to a write: what was asked, but for the data of FC 15 and 16.
pub(super) fn write_answer(request: &[u8]) -> Vec<u8> {
    let length = match request.first() {
        Some(15 | 16) => 5,
        _ => request.len(),
    };
    request.iter().copied().take(length).collect()
}

/// The answer to FC 17: an id, running, and a name.
pub(super) fn server_id(name: &str) -> Vec<u8> {
    let data: Vec<u8> = [0x46, 0xFF].into_iter().chain(name.bytes()).take(250).collect();
    counted(17, &data)
}

/// The answer to FC 43/14 out of all `objects` of a device, whose ids ascend.
pub(super) fn device_id(level: u8, object: u8, objects: &[(u8, String)]) -> Result<Vec<u8>, u8> {
    let last = match level {
        1 => 2,
        2 => 6,
        3 => 0xFF,
        4 if objects.iter().any(|(id, _)| *id == object) => object,
        4 => return Err(ILLEGAL_ADDRESS),
        _ => return Err(ILLEGAL_VALUE),
    };
    // A stream that starts in the middle of nowhere starts at the beginning (section 6.21).
    let first = if objects.iter().any(|(id, _)| *id == object) { object } else { 0 };
    let shown: Vec<_> = objects.iter().filter(|(id, _)| (first..=last).contains(id)).collect();
    let length = u8::try_from(shown.len()).unwrap_or(u8::MAX);
    let mut answer = vec![43, DEVICE_IDENTIFICATION, level, CONFORMITY, 0, 0, length];
    for (id, text) in shown {
        let text: Vec<u8> = text.bytes().take(OBJECT_MAX).collect();
        answer.extend([*id, u8::try_from(text.len()).unwrap_or(u8::MAX)]);
        answer.extend(text);
    }
    Ok(answer)
}

/// A function with a byte count before its data; a PDU has fewer than 255.
fn counted(function: u8, data: &[u8]) -> Vec<u8> {
    let count = u8::try_from(data.len()).unwrap_or(u8::MAX);
    [&[function, count], data].concat()
}

fn range(write: &WriteRequest) -> ReadRequest {
    let count = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
    let (table, start, count) = match write {
        WriteRequest::Coil { offset, .. } => (Table::Coil, *offset, 1),
        WriteRequest::Register { offset, .. } | WriteRequest::MaskRegister { offset, .. } => {
            (Table::HoldingRegister, *offset, 1)
        }
        WriteRequest::Coils { start, states } => (Table::Coil, *start, count(states.len())),
        WriteRequest::Registers { start, words } => {
            (Table::HoldingRegister, *start, count(words.len()))
        }
    };
    ReadRequest { table, start, count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_lie_are_refused_and_panic_nothing() {
        for pdu in [
            &[15, 0, 0, 7, 0xD0, 1, 0xFF][..],
            &[15, 0, 0, 0, 9, 1, 0xFF],
            &[15, 0, 0, 0, 0, 0],
            &[16, 0, 0, 0x80, 1, 2, 0, 1],
            &[16, 0, 0, 0, 2, 4, 0, 1],
            &[16, 0, 0, 0, 1, 2, 0, 1, 9],
            &[23, 0, 0, 0, 1, 0, 0, 0x80, 0, 0],
            &[5, 0, 0, 1, 0],
            &[3, 0, 0, 0],
            &[43, 13, 1, 0],
        ] {
            assert_eq!(wanted(pdu), Err(ILLEGAL_VALUE), "{pdu:?}");
        }
        for pdu in [&[0x41, 1, 2][..], &[0x83, 2], &[], &[0]] {
            assert_eq!(wanted(pdu).err().map(|code| code < 4), Some(true), "{pdu:?}");
        }
        // Whatever a request says in a few bytes, it is decoded or refused.
        for function in 0..=255 {
            for filler in [0, 1, 0x7F, 0xFF] {
                for length in 0..20 {
                    let pdu: Vec<u8> =
                        [function].into_iter().chain(std::iter::repeat_n(filler, length)).collect();
                    drop(wanted(&pdu));
                }
            }
        }
    }

    #[test]
    fn answers_are_those_of_the_specification() {
        // The examples of sections 6.1, 6.3 and 6.12.
        let bits = (0..19).map(|bit| 0x0005_6BCD_u32 >> bit & 1 == 1).collect();
        assert_eq!(read_answer(1, &ReadReply::Bits(bits)), [1, 3, 0xCD, 0x6B, 0x05]);
        let words = ReadReply::Registers(vec![0x022B, 0, 0x64]);
        assert_eq!(read_answer(3, &words), [3, 6, 2, 0x2B, 0, 0, 0, 0x64]);
        let write = [16, 0, 1, 0, 2, 4, 0, 0x0A, 1, 2];
        assert_eq!(write_answer(&write), [16, 0, 1, 0, 2]);
    }

    #[test]
    fn identification_goes_by_level_and_by_object() {
        let objects = [(0, "A".to_owned()), (1, "BC".to_owned()), (2, "1".to_owned())];
        let all = [43, 14, 1, 0x82, 0, 0, 3, 0, 1, b'A', 1, 2, b'B', b'C', 2, 1, b'1'];
        assert_eq!(device_id(1, 0, &objects), Ok(all.to_vec()));
        let one = vec![43, 14, 4, 0x82, 0, 0, 1, 1, 2, b'B', b'C'];
        assert_eq!(device_id(4, 1, &objects), Ok(one));
        assert_eq!(device_id(4, 9, &objects), Err(ILLEGAL_ADDRESS));
        assert_eq!(device_id(5, 0, &objects), Err(ILLEGAL_VALUE));
    }
}
