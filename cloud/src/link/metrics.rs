//! What a link counts, and the words for it.

use std::sync::atomic::{AtomicU64, Ordering};

use fieldgate_wire::UpKind;

/// Why a connection was refused or closed by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// The TLS handshake failed.
    Tls,
    /// No login within the time for it.
    ConnectTimeout,
    /// As many connections as there may be.
    TooMany,
    /// Too many failed logins from this address.
    PeerBlocked,
    /// The first packet is not CONNECT.
    BeforeConnect,
    /// A protocol other than MQTT 3.1.1.
    Version,
    /// Client id and user name are not one gateway id.
    Identity,
    /// Unknown gateway or wrong secret; the two are never told apart.
    Secret,
    /// The secret cannot be checked, because the store does not answer.
    Unavailable,
    /// CONNECT carries a will.
    Will,
    /// A packet that MQTT 3.1.1 does not allow.
    Malformed,
    /// A packet larger than any of our messages.
    Oversize,
    /// A publish topic with a wildcard or NUL.
    BadTopic,
    /// A topic or filter of another gateway, or none of ours.
    ForeignTopic,
    /// A publish with `QoS` 2.
    Qos2,
    /// A publish with the retain flag.
    Retain,
    /// Packet id 0.
    PacketIdZero,
    /// Silent for one and a half times its keep-alive.
    KeepAlive,
    /// Did not read what we sent it in time.
    SlowReader,
    /// A newer connection of the same gateway has come.
    TakenOver,
    /// Our own fault: the task of the connection panicked.
    Panic,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 21] = [
        Self::Tls,
        Self::ConnectTimeout,
        Self::TooMany,
        Self::PeerBlocked,
        Self::BeforeConnect,
        Self::Version,
        Self::Identity,
        Self::Secret,
        Self::Unavailable,
        Self::Will,
        Self::Malformed,
        Self::Oversize,
        Self::BadTopic,
        Self::ForeignTopic,
        Self::Qos2,
        Self::Retain,
        Self::PacketIdZero,
        Self::KeepAlive,
        Self::SlowReader,
        Self::TakenOver,
        Self::Panic,
    ];

    /// The reason as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::ConnectTimeout => "connect_timeout",
            Self::TooMany => "too_many",
            Self::PeerBlocked => "peer_blocked",
            Self::BeforeConnect => "before_connect",
            Self::Version => "version",
            Self::Identity => "identity",
            Self::Secret => "secret",
            Self::Unavailable => "unavailable",
            Self::Will => "will",
            Self::Malformed => "malformed",
            Self::Oversize => "oversize",
            Self::BadTopic => "bad_topic",
            Self::ForeignTopic => "foreign_topic",
            Self::Qos2 => "qos2",
            Self::Retain => "retain",
            Self::PacketIdZero => "packet_id_zero",
            Self::KeepAlive => "keep_alive",
            Self::SlowReader => "slow_reader",
            Self::TakenOver => "taken_over",
            Self::Panic => "panic",
        }
    }
}

/// Why a downlink was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// The gateway, or the broker, is not connected.
    Offline,
    /// The connection's queue is full.
    QueueFull,
    /// As many `QoS` 1 downlinks are unacknowledged as there may be.
    WindowFull,
    /// The gateway has not subscribed to this kind.
    NotSubscribed,
    /// Larger than `MESSAGE_BYTES_MAX`: our own fault.
    TooLarge,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::Offline, Self::QueueFull, Self::WindowFull, Self::NotSubscribed, Self::TooLarge];

    /// The reason as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::QueueFull => "queue_full",
            Self::WindowFull => "window_full",
            Self::NotSubscribed => "not_subscribed",
            Self::TooLarge => "too_large",
        }
    }
}

/// One figure, ready to be written as Prometheus text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The metric's name; a name that ends in `_total` only grows.
    pub name: &'static str,
    /// The label's name and value, where the metric has one.
    pub label: Option<(&'static str, &'static str)>,
    /// The figure.
    pub value: u64,
}

/// The figures of one link; shared with whoever shows them.
#[derive(Debug, Default)]
pub struct LinkMetrics {
    connections: AtomicU64,
    connects: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
    messages: [AtomicU64; UpKind::ALL.len()],
    bytes: AtomicU64,
    downs: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    foreign: AtomicU64,
}

impl LinkMetrics {
    /// Open connections: of gateways to the endpoint, or of the client to its broker.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Logins that were accepted.
    pub fn connects(&self) -> u64 {
        self.connects.load(Ordering::Relaxed)
    }

    /// Connections refused or closed by us for `reason`.
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refused[reason as usize].load(Ordering::Relaxed)
    }

    /// Messages taken in of `kind`.
    pub fn messages(&self, kind: UpKind) -> u64 {
        self.messages[kind as usize].load(Ordering::Relaxed)
    }

    /// Downlinks handed to a connection.
    pub fn downs(&self) -> u64 {
        self.downs.load(Ordering::Relaxed)
    }

    /// Downlinks dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize].load(Ordering::Relaxed)
    }

    /// Messages of a broker that were dropped: not of our topics, or too large.
    pub fn foreign(&self) -> u64 {
        self.foreign.load(Ordering::Relaxed)
    }

    /// Every figure, in a fixed order, those with one name together.
    pub fn readings(&self) -> Vec<Reading> {
        let plain = |name, value| Reading { name, label: None, value };
        let mut readings = vec![
            plain("fieldgate_link_connections", self.connections()),
            plain("fieldgate_link_connects_total", self.connects()),
            plain("fieldgate_link_bytes_total", self.bytes.load(Ordering::Relaxed)),
            plain("fieldgate_link_downlinks_total", self.downs()),
            plain("fieldgate_link_foreign_total", self.foreign()),
        ];
        readings.extend(UpKind::ALL.map(|kind| Reading {
            name: "fieldgate_link_messages_total",
            label: Some(("kind", kind.as_str())),
            value: self.messages(kind),
        }));
        readings.extend(Refusal::ALL.map(|reason| Reading {
            name: "fieldgate_link_refused_total",
            label: Some(("reason", reason.as_str())),
            value: self.refused(reason),
        }));
        readings.extend(DropReason::ALL.map(|reason| Reading {
            name: "fieldgate_link_downlinks_dropped_total",
            label: Some(("reason", reason.as_str())),
            value: self.dropped(reason),
        }));
        readings
    }

    pub(crate) fn count_open(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn count_connect(&self) {
        self.connects.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_refused(&self, reason: Refusal) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_message(&self, kind: UpKind, bytes: usize) {
        self.messages[kind as usize].fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_down(&self) {
        self.downs.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_dropped(&self, reason: DropReason) {
        self.dropped[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_foreign(&self) {
        self.foreign.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_and_kind_counts_for_itself() {
        let metrics = LinkMetrics::default();
        for reason in Refusal::ALL {
            metrics.count_refused(reason);
        }
        for reason in DropReason::ALL {
            metrics.count_dropped(reason);
        }
        for kind in UpKind::ALL {
            metrics.count_message(kind, 0);
        }
        let labelled: Vec<_> =
            metrics.readings().into_iter().filter(|reading| reading.label.is_some()).collect();
        assert_eq!(labelled.len(), 21 + 5 + 5);
        assert!(labelled.iter().all(|reading| reading.value == 1), "{labelled:?}");
    }
}
