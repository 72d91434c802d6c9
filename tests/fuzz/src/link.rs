//! What `cloud/src/link/mod.rs` says to the endpoint's session, in the same words, without the
//! broker's client and the sockets that belong to the rest of it.

use fieldgate_model::GatewayId;
use fieldgate_wire::DownKind;

#[expect(dead_code, unused_imports, reason = "the endpoint counts with more of it")]
#[path = "../../../cloud/src/link/metrics.rs"]
mod metrics;

pub(crate) use metrics::{DropReason, Refusal};

/// A message to a gateway.
pub(crate) struct Down {
    /// Who it is for.
    #[expect(dead_code, reason = "the endpoint chooses the session by it")]
    pub(crate) gateway: GatewayId,
    /// What it is.
    pub(crate) kind: DownKind,
    /// The message.
    pub(crate) payload: Vec<u8>,
    /// How it is acknowledged.
    pub(crate) qos: Qos,
}

/// The two levels that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Qos {
    /// At most once.
    AtMostOnce,
    /// At least once.
    AtLeastOnce,
}
