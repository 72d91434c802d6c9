//! What goes over the socket for work on a live bus.

use serde::{Deserialize, Serialize};

use super::message::{AlarmNow, SignalNow};

/// Items of a table as they are, or what the device said instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RawRead {
    pub(crate) device: String,
    pub(crate) unit: u8,
    /// In both notations.
    pub(crate) address: String,
    #[serde(flatten)]
    pub(crate) items: RawItems,
}

/// What a table holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawItems {
    /// Registers.
    Words(Vec<u16>),
    /// Coils or discrete inputs.
    Bits(Vec<bool>),
    /// The device refused with this exception.
    Exception(u8),
}

/// A bus that is lent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) bus: String,
    /// What it is, as `fieldgate scan` takes it.
    pub(crate) endpoint: String,
    /// The line's settings, of a serial one.
    pub(crate) line: Option<String>,
}

/// A line of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TraceLine {
    /// The trace runs; what is sent from here on is seen.
    Ready,
    /// A frame.
    Frame(TracedFrame),
    /// So many were not seen, since they came faster than they were taken.
    Missed { bus: String, frames: u64 },
}

/// A frame on a bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TracedFrame {
    pub(crate) bus: String,
    /// Whom from or to, where one socket serves all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<String>,
    pub(crate) framing: FramingName,
    pub(crate) is_sent: bool,
    /// RFC 3339, UTC, milliseconds.
    pub(crate) at: String,
    /// The same, as milliseconds since 1970.
    pub(crate) utc_ms: i64,
    /// Microseconds since the frame before it on this bus.
    pub(crate) gap_us: u64,
    /// The bytes in hex.
    pub(crate) hex: String,
}

/// How frames are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FramingName {
    /// By the header of Modbus TCP.
    Tcp,
    /// By silence and CRC.
    Rtu,
    /// By colon and line end.
    Ascii,
    /// Each datagram is one message.
    Coap,
}

/// All about one signal.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Explained {
    pub(crate) device: String,
    pub(crate) profile: String,
    /// The document that the profile was made from.
    pub(crate) source: String,
    pub(crate) title: String,
    /// Where in that document; empty if not said.
    pub(crate) origin: String,
    pub(crate) bus: String,
    pub(crate) endpoint: String,
    pub(crate) unit_id: u8,
    /// In both notations; none if a parser gives it.
    pub(crate) address: Option<String>,
    /// Type and order.
    pub(crate) data: String,
    /// How raw becomes engineering; empty if it is the same.
    pub(crate) scale: String,
    pub(crate) writable: bool,
    /// Which request of a poll brings it.
    pub(crate) request: Option<String>,
    pub(crate) every_ms: u64,
    /// As the last poll brought it.
    pub(crate) now: SignalNow,
    /// Since when the signal is as it is: of a bad one, when it went bad.
    pub(crate) device_last_good_at: Option<String>,
    /// Read at once: the words in hex.
    pub(crate) words: Option<Vec<String>>,
    /// What reading it at once gave, if not words.
    pub(crate) read_fault: Option<String>,
    /// Why it has no value, and what to do.
    pub(crate) why: Option<String>,
    pub(crate) hint: Option<String>,
    pub(crate) alarms: Vec<ExplainedAlarm>,
    pub(crate) bus_state: String,
    pub(crate) device_state: String,
}

/// An alarm on a signal.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExplainedAlarm {
    pub(crate) alarm: String,
    pub(crate) rule: String,
    pub(crate) severity: String,
    /// The alarm as it is, if it is active.
    pub(crate) active: Option<AlarmNow>,
}
