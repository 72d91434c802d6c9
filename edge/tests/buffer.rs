//! The buffer on a real disk: what survives, what gives way, and that the chain says the truth.

use std::path::{Path, PathBuf};

use fieldgate_edge::buffer::{Buffer, BufferOptions, DeviceMap, Intake, Recovered, stored_maps};
use fieldgate_edge::clock::{Clock, ClockStatus};
use fieldgate_model::{
    AlarmKey, AlarmState, BootId, Catalogue, CatalogueDevice, CatalogueSignal, Content, DeviceName,
    Event, GatewayId, Millis, Position, Quality, Sample, Scale, SignalIndex, SignalName, Stream,
    Value, ValueKind,
};
use fieldgate_protocol::uplink::HeldLine;
use fieldgate_rules::alarm::StoredAlarm;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let mut id = [0; 8];
        getrandom::fill(&mut id).expect("the kernel has random bytes");
        let name = format!("fieldgate-buffer-{name}-{:016x}", u64::from_ne_bytes(id));
        Self(std::env::temp_dir().join(name))
    }

    /// The same folder as a crash would leave it: whatever the files hold at this moment.
    fn as_after_a_crash(&self) -> Self {
        let copy = Self::new("crashed");
        std::fs::create_dir_all(&copy.0).expect("a fresh folder");
        for entry in std::fs::read_dir(&self.0).expect("the folder exists").flatten() {
            std::fs::copy(entry.path(), copy.0.join(entry.file_name())).expect("a small file");
        }
        copy
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
}

fn options(folder: &Path) -> BufferOptions {
    let signal = CatalogueSignal {
        name: SignalName::new("count").expect("an id"),
        kind: ValueKind::Unsigned,
        unit: String::new(),
        scale: Scale::IDENTITY,
        writable: false,
    };
    let device = CatalogueDevice {
        name: DeviceName::new("meter").expect("an id"),
        profile: "test@1".to_owned(),
        signals: vec![signal],
    };
    BufferOptions {
        folder: folder.to_owned(),
        max_bytes: 64 * 1024 * 1024,
        flush: Millis(1_000),
        // Far away, so that a tick flushes and only what is told to seals.
        seal_after: Millis(3_600_000),
        catalogue: Catalogue { devices: vec![device] },
        gateway: GatewayId::new("gateway-1").expect("an id"),
        boot: BootId([1; 16]),
        clock: Clock,
        time: tokio::sync::watch::channel(ClockStatus::default()).1,
    }
}

fn open(options: BufferOptions) -> (Buffer, Recovered) {
    Buffer::open(options).expect("the buffer opens")
}

fn samples(range: std::ops::Range<u64>) -> Intake {
    let sample = |count| Sample {
        signal: SignalIndex(0),
        at: Millis(count),
        value: Some(Value::Unsigned(count)),
        quality: Quality::Good,
    };
    Intake { samples: range.map(sample).collect(), ..Intake::default() }
}

async fn seal(buffer: &Buffer) {
    buffer.append_durably(Intake::default()).await.expect("the buffer seals");
}

fn line(buffer: &Buffer, stream: Stream) -> HeldLine {
    let lines = buffer.lines().borrow().clone();
    *lines.iter().rfind(|line| line.stream == stream).expect("every stream has a line")
}

/// All batches of a line from its first position on, checked against the chain on the way.
async fn contents(buffer: &Buffer, line: HeldLine) -> Vec<Content> {
    let mut found = Vec::new();
    let (incarnation, stream) = (line.incarnation, line.stream);
    let mut at = line.first;
    let mut chain = buffer.chain_at(incarnation, stream, at).await.expect("runs").expect("a start");
    while at < line.stored {
        let loaded = buffer.load(incarnation, stream, at).await.expect("runs");
        let (body, next) = loaded.expect("positions have no holes");
        let batch = fieldgate_wire::decode_batch(&body).expect("what was sealed can be read");
        assert_eq!((batch.first, batch.next), (at, next));
        chain = fieldgate_wire::link(chain, fieldgate_wire::leaf(&batch));
        assert_eq!(batch.chain, chain, "at {at:?}");
        found.push(batch.content);
        at = next;
    }
    assert_eq!(line.chain, chain);
    found
}

