//! The cloud's half: what to do with one accepted command when something happens.
//!
//! # Invariants
//!
//! - SENT is durable before the command is published, so that what a gateway may have seen is
//!   never decided without it.
//! - Before SENT the cloud may cancel or expire; after SENT only the gateway's word closes, and
//!   silence leaves `unconfirmed`, which a later word still closes.
//! - The first outcome wins; a command never leaves a closed state.

use fieldgate_model::{Millis, UtcMillis};

/// How long after `not_after` a sent command may stay silent before it is called unconfirmed:
/// a resend, a bus write with its read-back and the way home.
const UNCONFIRMED_AFTER: Millis = Millis::from_secs(60);

/// How long a sent command may stay without an answer before it goes again: the gateway answers
/// from its journal.
const SILENT_AFTER: Millis = Millis::from_secs(30);

/// How far a command is, as the cloud knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuerState {
    /// Stored, and not given to the gateway.
    Accepted,
    /// The gateway may have it.
    Sent,
    /// Its time is over and the gateway has not said what became of it.
    Unconfirmed,
    /// It has ended.
    Closed,
}

/// Something that matters to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuerEvent {
    /// The gateway is welcomed, and uncontested.
    Ready,
    /// Time has passed.
    Tick,
    /// The operator withdraws it.
    Cancel,
    /// The gateway has told its outcome.
    Outcome,
}

/// What to do with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Keep,
    /// Store SENT, then publish.
    Send,
    /// Publish again; the gateway answers from its journal if it has it.
    SendAgain,
    /// Store that its time passed before it was sent.
    Expire,
    /// Store that it was withdrawn before it was sent.
    Cancel,
    /// Tell the operator that it is too late to withdraw.
    TooLate,
    /// Store that the gateway has not said what became of it.
    Unconfirmed,
    /// Store the outcome that the gateway told.
    Close,
}

/// Whether a command that was sent at `sent_at` goes again. One sent in the future was sent before
/// the clock was set back, however long ago that is.
pub fn is_silent(sent_at: UtcMillis, now: UtcMillis) -> bool {
    now < sent_at || sent_at + SILENT_AFTER <= now
}

/// Decides on one command. Total over state and event.
pub fn decide(
    state: IssuerState,
    event: IssuerEvent,
    not_after: UtcMillis,
    now: UtcMillis,
) -> Decision {
    let over = not_after <= now;
    let silent = not_after + UNCONFIRMED_AFTER <= now;
    match (state, event) {
        (IssuerState::Accepted, IssuerEvent::Ready | IssuerEvent::Tick) if over => Decision::Expire,
        (IssuerState::Accepted, IssuerEvent::Ready) => Decision::Send,
        (IssuerState::Accepted, IssuerEvent::Cancel) => Decision::Cancel,
        (IssuerState::Sent, IssuerEvent::Tick) if silent => Decision::Unconfirmed,
        // Also after its time: the journal knows what became of it, and expires it if nothing did.
        (IssuerState::Sent | IssuerState::Unconfirmed, IssuerEvent::Ready) => Decision::SendAgain,
        (
            IssuerState::Sent | IssuerState::Unconfirmed | IssuerState::Closed,
            IssuerEvent::Cancel,
        ) => Decision::TooLate,
        // An outcome without SENT comes from a restored backup: the gateway is right.
        (
            IssuerState::Accepted | IssuerState::Sent | IssuerState::Unconfirmed,
            IssuerEvent::Outcome,
        ) => Decision::Close,
        (
            IssuerState::Accepted | IssuerState::Sent | IssuerState::Unconfirmed,
            IssuerEvent::Tick,
        )
        | (IssuerState::Closed, IssuerEvent::Ready | IssuerEvent::Tick | IssuerEvent::Outcome) => {
            Decision::Keep
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_AFTER: UtcMillis = UtcMillis(100_000);

    #[test]
    fn a_command_goes_again_after_silence_also_when_the_clock_was_set_back() {
        let sent_at = UtcMillis(100_000);
        let rows = [(100_000, false), (129_999, false), (130_000, true), (99_999, true), (0, true)];
        for (now, expected) in rows {
            assert_eq!(is_silent(sent_at, UtcMillis(now)), expected, "at {now}");
        }
    }

    #[test]
    fn every_state_meets_every_event_with_one_decision() {
        use Decision::{Cancel, Close, Expire, Keep, Send, SendAgain, TooLate, Unconfirmed};
        use IssuerState as S;
        // Columns: Ready, Tick, Cancel, Outcome; in time, just over, and long over.
        let rows = [
            (S::Accepted, 99_999, [Send, Keep, Cancel, Close]),
            (S::Accepted, 100_000, [Expire, Expire, Cancel, Close]),
            (S::Sent, 99_999, [SendAgain, Keep, TooLate, Close]),
            (S::Sent, 100_000, [SendAgain, Keep, TooLate, Close]),
            (S::Sent, 160_000, [SendAgain, Unconfirmed, TooLate, Close]),
            (S::Unconfirmed, 160_000, [SendAgain, Keep, TooLate, Close]),
            (S::Closed, 0, [Keep, Keep, TooLate, Keep]),
            (S::Closed, 160_000, [Keep, Keep, TooLate, Keep]),
        ];
        let events =
            [IssuerEvent::Ready, IssuerEvent::Tick, IssuerEvent::Cancel, IssuerEvent::Outcome];
        for (state, now, expected) in rows {
            for (event, expected) in events.into_iter().zip(expected) {
                let decision = decide(state, event, NOT_AFTER, UtcMillis(now));
                assert_eq!(decision, expected, "{state:?} {event:?} at {now}");
            }
        }
    }
}
