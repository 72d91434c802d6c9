//! History: the samples of one signal out of the batches that carried them.
//!
//! Batches are swept in the order of their start. A sample is told as soon as no batch that is
//! still to come can begin before it, so what is held in memory is what overlaps, not the range.
//!
//! # Invariants
//!
//! - Samples come in the order of [`SamplePlace`]; each exactly once, since a batch has one name.
//! - A sample is read with the catalogue of its own batch.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use fieldgate_model::{
    Batch, Catalogue, CatalogueId, CatalogueSignal, Content, GatewayId, IncarnationId, Millis,
    Position, SignalIndex, Stream, UtcMillis,
};
use fieldgate_pack::Zstd;
use fieldgate_wire::v1;
use rusqlite::{Connection, OptionalExtension, params};

use super::query::{
    QueryError, Readers, SamplePage, SamplePlace, SampleQuery, SignalId, SignalKey, StoredSample,
};
use super::sqlite_sweep::Sweep;

/// Batches looked at for the newest values after a restart: a minute at one seal in two seconds.
const NEWEST_BATCHES: usize = 32;

/// Samples that a summary reads at most: a week of one signal at one a second.
pub const SUMMARY_SAMPLES_MAX: u64 = 700_000;

impl Readers {
    /// Up to `limit` samples; `None` if the gateway never had such a signal.
    pub async fn samples(
        &self,
        query: SampleQuery,
        limit: usize,
    ) -> Result<Option<SamplePage>, QueryError> {
        self.read(move |connection| {
            if !knows(connection, &query.signal)? {
                return Ok(None);
            }
            let mut page = SamplePage::default();
            scan(connection, &query, &mut |sample| {
                if page.samples.len() == limit {
                    page.more = true;
                    return ControlFlow::Break(());
                }
                page.samples.push(sample);
                ControlFlow::Continue(())
            })?;
            Ok(Some(page))
        })
        .await
    }

    /// Folds the samples of `query` into buckets of `width` that begin at `start`; the count of
    /// samples that were read, and `None` if the gateway never had such a signal.
    pub async fn summary(
        &self,
        query: SampleQuery,
        start: UtcMillis,
        width: Millis,
    ) -> Result<Option<Vec<Bucket>>, QueryError> {
        self.read(move |connection| {
            if !knows(connection, &query.signal)? {
                return Ok(None);
            }
            let mut buckets: BTreeMap<i64, Bucket> = BTreeMap::new();
            let mut left = SUMMARY_SAMPLES_MAX;
            let width = i64::try_from(width.0.max(1)).unwrap_or(i64::MAX);
            scan(connection, &query, &mut |sample| {
                let Some(at) = sample.at() else { return ControlFlow::Continue(()) };
                let number = at.0.saturating_sub(start.0).div_euclid(width);
                let bucket = buckets
                    .entry(number)
                    .or_insert_with(|| Bucket::at(UtcMillis(start.0 + number * width)));
                bucket.take(&sample);
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            Ok(Some(buckets.into_values().collect()))
        })
        .await
    }

    /// The newest committed sample of each signal among the gateway's latest batches.
    pub async fn newest(
        &self,
        gateway: GatewayId,
    ) -> Result<BTreeMap<SignalKey, StoredSample>, QueryError> {
        self.read(move |connection| newest(connection, &gateway)).await
    }
}

/// What a chart needs of the samples of one stretch of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// Where it begins.
    pub at: UtcMillis,
    /// Samples that are a number, or true or false.
    pub count: u64,
    /// Samples without a value.
    pub bad: u64,
    /// The least of them.
    pub min: f64,
    /// The greatest of them.
    pub max: f64,
    /// Their sum.
    pub sum: f64,
    /// The latest of them.
    pub last: f64,
}

impl Bucket {
    fn at(at: UtcMillis) -> Self {
        let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
        Self { at, count: 0, bad: 0, min, max, sum: 0.0, last: 0.0 }
    }

