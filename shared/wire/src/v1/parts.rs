//! Parts that several kinds of messages have.

use alloc::string::{String, ToString};

use fieldgate_model::{
    AlarmKey, AlarmTransition, Cursor, DeviceName, Digest, Epoch, IdError, IncarnationId,
    InstanceId, Millis, Outcome, Owner, Position, SignalName, Value, ValueKind,
};
use minicbor::bytes::ByteArray;
use minicbor::decode::Error as DecodeFailure;
use minicbor::encode::{Error as EncodeFailure, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};

use super::codes;
use crate::error::{Fault, Wrong};
use crate::limits::{NUMBER_MAX, SAMPLE_TEXT_BYTES_MAX, TEXT_BYTES_MAX};

/// A number that a database can store.
pub(super) fn number(field: &'static str, number: u64) -> Result<u64, Wrong> {
    if number > NUMBER_MAX {
        return Err(Wrong::new(field, Fault::TooLarge(number)));
    }
    Ok(number)
}

pub(super) fn millis(field: &'static str, millis: u64) -> Result<Millis, Wrong> {
    number(field, millis).map(Millis)
}

pub(super) fn position(field: &'static str, position: u64) -> Result<Position, Wrong> {
    number(field, position).map(Position)
}

/// A text id of any type.
pub(super) fn id<T>(
    field: &'static str,
    new: impl FnOnce(String) -> Result<T, IdError>,
    text: String,
) -> Result<T, Wrong> {
    new(text).map_err(|error| Wrong::new(field, Fault::Id(error)))
}

/// A text of at most [`TEXT_BYTES_MAX`] bytes.
pub(super) fn text(field: &'static str, text: String) -> Result<String, Wrong> {
    bounded(field, text, TEXT_BYTES_MAX)
}

/// A text of at most [`SAMPLE_TEXT_BYTES_MAX`] bytes.
pub(super) fn value_text(field: &'static str, text: String) -> Result<String, Wrong> {
    bounded(field, text, SAMPLE_TEXT_BYTES_MAX)
}

fn bounded(field: &'static str, text: String, max: usize) -> Result<String, Wrong> {
    if text.len() > max {
        return Err(Wrong::new(field, Fault::TooLong { length: text.len(), max }));
    }
    Ok(text)
}

#[derive(Encode, Decode)]
#[cbor(map)]
pub(super) struct OwnerDto {
    #[n(0)]
    instance: String,
    #[n(1)]
    epoch: u64,
}

impl From<&Owner> for OwnerDto {
    fn from(owner: &Owner) -> Self {
        Self { instance: owner.instance.to_string(), epoch: owner.epoch.0 }
    }
}

impl TryFrom<OwnerDto> for Owner {
    type Error = Wrong;

    fn try_from(dto: OwnerDto) -> Result<Self, Wrong> {
        Ok(Self {
            instance: id("instance", InstanceId::new, dto.instance)?,
            epoch: Epoch(number("epoch", dto.epoch)?),
        })
    }
}

/// `[kind, value]`.
///
/// Written by hand: the derive reads an optional enum of an unknown variant as absent, and a value
/// that vanishes would change the leaf of its batch.
pub(super) struct ValueDto(Value);

impl From<&Value> for ValueDto {
    fn from(value: &Value) -> Self {
        Self(value.clone())
    }
}

impl TryFrom<ValueDto> for Value {
    type Error = Wrong;

    fn try_from(dto: ValueDto) -> Result<Self, Wrong> {
        match dto.0 {
            Self::Text(text) => value_text("value", text).map(Self::Text),
            number @ (Self::Bool(_)
            | Self::Int(_)
            | Self::Unsigned(_)
            | Self::Float32(_)
            | Self::Float64(_)) => Ok(number),
        }
    }
}

