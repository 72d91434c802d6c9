//! What is encoded comes back exactly, over many generated values.

use core::fmt::Debug;

use fieldgate_model::{
    Action, AlarmKey, AlarmState, AlarmTransition, Batch, BootId, Catalogue, CatalogueDevice,
    CatalogueId, CatalogueSignal, Cause, Command, CommandId, CommandStep, Content, Cursor,
    DeviceName, Digest, Doubt, DoubtCause, Epoch, Event, EventRecord, FailureKind, Gap, GapReason,
    GatewayId, Head, Hello, IncarnationId, InstanceId, Millis, Minute, Outcome, OutcomeRecord,
    Owner, Position, Quality, ResetCause, Sample, Scale, Severity, SignalIndex, SignalName, Stream,
    Summary, TimeSource, UtcMillis, Value, ValueKind, Welcome,
};
use fieldgate_wire::{
    Ack, Answer, CatalogueChunk, CommandMessage, DecodeError, DownKind, JournalState, Need, Pause,
    PauseReason, Present, Refuse, Watch, leaf, v1,
};

use crate::rng::Rng;

/// Enough to see every branch of every generator many times.
const ROUNDS: u64 = 300;

fn check<M: PartialEq + Debug>(
    make: impl Fn(&mut Rng) -> M,
    encode: impl Fn(&M) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Result<M, DecodeError>,
) {
    for seed in 0..ROUNDS {
        let message = make(&mut Rng::new(seed));
        assert_eq!(decode(&encode(&message)).as_ref(), Ok(&message), "seed {seed}");
    }
}

#[test]
fn a_batch_comes_back_exactly_and_keeps_its_leaf() {
    for seed in 0..ROUNDS {
        let batch = batch(&mut Rng::new(seed));
        let back = v1::decode_batch(&v1::encode_batch(&batch)).expect("what was encoded");
        assert_eq!(back, batch, "seed {seed}");
        assert_eq!(leaf(&back), leaf(&batch), "seed {seed}");
    }
}

#[test]
fn every_message_up_comes_back_exactly() {
    check(hello, v1::encode_hello, v1::decode_hello);
    check(present, v1::encode_present, v1::decode_present);
    check(answer, v1::encode_answer, v1::decode_answer);
    check(catalogue, v1::encode_catalogue, v1::decode_catalogue);
    check(chunk, v1::encode_catalogue_chunk, v1::decode_catalogue_chunk);
}

#[test]
fn every_message_down_comes_back_exactly() {
    check(welcome, v1::encode_welcome, v1::decode_welcome);
    check(ack, v1::encode_ack, v1::decode_ack);
    check(
        |rng| Need { owner: owner(rng), catalogue: CatalogueId(rng.bytes()) },
        v1::encode_need,
        v1::decode_need,
    );
    check(pause, v1::encode_pause, v1::decode_pause);
    check(
        |rng| Watch { owner: owner(rng), until: UtcMillis(rng.signed()) },
        v1::encode_watch,
        v1::decode_watch,
    );
    check(command, v1::encode_command, v1::decode_command);
    check(
        |rng| Refuse { owner: owner(rng), message: Digest(rng.bytes()), reason: rng.text(100) },
        v1::encode_refuse,
        v1::decode_refuse,
    );
}

pub(crate) fn batch(rng: &mut Rng) -> Batch {
    let (stream, content, records) = match rng.below(4) {
        0 => {
            let samples = samples(rng, 1);
            let records = samples.len() as u64;
            (
                Stream::Samples,
                Content::Samples { catalogue: CatalogueId(rng.bytes()), samples },
                records,
            )
        }
        1 => {
            let mut events = rng.list(8, event);
            events.push(event(rng));
            let records = events.len() as u64;
            (Stream::Events, Content::Events(events), records)
        }
        2 => {
            let mut outcomes = rng.list(8, outcome_record);
            outcomes.push(outcome_record(rng));
            let records = outcomes.len() as u64;
            (Stream::Outcomes, Content::Outcomes(outcomes), records)
        }
        _ => {
            let reason = rng.pick(&[GapReason::BufferFull, GapReason::Damaged, GapReason::Refused]);
            let summary = rng.maybe(summary);
            let gap = Gap { reason, from: Millis(rng.number()), to: Millis(rng.number()), summary };
            (rng.pick(&Stream::ALL), Content::Gap(gap), 1 + rng.number() / 4)
        }
    };
    let first = rng.number() / 2;
    Batch {
        incarnation: IncarnationId(rng.bytes()),
        stream,
        first: Position(first),
        next: Position(first + records),
        chain: Digest(rng.bytes()),
        boot: BootId(rng.bytes()),
        utc_offset: rng.maybe(|rng| UtcMillis(rng.signed())),
        content,
    }
}

