//! What is remembered of a peer that was asked: its message ids, and what waits for it.

use std::collections::VecDeque;

use fieldgate_model::Millis;

use super::{EXCHANGE_LIFETIME, ExchangeId};
use crate::message::MessageId;

/// Messages of a peer that are recognized when they come again. A peer that answers apart has as many
/// answers under way as it was asked questions, and waiting questions are bounded by less.
const HEARD_MAX: usize = 128;
/// Message ids are given out in rows of so many; a row comes round again only after the time in which
/// the ids of its last turn mean something.
const ROW: u16 = 4_096;

/// A peer.
#[derive(Debug)]
pub(super) struct Peer {
    /// Exchanges that wait until a message before them is acknowledged.
    pub(super) waiting: VecDeque<ExchangeId>,
    /// Messages that are not acknowledged.
    pub(super) unacknowledged: usize,
    /// When something was last sent to it.
    pub(super) used_at: Millis,
    heard: VecDeque<Heard>,
    next_id: u16,
    left_at_by_row: [Option<Millis>; 16],
}

/// A response that came, and what it was answered with.
#[derive(Debug)]
struct Heard {
    id: MessageId,
    at: Millis,
    reply: Vec<u8>,
}

impl Peer {
    /// A peer whose first message has this id.
    pub(super) fn new(first: u16, now: Millis) -> Self {
        Self {
            waiting: VecDeque::new(),
            unacknowledged: 0,
            used_at: now,
            heard: VecDeque::new(),
            next_id: first,
            left_at_by_row: [None; 16],
        }
    }

    /// A message id that no message of the last [`EXCHANGE_LIFETIME`] had, unless all had one: then
    /// nothing, and the time at which to ask again.
    pub(super) fn take_id(&mut self, now: Millis) -> Result<MessageId, Millis> {
        let row = usize::from(self.next_id / ROW);
        if self.next_id.is_multiple_of(ROW)
            && let Some(left_at) = self.left_at_by_row.get(row).copied().flatten()
        {
            let free_at = left_at + EXCHANGE_LIFETIME;
            if now < free_at {
                return Err(free_at);
            }
        }
        let id = MessageId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.used_at = now;
        if let Some(left_at) = self.left_at_by_row.get_mut(row) {
            *left_at = Some(now);
        }
        Ok(id)
    }

    /// What a response was answered with that came before.
    pub(super) fn heard(&self, id: MessageId, now: Millis) -> Option<&[u8]> {
        let mut recent = self.heard.iter().rev().filter(|heard| heard.id == id);
        recent
            .next()
            .filter(|heard| now.since(heard.at) < EXCHANGE_LIFETIME)
            .map(|heard| &*heard.reply)
    }

    /// Remembers a response. The oldest gives way: its token has gone before.
    pub(super) fn hear(&mut self, id: MessageId, reply: Vec<u8>, now: Millis) {
        if self.heard.len() == HEARD_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back(Heard { id, at: now, reply });
    }

    /// Nothing is under way to it.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.unacknowledged == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_does_not_come_again_while_it_means_something() {
        let mut peer = Peer::new(60_000, Millis(0));
        let mut given = std::collections::BTreeSet::new();
        let free_at = loop {
            match peer.take_id(Millis(5)) {
                Ok(id) => assert!(given.insert(id), "{id:?} came twice"),
                Err(free_at) => break free_at,
            }
        };
        // The row in which it began is left for the first time only now.
        assert!(given.len() > 61_000, "{} ids before it waits", given.len());
        assert_eq!(free_at, Millis(5) + EXCHANGE_LIFETIME);
        assert!(peer.take_id(Millis(free_at.0 - 1)).is_err());
        assert!(peer.take_id(free_at).is_ok());
    }

    #[test]
    fn of_what_was_heard_the_oldest_gives_way() {
        let mut peer = Peer::new(0, Millis(0));
        for id in 0..=u16::try_from(HEARD_MAX).expect("a small bound") {
            peer.hear(MessageId(id), vec![1], Millis(1));
        }
        assert_eq!(peer.heard(MessageId(0), Millis(1)), None);
        assert_eq!(peer.heard(MessageId(1), Millis(1)), Some(&[1][..]));
        assert_eq!(peer.heard(MessageId(1), Millis(1) + EXCHANGE_LIFETIME), None);
    }
}
