//! Frames: how a PDU and its unit id travel on TCP and on a serial line.
//!
//! [`encode`] writes any of them; each module has a deframer that takes bytes as they come, in any
//! pieces and with anything between, and holds at most a few frames' worth of them.

pub mod ascii;
pub mod rtu;
pub mod tcp;

use crate::register::UnitId;

/// How frames are told apart on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Framing {
    /// MBAP header with transaction ids.
    Tcp,
    /// Bytes and CRC, on a serial line or on a TCP connection to one.
    Rtu,
    /// Hexadecimal digits and LRC between `:` and CR LF.
    Ascii,
}

/// One frame without what only its framing needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The transaction id; 0 where the framing has none.
    pub id: u16,
    /// Whom it is for, or whom it comes from.
    pub unit: UnitId,
    /// Function code and data.
    pub pdu: &'a [u8],
}

/// Appends one frame around what `pdu` appends. `id` is for [`Framing::Tcp`] alone. If `pdu` fails,
/// nothing is appended.
pub fn encode<E>(
    framing: Framing,
    id: u16,
    unit: UnitId,
    out: &mut Vec<u8>,
    pdu: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let from = out.len();
    match framing {
        Framing::Tcp => tcp::open(id, unit, out),
        Framing::Rtu | Framing::Ascii => out.push(unit.0),
    }
    if let Err(error) = pdu(out) {
        out.truncate(from);
        return Err(error);
    }
    match framing {
        Framing::Tcp => tcp::close(from, out),
        Framing::Rtu => rtu::close(from, out),
        Framing::Ascii => ascii::close(from, out),
    }
    Ok(())
}