fn counts(contents: &[Content]) -> Vec<u64> {
    let number = |sample: &Sample| match sample.value {
        Some(Value::Unsigned(count)) => count,
        ref other => panic!("{other:?}"),
    };
    contents
        .iter()
        .flat_map(|content| match content {
            Content::Samples { samples, .. } => samples.iter().map(number).collect(),
            Content::Events(_) | Content::Outcomes(_) | Content::Gap(_) => Vec::new(),
        })
        .collect()
}

#[tokio::test]
async fn what_was_flushed_survives_a_crash_and_what_was_not_is_declared() {
    let folder = Folder::new("flush");
    let (buffer, recovered) = open(options(&folder.0));
    assert!(!recovered.has_run && !recovered.unclean);
    buffer.append(samples(0..10)).await.expect("runs");
    buffer.tick().await.expect("runs");
    buffer.append(samples(10..20)).await.expect("runs");
    // A question is answered after everything before it has been done.
    buffer
        .chain_at(line(&buffer, Stream::Samples).incarnation, Stream::Samples, Position(0))
        .await
        .expect("runs");

    let crashed = folder.as_after_a_crash();
    let (after, recovered) = open(options(&crashed.0));
    assert!(recovered.has_run && recovered.unclean);
    let held = contents(&after, line(&after, Stream::Samples)).await;
    assert_eq!(counts(&held), (0..10).collect::<Vec<_>>());
    let events = contents(&after, line(&after, Stream::Events)).await;
    let Some(Content::Events(events)) = events.first() else { panic!("{events:?}") };
    let Event::Restart { last_durable: Some(at) } = events[0].event else { panic!("{events:?}") };
    assert!(at <= events[0].at);
}

#[tokio::test]
async fn a_stop_seals_everything_and_the_next_start_goes_on_behind_it() {
    let folder = Folder::new("stop");
    let (buffer, _) = open(options(&folder.0));
    buffer.append(samples(0..2_500)).await.expect("runs");
    buffer.stop().await.expect("stops");

    let (buffer, recovered) = open(options(&folder.0));
    assert!(recovered.has_run && !recovered.unclean);
    buffer.append(samples(2_500..2_600)).await.expect("runs");
    seal(&buffer).await;
    let held = contents(&buffer, line(&buffer, Stream::Samples)).await;
    assert_eq!(counts(&held), (0..2_600).collect::<Vec<_>>());
    assert_eq!(line(&buffer, Stream::Events).stored, Position(0), "an orderly stop is no event");
}

#[tokio::test]
async fn alarms_are_as_they_were_after_a_restart() {
    let folder = Folder::new("alarms");
    let key = AlarmKey {
        device: DeviceName::new("meter").expect("an id"),
        alarm: SignalName::new("high").expect("an id"),
    };
    let stored = StoredAlarm { state: AlarmState::Active, occurrence: 3, transition: 7 };
    let (buffer, _) = open(options(&folder.0));
    let alarms = [(key.clone(), stored)].into();
    buffer.append_durably(Intake { alarms, ..Intake::default() }).await.expect("runs");

    let (_, recovered) = open(options(&folder.as_after_a_crash().0));
    assert_eq!(recovered.alarms, [(key, stored)]);
}

#[tokio::test]
async fn what_devices_have_taught_survives_a_crash_as_long_as_they_are_configured() {
    let folder = Folder::new("maps");
    let map = |holes: &str| DeviceMap {
        unit: 1,
        profile: "meter@1".to_owned(),
        holes: holes.parse().expect("a hole map"),
    };
    let name = |name| DeviceName::new(name).expect("an id");
    let (buffer, recovered) = open(options(&folder.0));
    assert!(recovered.maps.is_empty());
    let (first, second) = (map("holes 1\nhole hr:7 2"), map("holes 1\ncut hr:64"));
    for maps in [
        [(name("meter"), first.clone()), (name("gone"), first.clone())].into(),
        [(name("meter"), second.clone())].into(),
    ] {
        buffer.append_durably(Intake { maps, ..Intake::default() }).await.expect("runs");
    }
    let stored = stored_maps(&folder.0).expect("readable while the gateway runs");
    assert_eq!(stored, [(name("gone"), first), (name("meter"), second.clone())].into());

    let crashed = folder.as_after_a_crash();
    let (_, recovered) = open(options(&crashed.0));
    assert_eq!(recovered.maps, [(name("meter"), second)].into());
    assert_eq!(stored_maps(&crashed.0).expect("readable"), recovered.maps);
}

