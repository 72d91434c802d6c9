//! A signal's history folded into stretches of time, for charts.
//!
//! Narrow stretches are folded from samples. Wide ones begin on a minute, and are put together from
//! the rollups where those say what the samples say, and from samples where they do not: at the ends
//! of the range, and in hours that are marked as changed.
//!
//! # Invariants
//!
//! - Whichever way it is made, a stretch tells of the same samples: those of the range.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use fieldgate_model::{Millis, UtcMillis};
use fieldgate_pack::Zstd;
use rusqlite::{Connection, OptionalExtension, params};

use super::query::{QueryError, Readers, SampleQuery, SignalId, Summary};
use super::rollup::{HOUR_MS, MINUTE_MS, Minutes, hour};
use super::sqlite_query::number;
use super::sqlite_samples::scan;
use super::sqlite_signal::knows;
use super::upkeep::Total;

/// Samples that a summary reads at most, besides what rollups tell: a week of one signal at one a
/// second.
pub const SUMMARY_SAMPLES_MAX: u64 = 700_000;

/// Dirty ranges looked at; a gateway that has more of them is read sample by sample.
const DIRTY_MAX: usize = 10_000;

/// Stretches that are narrower are folded from samples.
const ROLLED_MIN_MS: i64 = 2 * MINUTE_MS;

/// What a chart needs of the samples of one stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Where it begins.
    pub at: UtcMillis,
    /// What is told of its samples.
    pub total: Total,
}

impl Readers {
    /// Folds the samples from `from` to before `to` into stretches of about `width`; `None` if the
    /// gateway never had such a signal. Stretches of two minutes or more begin on a minute and are
    /// a whole number of minutes wide.
    pub async fn summary(
        &self,
        signal: SignalId,
        (from, to): (UtcMillis, UtcMillis),
        width: Millis,
    ) -> Result<Option<Summary>, QueryError> {
        self.read(move |connection| {
            if !knows(connection, &signal)? {
                return Ok(None);
            }
            let width = i64::try_from(width.0.max(1)).unwrap_or(i64::MAX);
            let rolled = width >= ROLLED_MIN_MS;
            let (start, width) = if rolled {
                (
                    floor(from.0, MINUTE_MS),
                    width.saturating_add(MINUTE_MS - 1) / MINUTE_MS * MINUTE_MS,
                )
            } else {
                (from.0, width)
            };
            let mut folding = Folding {
                connection,
                signal: &signal,
                start,
                width,
                left: SUMMARY_SAMPLES_MAX,
                totals: BTreeMap::new(),
            };
            if rolled {
                folding.fold(from.0, to.0)?;
            } else {
                folding.fold_samples(from.0, to.0)?;
            }
            Ok(Some(folding.finish()))
        })
        .await
    }
}

struct Folding<'c> {
    connection: &'c Connection,
    signal: &'c SignalId,
    start: i64,
    width: i64,
    /// Samples that may still be read.
    left: u64,
    totals: BTreeMap<i64, Total>,
}

