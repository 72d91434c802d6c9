//! A folder that goes away, a clock that is told the time, and what a gateway says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use fieldgate_cloud::clock::Clock;
use fieldgate_cloud::command::{Commands, CommandsHandle};
use fieldgate_cloud::downlink::Downlink;
use fieldgate_cloud::ingest::Ingest;
use fieldgate_cloud::link::{Down, LinkEvent, Up};
use fieldgate_cloud::live::Live;
use fieldgate_cloud::metrics::Metrics;
use fieldgate_cloud::store::{NewTenant, SqliteStore, Store as _, Writer};
use fieldgate_model::{
    AlarmKey, AlarmState, AlarmTransition, Batch, BootId, Catalogue, CatalogueDevice,
    CatalogueSignal, Content, DeviceName, Digest, Epoch, GatewayId, Hello, IncarnationId,
    InstanceId, Millis, Owner, Position, Quality, Sample, Scale, Severity, SignalIndex, SignalName,
    Stream, TenantId, UtcMillis, Value, ValueKind,
};
use fieldgate_wire::{
    DownKind, UpKind, chain_start, chunk_catalogue, encode_batch, encode_catalogue_chunk,
    encode_hello, leaf, link,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Longer than any step takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The time at which every world begins, 2026-01-01.
pub(super) const BEGIN: UtcMillis = UtcMillis(1_767_225_600_000);

/// A folder of its own, gone with the value.
pub(super) struct TempDir(PathBuf);

impl TempDir {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fieldgate-cloud-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary folder can be made");
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn database(&self) -> PathBuf {
        self.0.join("fieldgate.db")
    }

    /// One number from the database, past the store.
    pub(super) fn number(&self, sql: &str) -> i64 {
        let connection = rusqlite::Connection::open(self.database()).expect("the database opens");
        connection.query_row(sql, [], |row| row.get(0)).expect("a number comes back")
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

pub(super) fn tenant(id: &str) -> TenantId {
    TenantId::new(id).expect("an id")
}

pub(super) fn gateway(id: &str) -> GatewayId {
    GatewayId::new(id).expect("an id")
}

/// A store with tenant `acme` and its gateways `g1` and `g2`.
pub(super) fn populated(path: &Path) -> SqliteStore {
    let mut store = SqliteStore::open(path).expect("the store opens");
    let acme = NewTenant { id: tenant("acme"), name: "Acme".into(), parent: None };
    if store.add_tenant(&acme, "test", BEGIN).is_ok() {
        for id in ["g1", "g2"] {
            store
                .add_gateway(&acme.id, &gateway(id), id, &[7; 32], "test", BEGIN)
                .expect("the gateway is added");
        }
    }
    store
}

/// A running ingest and command task over one folder.
pub(super) struct World {
    pub(super) events: mpsc::Sender<LinkEvent>,
    pub(super) down: mpsc::Receiver<Down>,
    pub(super) writer: Writer,
    pub(super) live: Live,
    pub(super) metrics: Arc<Metrics>,
    pub(super) commands: CommandsHandle,
    now: Arc<AtomicI64>,
    tasks: JoinSet<()>,
    store_thread: JoinHandle<()>,
}

impl World {
    pub(super) fn start(folder: &TempDir) -> Self {
        let store = populated(&folder.database());
        let (writer, store_thread) = Writer::start(store).expect("a thread starts");
        let (events, queue) = mpsc::channel(64);
        let (down_in, down) = mpsc::channel(64);
        let now = Arc::new(AtomicI64::new(BEGIN.0));
        let told = Arc::clone(&now);
        let clock = Clock::new(move || UtcMillis(told.load(Ordering::Relaxed)));
        let live = Live::new();
        let metrics = Arc::new(Metrics::default());
        let down_in = Downlink::new(down_in, Arc::clone(&metrics));
        let (commands, command_queue) = CommandsHandle::new();
        let mut tasks = JoinSet::new();
        let task = Commands::new(writer.clone(), down_in.clone(), clock.clone(), live.watched());
        tasks.spawn(task.run(command_queue));
        let ingest = Ingest {
            instance: InstanceId::new("cloud").expect("an id"),
            writer: writer.clone(),
            down: down_in,
            live: live.clone(),
            commands: commands.clone(),
            metrics: Arc::clone(&metrics),
            clock,
        };
        tasks.spawn(ingest.run(queue));
        Self { events, down, writer, live, metrics, commands, now, tasks, store_thread }
    }

    pub(super) fn set_time(&self, now: UtcMillis) {
        self.now.store(now.0, Ordering::Relaxed);
    }

    pub(super) async fn up(&self, from: &str, kind: UpKind, payload: Vec<u8>) {
        let up = Up { gateway: gateway(from), kind, payload };
        self.events.send(LinkEvent::Message(up)).await.expect("ingest runs");
    }

    /// The next message down of this kind; others may come before it.
    pub(super) async fn wait_for(&mut self, kind: DownKind) -> Vec<u8> {
        loop {
            let down = self.next().await;
            if down.kind == kind {
                return down.payload;
            }
        }
    }

    /// The next message down.
    pub(super) async fn next(&mut self) -> Down {
        timeout(PATIENCE, self.down.recv()).await.expect("in time").expect("runs")
    }

    /// The next message down, which must be of this kind.
    pub(super) async fn expect(&mut self, kind: DownKind) -> Vec<u8> {
        let down = self.next().await;
        assert_eq!(down.kind, kind, "to {}", down.gateway);
        down.payload
    }

    /// Introduces a gateway and waits for its Welcome.
    pub(super) async fn welcome(&mut self, of: &Gateway) -> Vec<u8> {
        self.up(of.id.as_str(), UpKind::Hello, of.hello()).await;
        self.expect(DownKind::Welcome).await
    }

    /// Sends a catalogue in its chunks.
    pub(super) async fn send_catalogue(&self, from: &str, catalogue: &Catalogue) {
        for chunk in chunk_catalogue(catalogue) {
            self.up(from, UpKind::Catalogue, encode_catalogue_chunk(&chunk)).await;
        }
    }

    /// Dies without a goodbye: what is queued is lost.
    pub(super) async fn kill(mut self) {
        self.tasks.shutdown().await;
        drop((self.writer, self.events, self.commands));
        self.store_thread.join().expect("the store thread ends");
    }
}

/// What a gateway knows of one stream, so that its chain is right.
pub(super) struct Gateway {
    pub(super) id: GatewayId,
    pub(super) incarnation: IncarnationId,
    pub(super) owner: Option<Owner>,
    chains: [(Position, Digest); 3],
}

impl Gateway {
    pub(super) fn new(id: &str, incarnation: u8) -> Self {
        let (id, incarnation) = (gateway(id), IncarnationId([incarnation; 16]));
        let start = |stream| (Position(0), chain_start(&id, incarnation, stream));
        let chains = [Stream::Outcomes, Stream::Events, Stream::Samples].map(start);
        Self { id, incarnation, owner: None, chains }
    }

    /// Each later than the one before: a Hello that comes twice is heard once.
    pub(super) fn hello(&self) -> Vec<u8> {
        static AT: AtomicU64 = AtomicU64::new(5_000);
        encode_hello(&Hello {
            gateway: self.id.clone(),
            boot: BootId([1; 16]),
            owner: self.owner.clone(),
            burned: Epoch(0),
            heads: Stream::ALL
                .map(|stream| {
                    let (next, chain) = self.chains[usize::from(stream.code())];
                    fieldgate_model::Head {
                        incarnation: self.incarnation,
                        stream,
                        first: Position(0),
                        next,
                        chain,
                    }
                })
                .into(),
            open_commands: 0,
            generation: 3,
            software: "fieldgate 0.1.0".into(),
            at: Millis(AT.fetch_add(1, Ordering::Relaxed)),
            utc: None,
            doubt: None,
        })
    }

    /// Seals content into the next batch of its stream.
    pub(super) fn seal(&mut self, content: Content) -> Batch {
        let (stream, records) = match &content {
            Content::Samples { samples, .. } => (Stream::Samples, samples.len()),
            Content::Events(records) => (Stream::Events, records.len()),
            Content::Outcomes(records) => (Stream::Outcomes, records.len()),
            Content::Gap(_) => (Stream::Samples, 5),
        };
        let (first, before) = self.chains[usize::from(stream.code())];
        let next = Position(first.0 + records as u64);
        let mut batch = Batch {
            incarnation: self.incarnation,
            stream,
            first,
            next,
            chain: Digest([0; 32]),
            boot: BootId([1; 16]),
            utc_offset: Some(BEGIN),
            content,
        };
        batch.chain = link(before, leaf(&batch));
        self.chains[usize::from(stream.code())] = (next, batch.chain);
        batch
    }

    /// The next batch of `count` samples of signal 0.
    pub(super) fn samples(&mut self, catalogue: &Catalogue, count: u64) -> Vec<u8> {
        let sample = |at| Sample {
            signal: SignalIndex(0),
            at: Millis(1_000 * (at + 1)),
            value: Some(Value::Unsigned(2_300 + at)),
            quality: Quality::Good,
        };
        let catalogue = fieldgate_wire::catalogue_id(catalogue);
        encode_batch(
            &self.seal(Content::Samples { catalogue, samples: (0..count).map(sample).collect() }),
        )
    }
}

pub(super) fn catalogue() -> Catalogue {
    let signal = CatalogueSignal {
        name: SignalName::new("voltage").expect("an id"),
        kind: ValueKind::Unsigned,
        unit: "V".into(),
        scale: Scale::new(0.1, 0.0).expect("a scale"),
        writable: false,
    };
    let name = DeviceName::new("meter").expect("an id");
    let device = CatalogueDevice { name, profile: "meter@1".into(), signals: vec![signal] };
    Catalogue { devices: vec![device] }
}

pub(super) fn alarm(occurrence: u64, transition: u64, state: AlarmState) -> AlarmTransition {
    AlarmTransition {
        key: AlarmKey {
            device: DeviceName::new("meter").expect("an id"),
            alarm: SignalName::new("high").expect("an id"),
        },
        occurrence,
        transition,
        state,
        severity: Severity::High,
        signal: SignalName::new("voltage").expect("an id"),
        value: 260.5,
        limit: 253.0,
        message: "voltage is high".into(),
    }
}
