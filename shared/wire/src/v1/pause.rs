//! Down: send no batch for a while.

use alloc::vec::Vec;

use fieldgate_model::Owner;
use minicbor::{Decode, Encode};

use super::parts::{OwnerDto, millis};
use super::{codes, read, write};
use crate::Pause;
use crate::error::{DecodeError, Wrong};

#[derive(Encode, Decode)]
#[cbor(map)]
struct PauseDto {
    #[n(0)]
    owner: OwnerDto,
    #[n(1)]
    reason: u8,
    #[n(2)]
    retry_after: u64,
}

/// The bytes of a Pause.
pub fn encode_pause(pause: &Pause) -> Vec<u8> {
    write(&PauseDto {
        owner: (&pause.owner).into(),
        reason: codes::of_pause_reason(pause.reason),
        retry_after: pause.retry_after.0,
    })
}

/// The Pause in a message.
pub fn decode_pause(bytes: &[u8]) -> Result<Pause, DecodeError> {
    read::<PauseDto, Pause>("pause", bytes)
}

impl TryFrom<PauseDto> for Pause {
    type Error = Wrong;

    fn try_from(dto: PauseDto) -> Result<Self, Wrong> {
        Ok(Self {
            owner: Owner::try_from(dto.owner)?,
            reason: codes::to_pause_reason("reason", dto.reason)?,
            retry_after: millis("retry_after", dto.retry_after)?,
        })
    }
}
