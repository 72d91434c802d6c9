//! Up: a gateway introduces itself.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use fieldgate_model::{
    BootId, Digest, Doubt, Epoch, GatewayId, Head, Hello, IncarnationId, Owner, UtcMillis,
};
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::parts::{OwnerDto, id, millis, number, position, text};
use super::{codes, read, write};
use crate::error::{DecodeError, Wrong};

#[derive(Encode, Decode)]
#[cbor(map)]
struct HelloDto {
    #[n(0)]
    gateway: String,
    #[n(1)]
    boot: ByteArray<16>,
    #[n(2)]
    owner: Option<OwnerDto>,
    #[n(3)]
    burned: u64,
    #[n(4)]
    heads: Vec<HeadDto>,
    #[n(5)]
    open_commands: u32,
    #[n(6)]
    generation: u64,
    #[n(7)]
    software: String,
    #[n(8)]
    at: u64,
    #[n(9)]
    utc: Option<i64>,
    #[n(10)]
    doubt: Option<DoubtDto>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct DoubtDto {
    #[n(0)]
    cause: u8,
    #[n(1)]
    since: Option<u64>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct HeadDto {
    #[n(0)]
    incarnation: ByteArray<16>,
    #[n(1)]
    stream: u8,
    #[n(2)]
    first: u64,
    #[n(3)]
    next: u64,
    #[n(4)]
    chain: ByteArray<32>,
}

/// The bytes of a Hello. Some 700 heads fill a message; a buffer has fewer incarnations than that.
pub fn encode_hello(hello: &Hello) -> Vec<u8> {
    write(&HelloDto {
        gateway: hello.gateway.to_string(),
        boot: hello.boot.0.into(),
        owner: hello.owner.as_ref().map(OwnerDto::from),
        burned: hello.burned.0,
        heads: hello.heads.iter().map(HeadDto::from).collect(),
        open_commands: hello.open_commands,
        generation: hello.generation,
        software: hello.software.clone(),
        at: hello.at.0,
        utc: hello.utc.map(|utc| utc.0),
        doubt: hello.doubt.map(|doubt| DoubtDto {
            cause: codes::of_doubt_cause(doubt.cause),
            since: doubt.since,
        }),
    })
}

/// The Hello in a message.
pub fn decode_hello(bytes: &[u8]) -> Result<Hello, DecodeError> {
    read::<HelloDto, Hello>("hello", bytes)
}

impl TryFrom<HelloDto> for Hello {
    type Error = Wrong;

    fn try_from(dto: HelloDto) -> Result<Self, Wrong> {
        Ok(Self {
            gateway: id("gateway", GatewayId::new, dto.gateway)?,
            boot: BootId(dto.boot.into()),
            owner: dto.owner.map(Owner::try_from).transpose()?,
            burned: Epoch(number("burned", dto.burned)?),
            heads: dto.heads.into_iter().map(Head::try_from).collect::<Result<_, _>>()?,
            open_commands: dto.open_commands,
            generation: number("generation", dto.generation)?,
            software: text("software", dto.software)?,
            at: millis("at", dto.at)?,
            utc: dto.utc.map(UtcMillis),
            doubt: dto.doubt.map(Doubt::try_from).transpose()?,
        })
    }
}

impl TryFrom<DoubtDto> for Doubt {
    type Error = Wrong;

    fn try_from(dto: DoubtDto) -> Result<Self, Wrong> {
        Ok(Self {
            cause: codes::to_doubt_cause("cause", dto.cause)?,
            since: dto.since.map(|since| number("since", since)).transpose()?,
        })
    }
}

impl From<&Head> for HeadDto {
    fn from(head: &Head) -> Self {
        Self {
            incarnation: head.incarnation.0.into(),
            stream: head.stream.code(),
            first: head.first.0,
            next: head.next.0,
            chain: head.chain.0.into(),
        }
    }
}

impl TryFrom<HeadDto> for Head {
    type Error = Wrong;

    fn try_from(dto: HeadDto) -> Result<Self, Wrong> {
        Ok(Self {
            incarnation: IncarnationId(dto.incarnation.into()),
            stream: codes::to_stream(dto.stream)?,
            first: position("first", dto.first)?,
            next: position("next", dto.next)?,
            chain: Digest(dto.chain.into()),
        })
    }
}
