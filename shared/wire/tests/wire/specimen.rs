//! One message of every kind and shape, written by hand: what the golden bytes are of.

use fieldgate_model::{
    Action, AlarmKey, AlarmState, AlarmTransition, Batch, BootId, Catalogue, CatalogueDevice,
    CatalogueId, CatalogueSignal, Cause, Command, CommandId, CommandStep, Content, Cursor,
    DeviceName, Digest, Doubt, DoubtCause, Epoch, Event, EventRecord, FailureKind, Gap, GapReason,
    GatewayId, Head, Hello, IncarnationId, InstanceId, Millis, Minute, Outcome, OutcomeRecord,
    Owner, Position, Quality, ResetCause, Sample, Scale, Severity, SignalIndex, SignalName, Stream,
    Summary, TimeSource, UtcMillis, Value, ValueKind, Welcome,
};
use fieldgate_wire::{
    Ack, Answer, CatalogueChunk, CommandMessage, DownKind, JournalState, Need, Pause, PauseReason,
    Present, Refuse, Watch, v1,
};

use crate::any_bytes::{self, Again};

/// A message's name among the golden files, its bytes, and how it is read and written again.
pub(crate) struct Specimen {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) again: Again,
}

/// One of every kind.
pub(crate) fn all() -> Vec<Specimen> {
    [
        ("hello", v1::encode_hello(&hello())),
        ("batch_samples", v1::encode_batch(&batch_samples())),
        ("batch_events", v1::encode_batch(&batch_events())),
        ("batch_outcomes", v1::encode_batch(&batch_outcomes())),
        ("batch_gap", v1::encode_batch(&batch_gap())),
        ("batch_thinned", v1::encode_batch(&batch_thinned())),
        ("catalogue", v1::encode_catalogue(&catalogue())),
        ("catalogue_chunk", v1::encode_catalogue_chunk(&chunk())),
        ("answer_stale", v1::encode_answer(&answer_stale())),
        ("answer_command", v1::encode_answer(&answer_command())),
        ("present", v1::encode_present(&present())),
        ("welcome", v1::encode_welcome(&welcome())),
        ("ack", v1::encode_ack(&ack())),
        ("need", v1::encode_need(&need())),
        ("pause", v1::encode_pause(&pause())),
        ("command", v1::encode_command(&command())),
        ("watch", v1::encode_watch(&watch())),
        ("refuse", v1::encode_refuse(&refuse())),
        ("hello_doubt", v1::encode_hello(&hello_doubt())),
        ("welcome_readopted", v1::encode_welcome(&welcome_readopted())),
        ("batch_steps", v1::encode_batch(&batch_steps())),
    ]
    .into_iter()
    .map(|(name, bytes)| Specimen { name, bytes, again: any_bytes::again(name) })
    .collect()
}

fn owner() -> Owner {
    Owner { instance: InstanceId::new("cloud-a").expect("an id"), epoch: Epoch(3) }
}

fn device(name: &str) -> DeviceName {
    DeviceName::new(name).expect("an id")
}

fn signal(name: &str) -> SignalName {
    SignalName::new(name).expect("an id")
}

fn hello() -> Hello {
    Hello {
        gateway: GatewayId::new("pump-house-3").expect("an id"),
        boot: BootId([0xb0; 16]),
        owner: Some(owner()),
        burned: Epoch(4),
        heads: vec![Head {
            incarnation: IncarnationId([0x1c; 16]),
            stream: Stream::Samples,
            first: Position(1000),
            next: Position(250_000),
            chain: Digest([0xc4; 32]),
        }],
        open_commands: 1,
        generation: 7,
        software: "fieldgate 0.1.0".into(),
        at: Millis(86_400_000),
        utc: Some(UtcMillis(1_760_000_000_000)),
        doubt: None,
    }
}

fn hello_doubt() -> Hello {
    Hello { doubt: Some(Doubt { cause: DoubtCause::Forked, since: Some(2) }), ..hello() }
}

fn batch(stream: Stream, first: u64, next: u64, content: Content) -> Batch {
    Batch {
        incarnation: IncarnationId([0x1c; 16]),
        stream,
        first: Position(first),
        next: Position(next),
        chain: Digest([0xc4; 32]),
        boot: BootId([0xb0; 16]),
        utc_offset: Some(UtcMillis(1_759_913_600_000)),
        content,
    }
}

