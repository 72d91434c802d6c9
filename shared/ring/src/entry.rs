//! What a record says: one flush, what it seals, and how the lines stand.
//!
//! # Invariants
//!
//! - An entry that seals, seals everything that was flushed before it and with it; so what waits for
//!   a seal always lies in the entries behind the last one that did.
//! - An entry with lines is written when the database has taken everything before it.

use alloc::string::ToString;
use alloc::vec::Vec;

use fieldgate_model::{
    AlarmKey, AlarmState, Batch, BootId, Content, DeviceName, Digest, IncarnationId, Millis,
    Position, SignalName, Stream, UtcMillis,
};
use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};

/// The version that is written; another one is refused.
const VERSION: u8 = 1;

/// One flush.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The boot whose monotonic clock its times are on.
    pub boot: BootId,
    /// Everything that was taken in until then is durable with it.
    pub at: Millis,
    /// UTC minus monotonic time, for the batches that it seals.
    pub utc_offset: Option<UtcMillis>,
    /// What was taken in since the entry before.
    pub fragments: Vec<Content>,
    /// The batches that it seals.
    pub seals: Vec<Seal>,
    /// States of alarms that have changed.
    pub alarms: Vec<AlarmMark>,
    /// How the lines stand before its seals, oldest incarnation first.
    pub lines: Option<Vec<LineMark>>,
}

/// Name and chain of a batch that is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// Its incarnation.
    pub incarnation: IncarnationId,
    /// Its stream.
    pub stream: Stream,
    /// Its first position.
    pub first: Position,
    /// The position after it.
    pub next: Position,
    /// The chain before it.
    pub before: Digest,
    /// The chain after it.
    pub chain: Digest,
}

/// How far a line has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineMark {
    /// Its incarnation.
    pub incarnation: IncarnationId,
    /// Its stream.
    pub stream: Stream,
    /// Everything below may be evicted.
    pub released: Position,
    /// Everything below is sealed.
    pub stored: Position,
    /// The chain there.
    pub chain: Digest,
}

/// What an alarm must know after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmMark {
    /// Which alarm.
    pub key: AlarmKey,
    /// Its state.
    pub state: AlarmState,
    /// How often it has come.
    pub occurrence: u64,
    /// How often its state has changed.
    pub transition: u64,
}

/// Why bytes are not an entry. Their record is whole, so another version has written them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryError;

#[derive(Encode, Decode)]
#[cbor(map)]
struct EntryDto {
    #[n(0)]
    version: u8,
    #[n(1)]
    boot: ByteArray<16>,
    #[n(2)]
    at: u64,
    #[n(3)]
    utc_offset: Option<i64>,
    #[n(4)]
    fragments: Vec<ByteVec>,
    #[n(5)]
    seals: Vec<SealDto>,
    #[n(6)]
    alarms: Vec<AlarmDto>,
    #[n(7)]
    lines: Option<Vec<LineDto>>,
}

#[derive(Encode, Decode)]
struct SealDto {
    #[n(0)]
    incarnation: ByteArray<16>,
    #[n(1)]
    stream: u8,
    #[n(2)]
    first: u64,
    #[n(3)]
    next: u64,
    #[n(4)]
    before: ByteArray<32>,
    #[n(5)]
    chain: ByteArray<32>,
}

#[derive(Encode, Decode)]
struct LineDto {
    #[n(0)]
    incarnation: ByteArray<16>,
    #[n(1)]
    stream: u8,
    #[n(2)]
    released: u64,
    #[n(3)]
    stored: u64,
    #[n(4)]
    chain: ByteArray<32>,
}

#[derive(Encode, Decode)]
struct AlarmDto {
    #[n(0)]
    device: alloc::string::String,
    #[n(1)]
    alarm: alloc::string::String,
    #[n(2)]
    is_active: bool,
    #[n(3)]
    occurrence: u64,
    #[n(4)]
    transition: u64,
}

impl Entry {
    /// The bytes of its record's body.
    pub fn encode(&self) -> Vec<u8> {
        let dto = EntryDto {
            version: VERSION,
            boot: self.boot.0.into(),
            at: self.at.0,
            utc_offset: self.utc_offset.map(|offset| offset.0),
            fragments: self.fragments.iter().map(|c| self.encode_fragment(c).into()).collect(),
            seals: self.seals.iter().map(SealDto::from).collect(),
            alarms: self.alarms.iter().map(AlarmDto::from).collect(),
            lines: self.lines.as_ref().map(|lines| lines.iter().map(LineDto::from).collect()),
        };
        minicbor::to_vec(&dto).expect("a vector takes every byte")
    }