impl<C> Encode<C> for ValueDto {
    fn encode<W: Write>(
        &self,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeFailure<W::Error>> {
        encoder.array(2)?.u8(codes::of_value_kind(self.0.kind()))?;
        match &self.0 {
            Value::Bool(on) => encoder.bool(*on)?,
            Value::Int(int) => encoder.i64(*int)?,
            Value::Unsigned(unsigned) => encoder.u64(*unsigned)?,
            Value::Float32(float) => encoder.f32(*float)?,
            Value::Float64(float) => encoder.f64(*float)?,
            Value::Text(text) => encoder.str(text)?,
        };
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for ValueDto {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeFailure> {
        if decoder.array()? != Some(2) {
            return Err(DecodeFailure::message("a value is an array of 2"));
        }
        let kind = codes::to_value_kind("value", decoder.u8()?)
            .map_err(|_| DecodeFailure::message("the kind of the value is not known"))?;
        Ok(Self(match kind {
            ValueKind::Bool => Value::Bool(decoder.bool()?),
            ValueKind::Int => Value::Int(decoder.i64()?),
            ValueKind::Unsigned => Value::Unsigned(decoder.u64()?),
            ValueKind::Float32 => Value::Float32(decoder.f32()?),
            ValueKind::Float64 => Value::Float64(decoder.f64()?),
            ValueKind::Text => Value::Text(decoder.str()?.to_string()),
        }))
    }
}

#[derive(Encode, Decode)]
#[cbor(map)]
pub(super) struct AlarmDto {
    #[n(0)]
    device: String,
    #[n(1)]
    alarm: String,
    #[n(2)]
    occurrence: u64,
    #[n(3)]
    transition: u64,
    #[n(4)]
    state: u8,
    #[n(5)]
    severity: u8,
    #[n(6)]
    signal: String,
    #[n(7)]
    value: f64,
    #[n(8)]
    limit: f64,
    #[n(9)]
    message: String,
}

impl From<&AlarmTransition> for AlarmDto {
    fn from(transition: &AlarmTransition) -> Self {
        Self {
            device: transition.key.device.to_string(),
            alarm: transition.key.alarm.to_string(),
            occurrence: transition.occurrence,
            transition: transition.transition,
            state: codes::of_alarm_state(transition.state),
            severity: codes::of_severity(transition.severity),
            signal: transition.signal.to_string(),
            value: transition.value,
            limit: transition.limit,
            message: transition.message.clone(),
        }
    }
}

impl TryFrom<AlarmDto> for AlarmTransition {
    type Error = Wrong;

    fn try_from(dto: AlarmDto) -> Result<Self, Wrong> {
        Ok(Self {
            key: AlarmKey {
                device: id("device", DeviceName::new, dto.device)?,
                alarm: id("alarm", SignalName::new, dto.alarm)?,
            },
            occurrence: number("occurrence", dto.occurrence)?,
            transition: number("transition", dto.transition)?,
            state: codes::to_alarm_state("state", dto.state)?,
            severity: codes::to_severity("severity", dto.severity)?,
            signal: id("signal", SignalName::new, dto.signal)?,
            value: dto.value,
            limit: dto.limit,
            message: text("message", dto.message)?,
        })
    }
}

#[derive(Encode, Decode)]
#[cbor(map)]
pub(super) enum OutcomeDto {
    #[n(0)]
    Done {
        #[n(0)]
        read_back: Option<ValueDto>,
    },
    #[n(1)]
    Failed {
        #[n(0)]
        kind: u8,
        #[n(1)]
        reason: String,
    },
    #[n(2)]
    Expired,
    #[n(3)]
    Cancelled,
    #[n(4)]
    Interrupted,
}

impl From<&Outcome> for OutcomeDto {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Done { read_back } => {
                Self::Done { read_back: read_back.as_ref().map(ValueDto::from) }
            }
            Outcome::Failed { kind, reason } => {
                Self::Failed { kind: codes::of_failure_kind(*kind), reason: reason.clone() }
            }
            Outcome::Expired => Self::Expired,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Interrupted => Self::Interrupted,
        }
    }
}

impl TryFrom<OutcomeDto> for Outcome {
    type Error = Wrong;

    fn try_from(dto: OutcomeDto) -> Result<Self, Wrong> {
        Ok(match dto {
            OutcomeDto::Done { read_back } => {
                Self::Done { read_back: read_back.map(Value::try_from).transpose()? }
            }
            OutcomeDto::Failed { kind, reason } => Self::Failed {
                kind: codes::to_failure_kind("kind", kind)?,
                reason: text("reason", reason)?,
            },
            OutcomeDto::Expired => Self::Expired,
            OutcomeDto::Cancelled => Self::Cancelled,
            OutcomeDto::Interrupted => Self::Interrupted,
        })
    }
}

#[derive(Encode, Decode)]
#[cbor(map)]
pub(super) struct CursorDto {
    #[n(0)]
    pub(super) incarnation: ByteArray<16>,
    #[n(1)]
    pub(super) stream: u8,
    #[n(2)]
    pub(super) committed: u64,
    #[n(3)]
    pub(super) chain: ByteArray<32>,
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
