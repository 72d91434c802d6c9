//! Replies as bytes and back, each against the request that it answers.

use super::{COIL_ON, EXCEPTION_BIT, MEI_DEVICE_ID, PDU_MAX, bits, word};
use crate::fault::Fault;
use crate::register::{ReadReply, ReadRequest, WriteRequest};
use crate::request::{DeviceId, Reply, Request};

/// Set in the `more follows` byte of FC 43/14 (section 6.21).
const MORE_FOLLOWS: u8 = 0xFF;

/// What the PDU `pdu` says in answer to `request`: [`Fault::Exception`] if it refuses,
/// [`Fault::Malformed`] if its function, length or echo is not the one that `request` calls for, or
/// it is longer than [`PDU_MAX`].
pub fn decode_reply(request: &Request, pdu: &[u8]) -> Result<Reply, Fault> {
    if pdu.len() > PDU_MAX {
        return Err(Fault::Malformed);
    }
    let (function, rest) = pdu.split_first().ok_or(Fault::Malformed)?;
    if *function == request.function() | EXCEPTION_BIT {
        return match rest {
            [code] => Err(Fault::Exception(*code)),
            _ => Err(Fault::Malformed),
        };
    }
    if *function != request.function() {
        return Err(Fault::Malformed);
    }
    match request {
        Request::Read(read) | Request::ReadWrite { read, .. } => {
            items(*read, rest).map(Reply::Read)
        }
        Request::Write(write) if echoes(write, rest) => Ok(Reply::Written),
        Request::Write(_) => Err(Fault::Malformed),
        Request::ReportServerId => match rest.split_first() {
            Some((count, data)) if usize::from(*count) == data.len() => {
                Ok(Reply::ServerId(data.to_vec()))
            }
            Some(_) | None => Err(Fault::Malformed),
        },
        Request::DeviceId { level, .. } => {
            device_id(*level, rest).map(Reply::DeviceId).ok_or(Fault::Malformed)
        }
    }
}

/// Appends the PDU that answers `request` with `reply`. What does not belong to the request or does
/// not fit into a PDU is left out: this side is for simulators, whose mistakes are to be seen.
pub fn encode_reply(request: &Request, reply: &Reply, out: &mut Vec<u8>) {
    out.push(request.function());
    let body = out.len();
    match reply {
        Reply::Read(ReadReply::Bits(states)) => {
            out.push(low(states.len().div_ceil(8)));
            bits::pack(states, out);
        }
        Reply::Read(ReadReply::Registers(words)) => {
            out.push(low(2 * words.len()));
            out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        }
        Reply::Written => {
            if let Request::Write(write) = request {
                out.extend(echo(write).into_iter().flatten().flat_map(u16::to_be_bytes));
            }
        }
        Reply::ServerId(data) => {
            out.push(low(data.len()));
            out.extend(data);
        }
        Reply::DeviceId(id) => encode_device_id(request, id, out),
    }
    out.truncate(body + PDU_MAX - 1);
}

/// Appends the PDU that refuses `function` with the exception `code`.
pub fn encode_exception(function: u8, code: u8, out: &mut Vec<u8>) {
    out.extend([function | EXCEPTION_BIT, code]);
}

/// Exactly what `read` asked for, or nothing.
fn items(read: ReadRequest, rest: &[u8]) -> Result<ReadReply, Fault> {
    let (said, data) = rest.split_first().ok_or(Fault::Malformed)?;
    let count = usize::from(read.count);
    let bytes = if read.table.is_bits() { count.div_ceil(8) } else { 2 * count };
    if usize::from(*said) != bytes || data.len() != bytes {
        return Err(Fault::Malformed);
    }
    if read.table.is_bits() {
        return Ok(ReadReply::Bits(bits::unpack(data, count)));
    }
    let words = data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    Ok(ReadReply::Registers(words.collect()))
}

/// The words by which a device confirms `write`: all of a small one, the range of a large one.
fn echo(write: &WriteRequest) -> [Option<u16>; 3] {
    let count = |count: usize| u16::try_from(count).ok();
    match write {
        WriteRequest::Coil { offset, on } => {
            [Some(*offset), Some(if *on { COIL_ON } else { 0 }), None]
        }
        WriteRequest::Register { offset, word } => [Some(*offset), Some(*word), None],
        WriteRequest::Coils { start, states } => [Some(*start), count(states.len()), None],
        WriteRequest::Registers { start, words } => [Some(*start), count(words.len()), None],
        WriteRequest::MaskRegister { offset, and, or } => [Some(*offset), Some(*and), Some(*or)],
    }
}

fn echoes(write: &WriteRequest, rest: &[u8]) -> bool {
    let expected = echo(write);
    let words = expected.iter().flatten().count();
    rest.len() == 2 * words
        && expected
            .iter()
            .flatten()
            .enumerate()
            .all(|(at, right)| word(rest, 2 * at) == Some(*right))
}

fn device_id(asked: u8, rest: &[u8]) -> Option<DeviceId> {
    let &[MEI_DEVICE_ID, level, conformity, more, next, count, ref objects @ ..] = rest else {
        return None;
    };
    if level != asked {
        return None;
    }
    let mut left = objects;
    let mut found = Vec::new();
    for _ in 0..count {
        let [id, length, tail @ ..] = left else { return None };
        let (data, tail) = tail.split_at_checked(usize::from(*length))?;
        found.push((*id, data.to_vec()));
        left = tail;
    }
    let next = (more == MORE_FOLLOWS).then_some(next);
    left.is_empty().then_some(DeviceId { conformity, next, objects: found })
}

fn encode_device_id(request: &Request, id: &DeviceId, out: &mut Vec<u8>) {
    let level = match request {
        Request::DeviceId { level, .. } => *level,
        Request::Read(_)
        | Request::Write(_)
        | Request::ReadWrite { .. }
        | Request::ReportServerId => return,
    };
    let more = if id.next.is_some() { MORE_FOLLOWS } else { 0 };
    out.extend([MEI_DEVICE_ID, level, id.conformity, more, id.next.unwrap_or(0)]);
    out.push(low(id.objects.len()));
    for (object, data) in &id.objects {
        out.extend([*object, low(data.len())]);
        out.extend(data);
    }
}

fn low(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}
