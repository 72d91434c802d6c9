//! Down: how far an instance has taken a stream.

use alloc::vec::Vec;

use fieldgate_model::{IncarnationId, Owner};
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::parts::{OwnerDto, position};
use super::{codes, read, write};
use crate::Ack;
use crate::error::{DecodeError, Fault, Wrong};

#[derive(Encode, Decode)]
#[cbor(map)]
struct AckDto {
    #[n(0)]
    owner: OwnerDto,
    #[n(1)]
    incarnation: ByteArray<16>,
    #[n(2)]
    stream: u8,
    #[n(3)]
    committed: u64,
    #[n(4)]
    releasable: u64,
}

/// The bytes of an Ack.
pub fn encode_ack(ack: &Ack) -> Vec<u8> {
    write(&AckDto {
        owner: (&ack.owner).into(),
        incarnation: ack.incarnation.0.into(),
        stream: ack.stream.code(),
        committed: ack.committed.0,
        releasable: ack.releasable.0,
    })
}

/// The Ack in a message; one that releases what it has not committed is refused.
pub fn decode_ack(bytes: &[u8]) -> Result<Ack, DecodeError> {
    read::<AckDto, Ack>("ack", bytes)
}

impl TryFrom<AckDto> for Ack {
    type Error = Wrong;

    fn try_from(dto: AckDto) -> Result<Self, Wrong> {
        let committed = position("committed", dto.committed)?;
        let releasable = position("releasable", dto.releasable)?;
        if releasable > committed {
            return Err(Wrong::new("releasable", Fault::Broken("more than is committed")));
        }
        Ok(Self {
            owner: Owner::try_from(dto.owner)?,
            incarnation: IncarnationId(dto.incarnation.into()),
            stream: codes::to_stream(dto.stream)?,
            committed,
            releasable,
        })
    }
}
