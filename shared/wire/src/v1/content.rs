//! What a batch carries besides samples: events, outcomes, or the sign of a lost range.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use fieldgate_model::{
    AlarmTransition, CommandId, Event, EventRecord, Gap, Outcome, OutcomeRecord, UtcMillis,
};
use minicbor::{Decode, Encode};

use super::parts::{AlarmDto, OutcomeDto, id, millis, text, value_text};
use super::{codes, parse, write};
use crate::error::{DecodeError, Wrong};
use crate::limits::MESSAGE_BYTES_MAX;

#[derive(Encode, Decode)]
#[cbor(map)]
struct GapDto {
    #[n(0)]
    reason: u8,
    #[n(1)]
    from: u64,
    #[n(2)]
    to: u64,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct EventRecordDto {
    #[n(0)]
    at: u64,
    #[n(1)]
    event: EventDto,
}

#[derive(Encode, Decode)]
#[cbor(map)]
enum EventDto {
    #[n(0)]
    Alarm(#[n(0)] AlarmDto),
    #[n(1)]
    Anchor {
        #[n(0)]
        utc: i64,
        #[n(1)]
        error: u64,
        #[n(2)]
        source: u8,
    },
    #[n(2)]
    Restart {
        #[n(0)]
        last_durable: Option<u64>,
    },
    #[n(3)]
    LocalWrite {
        #[n(0)]
        uid: u32,
        #[n(1)]
        target: String,
        #[n(2)]
        value: String,
        #[n(3)]
        done: bool,
    },
    #[n(4)]
    Reset {
        #[n(0)]
        cause: u8,
    },
    #[n(5)]
    Command {
        #[n(0)]
        command: String,
        #[n(1)]
        step: u8,
    },
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct OutcomeRecordDto {
    #[n(0)]
    at: u64,
    #[n(1)]
    command: String,
    #[n(2)]
    outcome: OutcomeDto,
}

pub(super) fn encode_gap(gap: &Gap) -> Vec<u8> {
    write(&GapDto { reason: codes::of_gap_reason(gap.reason), from: gap.from.0, to: gap.to.0 })
}

pub(super) fn decode_gap(message: &'static str, bytes: &[u8]) -> Result<Gap, DecodeError> {
    let dto: GapDto = parse(message, bytes, MESSAGE_BYTES_MAX)?;
    gap(&dto).map_err(|wrong| wrong.within(message))
}

fn gap(dto: &GapDto) -> Result<Gap, Wrong> {
    Ok(Gap {
        reason: codes::to_gap_reason("reason", dto.reason)?,
        from: millis("from", dto.from)?,
        to: millis("to", dto.to)?,
        summary: None,
    })
}

pub(super) fn encode_events(records: &[EventRecord]) -> Vec<u8> {
    write(&records.iter().map(EventRecordDto::from).collect::<Vec<_>>())
}

pub(super) fn decode_events(
    message: &'static str,
    bytes: &[u8],
) -> Result<Vec<EventRecord>, DecodeError> {
    let dtos: Vec<EventRecordDto> = parse(message, bytes, MESSAGE_BYTES_MAX)?;
    let records = dtos.into_iter().map(EventRecord::try_from).collect::<Result<_, _>>();
    records.map_err(|wrong| wrong.within(message))
}

/// The bytes of an event in a batch, to be added up like
/// [`sample_bytes_max`](super::sample_bytes_max).
pub fn event_bytes(record: &EventRecord) -> usize {
    write(&EventRecordDto::from(record)).len()
}

/// The bytes of an outcome in a batch, to be added up like
/// [`sample_bytes_max`](super::sample_bytes_max).
pub fn outcome_bytes(record: &OutcomeRecord) -> usize {
    write(&OutcomeRecordDto::from(record)).len()
}

pub(super) fn encode_outcomes(records: &[OutcomeRecord]) -> Vec<u8> {
    write(&records.iter().map(OutcomeRecordDto::from).collect::<Vec<_>>())
}

pub(super) fn decode_outcomes(
    message: &'static str,
    bytes: &[u8],
) -> Result<Vec<OutcomeRecord>, DecodeError> {
    let dtos: Vec<OutcomeRecordDto> = parse(message, bytes, MESSAGE_BYTES_MAX)?;
    let records = dtos.into_iter().map(OutcomeRecord::try_from).collect::<Result<_, _>>();
    records.map_err(|wrong| wrong.within(message))
}

impl From<&EventRecord> for EventRecordDto {
    fn from(record: &EventRecord) -> Self {
        let event = match &record.event {
            Event::Alarm(transition) => EventDto::Alarm(transition.into()),
            Event::Anchor { utc, error, source } => EventDto::Anchor {
                utc: utc.0,
                error: error.0,
                source: codes::of_time_source(*source),
            },
            Event::Restart { last_durable } => {
                EventDto::Restart { last_durable: last_durable.map(|at| at.0) }
            }
            Event::Reset { cause } => EventDto::Reset { cause: codes::of_reset_cause(*cause) },
            Event::LocalWrite { uid, target, value, done } => EventDto::LocalWrite {
                uid: *uid,
                target: target.clone(),
                value: value.clone(),
                done: *done,
            },
            Event::Command { command, step } => EventDto::Command {
                command: command.to_string(),
                step: codes::of_command_step(*step),
            },
        };
        Self { at: record.at.0, event }
    }
}

impl TryFrom<EventRecordDto> for EventRecord {
    type Error = Wrong;

    fn try_from(dto: EventRecordDto) -> Result<Self, Wrong> {
        let event = match dto.event {
            EventDto::Alarm(alarm) => Event::Alarm(AlarmTransition::try_from(alarm)?),
            EventDto::Anchor { utc, error, source } => Event::Anchor {
                utc: UtcMillis(utc),
                error: millis("error", error)?,
                source: codes::to_time_source("source", source)?,
            },
            EventDto::Restart { last_durable } => Event::Restart {
                last_durable: last_durable.map(|at| millis("last_durable", at)).transpose()?,
            },
            EventDto::Reset { cause } => {
                Event::Reset { cause: codes::to_reset_cause("cause", cause)? }
            }
            EventDto::LocalWrite { uid, target, value, done } => Event::LocalWrite {
                uid,
                target: text("target", target)?,
                value: value_text("value", value)?,
                done,
            },
            EventDto::Command { command, step } => Event::Command {
                command: id("command", CommandId::new, command)?,
                step: codes::to_command_step("step", step)?,
            },
        };
        Ok(Self { at: millis("at", dto.at)?, event })
    }
}

impl From<&OutcomeRecord> for OutcomeRecordDto {
    fn from(record: &OutcomeRecord) -> Self {
        Self {
            at: record.at.0,
            command: record.command.to_string(),
            outcome: (&record.outcome).into(),
        }
    }
}

impl TryFrom<OutcomeRecordDto> for OutcomeRecord {
    type Error = Wrong;

    fn try_from(dto: OutcomeRecordDto) -> Result<Self, Wrong> {
        Ok(Self {
            at: millis("at", dto.at)?,
            command: id("command", CommandId::new, dto.command)?,
            outcome: Outcome::try_from(dto.outcome)?,
        })
    }
}
