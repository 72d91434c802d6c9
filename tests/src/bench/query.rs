//! A month of one signal at one sample a second: charted, and read sample by sample.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fieldgate_cloud::store::query::{Readers, SampleQuery, SignalId, SignalKey};
use fieldgate_cloud::store::{
    BatchState, BlockRules, Commit, DATABASE_FILE, RollupRules, Store as _,
};
use fieldgate_model::{Content, DeviceName, GatewayId, Millis, SignalName, TenantId, UtcMillis};
use fieldgate_wire::{catalogue_id, encode_catalogue};
use serde_json::{Value, json};

use super::fleet::{BEGIN, Sealer, catalogue};
use super::inside::populated;
use super::poll::{as_f64, round};
use crate::harness::Scratch;

/// Days of history.
const DAYS: u64 = 30;
const SECONDS: u64 = DAYS * 86_400;
/// Signals of the one gateway: ten times as much is stored as is asked for.
const SIGNALS: u32 = 10;
/// Batches of one transaction while the month is made.
const GROUP: usize = 200;
/// Each question is asked so often; the slowest counts.
const ROUNDS: usize = 5;

pub(super) fn run() -> Result<Value> {
    let scratch = Scratch::new("fieldgate-bench")?;
    let folder = scratch.folder("month")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let made = Instant::now();
    let mut store = populated(&folder, 1)?;
    let gateway = GatewayId::new("g0")?;
    let list = catalogue(SIGNALS);
    store.save_catalogue(&gateway, &catalogue_id(&list), &encode_catalogue(&list))?;
    let mut sealer = Sealer::new(0, SIGNALS, 10_000);
    let mut group = Vec::new();
    while sealer.next.0 < SECONDS * u64::from(SIGNALS) {
        group.push(commit(&mut sealer)?);
        if group.len() == GROUP {
            store.commit(&group, BEGIN)?;
            group.clear();
        }
    }
    store.commit(&group, BEGIN)?;
    let path = folder.join(DATABASE_FILE);
    let readers = Readers::open(&path, 1)?;
    runtime.block_on(async {
        let ask = |every: u64| chart(&readers, Millis::from_secs(every));
        let from_samples = ask(7_200).await?;
        let filled = made.elapsed();
        // An hour later nothing is fresh any more.
        let now = UtcMillis(BEGIN.0 + 3_600_000);
        loop {
            let blocks = readers.plan_blocks(BlockRules::default(), now).await?;
            let rolled = readers.plan_rollups(RollupRules::default(), now).await?;
            if blocks.is_empty() && rolled.is_empty() {
                break;
            }
            store.compact(&blocks, now)?;
            store.roll(&rolled, now)?;
        }
        let upkeep = made.elapsed().saturating_sub(filled);
        let connection = rusqlite::Connection::open(&path)?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        let bytes = std::fs::metadata(&path)?.len();
        let free: i64 = connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
        let (all, count) = (readers_all(&readers).await?, SECONDS * u64::from(SIGNALS));
        Ok(json!({
            "work": { "days": DAYS, "signals": SIGNALS, "samples_of_the_signal": SECONDS },
            "chart_of_the_month_ms": {
                "360 points": ask(7_200).await?,
                "720 points": ask(3_600).await?,
                "2,000 points": ask(1_296).await?,
                "before upkeep, cut at 700,000 samples": from_samples,
            },
            "every_sample_of_the_month_ms": all,
            "stored_bytes_per_sample": round(as_f64(bytes) / as_f64(count)),
            "of_it_free_pages": round(as_f64(free.unsigned_abs() * 4_096) / as_f64(count)),
            "upkeep_million_samples_per_s": round(as_f64(count) / upkeep.as_secs_f64() / 1e6),
        }))
    })
}

fn signal() -> Result<SignalId> {
    let key = SignalKey { device: DeviceName::new("meter")?, signal: SignalName::new("s3")? };
    Ok(SignalId { gateway: GatewayId::new("g0")?, key })
}

/// The slowest of some rounds.
async fn chart(readers: &Readers, every: Millis) -> Result<f64> {
    let mut slowest = Duration::ZERO;
    for _ in 0..ROUNDS {
        let range = (BEGIN, UtcMillis(BEGIN.0 + (SECONDS * 1_000 + 60_000).cast_signed()));
        let started = Instant::now();
        let summary = readers.summary(signal()?, range, every).await?.context("a known signal")?;
        slowest = slowest.max(started.elapsed());
        let count: u64 = summary.buckets.iter().map(|bucket| bucket.total.count).sum();
        ensure!(summary.cut || count >= SECONDS, "{count} of {SECONDS} samples");
    }
    Ok(round(slowest.as_secs_f64() * 1e3))
}

/// Every sample of the signal, in pages as an export reads them.
async fn readers_all(readers: &Readers) -> Result<f64> {
    let signal = signal()?;
    let mut query = SampleQuery { signal, from: None, to: None, after: None, unplaced: false };
    let (started, mut count) = (Instant::now(), 0);
    loop {
        let page = readers.samples(query.clone(), 100_000).await?.context("a known signal")?;
        count += page.samples.len() as u64;
        query.after = page.samples.last().map(|last| last.place);
        if !page.more {
            break;
        }
    }
    ensure!(count >= SECONDS, "{count} of {SECONDS} samples");
    Ok(round(started.elapsed().as_secs_f64() * 1e3))
}

fn commit(sealer: &mut Sealer) -> Result<Commit> {
    let body = sealer.message();
    let batch = fieldgate_wire::decode_batch_packed(&body, &mut fieldgate_pack::Zstd::new())?;
    let Content::Samples { catalogue, samples } = &batch.content else {
        anyhow::bail!("a batch of samples");
    };
    let times = || samples.iter().map(|sample| sample.at);
    let mono = times().min().zip(times().max());
    Ok(Commit {
        tenant: TenantId::new("bench")?,
        gateway: sealer.id.clone(),
        incarnation: batch.incarnation,
        stream: batch.stream,
        first: batch.first,
        next: batch.next,
        chain: batch.chain,
        catalogue: Some(*catalogue),
        boot: batch.boot,
        mono,
        span: mono.map(|(from, to)| (BEGIN + from, BEGIN + to)),
        anchors: Vec::new(),
        state: BatchState::Readable,
        samples: samples.len() as u64,
        events: 0,
        alarms: Vec::new(),
        closings: Vec::new(),
        steps: Vec::new(),
        local_writes: Vec::new(),
        body,
    })
}
