//! Protocol data units: function code and data, the same on every framing.
//!
//! Requests are written for the client and read for the simulator and the trace; replies the other
//! way round. A reply is only ever read against its request, so that what fits another question is
//! not taken for an answer.
//!
//! Source: MODBUS Application Protocol Specification V1.1b3, sections 4.1, 6 and 7.

mod bits;
mod length;
mod reply;
mod request;

pub use length::{Length, reply_length, request_length};
pub use reply::{decode_reply, encode_exception, encode_reply};
pub use request::{EncodeError, RequestError, decode_request, encode_request};

/// Most bytes of a PDU (section 4.1).
pub const PDU_MAX: usize = 253;
/// Set in the function code of an exception.
pub const EXCEPTION_BIT: u8 = 0x80;
/// MEI type of device identification, the second byte of FC 43.
const MEI_DEVICE_ID: u8 = 14;
const COIL_ON: u16 = 0xFF00;

/// The big-endian word at `at`, if it is there.
fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}
