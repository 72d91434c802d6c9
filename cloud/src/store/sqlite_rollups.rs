//! Works out the rollups of hours that are marked as changed, beside the writer.
//!
//! # Invariants
//!
//! - What a row says is what the samples of its hour say in one snapshot, whatever order they are
//!   stored in: first and last are found by their places.

use std::collections::BTreeMap;

use fieldgate_model::{
    Catalogue, CatalogueId, Content, DeviceName, GatewayId, Millis, Position, Sample, Scale,
    SignalIndex, SignalName, UtcMillis, Value,
};
use fieldgate_pack::Zstd;
use rusqlite::{Connection, OptionalExtension, params};

use super::block::{self, Damaged, Whole};
use super::query::{QueryError, Readers, SamplePlace};
use super::rollup::{HOUR_MS, MINUTE_MS, Minutes, hour};
use super::sqlite_query::number;
use super::sqlite_signal::{stored_batch, stored_catalogue};
use super::sqlite_sweep::{Place, Sweep};
use super::upkeep::{DirtyHours, Rolled, RollupRow};

/// When marked hours are worked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollupRules {
    /// So long after the last mark: an hour that is still filling is not made again and again.
    pub quiet: Millis,
    /// Ranges of one step.
    pub ranges_max: usize,
    /// Hours of one range in one step.
    pub hours_max: i64,
}

impl Default for RollupRules {
    fn default() -> Self {
        Self {
            quiet: Millis::from_secs(10),
            // With one hour each some 100 ms of one core for gateways of 40 signals at one a second.
            ranges_max: 32,
            hours_max: 24,
        }
    }
}

/// Rows after which a step of a range ends: a transaction of some hundred KiB.
const ROWS_MAX: usize = 2_000;

impl Readers {
    /// The rows of marked hours, as far as one step goes; nothing if there is nothing to do.
    pub async fn plan_rollups(
        &self,
        rules: RollupRules,
        now: UtcMillis,
    ) -> Result<Vec<Rolled>, QueryError> {
        self.read(move |connection| {
            let mut codec = Zstd::new();
            let mut rolled = Vec::new();
            let mut rows = 0;
            for dirty in marked(connection, rules, now)? {
                let next = roll(connection, dirty, rules.hours_max, &mut codec)?;
                rows += next.rows.len();
                rolled.push(next);
                if rows >= ROWS_MAX {
                    break;
                }
            }
            Ok(rolled)
        })
        .await
    }
}

fn marked(
    connection: &Connection,
    rules: RollupRules,
    now: UtcMillis,
) -> Result<Vec<DirtyHours>, QueryError> {
    let sql = "SELECT gateway, from_hour, to_hour, marks FROM rollup_dirty
        WHERE marked_at <= ?1 ORDER BY marked_at LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let limit = i64::try_from(rules.ranges_max).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![(now - rules.quiet).0, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let gateway = GatewayId::new(row.get::<_, String>(0)?);
        found.push(DirtyHours {
            gateway: gateway.map_err(|_| QueryError::Damaged("gateway"))?,
            from: row.get(1)?,
            to: row.get(2)?,
            marks: row.get(3)?,
        });
    }
    Ok(found)
}

fn roll(
    connection: &Connection,
    dirty: DirtyHours,
    hours_max: i64,
    codec: &mut Zstd,
) -> Result<Rolled, QueryError> {
    let mut rows = Vec::new();
    let mut at = dirty.from;
    for _ in 0..hours_max {
        if at >= dirty.to || rows.len() >= ROWS_MAX {
            break;
        }
        let mut folding = Folding::new(connection, &dirty.gateway, at);
        folding.fold(codec)?;
        // Ranges may be as wide as a wrong clock is: hours without samples are passed over.
        let later = [folding.later(), next_start(connection, &dirty.gateway, at + 1)?];
        let later = later.into_iter().flatten().min();
        at = later.map_or(dirty.to, |later| hour(UtcMillis(later)).max(at + 1));
        rows.extend(folding.rows(codec));
    }
    Ok(Rolled { done_to: at.min(dirty.to), dirty, rows })
}

/// When the first batch or block begins that begins in this hour or later.
fn next_start(
    connection: &Connection,
    gateway: &GatewayId,
    hour: i64,
) -> Result<Option<i64>, QueryError> {
    let sql = "SELECT min(at) FROM (
            SELECT min(from_at) AS at FROM batch
            WHERE gateway = ?1 AND stream = 2 AND from_at >= ?2
            UNION ALL SELECT min(from_at) FROM block WHERE gateway = ?1 AND from_at >= ?2)";
    let from = hour.saturating_mul(HOUR_MS);
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row(params![gateway.as_str(), from], |row| row.get(0))?)
}

