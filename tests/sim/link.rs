//! The bad link: two queues that lose, double, reorder and stall, and a connection that breaks.

use std::collections::VecDeque;

use fieldgate_wire::{DownKind, UpKind};

/// Messages under way in one direction: what sockets and a broker hold. More are lost, as there.
const QUEUE_MAX: usize = 256;

/// Both directions.
#[derive(Debug, Default)]
pub(crate) struct Link {
    pub(crate) up: VecDeque<(UpKind, Vec<u8>)>,
    pub(crate) down: VecDeque<(DownKind, Vec<u8>)>,
    /// The edge's client has a connection.
    pub(crate) connected: bool,
    /// Deliveries that a partition still swallows the turn of.
    pub(crate) stalled: usize,
}

impl Link {
    pub(crate) fn send_up(&mut self, kind: UpKind, body: Vec<u8>) {
        if self.connected && self.up.len() < QUEUE_MAX {
            self.up.push_back((kind, body));
        }
    }

    pub(crate) fn send_down(&mut self, kind: DownKind, body: Vec<u8>) {
        if self.connected && self.down.len() < QUEUE_MAX {
            self.down.push_back((kind, body));
        }
    }

    pub(crate) fn cut(&mut self) {
        self.up.clear();
        self.down.clear();
        self.connected = false;
        self.stalled = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.up.is_empty() && self.down.is_empty()
    }

    /// Whether a partition holds this delivery back.
    pub(crate) fn holds_back(&mut self) -> bool {
        let held = self.stalled > 0;
        self.stalled = self.stalled.saturating_sub(1);
        held
    }
}
