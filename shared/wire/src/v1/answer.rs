//! Up: a reply that makes no history.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use fieldgate_model::{CommandId, Epoch, Outcome, Owner};
use minicbor::{Decode, Encode};

use super::parts::{OutcomeDto, OwnerDto, id, number};
use super::{codes, read, write};
use crate::error::{DecodeError, Wrong};
use crate::{Answer, JournalState};

#[derive(Encode, Decode)]
#[cbor(map)]
enum AnswerDto {
    #[n(0)]
    Stale {
        #[n(0)]
        owner: Option<OwnerDto>,
        #[n(1)]
        burned: u64,
        #[n(2)]
        what: u8,
    },
    #[n(1)]
    Command {
        #[n(0)]
        command: String,
        #[n(1)]
        state: JournalStateDto,
    },
}

#[derive(Encode, Decode)]
#[cbor(map)]
enum JournalStateDto {
    #[n(0)]
    Received,
    #[n(1)]
    Started,
    #[n(2)]
    Closed(#[n(0)] OutcomeDto),
}

/// The bytes of an answer.
pub fn encode_answer(answer: &Answer) -> Vec<u8> {
    write(&match answer {
        Answer::Stale { owner, burned, what } => AnswerDto::Stale {
            owner: owner.as_ref().map(OwnerDto::from),
            burned: burned.0,
            what: codes::of_down_kind(*what),
        },
        Answer::Command { command, state } => {
            AnswerDto::Command { command: command.to_string(), state: state.into() }
        }
    })
}

/// The answer in a message.
pub fn decode_answer(bytes: &[u8]) -> Result<Answer, DecodeError> {
    read::<AnswerDto, Answer>("answer", bytes)
}

impl TryFrom<AnswerDto> for Answer {
    type Error = Wrong;

    fn try_from(dto: AnswerDto) -> Result<Self, Wrong> {
        Ok(match dto {
            AnswerDto::Stale { owner, burned, what } => Self::Stale {
                owner: owner.map(Owner::try_from).transpose()?,
                burned: Epoch(number("burned", burned)?),
                what: codes::to_down_kind("what", what)?,
            },
            AnswerDto::Command { command, state } => Self::Command {
                command: id("command", CommandId::new, command)?,
                state: JournalState::try_from(state)?,
            },
        })
    }
}

impl From<&JournalState> for JournalStateDto {
    fn from(state: &JournalState) -> Self {
        match state {
            JournalState::Received => Self::Received,
            JournalState::Started => Self::Started,
            JournalState::Closed(outcome) => Self::Closed(outcome.into()),
        }
    }
}

impl TryFrom<JournalStateDto> for JournalState {
    type Error = Wrong;

    fn try_from(dto: JournalStateDto) -> Result<Self, Wrong> {
        Ok(match dto {
            JournalStateDto::Received => Self::Received,
            JournalStateDto::Started => Self::Started,
            JournalStateDto::Closed(outcome) => Self::Closed(Outcome::try_from(outcome)?),
        })
    }
}
