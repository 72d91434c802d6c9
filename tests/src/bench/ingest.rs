//! Samples a second from sealed batches to acknowledged commits, with upkeep and a reader beside it.
//!
//! Twice: into ingest inside this process, and over MQTT into the real program. What is counted is
//! what was acknowledged; the load's own time on a processor is shown apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fieldgate_cloud::link::{Down, LinkEvent, Up};
use fieldgate_cloud::store::query::{Readers, SignalId, SignalKey};
use fieldgate_model::{DeviceName, GatewayId, Millis, SignalName, UtcMillis};
use fieldgate_wire::{DownKind, UpKind, decode_ack};
use rusqlite::Connection;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};

use super::fleet::{BEGIN, Rng, Sealer};
use super::inside::Inside;
use super::poll::{as_f64, round};
use super::{cost, over_mqtt, raw_rows};
use crate::harness::Scratch;

/// Signals of a gateway.
pub(super) const SIGNALS: u32 = 40;

/// Batches of a gateway that are sent and not acknowledged.
const WINDOW: usize = 16;

/// How long upkeep may need after the load until nothing is left to do.
const SETTLE_MAX: Duration = Duration::from_secs(90);

pub(super) fn run(gateways: usize, length: Duration) -> Result<Value> {
    let scratch = Scratch::new("fieldgate-bench")?;
    let mut figures = serde_json::Map::new();
    let raw_length = (length / 6).min(Duration::from_secs(5));
    for samples in [1_000, 100] {
        let raw = raw_rows::run(&scratch, samples, raw_length)?;
        let inside = store_path(&scratch, gateways, samples, length)?;
        let mqtt = over_mqtt::run(&scratch, gateways, samples, length)?;
        let ratio = |side: &Value| {
            let speed = side.get("samples_per_s").and_then(Value::as_f64).unwrap_or_default();
            round(speed / raw)
        };
        figures.insert(
            format!("{samples} samples a batch"),
            json!({
                "sqlite_rows_per_s": raw.round(),
                "store_over_sqlite_rows": ratio(&inside),
                "mqtt_over_sqlite_rows": ratio(&mqtt),
                "store": inside,
                "mqtt": mqtt,
            }),
        );
    }
    Ok(Value::Object(figures))
}

/// Time that the calling thread has spent on a processor.
pub(super) fn thread_cpu() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(spent.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(spent.tv_nsec).unwrap_or_default())
}

fn store_path(scratch: &Scratch, gateways: usize, samples: u32, length: Duration) -> Result<Value> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let name = format!("inside-{samples}");
    runtime?.block_on(async {
        let mut inside = Inside::start(scratch, &name, gateways)?;
        let mut fleet: Vec<Sealer> =
            (0..gateways).map(|number| Sealer::new(number, SIGNALS, samples)).collect();
        for sealer in &fleet {
            introduce(&mut inside, sealer).await?;
        }
        let committed: Arc<[AtomicU64]> = (0..gateways).map(|_| AtomicU64::new(0)).collect();
        let (down_out, acks) = mpsc::channel(1);
        let down = std::mem::replace(&mut inside.down, acks);
        drop(down_out);
        let listener = tokio::spawn(listen(down, Arc::clone(&committed)));
        let reader = tokio::spawn(ask(inside.readers.clone(), gateways));
        let stop = Arc::new(AtomicBool::new(false));
        let (events, told, halt) =
            (inside.events.clone(), Arc::clone(&committed), Arc::clone(&stop));
        let load = thread::spawn(move || drive(&mut fleet, &events, &told, &halt, samples));
        let total = || committed.iter().map(|one| one.load(Ordering::Relaxed)).sum::<u64>();
        let window = measure(length, total, std::process::id()).await?;
        stop.store(true, Ordering::Relaxed);
        let load_cpu = load.join().map_err(|_| anyhow::anyhow!("the load panicked"))??;
        let behind = behind(&inside.database)?;
        let settled = settle(&inside).await?;
        reader.abort();
        let told = reader.await.err().map_or(0, |_| 0);
        let asked = ASKED.swap(0, Ordering::Relaxed) + told;
        let slowest = SLOWEST_US.swap(0, Ordering::Relaxed);
        listener.abort();
        let sent = total();
        let bytes = inside.stop().await?;
        let mut figures = window.figures(load_cpu);
        figures["behind_at_the_end"] = behind;
        figures["settled_after_s"] = json!(round(settled.as_secs_f64()));
        figures["stored_bytes_per_sample"] = json!(round(as_f64(bytes) / as_f64(sent)));
        figures["reader"] = json!({ "questions": asked, "slowest_ms": slowest / 1_000 });
        Ok(figures)
    })
}

async fn introduce(inside: &mut Inside, sealer: &Sealer) -> Result<()> {
    let up = |kind, payload| LinkEvent::Message(Up { gateway: sealer.id.clone(), kind, payload });
    inside.events.send(up(UpKind::Hello, sealer.hello())).await?;
    let down = inside.down.recv().await.context("ingest has stopped")?;
    ensure!(down.kind == DownKind::Welcome, "{:?} for a Hello", down.kind);
    for chunk in sealer.catalogue_chunks() {
        inside.events.send(up(UpKind::Catalogue, chunk)).await?;
    }
    Ok(())
}

