//! Down: how far an instance has taken a stream.

use alloc::vec::Vec;

use fieldgate_model::{Cursor, Owner};
use minicbor::{Decode, Encode};

use super::parts::{CursorDto, OwnerDto, position};
use super::{read, write};
use crate::Ack;
use crate::error::{DecodeError, Fault, Wrong};

#[derive(Encode, Decode)]
#[cbor(map)]
struct AckDto {
    #[n(0)]
    owner: OwnerDto,
    #[n(1)]
    cursor: CursorDto,
    #[n(2)]
    releasable: u64,
}

/// The bytes of an Ack.
pub fn encode_ack(ack: &Ack) -> Vec<u8> {
    write(&AckDto {
        owner: (&ack.owner).into(),
        cursor: (&ack.cursor).into(),
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
        let cursor = Cursor::try_from(dto.cursor)?;
        let releasable = position("releasable", dto.releasable)?;
        if releasable > cursor.committed {
            return Err(Wrong::new("releasable", Fault::Broken("more than is committed")));
        }
        Ok(Self { owner: Owner::try_from(dto.owner)?, cursor, releasable })
    }
}