    /// The entry in a record's body.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let dto: EntryDto = minicbor::decode(bytes).map_err(|_| EntryError)?;
        if dto.version != VERSION {
            return Err(EntryError);
        }
        let fragment = |bytes: &ByteVec| {
            fieldgate_wire::decode_batch(bytes).map(|batch| batch.content).map_err(|_| EntryError)
        };
        let lines = dto.lines.map(|lines| lines.into_iter().map(LineMark::try_from).collect());
        Ok(Self {
            boot: BootId(dto.boot.into()),
            at: Millis(dto.at),
            utc_offset: dto.utc_offset.map(UtcMillis),
            fragments: dto.fragments.iter().map(fragment).collect::<Result<_, _>>()?,
            seals: dto.seals.into_iter().map(Seal::try_from).collect::<Result<_, _>>()?,
            alarms: dto.alarms.into_iter().map(AlarmMark::try_from).collect::<Result<_, _>>()?,
            lines: lines.transpose()?,
        })
    }

    /// A fragment is written like a batch without a place, so that one reader serves both.
    fn encode_fragment(&self, content: &Content) -> Vec<u8> {
        let (stream, count) = match content {
            Content::Samples { samples, .. } => (Stream::Samples, samples.len()),
            Content::Events(records) => (Stream::Events, records.len()),
            Content::Outcomes(records) => (Stream::Outcomes, records.len()),
            Content::Gap(_) => unreachable!("what is lost was never taken in"),
        };
        fieldgate_wire::encode_batch(&Batch {
            incarnation: IncarnationId([0; 16]),
            stream,
            first: Position(0),
            next: Position(count as u64),
            chain: Digest([0; 32]),
            boot: self.boot,
            utc_offset: None,
            content: content.clone(),
        })
    }
}

impl From<&Seal> for SealDto {
    fn from(seal: &Seal) -> Self {
        Self {
            incarnation: seal.incarnation.0.into(),
            stream: seal.stream.code(),
            first: seal.first.0,
            next: seal.next.0,
            before: seal.before.0.into(),
            chain: seal.chain.0.into(),
        }
    }
}

impl TryFrom<SealDto> for Seal {
    type Error = EntryError;

    fn try_from(dto: SealDto) -> Result<Self, EntryError> {
        Ok(Self {
            incarnation: IncarnationId(dto.incarnation.into()),
            stream: Stream::from_code(dto.stream).ok_or(EntryError)?,
            first: Position(dto.first),
            next: Position(dto.next),
            before: Digest(dto.before.into()),
            chain: Digest(dto.chain.into()),
        })
    }
}

impl From<&LineMark> for LineDto {
    fn from(line: &LineMark) -> Self {
        Self {
            incarnation: line.incarnation.0.into(),
            stream: line.stream.code(),
            released: line.released.0,
            stored: line.stored.0,
            chain: line.chain.0.into(),
        }
    }
}

impl TryFrom<LineDto> for LineMark {
    type Error = EntryError;

    fn try_from(dto: LineDto) -> Result<Self, EntryError> {
        Ok(Self {
            incarnation: IncarnationId(dto.incarnation.into()),
            stream: Stream::from_code(dto.stream).ok_or(EntryError)?,
            released: Position(dto.released),
            stored: Position(dto.stored),
            chain: Digest(dto.chain.into()),
        })
    }
}

impl From<&AlarmMark> for AlarmDto {
    fn from(mark: &AlarmMark) -> Self {
        Self {
            device: mark.key.device.to_string(),
            alarm: mark.key.alarm.to_string(),
            is_active: match mark.state {
                AlarmState::Active => true,
                AlarmState::Normal => false,
            },
            occurrence: mark.occurrence,
            transition: mark.transition,
        }
    }
}

impl TryFrom<AlarmDto> for AlarmMark {
    type Error = EntryError;

    fn try_from(dto: AlarmDto) -> Result<Self, EntryError> {
        let device = DeviceName::new(dto.device).map_err(|_| EntryError)?;
        let alarm = SignalName::new(dto.alarm).map_err(|_| EntryError)?;
        Ok(Self {
            key: AlarmKey { device, alarm },
            state: if dto.is_active { AlarmState::Active } else { AlarmState::Normal },
            occurrence: dto.occurrence,
            transition: dto.transition,
        })
    }
}
