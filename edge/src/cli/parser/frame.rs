//! Frames as they are written on a command line or in a file.

use fieldgate_model::{DeviceName, Millis};
use fieldgate_script::{Block, DeviceState, Frame};

use super::super::failure::{Exit, Failure};
use crate::socket::parsers::{FrameText, TableText};

/// A frame with what it borrows, and the state that it came with.
#[derive(Debug)]
pub(super) struct Given {
    device: DeviceName,
    payload: Option<Vec<u8>>,
    pub(super) text: FrameText,
    pub(super) state: DeviceState,
}

impl Given {
    /// What `--frame` says, or ten registers without it.
    pub(super) fn from_argument(text: Option<&str>) -> Result<Self, Failure> {
        let Some(text) = text else {
            let hr = TableText::List((0..10).collect());
            return Self::new(FrameText { hr, ..FrameText::default() });
        };
        let frame = serde_json::from_str(text).map_err(|error| {
            Failure::from_error(error)
                .while_doing("--frame is not a frame")
                .hint("write such as `--frame '{\"hr\": [1, 2], \"co\": {\"16\": [true]}}'`")
                .exiting(Exit::Usage)
        })?;
        Self::new(frame)
    }

    pub(super) fn new(text: FrameText) -> Result<Self, Failure> {
        let device = DeviceName::new(text.device.as_deref().unwrap_or("test"))
            .map_err(|error| Failure::usage(format!("`device` in --frame {error}")))?;
        let wrong = |what: &str| Failure::usage(format!("`{what}` in --frame is not hex"));
        let payload = match (&text.payload, &text.payload_hex) {
            (_, Some(hex)) => Some(bytes(hex).ok_or_else(|| wrong("payload_hex"))?),
            (Some(payload), None) => Some(payload.as_bytes().to_vec()),
            (None, None) => None,
        };
        let state = match &text.state {
            Some(hex) => bytes(hex)
                .and_then(|bytes| DeviceState::from_bytes(&bytes))
                .ok_or_else(|| Failure::usage("`state` in --frame is not what a gateway gave"))?,
            None => DeviceState::default(),
        };
        let given = Self { device, payload, text, state };
        given.frame().map(drop)?;
        Ok(given)
    }

    pub(super) fn frame(&self) -> Result<Frame<'_>, Failure> {
        Ok(Frame {
            hr: blocks(&self.text.hr)?,
            ir: blocks(&self.text.ir)?,
            co: blocks(&self.text.co)?,
            di: blocks(&self.text.di)?,
            resource: self.text.resource.as_deref(),
            payload: self.payload.as_deref(),
            format: self.text.format,
            ..Frame::new(&self.device, Millis(self.text.at.unwrap_or(0)))
        })
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> =
        hex.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16)).collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let byte = |[high, low]: &[u32; 2]| u8::try_from(high << 4 | low).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

fn blocks<T: Clone>(table: &TableText<T>) -> Result<Vec<Block<T>>, Failure> {
    match table {
        TableText::List(items) if items.is_empty() => Ok(Vec::new()),
        TableText::List(items) => Ok(vec![Block { start: 0, items: items.clone() }]),
        TableText::ByAddress(items_by_address) => {
            let block = |(address, items): (&String, &Vec<T>)| {
                let start = address.parse().map_err(|_| {
                    Failure::usage(format!("`{address}` in --frame is not an address"))
                        .hint("addresses are PDU addresses, from 0 to 65535")
                })?;
                Ok(Block { start, items: items.clone() })
            };
            items_by_address.iter().map(block).collect()
        }
    }
}
