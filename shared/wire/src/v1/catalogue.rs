//! Up: a catalogue, in chunks, and how its receiver puts them together.
//!
//! # Invariants
//!
//! - A catalogue is named by the hash of its bytes as they were sent, so it can be checked and
//!   stored even by a receiver that does not understand all of it.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use fieldgate_model::{
    Catalogue, CatalogueDevice, CatalogueId, CatalogueSignal, DeviceName, Scale, SignalName,
};
use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};

use super::parts::{id, text};
use super::{codes, parse, read, write};
use crate::CatalogueChunk;
use crate::chain::bytes_id;
use crate::error::{DecodeError, Fault, Wrong};
use crate::limits::{CATALOGUE_BYTES_MAX, CHUNK_BYTES};

const MESSAGE: &str = "catalogue";

/// Most chunks of a catalogue.
const CHUNKS_MAX: usize = CATALOGUE_BYTES_MAX.div_ceil(CHUNK_BYTES);

#[derive(Encode, Decode)]
#[cbor(map)]
struct CatalogueDto {
    #[n(0)]
    devices: Vec<DeviceDto>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct DeviceDto {
    #[n(0)]
    name: String,
    #[n(1)]
    profile: String,
    #[n(2)]
    signals: Vec<SignalDto>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct SignalDto {
    #[n(0)]
    name: String,
    #[n(1)]
    kind: u8,
    #[n(2)]
    unit: String,
    #[n(3)]
    mantissa: i64,
    #[n(4)]
    exponent: i8,
    #[n(5)]
    offset: f64,
    #[n(6)]
    writable: bool,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct ChunkDto {
    #[n(0)]
    catalogue: ByteArray<32>,
    #[n(1)]
    index: u16,
    #[n(2)]
    count: u16,
    #[n(3)]
    bytes: ByteVec,
}

/// Why a chunk was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReassemblyError {
    /// The chunk is of another catalogue.
    #[error("chunk belongs to catalogue `{0}`")]
    Foreign(CatalogueId),
    /// All chunks are there and do not hash to the catalogue's name; all were dropped.
    #[error("chunks hash to `{0}`, not to the catalogue's name")]
    Hash(CatalogueId),
}

/// The chunks of one catalogue that have arrived: at most [`CATALOGUE_BYTES_MAX`] bytes.
#[derive(Debug)]
pub struct Reassembly {
    catalogue: CatalogueId,
    count: u16,
    bytes_by_index: BTreeMap<u16, Vec<u8>>,
}

impl Reassembly {
    /// Nothing of `catalogue` has arrived.
    pub const fn new(catalogue: CatalogueId) -> Self {
        Self { catalogue, count: 0, bytes_by_index: BTreeMap::new() }
    }

    /// The catalogue that is waited for.
    pub const fn catalogue(&self) -> CatalogueId {
        self.catalogue
    }

    /// Takes a chunk, in any order and any number of times; with the last one gives the bytes of
    /// the catalogue, whose hash is its name.
    pub fn handle_chunk(
        &mut self,
        chunk: CatalogueChunk,
    ) -> Result<Option<Vec<u8>>, ReassemblyError> {
        if chunk.catalogue != self.catalogue {
            return Err(ReassemblyError::Foreign(chunk.catalogue));
        }
        // A sender that was updated meanwhile may cut in another way.
        if chunk.count != self.count {
            self.bytes_by_index.clear();
            self.count = chunk.count;
        }
        self.bytes_by_index.insert(chunk.index, chunk.bytes);
        if self.bytes_by_index.len() < usize::from(self.count) {
            return Ok(None);
        }
        let bytes: Vec<u8> =
            core::mem::take(&mut self.bytes_by_index).into_values().flatten().collect();
        match bytes_id(&bytes) {
            id if id == self.catalogue => Ok(Some(bytes)),
            other => Err(ReassemblyError::Hash(other)),
        }
    }
}

/// The bytes of a catalogue, which its name is the hash of; not a message but cut into chunks.
pub fn encode_catalogue(catalogue: &Catalogue) -> Vec<u8> {
    write(&CatalogueDto { devices: catalogue.devices.iter().map(DeviceDto::from).collect() })
}

/// The catalogue in the bytes that a [`Reassembly`] gave.
pub fn decode_catalogue(bytes: &[u8]) -> Result<Catalogue, DecodeError> {
    let dto: CatalogueDto = parse(MESSAGE, bytes, CATALOGUE_BYTES_MAX)?;
    let devices = dto.devices.into_iter().map(CatalogueDevice::try_from).collect();
    let devices: Result<_, Wrong> = devices;
    Ok(Catalogue { devices: devices.map_err(|wrong| wrong.within(MESSAGE))? })
}

/// The chunks of a catalogue. One of more than [`CATALOGUE_BYTES_MAX`] bytes is refused by every
/// receiver, so a configuration that leads to one is refused before.
pub fn chunk_catalogue(catalogue: &Catalogue) -> Vec<CatalogueChunk> {
    let bytes = encode_catalogue(catalogue);
    let id = bytes_id(&bytes);
    let chunks = bytes.chunks(CHUNK_BYTES);
    let count = u16::try_from(chunks.len()).unwrap_or(u16::MAX);
    (0..count)
        .zip(chunks)
        .map(|(index, bytes)| CatalogueChunk { catalogue: id, index, count, bytes: bytes.to_vec() })
        .collect()
}

/// The bytes of a chunk.
pub fn encode_catalogue_chunk(chunk: &CatalogueChunk) -> Vec<u8> {
    write(&ChunkDto {
        catalogue: chunk.catalogue.0.into(),
        index: chunk.index,
        count: chunk.count,
        bytes: chunk.bytes.clone().into(),
    })
}

/// The chunk in a message.
pub fn decode_catalogue_chunk(bytes: &[u8]) -> Result<CatalogueChunk, DecodeError> {
    read::<ChunkDto, CatalogueChunk>(MESSAGE, bytes)
}

impl TryFrom<ChunkDto> for CatalogueChunk {
    type Error = Wrong;

    fn try_from(dto: ChunkDto) -> Result<Self, Wrong> {
        let too_long = |length, max| Fault::TooLong { length, max };
        if usize::from(dto.count) > CHUNKS_MAX {
            return Err(Wrong::new("count", too_long(dto.count.into(), CHUNKS_MAX)));
        }
        if dto.index >= dto.count {
            return Err(Wrong::new("index", Fault::Broken("not below the count")));
        }
        if dto.bytes.len() > CHUNK_BYTES {
            return Err(Wrong::new("bytes", too_long(dto.bytes.len(), CHUNK_BYTES)));
        }
        Ok(Self {
            catalogue: CatalogueId(dto.catalogue.into()),
            index: dto.index,
            count: dto.count,
            bytes: dto.bytes.into(),
        })
    }
}

impl From<&CatalogueDevice> for DeviceDto {
    fn from(device: &CatalogueDevice) -> Self {
        Self {
            name: device.name.to_string(),
            profile: device.profile.clone(),
            signals: device.signals.iter().map(SignalDto::from).collect(),
        }
    }
}

impl TryFrom<DeviceDto> for CatalogueDevice {
    type Error = Wrong;

    fn try_from(dto: DeviceDto) -> Result<Self, Wrong> {
        let signals = dto.signals.into_iter().map(CatalogueSignal::try_from);
        Ok(Self {
            name: id("name", DeviceName::new, dto.name)?,
            profile: text("profile", dto.profile)?,
            signals: signals.collect::<Result<_, _>>()?,
        })
    }
}

impl From<&CatalogueSignal> for SignalDto {
    fn from(signal: &CatalogueSignal) -> Self {
        let (mantissa, exponent, offset) = signal.scale.parts();
        Self {
            name: signal.name.to_string(),
            kind: codes::of_value_kind(signal.kind),
            unit: signal.unit.clone(),
            mantissa,
            exponent,
            offset,
            writable: signal.writable,
        }
    }
}

impl TryFrom<SignalDto> for CatalogueSignal {
    type Error = Wrong;

    fn try_from(dto: SignalDto) -> Result<Self, Wrong> {
        let scale = Scale::from_parts(dto.mantissa, dto.exponent, dto.offset)
            .map_err(|_| Wrong::new("scale", Fault::Broken("zero, too fine or not finite")))?;
        Ok(Self {
            name: id("name", SignalName::new, dto.name)?,
            kind: codes::to_value_kind("kind", dto.kind)?,
            unit: text("unit", dto.unit)?,
            scale,
            writable: dto.writable,
        })
    }
}
