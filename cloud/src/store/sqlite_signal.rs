//! One signal out of the batches and blocks that carried it.
//!
//! # Invariants
//!
//! - A sample is read with the catalogue of its own batch.
//! - What cannot be read any more is told in the log, and costs nothing but itself.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use fieldgate_model::{
    Batch, Catalogue, CatalogueId, CatalogueSignal, Content, GatewayId, IncarnationId, Millis,
    Position, SignalIndex, UtcMillis,
};
use fieldgate_pack::Zstd;
use fieldgate_wire::v1;
use rusqlite::blob::Blob;
use rusqlite::{Connection, MAIN_DB, OptionalExtension, params};

use super::block::{self, Damaged, HEAD_BYTES, Index};
use super::query::{QueryError, SamplePlace, SignalId, SignalKey, StoredSample};
use super::sqlite_sweep::Place;

/// Reads one signal, and remembers where each catalogue has it.
pub(super) struct SignalReader<'c> {
    connection: &'c Connection,
    signal: &'c SignalId,
    codec: Zstd,
    known: BTreeMap<CatalogueId, Option<(SignalIndex, Arc<CatalogueSignal>)>>,
    /// Moved from row to row, as opening one costs more than reading it.
    blob: Option<Blob<'c>>,
}

impl<'c> SignalReader<'c> {
    pub(super) fn new(connection: &'c Connection, signal: &'c SignalId) -> Self {
        Self { connection, signal, codec: Zstd::new(), known: BTreeMap::new(), blob: None }
    }

    /// The samples of the signal, in the order of their positions; none in a gap or in a batch kept
    /// in custody.
    pub(super) fn load(&mut self, place: Place) -> Result<Vec<StoredSample>, QueryError> {
        match place {
            Place::Batch(sequence) => self.load_batch(sequence),
            Place::Block(id) => self.load_block(id),
        }
    }

