//! The same load over MQTT into `fieldgate-cloud serve`, which is another process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fieldgate_cloud::store::{DATABASE_FILE, SqliteStore, Store as _};
use fieldgate_model::{GatewayId, TenantId};
use fieldgate_wire::{DownKind, UpKind, decode_ack};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::cost;
use super::fleet::{BEGIN, Sealer};
use super::ingest::{SIGNALS, measure, thread_cpu};
use super::inside::SECRET;
use super::mqtt::Client;
use crate::harness::{Cloud, CloudOptions, Scratch};

/// Batches of a gateway that are sent and not acknowledged.
const WINDOW: u64 = 8;

/// A cloud with gateways `g0` and so on, which listens in plain as well.
pub(super) fn cloud(scratch: &Scratch, gateways: usize) -> Result<Cloud> {
    let arguments = vec!["--mqtt-plain".to_owned(), "127.0.0.1:0".to_owned()];
    let cloud = Cloud::start(scratch, CloudOptions { arguments })?;
    let mut store = SqliteStore::open(&cloud.data().join(DATABASE_FILE))?;
    cloud.add_tenant("bench")?;
    let tenant = TenantId::new("bench")?;
    let hash = fieldgate_cloud::identity::secret_hash(SECRET.as_bytes());
    for number in 0..gateways {
        let name = format!("g{number}");
        store.add_gateway(&tenant, &GatewayId::new(name.clone())?, &name, &hash, "bench", BEGIN)?;
    }
    Ok(cloud)
}

pub(super) fn run(
    scratch: &Scratch,
    gateways: usize,
    samples: u32,
    length: Duration,
) -> Result<Value> {
    let mut cloud = cloud(scratch, gateways)?;
    let (address, pid) = (cloud.announced("mqtt_plain")?, cloud.process().id());
    let committed: Arc<[AtomicU64]> = (0..gateways).map(|_| AtomicU64::new(0)).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let (told, halt) = (Arc::clone(&committed), Arc::clone(&stop));
    // On one thread of its own, so that its cost can be told.
    let load = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let before = thread_cpu();
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for number in 0..gateways {
                let sealer = Sealer::new(number, SIGNALS, samples);
                let (address, told, halt) = (address.clone(), Arc::clone(&told), Arc::clone(&halt));
                tasks.spawn(async move {
                    let place = told.get(number).context("one place a gateway")?;
                    drive(sealer, &address, place, &halt, samples).await
                });
            }
            while let Some(ended) = tasks.join_next().await {
                ended??;
            }
            Ok::<_, anyhow::Error>(thread_cpu().saturating_sub(before))
        })
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let total = || committed.iter().map(|one| one.load(Ordering::Relaxed)).sum::<u64>();
    let window = runtime.block_on(measure(length, total, pid))?;
    let memory = cost::of(pid)?.resident;
    stop.store(true, Ordering::Relaxed);
    let load_cpu = load.join().map_err(|_| anyhow::anyhow!("the load panicked"))??;
    cloud.stop()?;
    std::fs::remove_dir_all(cloud.data())?;
    let mut figures = window.figures(load_cpu);
    figures["cloud_resident_mib"] = json!(memory / 1024 / 1024);
    Ok(figures)
}

/// Logs in, is welcomed, and sends while its window has room.
async fn drive(
    mut sealer: Sealer,
    address: &str,
    committed: &AtomicU64,
    stop: &AtomicBool,
    samples: u32,
) -> Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut client = Client::connect(stream, sealer.id.clone(), SECRET).await?;
    client.publish(UpKind::Hello, &sealer.hello()).await?;
    let (kind, _) = client.next().await?;
    ensure!(kind == DownKind::Welcome, "{kind:?} for a Hello");
    for chunk in sealer.catalogue_chunks() {
        client.publish(UpKind::Catalogue, &chunk).await?;
    }
    while !stop.load(Ordering::Relaxed) {
        let acked = committed.load(Ordering::Relaxed);
        if sealer.next.0 - acked < WINDOW * u64::from(samples) {
            client.publish(UpKind::Batch, &sealer.message()).await?;
            continue;
        }
        let (kind, payload) = client.next().await?;
        if kind == DownKind::Ack {
            let ack = decode_ack(&payload).context("an Ack")?;
            committed.fetch_max(ack.cursor.committed.0, Ordering::Relaxed);
        }
    }
    Ok(())
}
