//! How long a PDU is, told from its own first bytes: what finds the end of a frame on a serial line.

use super::{EXCEPTION_BIT, MEI_DEVICE_ID, PDU_MAX};

/// What the first bytes say about the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So many bytes, function code included.
    Bytes(usize),
    /// More bytes are needed to tell.
    More,
    /// No PDU of a known function starts like this.
    Impossible,
}

/// The length of the reply that starts with `bytes`.
pub fn reply_length(bytes: &[u8]) -> Length {
    let Some(function) = bytes.first() else { return Length::More };
    match function {
        1..=4 | 17 | 23 => counted(bytes, 1, 2),
        5 | 6 | 15 | 16 => Length::Bytes(5),
        22 => Length::Bytes(7),
        43 => device_id(bytes),
        code if is_exception(*code) => Length::Bytes(2),
        _ => Length::Impossible,
    }
}

/// The length of the request that starts with `bytes`.
pub fn request_length(bytes: &[u8]) -> Length {
    let Some(function) = bytes.first() else { return Length::More };
    match function {
        1..=6 => Length::Bytes(5),
        15 | 16 => counted(bytes, 5, 6),
        17 => Length::Bytes(1),
        22 => Length::Bytes(7),
        23 => counted(bytes, 9, 10),
        43 => match bytes.get(1) {
            None => Length::More,
            Some(&MEI_DEVICE_ID) => Length::Bytes(4),
            Some(_) => Length::Impossible,
        },
        _ => Length::Impossible,
    }
}

/// `fixed` bytes, and as many more as the byte at `at` says.
fn counted(bytes: &[u8], at: usize, fixed: usize) -> Length {
    match bytes.get(at) {
        None => Length::More,
        Some(count) => limited(fixed + usize::from(*count)),
    }
}

fn is_exception(code: u8) -> bool {
    matches!(code & !EXCEPTION_BIT, 1..=6 | 15..=17 | 22 | 23 | 43) && code & EXCEPTION_BIT != 0
}

/// FC 43/14 has no length of its own: each object has one (section 6.21).
fn device_id(bytes: &[u8]) -> Length {
    match bytes.get(1) {
        None => return Length::More,
        Some(&MEI_DEVICE_ID) => {}
        Some(_) => return Length::Impossible,
    }
    let Some(objects) = bytes.get(6) else { return Length::More };
    let mut at = 7;
    for _ in 0..*objects {
        let Some(length) = bytes.get(at + 1) else {
            return if at + 2 > PDU_MAX { Length::Impossible } else { Length::More };
        };
        at += 2 + usize::from(*length);
    }
    limited(at)
}

fn limited(length: usize) -> Length {
    if length > PDU_MAX { Length::Impossible } else { Length::Bytes(length) }
}
