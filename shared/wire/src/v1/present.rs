//! Up: what is true at this moment.

use alloc::vec::Vec;

use fieldgate_model::{AlarmTransition, BootId, CatalogueId, UtcMillis};
use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};

use super::parts::{AlarmDto, millis};
use super::{columns, read, write};
use crate::Present;
use crate::error::{DecodeError, Wrong};

#[derive(Encode, Decode)]
#[cbor(map)]
struct PresentDto {
    #[n(0)]
    boot: ByteArray<16>,
    #[n(1)]
    at: u64,
    #[n(2)]
    utc_offset: Option<i64>,
    #[n(3)]
    catalogue: ByteArray<32>,
    #[n(4)]
    samples: ByteVec,
    #[n(5)]
    alarms: Vec<AlarmDto>,
}

/// The bytes of a Present; a message if they are at most
/// [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX).
///
/// Panics as [`encode_batch`](super::encode_batch) does over samples that nobody could read back.
pub fn encode_present(present: &Present) -> Vec<u8> {
    write(&PresentDto {
        boot: present.boot.0.into(),
        at: present.at.0,
        utc_offset: present.utc_offset.map(|offset| offset.0),
        catalogue: present.catalogue.0.into(),
        samples: columns::encode(&present.samples).into(),
        alarms: present.alarms.iter().map(AlarmDto::from).collect(),
    })
}

/// The Present in a message.
pub fn decode_present(bytes: &[u8]) -> Result<Present, DecodeError> {
    read::<PresentDto, Present>("present", bytes)
}

impl TryFrom<PresentDto> for Present {
    type Error = Wrong;

    fn try_from(dto: PresentDto) -> Result<Self, Wrong> {
        let alarms = dto.alarms.into_iter().map(AlarmTransition::try_from);
        Ok(Self {
            boot: BootId(dto.boot.into()),
            at: millis("at", dto.at)?,
            utc_offset: dto.utc_offset.map(UtcMillis),
            catalogue: CatalogueId(dto.catalogue.into()),
            samples: columns::decode(&dto.samples).map_err(|f| Wrong::new("samples", f))?,
            alarms: alarms.collect::<Result<_, _>>()?,
        })
    }
}
