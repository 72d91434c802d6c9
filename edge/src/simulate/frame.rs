//! The server's side of the three framings: requests found in what was heard, answers put into
//! frames.
//!
//! It shares no code with the client's framings, so that neither can hide the other's mistakes.
//!
//! # Invariants
//!
//! - What is kept of unfinished frames is bounded by the longest frame.

use fieldgate_modbus::register::UnitId;

/// Longest PDU (MODBUS Application Protocol V1.1b3, section 4.1).
const PDU_MAX: usize = 253;
/// Longest ASCII frame: colon, 255 bytes in two digits each, CR LF.
const ASCII_MAX: usize = 513;
/// Longer than any frame: what is heard beyond it without a pause is noise.
const HEARD_MAX: usize = 1_024;

/// How a PDU is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Tcp,
    Rtu,
    Ascii,
}

/// One request or answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// 0 where the framing has none.
    pub(super) transaction: u16,
    pub(super) unit: UnitId,
    pub(super) pdu: Vec<u8>,
}

/// What stands at the front of what was heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Frame(Frame),
    /// More must come.
    Nothing,
    /// No frame will ever be found in this stream again.
    OutOfStep,
}

impl Framing {
    /// Takes the next request out of what was heard; `is_quiet` says that nothing more came for
    /// longer than a pause within a frame may last.
    pub(super) fn take(self, heard: &mut Vec<u8>, is_quiet: bool) -> Taken {
        match self {
            Self::Tcp => take_tcp(heard),
            Self::Rtu => take_rtu(heard, is_quiet),
            Self::Ascii => take_ascii(heard),
        }
    }

    /// The bytes of a frame. `spoil` changes its checksum, or its length on TCP; 0 leaves it
    /// right.
    pub(super) fn encode(self, frame: &Frame, spoil: u8) -> Vec<u8> {
        let unit = frame.unit.0;
        let body: Vec<u8> = [unit].into_iter().chain(frame.pdu.iter().copied()).collect();
        match self {
            Self::Tcp => {
                let length = u16::try_from(body.len()).unwrap_or(u16::MAX) ^ u16::from(spoil);
                let [high, low] = frame.transaction.to_be_bytes();
                let [length_high, length_low] = length.to_be_bytes();
                [&[high, low, 0, 0, length_high, length_low], body.as_slice()].concat()
            }
            Self::Rtu => {
                let [low, high] = crc(&body).to_le_bytes();
                [body.as_slice(), &[low ^ spoil, high]].concat()
            }
            Self::Ascii => {
                let digits = body.iter().copied().chain([lrc(&body) ^ spoil]);
                let digits = digits.flat_map(|byte| format!("{byte:02X}").into_bytes());
                [b':'].into_iter().chain(digits).chain(*b"\r\n").collect()
            }
        }
    }
}

/// CRC-16/MODBUS (MODBUS over Serial Line V1.02, section 6.2.2).
pub(super) fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte),
            |crc, _| {
                if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xA001 }
            },
        )
    })
}

/// Section 6.2.1 of the same.
fn lrc(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg()
}

fn take_tcp(heard: &mut Vec<u8>) -> Taken {
    let Some(&[high, low, 0, 0, length_high, length_low, unit]) = heard.first_chunk() else {
        return if heard.len() < 7 { Taken::Nothing } else { Taken::OutOfStep };
    };
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    if !(2..=PDU_MAX + 1).contains(&length) {
        return Taken::OutOfStep;
    }
    if heard.len() < 6 + length {
        return Taken::Nothing;
    }
    let pdu = heard.drain(..6 + length).skip(7).collect();
    let transaction = u16::from_be_bytes([high, low]);
    Taken::Frame(Frame { transaction, unit: UnitId(unit), pdu })
}

/// A frame is known by its length where the function tells it, else by the pause after it; after a
/// wrong checksum everything up to the next pause is noise, as it is to a device.
fn take_rtu(heard: &mut Vec<u8>, is_quiet: bool) -> Taken {
    let length = match request_length(heard) {
        Some(length) if length <= heard.len() => length,
        Some(_) | None => heard.len(),
    };
    let is_whole = is_quiet || request_length(heard) == Some(length);
    let found = heard.get(..length).filter(|_| is_whole).and_then(checked);
    if let Some((unit, pdu)) = found {
        heard.drain(..length);
        return Taken::Frame(Frame { transaction: 0, unit: UnitId(unit), pdu });
    }
    if is_quiet || heard.len() > HEARD_MAX {
        heard.clear();
    }
    Taken::Nothing
}

/// Unit and PDU, if the checksum is right.
fn checked(frame: &[u8]) -> Option<(u8, Vec<u8>)> {
    let (body, sum) = frame.split_last_chunk::<2>()?;
    let (unit, pdu) = body.split_first()?;
    (!pdu.is_empty() && crc(body) == u16::from_le_bytes(*sum)).then(|| (*unit, pdu.to_vec()))
}

/// Bytes of the RTU frame that starts here; `None` if its function or what is there so far does
/// not tell.
fn request_length(heard: &[u8]) -> Option<usize> {
    let counted = |place: usize| Some(place + 3 + usize::from(*heard.get(place)?));
    match heard.get(1)? {
        1..=6 => Some(8),
        15 | 16 => counted(6),
        17 => Some(4),
        22 => Some(10),
        23 => counted(10),
        43 => Some(7),
        _ => None,
    }
}

