//! Down: tell the present for a while.

use alloc::vec::Vec;

use fieldgate_model::{Owner, UtcMillis};
use minicbor::{Decode, Encode};

use super::parts::OwnerDto;
use super::{read, write};
use crate::Watch;
use crate::error::{DecodeError, Wrong};

#[derive(Encode, Decode)]
#[cbor(map)]
struct WatchDto {
    #[n(0)]
    owner: OwnerDto,
    #[n(1)]
    until: i64,
}

/// The bytes of a Watch.
pub fn encode_watch(watch: &Watch) -> Vec<u8> {
    write(&WatchDto { owner: (&watch.owner).into(), until: watch.until.0 })
}

/// The Watch in a message.
pub fn decode_watch(bytes: &[u8]) -> Result<Watch, DecodeError> {
    read::<WatchDto, Watch>("watch", bytes)
}

impl TryFrom<WatchDto> for Watch {
    type Error = Wrong;

    fn try_from(dto: WatchDto) -> Result<Self, Wrong> {
        Ok(Self { owner: Owner::try_from(dto.owner)?, until: UtcMillis(dto.until) })
    }
}
