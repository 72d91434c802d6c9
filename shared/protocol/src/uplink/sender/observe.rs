//! What can be seen of a sender from outside; nothing here changes it.

use alloc::vec::Vec;

use fieldgate_model::{Head, IncarnationId, Millis, Position, Stream};

use super::{Sender, Session};
use crate::uplink::effect::SessionState;
use crate::uplink::line::{HeldLine, Line};

impl Sender {
    /// When the first Hello of this connection was handed out. Whatever time a Welcome tells, the
    /// owner read its clock after this: from here on it is never later than we think, however long
    /// the Welcome took.
    pub fn greeted_at(&self) -> Millis {
        self.greeted_at
    }

    /// How far the conversation is, for screens and tests.
    pub fn session(&self) -> SessionState {
        match self.session {
            Session::Down => SessionState::Down,
            Session::Greeting { .. } => SessionState::Greeting,
            Session::Live => SessionState::Live,
            Session::Paused { .. } => SessionState::Paused,
        }
    }

    /// Whether the owner has welcomed us on this connection.
    pub fn is_live(&self) -> bool {
        matches!(self.session, Session::Live | Session::Paused { .. })
    }

    /// What a Hello tells of the buffer, in the order of precedence.
    pub fn heads(&self) -> Vec<Head> {
        self.lines.iter().map(|line| line.held.head()).collect()
    }

    /// Where each batch in flight starts.
    pub fn in_flight(&self) -> Vec<(IncarnationId, Stream, Position)> {
        let of = |line: &Line| {
            let HeldLine { incarnation, stream, .. } = line.held;
            line.flying().map(|first| (incarnation, stream, first)).collect::<Vec<_>>()
        };
        self.lines.iter().flat_map(of).collect()
    }

    /// How far each line is, in the order of precedence: what is held, and what is committed.
    pub fn progress(&self) -> impl Iterator<Item = (&HeldLine, Position)> {
        self.lines.iter().map(|line| (&line.held, line.committed))
    }

    /// Batches that were declared as gaps because the cloud will never take them.
    pub fn set_aside(&self) -> u64 {
        self.set_aside
    }

    /// Sealed records that the cloud has not committed, over all lines.
    pub fn backlog(&self) -> u64 {
        self.lines.iter().map(|line| line.held.stored - line.committed).sum()
    }
}