pub(crate) fn batch_samples() -> Batch {
    let sample = |signal, at, value: Option<Value>, quality| Sample {
        signal: SignalIndex(signal),
        at: Millis(at),
        value,
        quality,
    };
    let good = Quality::Good;
    let samples = vec![
        sample(0, 60_000, Some(Value::Unsigned(2302)), good),
        sample(0, 61_000, Some(Value::Unsigned(2305)), good),
        sample(0, 62_003, None, Quality::Bad(Cause::NoAnswer)),
        sample(1, 60_000, Some(Value::Int(-40)), good),
        sample(1, 61_000, Some(Value::Int(-41)), Quality::Uncertain),
        sample(1, 62_003, None, Quality::Bad(Cause::Exception(2))),
        sample(2, 60_500, Some(Value::Float32(1.5)), good),
        sample(3, 60_500, Some(Value::Float64(-0.25)), good),
        sample(4, 60_500, Some(Value::Bool(true)), good),
        sample(9, 60_700, Some(Value::Text("läuft".into())), good),
    ];
    let catalogue = CatalogueId([0xca; 32]);
    batch(Stream::Samples, 100, 110, Content::Samples { catalogue, samples })
}

fn alarm() -> AlarmTransition {
    AlarmTransition {
        key: AlarmKey { device: device("pump"), alarm: signal("hot") },
        occurrence: 2,
        transition: 3,
        state: AlarmState::Active,
        severity: Severity::High,
        signal: signal("temperature"),
        value: 81.5,
        limit: 80.0,
        message: "pump is hot: 81.5 °C".into(),
    }
}

pub(crate) fn batch_events() -> Batch {
    let at = Millis(60_000);
    let events = vec![
        EventRecord { at, event: Event::Restart { last_durable: Some(Millis(59_000)) } },
        EventRecord { at, event: Event::Restart { last_durable: None } },
        EventRecord { at, event: Event::Reset { cause: ResetCause::WentBack } },
        EventRecord {
            at,
            event: Event::Anchor {
                utc: UtcMillis(1_760_000_000_000),
                error: Millis(20),
                source: TimeSource::System,
            },
        },
        EventRecord { at, event: Event::Alarm(alarm()) },
        EventRecord {
            at,
            event: Event::LocalWrite {
                uid: 1000,
                target: "pump/setpoint".into(),
                value: "42.5".into(),
                done: true,
            },
        },
    ];
    batch(Stream::Events, 0, 6, Content::Events(events))
}

pub(crate) fn batch_outcomes() -> Batch {
    let record = |id: &str, outcome| OutcomeRecord {
        at: Millis(70_000),
        command: CommandId::new(id).expect("an id"),
        outcome,
    };
    let failed =
        Outcome::Failed { kind: FailureKind::Exception, reason: "illegal data address".into() };
    let outcomes = vec![
        record("c1", Outcome::Done { read_back: Some(Value::Float64(42.5)) }),
        record("c2", Outcome::Done { read_back: None }),
        record("c3", failed),
        record("c4", Outcome::Expired),
        record("c5", Outcome::Cancelled),
        record("c6", Outcome::Interrupted),
    ];
    batch(Stream::Outcomes, 8, 14, Content::Outcomes(outcomes))
}

pub(crate) fn batch_gap() -> Batch {
    let reason = GapReason::BufferFull;
    let gap = Gap { reason, from: Millis(1000), to: Millis(900_000), summary: None };
    let gap = batch(Stream::Samples, 110, 250_000, Content::Gap(gap));
    Batch { utc_offset: None, ..gap }
}

pub(crate) fn batch_thinned() -> Batch {
    let minute = |signal, at, samples, [min, max, mean]: [f64; 3]| {
        let signal = SignalIndex(signal);
        Minute { signal, at: Millis(at), samples, min, max, mean }
    };
    let minutes = vec![
        minute(0, 60_000, 60, [2301.0, 2307.0, 2304.25]),
        minute(4, 60_000, 2, [-0.1, 1e300, 5e299]),
        minute(0, 120_000, 59, [2300.0, 2306.0, 2303.0]),
    ];
    let summary = Some(Summary { catalogue: CatalogueId([0xca; 32]), minutes });
    let reason = GapReason::BufferFull;
    let gap = Gap { reason, from: Millis(60_250), to: Millis(179_800), summary };
    batch(Stream::Samples, 110, 231, Content::Gap(gap))
}

