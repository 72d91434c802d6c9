//! What a sender asks of its shell, and how far its conversation is.

use fieldgate_model::{GapReason, IncarnationId, Position, Stream};

/// What the caller must do next, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderEffect {
    /// Send Hello with the lines as they are.
    Greet,
    /// Load the batch that starts at `first`, publish it, then call [`Sender::handle_sent`].
    Send {
        /// Its incarnation.
        incarnation: IncarnationId,
        /// Its stream.
        stream: Stream,
        /// Where it starts.
        first: Position,
    },
    /// Publish a gap for `first..next`: the receiver lacks what is no longer held, or will never
    /// take what is. Then call [`Sender::handle_sent`].
    SendGap {
        /// The incarnation.
        incarnation: IncarnationId,
        /// The stream.
        stream: Stream,
        /// The receiver's cursor.
        first: Position,
        /// The first position that is held, or the end of what is set aside.
        next: Position,
        /// Why.
        reason: GapReason,
    },
    /// Mark every batch below `before` as evictable.
    Release {
        /// The incarnation.
        incarnation: IncarnationId,
        /// The stream.
        stream: Stream,
        /// The end of what is released.
        before: Position,
    },
    /// The cloud holds another history under this name than we do (a restored or cloned disk):
    /// go on in a new incarnation, so that used positions are never used again.
    Reincarnate(IncarnationId),
    /// Throw the client away and build another: it is connected and yet nothing moves.
    Rebuild,
}

/// How far the conversation with the owner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// There is no transport, or none that is trusted.
    Down,
    /// A Hello has been sent.
    Greeting,
    /// Batches go.
    Live,
    /// The owner has asked for silence.
    Paused,
}

impl SenderEffect {
    /// Whether it publishes a part of a stream, and so becomes void when the line is rewound.
    pub(super) fn is_send(&self) -> bool {
        match self {
            SenderEffect::Send { .. } | SenderEffect::SendGap { .. } => true,
            SenderEffect::Greet
            | SenderEffect::Release { .. }
            | SenderEffect::Reincarnate(_)
            | SenderEffect::Rebuild => false,
        }
    }
}
