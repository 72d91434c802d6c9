//! Down: an instance accepts a gateway.

use alloc::vec::Vec;

use fieldgate_model::{Cursor, Owner, UtcMillis, Welcome};
use minicbor::{Decode, Encode};

use super::parts::{CursorDto, OwnerDto, number};
use super::{read, write};
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
    #[n(4)]
    readopted: Option<u64>,
}

/// The bytes of a Welcome.
pub fn encode_welcome(welcome: &Welcome) -> Vec<u8> {
    write(&WelcomeDto {
        owner: (&welcome.owner).into(),
        utc: welcome.utc.0,
        cursors: welcome.cursors.iter().map(CursorDto::from).collect(),
        contested: welcome.contested,
        // 0 is what its absence says.
        readopted: Some(welcome.readopted).filter(|count| *count > 0),
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
            readopted: number("readopted", dto.readopted.unwrap_or(0))?,
        })
    }
}