    fn take(&mut self, sample: &StoredSample) {
        let value = sample.value.as_ref().and_then(|value| sample.signal.scale.apply(value));
        let Some(value) = value.filter(|value| value.is_finite()) else {
            self.bad += 1;
            return;
        };
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value;
        self.last = value;
    }
}

/// Whether any catalogue of the gateway names the signal.
fn knows(connection: &Connection, signal: &SignalId) -> Result<bool, QueryError> {
    let mut statement =
        connection.prepare_cached("SELECT body FROM catalogue WHERE gateway = ?1")?;
    let mut rows = statement.query([signal.gateway.as_str()])?;
    while let Some(row) = rows.next()? {
        let body: Vec<u8> = row.get(0)?;
        if v1::decode_catalogue(&body).is_ok_and(|list| find(&list, &signal.key).is_some()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn find(catalogue: &Catalogue, key: &SignalKey) -> Option<(SignalIndex, Arc<CatalogueSignal>)> {
    let place = catalogue
        .signals()
        .position(|(device, signal)| device.name == key.device && signal.name == key.signal)?;
    let index = SignalIndex(u32::try_from(place).ok()?);
    Some((index, Arc::new(catalogue.get(index)?.1.clone())))
}

type Tell<'t> = dyn FnMut(StoredSample) -> ControlFlow<()> + 't;

fn scan(
    connection: &Connection,
    query: &SampleQuery,
    tell: &mut Tell<'_>,
) -> Result<(), QueryError> {
    let (codec, known) = (Zstd::new(), BTreeMap::new());
    let mut reader = Reader { connection, signal: &query.signal, codec, known };
    let placed_are_over = matches!(query.after, Some(SamplePlace::Unplaced(..)));
    if !placed_are_over && scan_placed(&mut reader, query, tell)?.is_break() {
        return Ok(());
    }
    if query.unplaced {
        scan_unplaced(&mut reader, query, tell)?;
    }
    Ok(())
}

fn scan_placed(
    reader: &mut Reader<'_>,
    query: &SampleQuery,
    tell: &mut Tell<'_>,
) -> Result<ControlFlow<()>, QueryError> {
    let resumed = match query.after {
        Some(SamplePlace::Placed(at, ..)) => at,
        Some(SamplePlace::Unplaced(..)) | None => UtcMillis(i64::MIN),
    };
    let from = query.from.unwrap_or(UtcMillis(i64::MIN)).max(resumed);
    let to = query.to.unwrap_or(UtcMillis(i64::MAX));
    let mut sweep = Sweep::new(reader.connection, &query.signal.gateway, from, to);
    let mut held: BTreeMap<SamplePlace, StoredSample> = BTreeMap::new();
    loop {
        let next = sweep.next()?;
        let told_before = next.map_or(i64::MAX, |next| next.from_at);
        while let Some(entry) = held.first_entry() {
            let at = entry.get().at();
            if next.is_some() && at.is_some_and(|at| at.0 >= told_before) {
                break;
            }
            if tell(entry.remove()).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let Some(next) = next else { return Ok(ControlFlow::Continue(())) };
        for sample in reader.load(next.sequence)? {
            let inside = sample.at().is_some_and(|at| from <= at && at < to);
            if inside && query.after.is_none_or(|after| sample.place > after) {
                held.insert(sample.place, sample);
            }
        }
    }
}

fn scan_unplaced(
    reader: &mut Reader<'_>,
    query: &SampleQuery,
    tell: &mut Tell<'_>,
) -> Result<(), QueryError> {
    let (incarnation, position) = match query.after {
        Some(SamplePlace::Unplaced(incarnation, position)) => (incarnation, position),
        Some(SamplePlace::Placed(..)) | None => (IncarnationId([0; 16]), Position(0)),
    };
    let position = i64::try_from(position.0).unwrap_or(i64::MAX);
    // Named in full before the bodies are read, so that no statement is open meanwhile: one batch
    // is some bytes here, and a gateway without any time of day is rare and soon over.
    let sql = "SELECT sequence FROM batch WHERE gateway = ?1 AND stream = ?2 AND state = 0
            AND from_at IS NULL AND incarnation >= ?3 AND (incarnation > ?3 OR next > ?4)
        ORDER BY incarnation, first";
    let gateway = query.signal.gateway.as_str();
    let samples = Stream::Samples.code();
    let mut statement = reader.connection.prepare_cached(sql)?;
    let wanted = params![gateway, samples, incarnation.0, position];
    let sequences = statement.query_map(wanted, |row| row.get::<_, i64>(0))?;
    for sequence in sequences.collect::<Result<Vec<_>, _>>()? {
        for sample in reader.load(sequence)? {
            if query.after.is_none_or(|after| sample.place > after) && tell(sample).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Reads one signal out of batches, and remembers where each catalogue has it.
struct Reader<'c> {
    connection: &'c Connection,
    signal: &'c SignalId,
    codec: Zstd,
    known: BTreeMap<CatalogueId, Option<(SignalIndex, Arc<CatalogueSignal>)>>,
}

impl Reader<'_> {
    /// The samples of the signal in a batch; none in a gap or in a batch kept in custody.
    fn load(&mut self, sequence: i64) -> Result<Vec<StoredSample>, QueryError> {
        let Some(stored) = stored_batch(self.connection, &mut self.codec, sequence)? else {
            return Ok(Vec::new());
        };
        let Content::Samples { catalogue, samples } = &stored.batch.content else {
            return Ok(Vec::new());
        };
        let Some((index, signal)) = self.locate(*catalogue)? else { return Ok(Vec::new()) };
        let records = samples.iter().zip(stored.batch.first.0..);
        let mine = records.filter(|(sample, _)| sample.signal == index);
        Ok(mine
            .map(|(sample, position)| StoredSample {
                place: stored.place(sample.at, Position(position)),
                value: sample.value.clone(),
                quality: sample.quality,
                signal: Arc::clone(&signal),
                committed_at: stored.committed_at,
            })
            .collect())
    }

    fn locate(
        &mut self,
        catalogue: CatalogueId,
    ) -> Result<Option<(SignalIndex, Arc<CatalogueSignal>)>, QueryError> {
        if let Some(known) = self.known.get(&catalogue) {
            return Ok(known.clone());
        }
        let list = stored_catalogue(self.connection, &self.signal.gateway, catalogue)?;
        let place = list.and_then(|list| find(&list, &self.signal.key));
        self.known.insert(catalogue, place.clone());
        Ok(place)
    }
}

struct StoredBatch {
    batch: Batch,
    /// UTC of its earliest record.
    from_at: Option<UtcMillis>,
    earliest: Millis,
    committed_at: UtcMillis,
}

impl StoredBatch {
    /// The index decides about UTC, not the batch: a better anchor moves the index alone.
    fn place(&self, at: Millis, position: Position) -> SamplePlace {
        match self.from_at {
            Some(from) => {
                let at = from + at.since(self.earliest);
                SamplePlace::Placed(at, self.batch.incarnation, position)
            }
            None => SamplePlace::Unplaced(self.batch.incarnation, position),
        }
    }
}

fn stored_batch(
    connection: &Connection,
    codec: &mut Zstd,
    sequence: i64,
) -> Result<Option<StoredBatch>, QueryError> {
    let sql = "SELECT body, from_at, committed_at FROM batch WHERE sequence = ?1 AND state = 0";
    let row = connection
        .prepare_cached(sql)?
        .query_row([sequence], |row| {
            let from: Option<i64> = row.get(1)?;
            Ok((row.get::<_, Vec<u8>>(0)?, from, row.get::<_, i64>(2)?))
        })
        .optional()?;
    let Some((body, from_at, committed_at)) = row else { return Ok(None) };
    let Ok(batch) = v1::decode_batch_packed(&body, codec) else {
        tracing::warn!(sequence, "a batch that was readable at its commit cannot be decoded");
        return Ok(None);
    };
    let earliest = match &batch.content {
        Content::Samples { samples, .. } => samples.iter().map(|sample| sample.at).min(),
        Content::Events(_) | Content::Outcomes(_) | Content::Gap(_) => None,
    };
    Ok(Some(StoredBatch {
        batch,
        from_at: from_at.map(UtcMillis),
        earliest: earliest.unwrap_or_default(),
        committed_at: UtcMillis(committed_at),
    }))
}

fn stored_catalogue(
    connection: &Connection,
    gateway: &GatewayId,
    id: CatalogueId,
) -> Result<Option<Catalogue>, QueryError> {
    let body: Option<Vec<u8>> = connection
        .prepare_cached("SELECT body FROM catalogue WHERE gateway = ?1 AND id = ?2")?
        .query_row(params![gateway.as_str(), id.0], |row| row.get(0))
        .optional()?;
    body.map(|body| v1::decode_catalogue(&body).map_err(|_| QueryError::Damaged("catalogue")))
        .transpose()
}

fn newest(
    connection: &Connection,
    gateway: &GatewayId,
) -> Result<BTreeMap<SignalKey, StoredSample>, QueryError> {
    let sql = "SELECT sequence FROM batch WHERE gateway = ?1 AND stream = ?2
        ORDER BY to_at DESC LIMIT ?3";
    let limit = i64::try_from(NEWEST_BATCHES).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    let wanted = params![gateway.as_str(), Stream::Samples.code(), limit];
    let sequences = statement.query_map(wanted, |row| row.get::<_, i64>(0))?;
    let mut codec = Zstd::new();
    let mut lists: BTreeMap<CatalogueId, Option<Catalogue>> = BTreeMap::new();
    let mut newest: BTreeMap<SignalKey, StoredSample> = BTreeMap::new();
    for sequence in sequences.collect::<Result<Vec<_>, _>>()? {
        let Some(stored) = stored_batch(connection, &mut codec, sequence)? else { continue };
        let Content::Samples { catalogue, samples } = &stored.batch.content else { continue };
        if !lists.contains_key(catalogue) {
            lists.insert(*catalogue, stored_catalogue(connection, gateway, *catalogue)?);
        }
        let Some(Some(list)) = lists.get(catalogue) else { continue };
        for (sample, position) in samples.iter().zip(stored.batch.first.0..) {
            let Some((device, signal)) = list.get(sample.signal) else { continue };
            let place = stored.place(sample.at, Position(position));
            let key = SignalKey { device: device.name.clone(), signal: signal.name.clone() };
            let candidate = StoredSample {
                place,
                value: sample.value.clone(),
                quality: sample.quality,
                signal: Arc::new(signal.clone()),
                committed_at: stored.committed_at,
            };
            // By time first: a sample without one is older than any that has one.
            let order = |sample: &StoredSample| (sample.at(), sample.place);
            if newest.get(&key).is_none_or(|known| order(known) < order(&candidate)) {
                newest.insert(key, candidate);
            }
        }
    }
    Ok(newest)
}
