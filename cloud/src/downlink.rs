//! The way down to gateways, as ingest and commands use it.
//!
//! # Invariants
//!
//! - A full link makes nobody wait for long: what does not fit in [`WAIT_MAX`] is dropped and
//!   counted. Everything sent here is said again: acks and welcomes when the gateway asks, commands
//!   on a period.

use std::sync::Arc;
use std::time::Duration;

use fieldgate_model::GatewayId;
use fieldgate_wire::DownKind;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::link::{Down, Qos};
use crate::metrics::Metrics;

/// Longer than a burst lasts, shorter than the gateways' patience.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// A handle on the link's way down.
#[derive(Clone)]
pub struct Downlink {
    messages: mpsc::Sender<Down>,
    metrics: Arc<Metrics>,
}

impl Downlink {
    /// The way into `messages`.
    pub fn new(messages: mpsc::Sender<Down>, metrics: Arc<Metrics>) -> Self {
        Self { messages, metrics }
    }

    /// Gives a message to the link; whether it was taken.
    pub async fn send(&self, gateway: &GatewayId, kind: DownKind, payload: Vec<u8>) -> bool {
        let message = Down { gateway: gateway.clone(), kind, payload, qos: Qos::AtLeastOnce };
        let taken = timeout(WAIT_MAX, self.messages.send(message)).await;
        let taken = matches!(taken, Ok(Ok(())));
        if taken {
            self.metrics.link_messages_out.count();
        } else {
            tracing::warn!(%gateway, kind = kind.as_str(), "the link is full, message dropped");
        }
        taken
    }
}