/// A value and where it stands.
type Placed = Option<(SamplePlace, f64)>;

/// One signal of one catalogue in one hour.
struct Signal {
    /// UTC milliseconds of the hour.
    begin: i64,
    minutes: Minutes,
    /// First and last of each minute, by place.
    ends: Vec<(Placed, Placed)>,
    /// The earliest sample after the hour that was seen.
    later: Option<i64>,
}

/// One hour of one gateway.
struct Folding<'c> {
    connection: &'c Connection,
    gateway: &'c GatewayId,
    hour: i64,
    catalogues: BTreeMap<CatalogueId, Option<Catalogue>>,
    signals: BTreeMap<(CatalogueId, SignalIndex), Option<Signal>>,
}

impl<'c> Folding<'c> {
    fn new(connection: &'c Connection, gateway: &'c GatewayId, hour: i64) -> Self {
        let (catalogues, signals) = (BTreeMap::new(), BTreeMap::new());
        Self { connection, gateway, hour, catalogues, signals }
    }

    fn fold(&mut self, codec: &mut Zstd) -> Result<(), QueryError> {
        let from = UtcMillis(self.hour.saturating_mul(HOUR_MS));
        let to = UtcMillis(from.0.saturating_add(HOUR_MS));
        let mut sweep = Sweep::new(self.connection, self.gateway, from, to);
        while let Some(reference) = sweep.next()? {
            match reference.place {
                Place::Batch(sequence) => self.fold_batch(sequence, codec)?,
                Place::Block(id) => self.fold_block(id, codec)?,
            }
        }
        Ok(())
    }

    fn fold_batch(&mut self, sequence: i64, codec: &mut Zstd) -> Result<(), QueryError> {
        let stored = stored_batch(self.connection, codec, sequence)?;
        let Some(stored) = stored else { return Ok(()) };
        let Content::Samples { catalogue, samples } = &stored.batch.content else { return Ok(()) };
        let mut position = stored.batch.first.0;
        for run in samples.chunk_by(|one, next| one.signal == next.signal) {
            let Some(first) = run.first() else { continue };
            if let Some(signal) = self.signal(*catalogue, first.signal)? {
                for (Sample { at, value, .. }, position) in run.iter().zip(position..) {
                    signal.take(stored.place(*at, Position(position)), value.as_ref());
                }
            }
            position += run.len() as u64;
        }
        Ok(())
    }

    fn fold_block(&mut self, id: i64, codec: &mut Zstd) -> Result<(), QueryError> {
        let sql = "SELECT incarnation, first, catalogue, offsets, body FROM block WHERE id = ?1";
        let row = self.connection.prepare_cached(sql)?.query_row([id], |row| {
            let first: i64 = row.get(1)?;
            let head = (fieldgate_model::IncarnationId(row.get(0)?), first);
            let offsets = row.get::<_, Option<Vec<u8>>>(3)?;
            Ok((head, CatalogueId(row.get(2)?), offsets, row.get::<_, Vec<u8>>(4)?))
        });
        let Some(((incarnation, first), catalogue, offsets, body)) = row.optional()? else {
            return Ok(());
        };
        let damaged = |Damaged(why): Damaged| {
            tracing::warn!(id, why, "a block cannot be read");
        };
        let whole = Whole::read(Position(number(first)), &body).and_then(|whole| {
            let offsets = offsets.as_deref().unwrap_or_default();
            let offsets = block::decode_offsets(offsets, whole.index.members.len())?;
            Ok((whole, offsets))
        });
        let (whole, offsets) = match whole {
            Ok(whole) => whole,
            Err(why) => {
                damaged(why);
                return Ok(());
            }
        };
        for column in &whole.index.columns {
            let Some(signal) = self.signal(catalogue, column.signal)? else { continue };
            match whole.samples(column, codec) {
                Ok(samples) => {
                    for sample in samples {
                        let offset = offsets.get(sample.member).copied().unwrap_or_default();
                        let at = UtcMillis(offset) + sample.at;
                        let place = SamplePlace::Placed(at, incarnation, sample.position);
                        signal.take(place, sample.value.as_ref());
                    }
                }
                Err(why) => damaged(why),
            }
        }
        Ok(())
    }

    fn signal(
        &mut self,
        catalogue: CatalogueId,
        index: SignalIndex,
    ) -> Result<Option<&mut Signal>, QueryError> {
        if !self.catalogues.contains_key(&catalogue) {
            let list = stored_catalogue(self.connection, self.gateway, catalogue)?;
            self.catalogues.insert(catalogue, list);
        }
        let hour = self.hour;
        let list = self.catalogues.get(&catalogue).and_then(Option::as_ref);
        let signal = self.signals.entry((catalogue, index)).or_insert_with(|| {
            let (_, signal) = list?.get(index)?;
            Some(Signal::new(signal.scale, hour))
        });
        Ok(signal.as_mut())
    }

