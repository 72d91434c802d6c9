//! What the tests of the buffer have in common: folders, options, and reading a line to its end.
#![allow(dead_code, reason = "not every test has use for all of it")]

use std::path::{Path, PathBuf};

use fieldgate_edge::buffer::{Buffer, BufferOptions, Intake, Recovered};
use fieldgate_edge::clock::{Clock, ClockStatus};
use fieldgate_model::{
    BootId, Catalogue, CatalogueDevice, CatalogueSignal, Content, DeviceName, GatewayId, Millis,
    Quality, Sample, Scale, SignalIndex, SignalName, Stream, UtcMillis, Value, ValueKind,
};
use fieldgate_protocol::uplink::HeldLine;

/// A folder that goes with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let mut id = [0; 8];
        getrandom::fill(&mut id).expect("the kernel has random bytes");
        let name = format!("fieldgate-buffer-{name}-{:016x}", u64::from_ne_bytes(id));
        Self(std::env::temp_dir().join(name))
    }

    /// A folder whose syncs cost nothing, where the machine has one.
    pub(crate) fn in_memory(name: &str) -> Self {
        let on_disk = Self::new(name);
        let memory = Path::new("/dev/shm");
        match on_disk.0.file_name().filter(|_| memory.is_dir()) {
            Some(name) => Self(memory.join(name)),
            None => on_disk,
        }
    }

    /// The same folder as a crash would leave it: whatever the files hold at this moment.
    pub(crate) fn as_after_a_crash(&self) -> Self {
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

pub(crate) fn options(folder: &Path) -> BufferOptions {
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
    let offset = Some(UtcMillis(1_800_000_000_000));
    let time = ClockStatus { offset, ..ClockStatus::default() };
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
        time: tokio::sync::watch::channel(time).1,
    }
}

pub(crate) fn open(options: BufferOptions) -> (Buffer, Recovered) {
    Buffer::open(options).expect("the buffer opens")
}

pub(crate) fn samples(range: std::ops::Range<u64>) -> Intake {
    let sample = |count| Sample {
        signal: SignalIndex(0),
        at: Millis(count),
        value: Some(Value::Unsigned(count)),
        quality: Quality::Good,
    };
    Intake { samples: range.map(sample).collect(), ..Intake::default() }
}

pub(crate) async fn seal(buffer: &Buffer) {
    buffer.append_durably(Intake::default()).await.expect("the buffer seals");
}

pub(crate) fn line(buffer: &Buffer, stream: Stream) -> HeldLine {
    let lines = buffer.lines().borrow().clone();
    *lines.iter().rfind(|line| line.stream == stream).expect("every stream has a line")
}

/// All batches of a line from its first position on, checked against the chain on the way.
pub(crate) async fn contents(buffer: &Buffer, line: HeldLine) -> Vec<Content> {
    let mut found = Vec::new();
    let (incarnation, stream) = (line.incarnation, line.stream);
    let mut at = line.first;
    let mut chain = buffer.chain_at(incarnation, stream, at).await.expect("runs").expect("a start");
    while at < line.stored {
        let loaded = buffer.load(incarnation, stream, at).await.expect("runs");
        let (body, next) = loaded.expect("positions have no holes");
        let batch = fieldgate_wire::decode_batch(&body).expect("what was sealed can be read");
        assert_eq!((batch.first, batch.next), (at, next));
        chain = match batch.content {
            // Nobody can compute the chain behind what is lost.
            Content::Gap(_) => batch.chain,
            Content::Samples { .. } | Content::Events(_) | Content::Outcomes(_) => {
                fieldgate_wire::link(chain, fieldgate_wire::leaf(&batch))
            }
        };
        assert_eq!(batch.chain, chain, "at {at:?}");
        found.push(batch.content);
        at = next;
    }
    assert_eq!(line.chain, chain);
    found
}

pub(crate) fn counts(contents: &[Content]) -> Vec<u64> {
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