fn take_ascii(heard: &mut Vec<u8>) -> Taken {
    loop {
        let colon = heard.iter().position(|byte| *byte == b':').unwrap_or(heard.len());
        heard.drain(..colon);
        // A colon within a frame begins another one.
        let again = heard.iter().skip(1).position(|byte| *byte == b':').map(|place| place + 1);
        let end = heard.iter().position(|byte| *byte == b'\n');
        match (end, again) {
            (end, Some(again)) if end.is_none_or(|end| again < end) => drop(heard.drain(..again)),
            (Some(end), _) => {
                let line: Vec<u8> = heard.drain(..=end).collect();
                if let Some((unit, pdu)) = checked_ascii(&line) {
                    return Taken::Frame(Frame { transaction: 0, unit: UnitId(unit), pdu });
                }
            }
            (None, _) if heard.len() > ASCII_MAX => heard.clear(),
            (None, _) => return Taken::Nothing,
        }
    }
}

fn checked_ascii(line: &[u8]) -> Option<(u8, Vec<u8>)> {
    let digits = line.strip_prefix(b":")?.strip_suffix(b"\r\n")?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() % 2 == 0)?;
    let byte = |place| u8::from_str_radix(digits.get(place..place + 2)?, 16).ok();
    let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect::<Option<_>>()?;
    let (sum, body) = bytes.split_last()?;
    let (unit, pdu) = body.split_first()?;
    (!pdu.is_empty() && lrc(body) == *sum).then(|| (*unit, pdu.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(transaction: u16, unit: u8, pdu: &[u8]) -> Frame {
        Frame { transaction, unit: UnitId(unit), pdu: pdu.to_vec() }
    }

    fn check(framing: Framing, heard: &[u8], is_quiet: bool, expected: &Taken, rest: &[u8]) {
        let mut heard = heard.to_vec();
        assert_eq!(framing.take(&mut heard, is_quiet), *expected);
        assert_eq!(heard, rest);
    }

    /// The read of section 6.3 of the specification, at unit 1.
    const READ: [u8; 5] = [3, 0, 0x6B, 0, 3];
    const READ_RTU: [u8; 8] = [1, 3, 0, 0x6B, 0, 3, 0x74, 0x17];

    #[test]
    fn a_request_is_found_in_each_framing() {
        let read = Taken::Frame(frame(0, 1, &READ));
        check(Framing::Rtu, &READ_RTU, false, &read, &[]);
        check(Framing::Ascii, b"?:0103006B00038E\r\n:01", false, &read, b":01");
        let tcp = [0x15, 1, 0, 0, 0, 6, 1, 3, 0, 0x6B, 0, 3, 9];
        check(Framing::Tcp, &tcp, false, &Taken::Frame(frame(0x1501, 1, &READ)), &[9]);
    }

    #[test]
    fn what_is_not_whole_waits_and_what_is_broken_ends_with_a_pause() {
        check(Framing::Rtu, &READ_RTU[..7], false, &Taken::Nothing, &READ_RTU[..7]);
        check(Framing::Rtu, &READ_RTU[..7], true, &Taken::Nothing, &[]);
        let noisy = [&[0xFF], READ_RTU.as_slice()].concat();
        check(Framing::Rtu, &noisy, false, &Taken::Nothing, &noisy);
        check(Framing::Rtu, &noisy, true, &Taken::Nothing, &[]);
        check(Framing::Ascii, b":0103006B00038F\r\n", false, &Taken::Nothing, b"");
        check(Framing::Ascii, b":01:0103006B0", false, &Taken::Nothing, b":0103006B0");
        check(
            Framing::Tcp,
            &[0, 1, 0, 0, 0, 6, 1, 3],
            false,
            &Taken::Nothing,
            &[0, 1, 0, 0, 0, 6, 1, 3],
        );
        let wrong = [0, 1, 0, 9, 0, 6, 1, 3];
        check(Framing::Tcp, &wrong, false, &Taken::OutOfStep, &wrong);
    }

    #[test]
    fn a_function_of_unknown_length_ends_with_a_pause() {
        let body = [1, 0x41, 7, 7];
        let [low, high] = crc(&body).to_le_bytes();
        let heard = [body.as_slice(), &[low, high]].concat();
        check(Framing::Rtu, &heard, false, &Taken::Nothing, &heard);
        check(Framing::Rtu, &heard, true, &Taken::Frame(frame(0, 1, &[0x41, 7, 7])), &[]);
    }

    #[test]
    fn an_answer_is_framed_and_spoilt_where_it_is_checked() {
        for (framing, spoil, expected) in [
            (Framing::Rtu, 0, READ_RTU.as_slice()),
            (Framing::Rtu, 1, &[1, 3, 0, 0x6B, 0, 3, 0x75, 0x17]),
            (Framing::Ascii, 0, b":0103006B00038E\r\n"),
            (Framing::Ascii, 1, b":0103006B00038F\r\n"),
            (Framing::Tcp, 0, &[0, 9, 0, 0, 0, 6, 1, 3, 0, 0x6B, 0, 3]),
            (Framing::Tcp, 1, &[0, 9, 0, 0, 0, 7, 1, 3, 0, 0x6B, 0, 3]),
        ] {
            assert_eq!(framing.encode(&frame(9, 1, &READ), spoil), expected, "{framing:?}");
        }
    }

    #[test]
    fn noise_without_end_is_bounded() {
        for framing in [Framing::Rtu, Framing::Ascii] {
            let mut heard = vec![b':'];
            for _ in 0..5_000 {
                heard.push(0x7F);
                framing.take(&mut heard, false);
                assert!(heard.len() <= HEARD_MAX + 1, "{framing:?}");
            }
        }
    }
}
