//! History: the samples of one signal in the order of their time, and the newest of all signals.
//!
//! Batches and blocks are swept in the order of their start. A sample is told as soon as nothing
//! that is still to come can begin before it, so what is held in memory is what overlaps, not the
//! range.
//!
//! # Invariants
//!
//! - Samples come in the order of [`SamplePlace`]; each exactly once, as a question is answered from
//!   one snapshot, in which a sample is in a batch or in a block.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use fieldgate_model::{
    Catalogue, CatalogueId, Content, GatewayId, IncarnationId, Position, Stream, UtcMillis,
};
use fieldgate_pack::Zstd;
use rusqlite::{Connection, params};

use super::query::{
    QueryError, Readers, SamplePage, SamplePlace, SampleQuery, SignalKey, StoredSample,
};
use super::sqlite_signal::{SignalReader, knows, stored_batch, stored_catalogue};
use super::sqlite_sweep::{Place, Sweep};

/// Batches looked at for the newest values after a restart: a minute at one seal in two seconds.
/// They are not in blocks yet, or the gateway has been silent for a day.
const NEWEST_BATCHES: usize = 32;

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

    /// The newest committed sample of each signal among the gateway's latest batches.
    pub async fn newest(
        &self,
        gateway: GatewayId,
    ) -> Result<BTreeMap<SignalKey, StoredSample>, QueryError> {
        self.read(move |connection| newest(connection, &gateway)).await
    }
}

/// Is told one sample after the other, and says whether it wants more.
pub(super) type Tell<'t> = dyn FnMut(StoredSample) -> ControlFlow<()> + 't;

/// Tells what `query` asks for.
pub(super) fn scan(
    connection: &Connection,
    query: &SampleQuery,
    tell: &mut Tell<'_>,
) -> Result<(), QueryError> {
    let mut reader = SignalReader::new(connection, &query.signal);
    let placed_are_over = matches!(query.after, Some(SamplePlace::Unplaced(..)));
    if !placed_are_over && scan_placed(connection, &mut reader, query, tell)?.is_break() {
        return Ok(());
    }
    if query.unplaced {
        scan_unplaced(connection, &mut reader, query, tell)?;
    }
    Ok(())
}

fn scan_placed(
    connection: &Connection,
    reader: &mut SignalReader<'_>,
    query: &SampleQuery,
    tell: &mut Tell<'_>,
) -> Result<ControlFlow<()>, QueryError> {
    let resumed = match query.after {
        Some(SamplePlace::Placed(at, ..)) => at,
        Some(SamplePlace::Unplaced(..)) | None => UtcMillis(i64::MIN),
    };
    let from = query.from.unwrap_or(UtcMillis(i64::MIN)).max(resumed);
    let to = query.to.unwrap_or(UtcMillis(i64::MAX));
    let mut sweep = Sweep::new(connection, &query.signal.gateway, from, to);
    let mut held: BTreeMap<SamplePlace, StoredSample> = BTreeMap::new();
    while let Some(reference) = sweep.next()? {
        let mut loaded = reader.load(reference.place)?;
        loaded.retain(|sample| {
            let inside = sample.at().is_some_and(|at| from <= at && at < to);
            inside && query.after.is_none_or(|after| sample.place > after)
        });
        let bound = sweep.next_from()?;
        let is_due = |sample: &StoredSample| {
            bound.is_none_or(|bound| sample.at().is_some_and(|at| at.0 < bound))
        };
        // Mostly batches follow each other, and nothing has to be put in order.
        if held.is_empty() && loaded.is_sorted_by(|one, next| one.place < next.place) {
            let due = loaded.partition_point(is_due);
            held.extend(loaded.split_off(due).into_iter().map(|sample| (sample.place, sample)));
            for sample in loaded {
                if tell(sample).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            continue;
        }
        held.extend(loaded.into_iter().map(|sample| (sample.place, sample)));
        while let Some(entry) = held.first_entry().filter(|entry| is_due(entry.get())) {
            if tell(entry.remove()).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn scan_unplaced(
    connection: &Connection,
    reader: &mut SignalReader<'_>,
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
    let sql = "SELECT 0, sequence, incarnation, first FROM batch
        WHERE gateway = ?1 AND stream = ?2 AND state = 0 AND from_at IS NULL
            AND incarnation >= ?3 AND (incarnation > ?3 OR next > ?4)
        UNION ALL SELECT 1, id, incarnation, first FROM block
        WHERE gateway = ?1 AND from_at IS NULL
            AND incarnation >= ?3 AND (incarnation > ?3 OR next > ?4)
        ORDER BY 3, 4";
    let gateway = query.signal.gateway.as_str();
    let mut statement = connection.prepare_cached(sql)?;
    let wanted = params![gateway, Stream::Samples.code(), incarnation.0, position];
    let places = statement.query_map(wanted, |row| {
        let number = row.get(1)?;
        Ok(if row.get(0)? { Place::Block(number) } else { Place::Batch(number) })
    })?;
    for place in places.collect::<Result<Vec<_>, _>>()? {
        let mut loaded = reader.load(place)?;
        loaded.sort_by_key(|sample| sample.place);
        for sample in loaded {
            if query.after.is_none_or(|after| sample.place > after) && tell(sample).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn newest(
    connection: &Connection,
    gateway: &GatewayId,
) -> Result<BTreeMap<SignalKey, StoredSample>, QueryError> {
    let sql = "SELECT sequence FROM batch WHERE gateway = ?1 AND stream = ?2
        ORDER BY from_at DESC, to_at DESC LIMIT ?3";
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