#[tokio::test]
async fn a_full_buffer_gives_way_to_what_is_released_first_and_then_says_what_is_lost() {
    let folder = Folder::new("full");
    let (buffer, _) = open(BufferOptions { max_bytes: 4 * 1024 * 1024, ..options(&folder.0) });
    let text = |at| Sample {
        value: Some(Value::Text("x".repeat(1_000))),
        ..samples(at..at + 1).samples.remove(0)
    };
    for at in 0..120 {
        let samples = (at * 50..at * 50 + 50).map(text).collect();
        buffer.append(Intake { samples, ..Intake::default() }).await.expect("runs");
        seal(&buffer).await;
        if at == 9 {
            let held = line(&buffer, Stream::Samples);
            buffer.release(held.incarnation, held.stream, held.stored).await.expect("runs");
        }
        let stats = buffer.stats().borrow().clone();
        assert!(stats.bytes <= stats.max_bytes, "{stats:?}");
    }
    let held = line(&buffer, Stream::Samples);
    assert!(Position(500) < held.first, "more than the released batches had to go: {held:?}");
    assert!(held.first < held.stored);
    assert_eq!(held.released, held.first, "what is gone needs no release");
    contents(&buffer, held).await;
    let (from, to) = buffer.lost_span(held.incarnation, held.stream).await.expect("runs");
    assert_eq!(from, Millis(500), "what was released is not lost");
    assert_eq!(to, Millis(held.first.0 - 1));
}

#[tokio::test]
async fn a_new_incarnation_takes_along_what_was_not_released() {
    let folder = Folder::new("reincarnate");
    let (buffer, _) = open(options(&folder.0));
    for range in [0..10, 10..20, 20..30] {
        buffer.append(samples(range)).await.expect("runs");
        seal(&buffer).await;
    }
    let old = line(&buffer, Stream::Samples);
    buffer.release(old.incarnation, old.stream, Position(10)).await.expect("runs");
    seal(&buffer).await;
    buffer.reincarnate(old.incarnation).await.expect("runs");
    buffer.append(samples(30..40)).await.expect("runs");
    seal(&buffer).await;

    let new = line(&buffer, Stream::Samples);
    assert_ne!(new.incarnation, old.incarnation);
    let held = contents(&buffer, new).await;
    assert_eq!(counts(&held), (10..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_the_gateway_goes_on_in_a_new_incarnation() {
    let folder = Folder::new("damaged");
    let (buffer, _) = open(options(&folder.0));
    buffer.append(samples(0..10)).await.expect("runs");
    let before = line(&buffer, Stream::Samples).incarnation;
    buffer.stop().await.expect("stops");
    std::fs::write(folder.0.join("buffer.db"), b"not a database at all").expect("a small file");

    let (buffer, recovered) = open(options(&folder.0));
    let aside = recovered.set_aside.expect("the damage is seen");
    assert!(aside.exists());
    assert_ne!(line(&buffer, Stream::Samples).incarnation, before);
    buffer.append(samples(0..10)).await.expect("runs");
    seal(&buffer).await;
    let held = contents(&buffer, line(&buffer, Stream::Samples)).await;
    assert_eq!(counts(&held), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_gateway_that_gets_an_identity_goes_on_in_a_new_incarnation() {
    let folder = Folder::new("identity");
    let (buffer, _) = open(options(&folder.0));
    let before = line(&buffer, Stream::Samples).incarnation;
    buffer.stop().await.expect("stops");
    let gateway = GatewayId::new("gateway-2").expect("an id");
    let (buffer, _) = open(BufferOptions { gateway, ..options(&folder.0) });
    assert_ne!(line(&buffer, Stream::Samples).incarnation, before);
}
