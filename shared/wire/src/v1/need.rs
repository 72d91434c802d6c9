//! Down: an instance lacks a catalogue.

use alloc::vec::Vec;

use fieldgate_model::{CatalogueId, Owner};
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::parts::OwnerDto;
use super::{read, write};
use crate::Need;
use crate::error::{DecodeError, Wrong};

#[derive(Encode, Decode)]
#[cbor(map)]
struct NeedDto {
    #[n(0)]
    owner: OwnerDto,
    #[n(1)]
    catalogue: ByteArray<32>,
}

/// The bytes of a Need.
pub fn encode_need(need: &Need) -> Vec<u8> {
    write(&NeedDto { owner: (&need.owner).into(), catalogue: need.catalogue.0.into() })
}

/// The Need in a message.
pub fn decode_need(bytes: &[u8]) -> Result<Need, DecodeError> {
    read::<NeedDto, Need>("need", bytes)
}

impl TryFrom<NeedDto> for Need {
    type Error = Wrong;

    fn try_from(dto: NeedDto) -> Result<Self, Wrong> {
        let catalogue = CatalogueId(dto.catalogue.into());
        Ok(Self { owner: Owner::try_from(dto.owner)?, catalogue })
    }
}
