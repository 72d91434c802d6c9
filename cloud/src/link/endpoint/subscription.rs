//! What a gateway has subscribed to: its own downlinks, all of them or some.

use std::collections::BTreeMap;

use fieldgate_model::GatewayId;
use fieldgate_wire::{DownKind, down_filter, parse_down};

use crate::link::{Qos, Refusal};

/// What a gateway may subscribe to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    Every,
    One(DownKind),
}

impl Filter {
    /// Refuses what is not the gateway's own; wildcards other than its filter included.
    pub(super) fn parse(text: &str, gateway: &GatewayId) -> Result<Self, Refusal> {
        if text == down_filter(gateway) {
            return Ok(Self::Every);
        }
        match parse_down(text) {
            Ok((owner, kind)) if owner == *gateway => Ok(Self::One(kind)),
            Ok(_) | Err(_) => Err(Refusal::ForeignTopic),
        }
    }
}

/// A gateway's subscriptions: one for every kind, and one for each.
#[derive(Default)]
pub(super) struct Subscriptions {
    every: Option<Qos>,
    qos_by_kind: BTreeMap<DownKind, Qos>,
}

impl Subscriptions {
    pub(super) fn insert(&mut self, filter: Filter, qos: Qos) {
        match filter {
            Filter::Every => self.every = Some(qos),
            Filter::One(kind) => drop(self.qos_by_kind.insert(kind, qos)),
        }
    }

    pub(super) fn remove(&mut self, filter: Filter) {
        match filter {
            Filter::Every => self.every = None,
            Filter::One(kind) => drop(self.qos_by_kind.remove(&kind)),
        }
    }

    /// MQTT 3.1.1 section 3.3.5: of overlapping subscriptions the highest `QoS` counts.
    pub(super) fn qos(&self, kind: DownKind) -> Option<Qos> {
        self.every.max(self.qos_by_kind.get(&kind).copied())
    }
}