fn samples(rng: &mut Rng, least: usize) -> Vec<Sample> {
    let kinds = rng.list(6, |rng| rng.pick(&ValueKind::ALL));
    let count = least + rng.below(120);
    let mut samples: Vec<_> = (0..count)
        .map(|_| {
            let signal = rng.below(kinds.len() + 1);
            let kind = if rng.chance(20) { None } else { kinds.get(signal).copied() };
            let quality = match rng.below(6) {
                0 => Quality::Uncertain,
                1 => Quality::Bad(Cause::LinkDown),
                2 => Quality::Bad(Cause::Exception(rng.bytes::<1>()[0])),
                _ => Quality::Good,
            };
            let bad = matches!(quality, Quality::Bad(_));
            let at =
                if rng.chance(10) { rng.number() } else { 1_000_000 + 1000 * rng.below(50) as u64 };
            Sample {
                signal: SignalIndex(u32::try_from(signal * 1000).expect("small")),
                at: Millis(at),
                value: (!bad).then(|| value(rng, kind, 40)),
                quality,
            }
        })
        .collect();
    samples.sort_by_key(|sample| sample.signal);
    samples
}

fn summary(rng: &mut Rng) -> Summary {
    let figure = |rng: &mut Rng| match rng.below(3) {
        0 => f64::from(f32::from_bits(u32::from_be_bytes(rng.bytes())).clamp(f32::MIN, f32::MAX)),
        _ => float(rng).clamp(f64::MIN, f64::MAX),
    };
    let minutes = rng.list(8, |rng| Minute {
        signal: SignalIndex(u32::from_be_bytes(rng.bytes())),
        at: Millis(rng.number() / 60_000 * 60_000),
        samples: rng.number(),
        min: figure(rng),
        max: figure(rng),
        mean: figure(rng),
    });
    Summary { catalogue: CatalogueId(rng.bytes()), minutes }
}

fn value(rng: &mut Rng, kind: Option<ValueKind>, text: usize) -> Value {
    match kind.unwrap_or_else(|| rng.pick(&ValueKind::ALL)) {
        ValueKind::Bool => Value::Bool(rng.chance(2)),
        ValueKind::Int => Value::Int(rng.signed()),
        ValueKind::Unsigned => Value::Unsigned(rng.next() >> rng.below(64)),
        ValueKind::Float32 => {
            Value::Float32(f32::from_bits(u32::from_be_bytes(rng.bytes())).min(f32::MAX))
        }
        ValueKind::Float64 => Value::Float64(float(rng)),
        ValueKind::Text => Value::Text(rng.text(text)),
    }
}

/// Any float that equals itself.
fn float(rng: &mut Rng) -> f64 {
    f64::from_bits(rng.next()).min(f64::MAX)
}

fn event(rng: &mut Rng) -> EventRecord {
    let event = match rng.below(6) {
        0 => Event::Alarm(alarm(rng)),
        1 => Event::Anchor {
            utc: UtcMillis(rng.signed()),
            error: Millis(rng.number()),
            source: rng.pick(&[TimeSource::System, TimeSource::Cloud]),
        },
        2 => Event::Restart { last_durable: rng.maybe(|rng| Millis(rng.number())) },
        3 => {
            let causes = [ResetCause::Damaged, ResetCause::Missing, ResetCause::Copied];
            Event::Reset { cause: rng.pick(&causes) }
        }
        4 => Event::Command {
            command: command_id(rng),
            step: rng.pick(&[CommandStep::Received, CommandStep::Started]),
        },
        _ => Event::LocalWrite {
            uid: u32::from_be_bytes(rng.bytes()),
            target: rng.text(100),
            value: rng.text(100),
            done: rng.chance(2),
        },
    };
    EventRecord { at: Millis(rng.number()), event }
}

fn alarm(rng: &mut Rng) -> AlarmTransition {
    AlarmTransition {
        key: AlarmKey { device: device(rng), alarm: signal(rng) },
        occurrence: rng.number(),
        transition: rng.number(),
        state: rng.pick(&[AlarmState::Normal, AlarmState::Active]),
        severity: rng.pick(&[Severity::Low, Severity::Medium, Severity::High, Severity::Urgent]),
        signal: signal(rng),
        value: float(rng),
        limit: float(rng),
        message: rng.text(100),
    }
}

fn outcome_record(rng: &mut Rng) -> OutcomeRecord {
    OutcomeRecord { at: Millis(rng.number()), command: command_id(rng), outcome: outcome(rng) }
}

fn outcome(rng: &mut Rng) -> Outcome {
    let kinds = [
        FailureKind::Refused,
        FailureKind::Exception,
        FailureKind::NoAnswer,
        FailureKind::VerifyMismatch,
    ];
    match rng.below(5) {
        0 => Outcome::Done { read_back: rng.maybe(|rng| value(rng, None, 1000)) },
        1 => Outcome::Failed { kind: rng.pick(&kinds), reason: rng.text(100) },
        2 => Outcome::Expired,
        3 => Outcome::Cancelled,
        _ => Outcome::Interrupted,
    }
}