    fn load_batch(&mut self, sequence: i64) -> Result<Vec<StoredSample>, QueryError> {
        let stored = stored_batch(self.connection, &mut self.codec, sequence)?;
        let Some(stored) = stored else { return Ok(Vec::new()) };
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

    fn load_block(&mut self, id: i64) -> Result<Vec<StoredSample>, QueryError> {
        let sql = "SELECT incarnation, first, catalogue, offsets FROM block WHERE id = ?1";
        let row = self.connection.prepare_cached(sql)?.query_row([id], |row| {
            let first: i64 = row.get(1)?;
            let incarnation = IncarnationId(row.get(0)?);
            Ok((incarnation, first, CatalogueId(row.get(2)?), row.get::<_, Option<Vec<u8>>>(3)?))
        });
        let Some((incarnation, first, catalogue, offsets)) = row.optional()? else {
            return Ok(Vec::new());
        };
        let Some((index, signal)) = self.locate(catalogue)? else { return Ok(Vec::new()) };
        let first = Position(super::sqlite_query::number(first));
        let told = self.read_block(id, first, index, offsets.as_deref())?;
        let told = match told {
            Ok(told) => told,
            Err(Damaged(why)) => {
                tracing::warn!(id, why, "a block cannot be read");
                return Ok(Vec::new());
            }
        };
        let sample = |(sample, offset, committed_at): Told| StoredSample {
            place: match offset {
                Some(offset) => {
                    SamplePlace::Placed(UtcMillis(offset) + sample.at, incarnation, sample.position)
                }
                None => SamplePlace::Unplaced(incarnation, sample.position),
            },
            value: sample.value,
            quality: sample.quality,
            signal: Arc::clone(&signal),
            committed_at,
        };
        Ok(told.into_iter().map(sample).collect())
    }

    /// The index, and of the chunks those of one column.
    fn read_block(
        &mut self,
        id: i64,
        first: Position,
        signal: SignalIndex,
        offsets: Option<&[u8]>,
    ) -> Result<Result<Vec<Told>, Damaged>, QueryError> {
        let blob = match &mut self.blob {
            Some(blob) => {
                blob.reopen(id)?;
                blob
            }
            none => none.insert(self.connection.blob_open(MAIN_DB, "block", "body", id, true)?),
        };
        let head = fetch(blob, 0..HEAD_BYTES)?;
        let length = match block::index_length(&head) {
            Ok(length) if HEAD_BYTES + length <= blob.len() => length,
            Ok(_) => return Ok(Err(Damaged("the index is cut"))),
            Err(damaged) => return Ok(Err(damaged)),
        };
        let index = match Index::read(first, &fetch(blob, 0..HEAD_BYTES + length)?) {
            Ok(index) => index,
            Err(damaged) => return Ok(Err(damaged)),
        };
        let Some(column) = index.column(signal) else { return Ok(Ok(Vec::new())) };
        let (times, said) = (index.times_range(column), index.said_range(column));
        if times.end.max(said.end) > blob.len() {
            return Ok(Err(Damaged("a chunk is cut")));
        }
        let (times, said) = (fetch(blob, times)?, fetch(blob, said)?);
        let samples = index.samples(column, (&times, &said), &mut self.codec);
        let offsets = offsets.map(|bytes| block::decode_offsets(bytes, index.members.len()));
        Ok(samples.and_then(|samples| {
            let offsets = offsets.transpose()?;
            let of = |member: usize| offsets.as_ref().and_then(|of| of.get(member).copied());
            let told = samples.into_iter().filter_map(|sample| {
                let committed_at = index.members.get(sample.member)?.committed_at;
                let offset = of(sample.member);
                Some((sample, offset, committed_at))
            });
            Ok(told.collect())
        }))
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

/// A sample of a block, how far UTC is from its time, and when it was committed.
type Told = (block::BlockSample, Option<i64>, UtcMillis);

fn fetch(blob: &Blob<'_>, range: Range<usize>) -> Result<Vec<u8>, QueryError> {
    let mut bytes = vec![0; range.len()];
    blob.read_at_exact(&mut bytes, range.start)?;
    Ok(bytes)
}

/// A batch and where in UTC it stands.
pub(super) struct StoredBatch {
    pub(super) batch: Batch,
    /// UTC of its earliest record.
    pub(super) from_at: Option<UtcMillis>,
    pub(super) earliest: Millis,
    pub(super) committed_at: UtcMillis,
}

impl StoredBatch {
    pub(super) fn new(batch: Batch, from_at: Option<i64>, committed_at: i64) -> Self {
        let earliest = match &batch.content {
            Content::Samples { samples, .. } => samples.iter().map(|sample| sample.at).min(),
            Content::Events(_) | Content::Outcomes(_) | Content::Gap(_) => None,
        };
        let (from_at, earliest) = (from_at.map(UtcMillis), earliest.unwrap_or_default());
        Self { batch, from_at, earliest, committed_at: UtcMillis(committed_at) }
    }

    /// The index decides about UTC, not the batch: a better anchor moves the index alone.
    pub(super) fn place(&self, at: Millis, position: Position) -> SamplePlace {
        match self.from_at {
            Some(from) => {
                let at = from + at.since(self.earliest);
                SamplePlace::Placed(at, self.batch.incarnation, position)
            }
            None => SamplePlace::Unplaced(self.batch.incarnation, position),
        }
    }

    /// How far UTC is from monotonic time in it.
    pub(super) fn offset(&self) -> Option<i64> {
        self.from_at.map(|from| (from - self.earliest).0)
    }
}

/// A batch whose content was read when it came; `None` if it is not there or cannot be read.
pub(super) fn stored_batch(
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
    Ok(Some(StoredBatch::new(batch, from_at, committed_at)))
}

/// A catalogue of a gateway, if it has arrived.
pub(super) fn stored_catalogue(
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

/// Where a catalogue has a signal.
pub(super) fn find(
    catalogue: &Catalogue,
    key: &SignalKey,
) -> Option<(SignalIndex, Arc<CatalogueSignal>)> {
    let place = catalogue
        .signals()
        .position(|(device, signal)| device.name == key.device && signal.name == key.signal)?;
    let index = SignalIndex(u32::try_from(place).ok()?);
    Some((index, Arc::new(catalogue.get(index)?.1.clone())))
}

/// Whether any catalogue of the gateway names the signal.
pub(super) fn knows(connection: &Connection, signal: &SignalId) -> Result<bool, QueryError> {
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
