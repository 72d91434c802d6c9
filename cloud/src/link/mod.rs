//! How messages reach and leave gateways: one handle, two ways to fill it.
//!
//! [`endpoint`] terminates MQTT itself, [`broker`] is a client of any MQTT broker. Neither takes
//! custody: what is acknowledged here is only taken in, and a downlink that cannot go out is
//! dropped and counted, because gateways and the database send again until the database has it.
//!
//! # Invariants
//!
//! - The gateway of an [`Up`] is vouched for by the transport, never by the payload.
//! - Everything is bounded: a full event channel stops reading, a full downlink queue drops.

pub mod broker;
pub mod endpoint;
mod metrics;

use fieldgate_model::GatewayId;
use fieldgate_wire::{DownKind, UpKind};
use tokio::sync::mpsc;

pub use metrics::{DropReason, LinkMetrics, Reading, Refusal};

/// A message from a gateway whose identity the transport vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Up {
    /// Who sent it.
    pub gateway: GatewayId,
    /// What it is, by its topic.
    pub kind: UpKind,
    /// The CBOR message, at most `MESSAGE_BYTES_MAX` bytes.
    pub payload: Vec<u8>,
}

/// A message to a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    /// Whom it is for.
    pub gateway: GatewayId,
    /// What it is, and so its topic.
    pub kind: DownKind,
    /// The CBOR message, at most `MESSAGE_BYTES_MAX` bytes.
    pub payload: Vec<u8>,
    /// Whether MQTT acknowledges it on its hop.
    pub qos: Qos,
}

/// MQTT 3.1.1 section 4.3, without the level that nobody here uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// `QoS` 0.
    AtMostOnce,
    /// `QoS` 1.
    AtLeastOnce,
}

/// What a link tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// The gateway has logged in. Without a [`LinkEvent::Disconnected`] before it, a newer
    /// connection has taken over from an older one, which says nothing after this.
    Connected(GatewayId),
    /// The gateway has sent a message.
    Message(Up),
    /// The gateway's only connection is gone.
    Disconnected(GatewayId),
}

/// The near end of a link; dropping every sender of `down` stops it.
#[derive(Debug)]
pub struct LinkHandle {
    /// What gateways do; the link stops reading from them while it is full.
    pub events: mpsc::Receiver<LinkEvent>,
    /// What gateways shall get; it is taken off without delay, to be sent or dropped.
    pub down: mpsc::Sender<Down>,
}

/// Events that may wait for the one that takes them in: 16 MiB of the largest messages.
pub(crate) const EVENTS_MAX: usize = 256;

/// Downlinks that may wait for the link's own task, which never stands still for long.
pub(crate) const DOWNS_MAX: usize = 256;