fn hello(rng: &mut Rng) -> Hello {
    Hello {
        gateway: GatewayId::new(rng.id()).expect("an id"),
        boot: BootId(rng.bytes()),
        owner: rng.maybe(owner),
        burned: Epoch(rng.number()),
        heads: rng.list(9, |rng| Head {
            incarnation: IncarnationId(rng.bytes()),
            stream: rng.pick(&Stream::ALL),
            first: Position(rng.number()),
            next: Position(rng.number()),
            chain: Digest(rng.bytes()),
        }),
        open_commands: u32::from_be_bytes(rng.bytes()),
        generation: rng.number(),
        software: rng.text(30),
        at: Millis(rng.number()),
        utc: rng.maybe(|rng| UtcMillis(rng.signed())),
        doubt: rng.maybe(|rng| Doubt {
            cause: rng.pick(&[DoubtCause::JournalLost, DoubtCause::Forked]),
            since: rng.maybe(Rng::number),
        }),
    }
}

fn welcome(rng: &mut Rng) -> Welcome {
    Welcome {
        owner: owner(rng),
        utc: UtcMillis(rng.signed()),
        cursors: rng.list(9, |rng| Cursor {
            incarnation: IncarnationId(rng.bytes()),
            stream: rng.pick(&Stream::ALL),
            committed: Position(rng.number()),
            chain: Digest(rng.bytes()),
        }),
        contested: rng.chance(2),
        readopted: rng.number(),
    }
}

fn ack(rng: &mut Rng) -> Ack {
    let (one, other) = (rng.number(), rng.number());
    Ack {
        owner: owner(rng),
        cursor: Cursor {
            incarnation: IncarnationId(rng.bytes()),
            stream: rng.pick(&Stream::ALL),
            committed: Position(one.max(other)),
            chain: Digest(rng.bytes()),
        },
        releasable: Position(one.min(other)),
    }
}

fn pause(rng: &mut Rng) -> Pause {
    let reasons =
        [PauseReason::Suspended, PauseReason::Quota, PauseReason::Full, PauseReason::NotReady];
    let reason = rng.pick(&reasons);
    Pause { owner: owner(rng), reason, retry_after: Millis(rng.number()) }
}

fn command(rng: &mut Rng) -> CommandMessage {
    CommandMessage {
        owner: owner(rng),
        command: Command {
            id: command_id(rng),
            action: Action::Write {
                device: device(rng),
                signal: signal(rng),
                value: value(rng, None, 1000),
                verify: rng.chance(2),
            },
            not_after: UtcMillis(rng.signed()),
            retry_safe: rng.chance(2),
            dry_run: rng.chance(2),
            by: rng.text(100),
        },
    }
}

fn answer(rng: &mut Rng) -> Answer {
    if rng.chance(2) {
        let (owner, what) = (rng.maybe(owner), rng.pick(&DownKind::ALL));
        return Answer::Stale { owner, burned: Epoch(rng.number()), what };
    }
    let state = match rng.below(3) {
        0 => JournalState::Received,
        1 => JournalState::Started,
        _ => JournalState::Closed(outcome(rng)),
    };
    Answer::Command { command: command_id(rng), state }
}

fn present(rng: &mut Rng) -> Present {
    Present {
        boot: BootId(rng.bytes()),
        at: Millis(rng.number()),
        utc_offset: rng.maybe(|rng| UtcMillis(rng.signed())),
        catalogue: CatalogueId(rng.bytes()),
        samples: samples(rng, 0),
        alarms: rng.list(5, alarm),
    }
}

pub(crate) fn catalogue(rng: &mut Rng) -> Catalogue {
    let devices = rng.list(5, |rng| CatalogueDevice {
        name: device(rng),
        profile: rng.text(40),
        signals: rng.list(9, |rng| CatalogueSignal {
            name: signal(rng),
            kind: rng.pick(&ValueKind::ALL),
            unit: rng.text(5),
            scale: Scale::from_parts(
                rng.signed() | 1,
                rng.pick(&[-22, -1, 0, 3, 22]),
                float(rng).clamp(-1e9, 1e9),
            )
            .expect("a fine scale"),
            writable: rng.chance(2),
        }),
    });
    Catalogue { devices }
}

fn chunk(rng: &mut Rng) -> CatalogueChunk {
    let index = u16::try_from(rng.below(60)).expect("small");
    let bytes = rng.list(2000, |rng| rng.bytes::<1>()[0]);
    CatalogueChunk { catalogue: CatalogueId(rng.bytes()), index, count: index + 1, bytes }
}

fn owner(rng: &mut Rng) -> Owner {
    Owner { instance: InstanceId::new(rng.id()).expect("an id"), epoch: Epoch(rng.number()) }
}

fn device(rng: &mut Rng) -> DeviceName {
    DeviceName::new(rng.id()).expect("an id")
}

fn signal(rng: &mut Rng) -> SignalName {
    SignalName::new(rng.id()).expect("an id")
}

fn command_id(rng: &mut Rng) -> CommandId {
    CommandId::new(rng.id()).expect("an id")
}