pub(crate) fn catalogue() -> Catalogue {
    let of = |name, kind, unit: &str, scale, writable| CatalogueSignal {
        name: signal(name),
        kind,
        unit: unit.into(),
        scale,
        writable,
    };
    let tenth = Scale::new(0.1, 0.0).expect("a fine scale");
    let shifted = Scale::new(1.0, -40.0).expect("a fine scale");
    let signals = vec![
        of("voltage", ValueKind::Unsigned, "V", tenth, false),
        of("temperature", ValueKind::Int, "°C", shifted, false),
        of("setpoint", ValueKind::Float32, "", Scale::IDENTITY, true),
    ];
    let device = CatalogueDevice { name: device("pump"), profile: "pump@1".into(), signals };
    Catalogue { devices: vec![device] }
}

fn chunk() -> CatalogueChunk {
    CatalogueChunk {
        catalogue: CatalogueId([0xca; 32]),
        index: 1,
        count: 2,
        bytes: vec![0xa1, 0, 0x80],
    }
}

fn answer_stale() -> Answer {
    Answer::Stale { owner: Some(owner()), burned: Epoch(4), what: DownKind::Command }
}

fn answer_command() -> Answer {
    Answer::Command {
        command: CommandId::new("c1").expect("an id"),
        state: JournalState::Closed(Outcome::Done { read_back: Some(Value::Text("on".into())) }),
    }
}

fn present() -> Present {
    Present {
        boot: BootId([0xb0; 16]),
        at: Millis(60_000),
        utc_offset: None,
        catalogue: CatalogueId([0xca; 32]),
        samples: vec![Sample {
            signal: SignalIndex(0),
            at: Millis(59_990),
            value: Some(Value::Unsigned(2302)),
            quality: Quality::Good,
        }],
        alarms: vec![alarm()],
    }
}

fn welcome() -> Welcome {
    Welcome {
        owner: owner(),
        utc: UtcMillis(1_760_000_000_000),
        cursors: vec![Cursor {
            incarnation: IncarnationId([0x1c; 16]),
            stream: Stream::Samples,
            committed: Position(240_000),
            chain: Digest([0xc4; 32]),
        }],
        contested: false,
        readopted: 0,
    }
}

fn welcome_readopted() -> Welcome {
    Welcome { readopted: 3, ..welcome() }
}

fn ack() -> Ack {
    Ack {
        owner: owner(),
        cursor: Cursor {
            incarnation: IncarnationId([0x1c; 16]),
            stream: Stream::Samples,
            committed: Position(250_000),
            chain: Digest([0xc4; 32]),
        },
        releasable: Position(240_000),
    }
}

fn need() -> Need {
    Need { owner: owner(), catalogue: CatalogueId([0xca; 32]) }
}

fn pause() -> Pause {
    Pause { owner: owner(), reason: PauseReason::Quota, retry_after: Millis(30_000) }
}

fn command() -> CommandMessage {
    CommandMessage {
        owner: owner(),
        command: Command {
            id: CommandId::new("c1").expect("an id"),
            action: Action::Write {
                device: device("pump"),
                signal: signal("setpoint"),
                value: Value::Float64(42.5),
                verify: true,
            },
            not_after: UtcMillis(1_760_000_060_000),
            retry_safe: false,
            dry_run: false,
            by: "anna@example.com".into(),
        },
    }
}

fn watch() -> Watch {
    Watch { owner: owner(), until: UtcMillis(1_760_000_060_000) }
}

fn refuse() -> Refuse {
    Refuse { owner: owner(), message: Digest([0x5a; 32]), reason: "its envelope is broken".into() }
}

fn batch_steps() -> Batch {
    let event = |at, step| EventRecord {
        at: Millis(at),
        event: Event::Command { command: CommandId::new("c1").expect("an id"), step },
    };
    let events = vec![event(70_000, CommandStep::Received), event(70_001, CommandStep::Started)];
    batch(Stream::Events, 5, 7, Content::Events(events))
}
