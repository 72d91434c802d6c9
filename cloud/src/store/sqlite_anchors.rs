//! Looks for labels that better anchors have moved, beside the writer.
//!
//! # Invariants
//!
//! - Batches come first, then blocks: what becomes a block meanwhile is met there, with its new
//!   number above all others.

use fieldgate_model::{BootId, GatewayId, Millis, Position, Stream, UtcMillis};
use fieldgate_pack::Zstd;
use fieldgate_protocol::clock::Timeline;
use rusqlite::{Connection, OptionalExtension, params};

use super::block::{self, Damaged, Whole};
use super::query::{QueryError, Readers};
use super::sqlite::anchors::{RESTAMP_MIN, line};
use super::sqlite_query::number;
use super::{Moved, MovedRow, Restamp};

/// Batches of one step: some milliseconds of the writer.
const BATCHES_MAX: i64 = 512;
/// Blocks of one step: each is unpacked for its times.
const BLOCKS_MAX: i64 = 4;

impl Readers {
    /// The next step of writing labels anew; `None` if there is nothing to do.
    pub async fn plan_restamp(&self) -> Result<Option<Restamp>, QueryError> {
        self.read(|connection| {
            let Some(work) = work(connection)? else { return Ok(None) };
            let line = line(connection, &work.gateway, work.boot)?;
            let step = match work.block {
                None => batches(connection, work, &line)?,
                Some(after) => blocks(connection, work, after, &line)?,
            };
            Ok(Some(step))
        })
        .await
    }
}

/// A row of `restamp`.
struct Work {
    gateway: GatewayId,
    boot: BootId,
    span: (i64, i64),
    marks: i64,
    batch: (i64, i64),
    block: Option<i64>,
}

impl Work {
    fn step(self, moved: Vec<Moved>) -> Restamp {
        let (gateway, boot, marks) = (self.gateway, self.boot, self.marks);
        let (after_batch, after_block) = (self.batch, self.block);
        Restamp { gateway, boot, marks, moved, after_batch, after_block, is_last: false }
    }
}

fn work(connection: &Connection) -> Result<Option<Work>, QueryError> {
    let sql = "SELECT gateway, boot, from_at, to_at, marks, batch_at, batch, block FROM restamp
        ORDER BY gateway, boot LIMIT 1";
    let row = connection.prepare_cached(sql)?.query_row([], |row| {
        let span = (row.get(2)?, row.get(3)?);
        let batch = (row.get(5)?, row.get(6)?);
        Ok((row.get::<_, String>(0)?, row.get(1)?, span, row.get(4)?, batch, row.get(7)?))
    });
    let Some((gateway, boot, span, marks, batch, block)) = row.optional()? else {
        return Ok(None);
    };
    let gateway = GatewayId::new(gateway).map_err(|_| QueryError::Damaged("gateway"))?;
    Ok(Some(Work { gateway, boot: BootId(boot), span, marks, batch, block }))
}

fn batches(connection: &Connection, work: Work, line: &Timeline) -> Result<Restamp, QueryError> {
    let sql = "SELECT sequence, stream, from_mono, to_mono, from_at, to_at FROM batch
        WHERE gateway = ?1 AND boot = ?2 AND from_mono IS NOT NULL
            AND (from_mono, sequence) > (?3, ?4) AND from_mono <= ?5 AND to_mono >= ?6
        ORDER BY from_mono, sequence LIMIT ?7";
    let (from, to) = work.span;
    let (after_at, after) = work.batch;
    let mut statement = connection.prepare_cached(sql)?;
    let wanted =
        params![work.gateway.as_str(), work.boot.0, after_at, after, to, from, BATCHES_MAX];
    let mut rows = statement.query(wanted)?;
    let (mut moved, mut seen, mut last) = (Vec::new(), 0, work.batch);
    while let Some(row) = rows.next()? {
        let (sequence, begins): (i64, i64) = (row.get(0)?, row.get(2)?);
        (seen, last) = (seen + 1, (begins, sequence));
        let code: u8 = row.get(1)?;
        let stream = Stream::from_code(code).ok_or(QueryError::Damaged("stream"))?;
        let (from, to) = (Millis(number(begins)), Millis(number(row.get(3)?)));
        let ends: (Option<i64>, Option<i64>) = (row.get(4)?, row.get(5)?);
        let before = ends.0.zip(ends.1).map(|(from, to)| (UtcMillis(from), UtcMillis(to)));
        let Some(begin) = line.utc_at(from) else { continue };
        if is_off(before, begin) {
            let span = (begin, begin + to.since(from));
            moved.push(Moved { row: MovedRow::Batch(sequence), stream, before, span });
        }
    }
    let mut step = work.step(moved);
    step.after_batch = last;
    if seen < BATCHES_MAX {
        step.after_block = Some(-1);
    }
    Ok(step)
}

