//! One line of the uplink: how far one stream of one incarnation is held, sent and committed.

use alloc::collections::VecDeque;

use fieldgate_model::{Cursor, Digest, GapReason, Head, IncarnationId, Millis, Position, Stream};

use super::effect::SenderEffect;
use crate::Backoff;

/// Longer than a group commit of a busy cloud takes, short enough to repair a loss unnoticed.
pub(super) const RESEND_AFTER_MIN: Millis = Millis(2_000);
const RESEND_AFTER_MAX: Millis = Millis(60_000);
/// Refusals of one batch after which it is set aside: the first may be a fault of the way, and a
/// third is an answer.
const REFUSALS_MAX: u32 = 3;

/// What the buffer holds of one stream of one incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldLine {
    /// The life of the buffer.
    pub incarnation: IncarnationId,
    /// The stream.
    pub stream: Stream,
    /// Position of the first record that is still held, released or not.
    pub first: Position,
    /// Everything below may be evicted.
    pub released: Position,
    /// Position after the last sealed record.
    pub stored: Position,
    /// Hash chain at `stored`.
    pub chain: Digest,
}

impl HeldLine {
    /// What a Hello tells of it.
    pub(super) const fn head(&self) -> Head {
        let Self { incarnation, stream, first, stored, chain, released: _ } = *self;
        Head { incarnation, stream, first, next: stored, chain }
    }
}

/// Whose history a cursor tells of.
pub(super) enum History {
    Ours,
    /// What we hold is known there by other content: our disk went back in time, or a twin speaks
    /// under our name.
    Foreign,
    /// Nothing of ours ends there: a twin's doing, or giving way this very moment.
    Unclear,
}

/// What the sender knows of one line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) held: HeldLine,
    pub(super) committed: Position,
    pub(super) next: Position,
    /// Ends of the batches in flight, oldest first.
    pub(super) in_flight: VecDeque<Position>,
    pub(super) resend_at: Option<Millis>,
    pub(super) backoff: Backoff,
    /// The batch that was refused last, by its first position, and how often.
    refused: Option<(Position, u32)>,
    /// The batch that was refused once too often: a gap goes in its place.
    aside: Option<(Position, Position)>,
}

impl Line {
    pub(super) fn new(held: HeldLine, committed: Position) -> Self {
        Self {
            held,
            committed,
            next: committed,
            in_flight: VecDeque::new(),
            resend_at: None,
            backoff: Backoff::new(RESEND_AFTER_MIN, RESEND_AFTER_MAX),
            refused: None,
            aside: None,
        }
    }

    pub(super) fn is(&self, incarnation: IncarnationId, stream: Stream) -> bool {
        self.held.incarnation == incarnation && self.held.stream == stream
    }

    /// Whose history a cursor tells of; `chain_here` is our chain at it, if we have one.
    pub(super) fn history(&self, cursor: &Cursor, chain_here: Option<Digest>) -> History {
        match chain_here {
            _ if self.held.stored < cursor.committed => History::Foreign,
            Some(chain) if chain == cursor.chain => History::Ours,
            Some(_) => History::Foreign,
            // Below what is held there is nothing to compare, and nothing to lose.
            None if cursor.committed < self.held.first => History::Ours,
            None => History::Unclear,
        }
    }

    /// The receiver's cursor is the truth, also when it went back to a restored backup.
    pub(super) fn start_at(&mut self, committed: Position) {
        self.committed = committed;
        self.backoff.succeed();
        self.restart();
    }

    pub(super) fn restart(&mut self) {
        self.next = self.committed;
        self.in_flight.clear();
        self.resend_at = None;
    }

    pub(super) fn advance(&mut self, committed: Position, now: Millis) {
        self.committed = committed;
        self.next = self.next.max(committed);
        while self.in_flight.front().is_some_and(|end| *end <= committed) {
            self.in_flight.pop_front();
        }
        self.backoff.succeed();
        self.resend_at = (!self.in_flight.is_empty()).then(|| now + self.backoff.current());
    }

    /// The batch in flight that starts at `first` will never be taken; whether it is set aside now.
    pub(super) fn refuse(&mut self, first: Position) -> bool {
        let Some(next) = self.in_flight.iter().copied().find(|end| first < *end) else {
            return false;
        };
        let before = self.refused.filter(|(refused, _)| *refused == first);
        let times = before.map_or(0, |(_, times)| times) + 1;
        self.refused = Some((first, times));
        if times < REFUSALS_MAX {
            return false;
        }
        self.aside = Some((first, next));
        self.restart();
        true
    }

    /// Where each batch in flight starts.
    pub(super) fn flying(&self) -> impl Iterator<Item = Position> {
        let starts = core::iter::once(self.committed).chain(self.in_flight.iter().copied());
        starts.take(self.in_flight.len())
    }

    /// Whether what is in flight has been silent for too long.
    pub(super) fn is_due(&self, now: Millis) -> bool {
        self.resend_at.is_some_and(|at| at <= now)
    }

    /// The next thing to publish of this line, if there is any.
    pub(super) fn next_send(&self) -> Option<SenderEffect> {
        let HeldLine { incarnation, stream, first: held, stored, .. } = self.held;
        let first = self.next;
        if stored <= first {
            None
        } else if first < held {
            let reason = GapReason::BufferFull;
            Some(SenderEffect::SendGap { incarnation, stream, first, next: held, reason })
        } else if let Some((_, next)) = self.aside.filter(|(aside, _)| *aside == first) {
            let reason = GapReason::Refused;
            Some(SenderEffect::SendGap { incarnation, stream, first, next, reason })
        } else {
            Some(SenderEffect::Send { incarnation, stream, first })
        }
    }
}