/// Notes what is committed of each gateway.
async fn listen(mut down: mpsc::Receiver<Down>, committed: Arc<[AtomicU64]>) {
    while let Some(down) = down.recv().await {
        let number = down.gateway.as_str().get(1..).and_then(|number| number.parse::<usize>().ok());
        let place = number.and_then(|number| committed.get(number));
        if let (DownKind::Ack, Some(place)) = (down.kind, place)
            && let Ok(ack) = decode_ack(&down.payload)
        {
            place.fetch_max(ack.cursor.committed.0, Ordering::Relaxed);
        }
    }
}

/// Seals and sends as long as a gateway's window has room; its time on a processor.
fn drive(
    fleet: &mut [Sealer],
    events: &mpsc::Sender<LinkEvent>,
    committed: &[AtomicU64],
    stop: &AtomicBool,
    samples: u32,
) -> Result<Duration> {
    let before = thread_cpu();
    while !stop.load(Ordering::Relaxed) {
        let mut has_sent = false;
        for (sealer, committed) in fleet.iter_mut().zip(committed) {
            let open = sealer.next.0 - committed.load(Ordering::Relaxed);
            if open < WINDOW as u64 * u64::from(samples) {
                let (gateway, payload) = (sealer.id.clone(), sealer.message());
                let up = Up { gateway, kind: UpKind::Batch, payload };
                events.blocking_send(LinkEvent::Message(up)).context("ingest has stopped")?;
                has_sent = true;
            }
        }
        if !has_sent {
            thread::park_timeout(Duration::from_millis(1));
        }
    }
    Ok(thread_cpu().saturating_sub(before))
}

static ASKED: AtomicU64 = AtomicU64::new(0);
static SLOWEST_US: AtomicU64 = AtomicU64::new(0);

/// Charts one signal after the other.
async fn ask(readers: Readers, gateways: usize) -> Result<()> {
    let mut rng = Rng::new(1);
    let mut every = interval(Duration::from_millis(100));
    loop {
        every.tick().await;
        let gateway = GatewayId::new(format!("g{}", rng.below(gateways as u64)))?;
        let signal = SignalName::new(format!("s{}", rng.below(u64::from(SIGNALS))))?;
        let key = SignalKey { device: DeviceName::new("meter")?, signal };
        let range = (BEGIN, UtcMillis(BEGIN.0 + 30 * 86_400_000));
        let started = Instant::now();
        let asked = readers.summary(SignalId { gateway, key }, range, Millis::from_secs(7_200));
        asked.await?;
        ASKED.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        SLOWEST_US.fetch_max(micros, Ordering::Relaxed);
    }
}

/// What went through in a stretch of time.
pub(super) struct Window {
    samples: u64,
    seconds: f64,
    /// Of each second.
    each: Vec<u64>,
    cpu_s: f64,
}

/// Looks every second what `total` says.
pub(super) async fn measure(length: Duration, total: impl Fn() -> u64, pid: u32) -> Result<Window> {
    // The first second fills queues and caches.
    sleep(Duration::from_secs(1)).await;
    let (began, started, before) = (total(), Instant::now(), cost::of(pid)?);
    let (mut each, mut last) = (Vec::new(), began);
    while started.elapsed() < length {
        sleep(Duration::from_secs(1)).await;
        let now = total();
        each.push(now - last);
        last = now;
    }
    let cpu_s = cost::of(pid)?.cpu_s_since(before);
    let seconds = started.elapsed().as_secs_f64();
    Ok(Window { samples: last - began, seconds, each, cpu_s })
}

impl Window {
    pub(super) fn figures(mut self, load_cpu: Duration) -> Value {
        self.each.sort_unstable();
        let at = |part: usize| self.each.get(self.each.len() * part / 10).copied();
        json!({
            "samples_per_s": (as_f64(self.samples) / self.seconds).round(),
            "slowest_second": self.each.first(),
            "tenth_slowest_second": at(1),
            "seconds": self.seconds.round(),
            "cpu_s": round(self.cpu_s),
            "of_it_or_beside_it_load_cpu_s": round(load_cpu.as_secs_f64()),
        })
    }
}

/// Samples that are in no block yet, and hours without rollups.
fn behind(database: &std::path::Path) -> Result<Value> {
    let connection = Connection::open(database)?;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    Ok(json!({
        "samples_in_batches": number("SELECT coalesce(sum(next - first), 0) FROM batch")?,
        "marked_ranges": number("SELECT count(*) FROM rollup_dirty")?,
    }))
}

/// Waits until upkeep has nothing left to do.
async fn settle(inside: &Inside) -> Result<Duration> {
    let started = Instant::now();
    while started.elapsed() < SETTLE_MAX {
        let left = behind(&inside.database)?;
        if left["marked_ranges"] == json!(0) {
            break;
        }
        sleep(Duration::from_millis(250)).await;
    }
    Ok(started.elapsed())
}