impl Folding<'_> {
    fn finish(self) -> Summary {
        let bucket =
            |(number, total)| Bucket { at: UtcMillis(self.start + number * self.width), total };
        Summary {
            width: Millis(self.width.unsigned_abs()),
            cut: self.left == 0,
            buckets: self.totals.into_iter().map(bucket).collect(),
        }
    }

    fn total(&mut self, at: i64) -> &mut Total {
        let number = at.saturating_sub(self.start).div_euclid(self.width);
        self.totals.entry(number).or_insert(Total::EMPTY)
    }

    /// Part after part in the order of time, as first and last depend on it.
    fn fold(&mut self, from: i64, to: i64) -> Result<(), QueryError> {
        let (low, high) =
            (floor(from.saturating_add(MINUTE_MS - 1), MINUTE_MS), floor(to, MINUTE_MS));
        if high <= low {
            return self.fold_samples(from, to);
        }
        self.fold_samples(from, low)?;
        let dirty = self.dirty(low, high)?;
        let series = self.series()?;
        let mut at = low;
        while at < high {
            // Up to where it goes on alike: hours that are marked, or hours that are not.
            let marked = dirty.iter().find(|(_, end)| at < *end);
            let (is_marked, end) = match marked {
                Some((start, end)) if *start <= at => (true, (*end).min(high)),
                Some((start, _)) => (false, (*start).min(high)),
                None => (false, high),
            };
            if is_marked {
                self.fold_samples(at, end)?;
            } else if let Some(series) = series {
                self.fold_rollups(series, at, end)?;
            }
            at = end;
        }
        self.fold_samples(high, to)
    }

    fn fold_samples(&mut self, from: i64, to: i64) -> Result<(), QueryError> {
        if to <= from || self.left == 0 {
            return Ok(());
        }
        let query = SampleQuery {
            signal: self.signal.clone(),
            from: Some(UtcMillis(from)),
            to: Some(UtcMillis(to)),
            after: None,
            unplaced: false,
        };
        scan(self.connection, &query, &mut |sample| {
            let Some(at) = sample.at() else { return ControlFlow::Continue(()) };
            let value = sample.value.as_ref().and_then(|value| sample.signal.scale.apply(value));
            self.total(at.0).take(value);
            self.left -= 1;
            if self.left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }

    fn fold_rollups(&mut self, series: i64, from: i64, to: i64) -> Result<(), QueryError> {
        let sql = "SELECT hour, count, bad, min, max, sum, first, last, minutes FROM rollup
            WHERE series = ?1 AND hour >= ?2 AND hour <= ?3 ORDER BY hour";
        let mut codec = Zstd::new();
        let mut statement = self.connection.prepare_cached(sql)?;
        let wanted = params![series, hour(UtcMillis(from)), hour(UtcMillis(to - 1))];
        let mut rows = statement.query(wanted)?;
        while let Some(row) = rows.next()? {
            let begin = row.get::<_, i64>(0)?.saturating_mul(HOUR_MS);
            let end = begin + HOUR_MS;
            let number_of = |at: i64| (at - self.start).div_euclid(self.width);
            if from <= begin && end <= to && number_of(begin) == number_of(end - 1) {
                let total = total_of(row)?;
                self.total(begin).append(&total);
                continue;
            }
            let packed = row.get_ref(8)?.as_blob().map_err(|_| QueryError::Damaged("rollup"))?;
            let minutes =
                Minutes::unpack(packed, &mut codec).map_err(|_| QueryError::Damaged("rollup"))?;
            for (place, at) in (begin..end).step_by(60_000).enumerate() {
                let total = minutes.engineering(place);
                if from <= at && at < to && total.count + total.bad > 0 {
                    self.total(at).append(&total);
                }
            }
        }
        Ok(())
    }

    fn series(&self) -> Result<Option<i64>, QueryError> {
        let sql = "SELECT id FROM series WHERE gateway = ?1 AND device = ?2 AND signal = ?3";
        let SignalId { gateway, key } = self.signal;
        let mut statement = self.connection.prepare_cached(sql)?;
        let wanted = params![gateway.as_str(), key.device.as_str(), key.signal.as_str()];
        Ok(statement.query_row(wanted, |row| row.get(0)).optional()?)
    }

    /// The marked parts of a range in milliseconds, joined and in order.
    fn dirty(&self, from: i64, to: i64) -> Result<Vec<(i64, i64)>, QueryError> {
        let sql = "SELECT from_hour, to_hour FROM rollup_dirty
            WHERE gateway = ?1 AND from_hour < ?3 AND to_hour > ?2 LIMIT ?4";
        let (low, high) = (hour(UtcMillis(from)), hour(UtcMillis(to - 1)) + 1);
        let mut statement = self.connection.prepare_cached(sql)?;
        let limit = i64::try_from(DIRTY_MAX).unwrap_or(i64::MAX);
        let found = statement
            .query_map(params![self.signal.gateway.as_str(), low, high, limit], |row| {
                Ok((row.get::<_, i64>(0)?.max(low), row.get::<_, i64>(1)?.min(high)))
            })?;
        let mut found: Vec<(i64, i64)> = found.collect::<Result<_, _>>()?;
        if found.len() == DIRTY_MAX {
            return Ok(vec![(from, to)]);
        }
        found.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::new();
        for (start, end) in found {
            match joined.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                Some(_) | None => joined.push((start, end)),
            }
        }
        Ok(joined.into_iter().map(|(start, end)| (start * HOUR_MS, end * HOUR_MS)).collect())
    }
}

fn total_of(row: &rusqlite::Row<'_>) -> Result<Total, QueryError> {
    let float = |place: usize| Ok::<_, QueryError>(row.get::<_, Option<f64>>(place)?);
    Ok(Total {
        count: number(row.get(1)?),
        bad: number(row.get(2)?),
        min: float(3)?.unwrap_or(f64::INFINITY),
        max: float(4)?.unwrap_or(f64::NEG_INFINITY),
        sum: row.get(5)?,
        first: float(6)?.unwrap_or_default(),
        last: float(7)?.unwrap_or_default(),
    })
}

const fn floor(at: i64, width: i64) -> i64 {
    at.div_euclid(width).saturating_mul(width)
}