fn blocks(
    connection: &Connection,
    work: Work,
    after: i64,
    line: &Timeline,
) -> Result<Restamp, QueryError> {
    let sql = "SELECT id, first, from_at, to_at, body FROM block
        WHERE gateway = ?1 AND boot = ?2 AND id > ?3 ORDER BY id LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows =
        statement.query(params![work.gateway.as_str(), work.boot.0, after, BLOCKS_MAX])?;
    let mut codec = Zstd::new();
    let (mut moved, mut seen, mut last) = (Vec::new(), 0, after);
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        (seen, last) = (seen + 1, id);
        let body: Vec<u8> = row.get(4)?;
        let ends: (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
        let before = ends.0.zip(ends.1).map(|(from, to)| (UtcMillis(from), UtcMillis(to)));
        match derived(Position(number(row.get(1)?)), &body, line, &mut codec) {
            Ok(Some((span, offsets))) if before != Some(span) => {
                let row = MovedRow::Block { id, offsets };
                moved.push(Moved { row, stream: Stream::Samples, before, span });
            }
            Ok(_) => {}
            Err(Damaged(why)) => tracing::warn!(id, why, "a block cannot be read"),
        }
    }
    let mut step = work.step(moved);
    step.after_block = Some(last);
    step.is_last = seen < BLOCKS_MAX;
    Ok(step)
}

fn is_off(before: Option<(UtcMillis, UtcMillis)>, begin: UtcMillis) -> bool {
    before.is_none_or(|(before, _)| before.0.abs_diff(begin.0) >= RESTAMP_MIN.0)
}

/// A span of UTC, and the packed offsets of a block's batches.
type Placed = ((UtcMillis, UtcMillis), Vec<u8>);

/// Where a block's samples stand by the anchors; `None` if they say nothing or it has no sample.
fn derived(
    first: Position,
    body: &[u8],
    line: &Timeline,
    codec: &mut Zstd,
) -> Result<Option<Placed>, Damaged> {
    let whole = Whole::read(first, body)?;
    let mut times: Vec<Option<(Millis, Millis)>> = vec![None; whole.index.members.len()];
    for column in &whole.index.columns {
        for sample in whole.samples(column, codec)? {
            let Some(of) = times.get_mut(sample.member) else { continue };
            let (from, to) = of.unwrap_or((sample.at, sample.at));
            *of = Some((from.min(sample.at), to.max(sample.at)));
        }
    }
    let (mut offsets, mut span, mut last) = (Vec::with_capacity(times.len()), None, 0);
    for of in times {
        let Some((from, to)) = of else {
            offsets.push(last);
            continue;
        };
        let Some(begin) = line.utc_at(from) else { return Ok(None) };
        let end = begin + to.since(from);
        last = (begin - from).0;
        offsets.push(last);
        span = Some(
            span.map_or((begin, end), |(a, b): (UtcMillis, UtcMillis)| (a.min(begin), b.max(end))),
        );
    }
    Ok(span.map(|span| (span, block::encode_offsets(&offsets))))
}
