//! Down: an instance accepts a gateway.

use alloc::vec::Vec;

use fieldgate_model::{Cursor, Digest, IncarnationId, Owner, UtcMillis, Welcome};
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::parts::{OwnerDto, position};
use super::{codes, read, write};
use crate::error::{DecodeError, Wrong};

#[derive(Encode, Decode)]
#[cbor(map)]
struct WelcomeDto {
    #[n(0)]
    owner: OwnerDto,
    #[n(1)]
    utc: i64,
    #[n(2)]
    cursors: Vec<CursorDto>,
    #[n(3)]
    contested: bool,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct CursorDto {
    #[n(0)]
    incarnation: ByteArray<16>,
    #[n(1)]
    stream: u8,
    #[n(2)]
    committed: u64,
    #[n(3)]
    chain: ByteArray<32>,
}

/// The bytes of a Welcome.
pub fn encode_welcome(welcome: &Welcome) -> Vec<u8> {
    write(&WelcomeDto {
        owner: (&welcome.owner).into(),
        utc: welcome.utc.0,
        cursors: welcome.cursors.iter().map(CursorDto::from).collect(),
        contested: welcome.contested,
    })
}

/// The Welcome in a message.
pub fn decode_welcome(bytes: &[u8]) -> Result<Welcome, DecodeError> {
    read::<WelcomeDto, Welcome>("welcome", bytes)
}

impl TryFrom<WelcomeDto> for Welcome {
    type Error = Wrong;

    fn try_from(dto: WelcomeDto) -> Result<Self, Wrong> {
        Ok(Self {
            owner: Owner::try_from(dto.owner)?,
            utc: UtcMillis(dto.utc),
            cursors: dto.cursors.into_iter().map(Cursor::try_from).collect::<Result<_, _>>()?,
            contested: dto.contested,
        })
    }
}

impl From<&Cursor> for CursorDto {
    fn from(cursor: &Cursor) -> Self {
        Self {
            incarnation: cursor.incarnation.0.into(),
            stream: cursor.stream.code(),
            committed: cursor.committed.0,
            chain: cursor.chain.0.into(),
        }
    }
}

impl TryFrom<CursorDto> for Cursor {
    type Error = Wrong;

    fn try_from(dto: CursorDto) -> Result<Self, Wrong> {
        Ok(Self {
            incarnation: IncarnationId(dto.incarnation.into()),
            stream: codes::to_stream(dto.stream)?,
            committed: position("committed", dto.committed)?,
            chain: Digest(dto.chain.into()),
        })
    }
}
