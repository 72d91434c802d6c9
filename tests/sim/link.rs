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
    /// Held back, each for so many deliveries more.
    late_up: Vec<(usize, (UpKind, Vec<u8>))>,
    late_down: Vec<(usize, (DownKind, Vec<u8>))>,
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

    pub(crate) fn delay_up(&mut self, index: usize, turns: usize) {
        self.late_up.extend(self.up.remove(index).map(|message| (turns, message)));
    }

    pub(crate) fn delay_down(&mut self, index: usize, turns: usize) {
        self.late_down.extend(self.down.remove(index).map(|message| (turns, message)));
    }

    /// A delivery has had its turn; what was held back long enough goes on.
    pub(crate) fn pass_turn(&mut self) {
        due(&mut self.late_up, &mut self.up);
        due(&mut self.late_down, &mut self.down);
    }

    pub(crate) fn cut(&mut self) {
        self.up.clear();
        self.late_up.clear();
        self.cut_behind_broker();
    }

    /// What a broker has taken of the gateway stays.
    pub(crate) fn cut_behind_broker(&mut self) {
        self.down.clear();
        self.late_down.clear();
        self.connected = false;
        self.stalled = 0;
    }

    /// No message is held back any longer.
    pub(crate) fn heal(&mut self) {
        self.stalled = 0;
        self.up.extend(self.late_up.drain(..).map(|(_, message)| message));
        self.down.extend(self.late_down.drain(..).map(|(_, message)| message));
    }

    /// Whether a partition holds this delivery back.
    pub(crate) fn holds_back(&mut self) -> bool {
        let held = self.stalled > 0;
        self.stalled = self.stalled.saturating_sub(1);
        held
    }
}

fn due<M>(late: &mut Vec<(usize, M)>, queue: &mut VecDeque<M>) {
    for (turns, message) in std::mem::take(late) {
        match turns {
            0 => queue.push_back(message),
            _ => late.push((turns - 1, message)),
        }
    }
}
