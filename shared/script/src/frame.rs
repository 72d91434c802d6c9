//! What a parser is given: the words, bits or bytes that came from one device at one time.

use fieldgate_model::{DeviceName, Millis};

/// Neighbouring items of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block<T> {
    /// PDU address of the first item.
    pub start: u16,
    /// The items; those past address 65535 are not shown to the parser.
    pub items: Vec<T>,
}

/// What came from a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The device.
    pub device: &'a DeviceName,
    /// When it arrived, on the monotonic clock.
    pub at: Millis,
    /// Holding registers.
    pub hr: Vec<Block<u16>>,
    /// Input registers.
    pub ir: Vec<Block<u16>>,
    /// Coils.
    pub co: Vec<Block<bool>>,
    /// Discrete inputs.
    pub di: Vec<Block<bool>>,
    /// A message's payload, for drivers without registers.
    pub payload: Option<&'a [u8]>,
    /// The payload's `CoAP` Content-Format number (RFC 7252, section 12.3).
    pub format: Option<u16>,
    /// The path of the resource that the payload is of.
    pub resource: Option<&'a str>,
}

impl<'a> Frame<'a> {
    /// A frame with nothing in it yet.
    pub const fn new(device: &'a DeviceName, at: Millis) -> Self {
        Self {
            device,
            at,
            hr: Vec::new(),
            ir: Vec::new(),
            co: Vec::new(),
            di: Vec::new(),
            payload: None,
            format: None,
            resource: None,
        }
    }
}

impl<T> Block<T> {
    /// The items with their addresses.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u16, &T)> {
        (self.start..=u16::MAX).zip(&self.items)
    }
}
