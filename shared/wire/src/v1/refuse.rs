//! Down: a message that will never be taken.

use alloc::string::String;
use alloc::vec::Vec;

use fieldgate_model::{Digest, Owner};
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::parts::{OwnerDto, text};
use super::{read, write};
use crate::Refuse;
use crate::error::{DecodeError, Wrong};

#[derive(Encode, Decode)]
#[cbor(map)]
struct RefuseDto {
    #[n(0)]
    owner: OwnerDto,
    #[n(1)]
    message: ByteArray<32>,
    #[n(2)]
    reason: String,
}

/// The bytes of a Refuse.
pub fn encode_refuse(refuse: &Refuse) -> Vec<u8> {
    write(&RefuseDto {
        owner: (&refuse.owner).into(),
        message: refuse.message.0.into(),
        reason: refuse.reason.clone(),
    })
}

/// The Refuse in a message.
pub fn decode_refuse(bytes: &[u8]) -> Result<Refuse, DecodeError> {
    read::<RefuseDto, Refuse>("refuse", bytes)
}

impl TryFrom<RefuseDto> for Refuse {
    type Error = Wrong;

    fn try_from(dto: RefuseDto) -> Result<Self, Wrong> {
        Ok(Self {
            owner: Owner::try_from(dto.owner)?,
            message: Digest(dto.message.into()),
            reason: text("reason", dto.reason)?,
        })
    }
}