    /// The earliest sample after the hour in what was read for it.
    fn later(&self) -> Option<i64> {
        self.signals.values().flatten().filter_map(|signal| signal.later).min()
    }

    /// A row a name: catalogues that follow each other within the hour are put together.
    fn rows(self, codec: &mut Zstd) -> Vec<RollupRow> {
        let mut by_name: BTreeMap<(DeviceName, SignalName), Signal> = BTreeMap::new();
        for ((catalogue, index), signal) in self.signals {
            let list = self.catalogues.get(&catalogue).and_then(Option::as_ref);
            let Some(signal) = signal.filter(Signal::has_samples) else { continue };
            let Some((device, named)) = list.and_then(|list| list.get(index)) else { continue };
            let name = (device.name.clone(), named.name.clone());
            match by_name.remove(&name) {
                Some(other) => by_name.insert(name, other.join(signal)),
                None => by_name.insert(name, signal),
            };
        }
        let row = |((device, signal), told): ((DeviceName, SignalName), Signal)| {
            let minutes = told.finish();
            RollupRow {
                device,
                signal,
                hour: self.hour,
                total: minutes.total(),
                minutes: minutes.pack(codec),
            }
        };
        by_name.into_iter().map(row).collect()
    }
}

impl Signal {
    fn new(scale: Scale, hour: i64) -> Self {
        let minutes = Minutes::new(scale);
        let ends = vec![(None, None); minutes.minutes.len()];
        Self { begin: hour.saturating_mul(HOUR_MS), minutes, ends, later: None }
    }

    fn take(&mut self, place: SamplePlace, value: Option<&Value>) {
        let SamplePlace::Placed(at, ..) = place else { return };
        if at.0 >= self.begin + HOUR_MS && self.later.is_none_or(|later| at.0 < later) {
            self.later = Some(at.0);
        }
        let minute = usize::try_from((at.0 - self.begin).div_euclid(MINUTE_MS)).ok();
        let Some(number) = minute.filter(|minute| *minute < self.ends.len()) else { return };
        let (minute, ends) = (&mut self.minutes.minutes[number], &mut self.ends[number]);
        let scale = self.minutes.scale;
        let is_number = value.and_then(|value| scale.apply(value)).is_some_and(f64::is_finite);
        let raw = value.and_then(Value::as_f64).filter(|_| is_number);
        minute.take(raw);
        let Some(raw) = raw else { return };
        if ends.0.is_none_or(|(first, _)| place < first) {
            ends.0 = Some((place, raw));
        }
        if ends.1.is_none_or(|(last, _)| last < place) {
            ends.1 = Some((place, raw));
        }
    }

    fn has_samples(&self) -> bool {
        self.minutes.minutes.iter().any(|minute| minute.count + minute.bad > 0)
    }

    /// Both as one: a signal whose catalogue changed within the hour.
    fn join(self, other: Self) -> Self {
        if self.minutes.scale != other.minutes.scale {
            return self.unscaled().join_alike(other.unscaled());
        }
        self.join_alike(other)
    }

    fn join_alike(mut self, other: Self) -> Self {
        let others = other.minutes.minutes.iter().zip(other.ends);
        let minutes = self.minutes.minutes.iter_mut().zip(&mut self.ends);
        for ((minute, ends), (other, (first, last))) in minutes.zip(others) {
            minute.append(other);
            ends.0 = [ends.0, first].into_iter().flatten().min_by_key(|(place, _)| *place);
            ends.1 = [ends.1, last].into_iter().flatten().max_by_key(|(place, _)| *place);
        }
        self
    }

    fn unscaled(mut self) -> Self {
        let scale = self.minutes.scale;
        let apply = |(place, raw): (SamplePlace, f64)| {
            (place, scale.apply(&Value::Float64(raw)).unwrap_or(raw))
        };
        for (first, last) in &mut self.ends {
            (*first, *last) = (first.map(apply), last.map(apply));
        }
        self.minutes = self.minutes.unscaled();
        self
    }

    fn finish(mut self) -> Minutes {
        for (minute, (first, last)) in self.minutes.minutes.iter_mut().zip(&self.ends) {
            minute.first = first.map_or(0.0, |(_, raw)| raw);
            minute.last = last.map_or(0.0, |(_, raw)| raw);
        }
        self.minutes
    }
}
