//! Looks for batches that are worth a block, and makes it, beside the writer.
//!
//! # Invariants
//!
//! - What goes into a block leads to the chain that was committed with it: a batch that a disk has
//!   changed stays where it is, and is told.
//! - Gaps, batches kept in custody, and whatever a hold still needs stay as they are.

use std::ops::ControlFlow;

use fieldgate_model::{
    Batch, BootId, CatalogueId, Content, Digest, GatewayId, IncarnationId, Position, Stream,
    TenantId, UtcMillis,
};
use fieldgate_pack::Zstd;
use fieldgate_wire::{Envelope, chain_start, decode_envelope, leaf, link};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::block::{self, MEMBERS_MAX, SAMPLES_MAX, Swallowed};
use super::query::{QueryError, Readers};
use super::sqlite_query::number;
use super::sqlite_signal::StoredBatch;
use super::upkeep::{BlockRules, Compaction, NewBlock};

impl Readers {
    /// What can be put into blocks, as far as one step goes; nothing if there is nothing to do.
    pub async fn plan_blocks(
        &self,
        rules: BlockRules,
        now: UtcMillis,
    ) -> Result<Vec<Compaction>, QueryError> {
        self.read(move |connection| {
            let mut codec = Zstd::new();
            let mut planned = Vec::new();
            for stretch in stretches(connection, rules, now)? {
                planned.extend(plan(connection, &stretch, &mut codec)?);
            }
            Ok(planned)
        })
        .await
    }
}

/// A stream of samples that waits.
struct Stretch {
    tenant: TenantId,
    gateway: GatewayId,
    incarnation: IncarnationId,
    from: Position,
    /// Up to before here it may be touched.
    free: Position,
    /// It has waited for so long that a small block is better than none.
    is_old: bool,
}

fn stretches(
    connection: &Connection,
    rules: BlockRules,
    now: UtcMillis,
) -> Result<Vec<Stretch>, QueryError> {
    let sql = "SELECT g.tenant, c.gateway, c.incarnation, c.blocked,
            min(c.committed, coalesce((SELECT min(h.position) FROM hold h
                WHERE h.gateway = c.gateway AND h.incarnation = c.incarnation
                    AND h.stream = c.stream), c.committed)) AS free,
            c.blocked_at < ?3
        FROM cursor c JOIN gateway g ON g.id = c.gateway
        WHERE c.stream = ?1 AND c.committed > c.blocked
            AND (free - c.blocked >= ?2 OR (free > c.blocked AND c.blocked_at < ?3))
        ORDER BY c.committed - c.blocked DESC LIMIT ?4";
    let wanted = params![
        Stream::Samples.code(),
        i64::try_from(rules.samples_min).unwrap_or(i64::MAX),
        (now - rules.age).0,
        i64::try_from(rules.blocks_max).unwrap_or(i64::MAX),
    ];
    let damaged = |_| QueryError::Damaged("gateway");
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(wanted)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Stretch {
            tenant: TenantId::new(row.get::<_, String>(0)?).map_err(damaged)?,
            gateway: GatewayId::new(row.get::<_, String>(1)?).map_err(damaged)?,
            incarnation: IncarnationId(row.get(2)?),
            from: Position(number(row.get(3)?)),
            free: Position(number(row.get(4)?)),
            is_old: row.get(5)?,
        });
    }
    Ok(found)
}

/// A row of `batch`.
struct BatchRow {
    sequence: i64,
    first: Position,
    next: Position,
    from_at: Option<i64>,
    committed_at: i64,
    /// The bytes, unless it is a gap or kept in custody.
    body: Option<Vec<u8>>,
}

/// The next step of a stretch: a block, or a batch that stays; `None` if it has to wait.
fn plan(
    connection: &Connection,
    stretch: &Stretch,
    codec: &mut Zstd,
) -> Result<Option<Compaction>, QueryError> {
    let sql = "SELECT sequence, first, next, from_at, committed_at,
            CASE WHEN state = 0 THEN body END
        FROM batch WHERE gateway = ?1 AND incarnation = ?2 AND stream = ?3 AND first >= ?4
            AND next <= ?5
        ORDER BY first LIMIT ?6";
    let of = |position: Position| i64::try_from(position.0).unwrap_or(i64::MAX);
    let wanted = params![
        stretch.gateway.as_str(),
        stretch.incarnation.0,
        Stream::Samples.code(),
        of(stretch.from),
        of(stretch.free),
        i64::try_from(MEMBERS_MAX).unwrap_or(i64::MAX),
    ];
    let mut growing = Growing::new(connection, stretch)?;
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(wanted)?;
    let mut is_closed = false;
    while let Some(row) = rows.next()? {
        if growing.take(&batch_row(row)?, codec).is_break() {
            is_closed = true;
            break;
        }
    }
    let is_closed = is_closed || growing.batches.len() == MEMBERS_MAX || stretch.is_old;
    Ok(growing.finish(is_closed, codec))
}

fn batch_row(row: &Row<'_>) -> Result<BatchRow, QueryError> {
    Ok(BatchRow {
        sequence: row.get(0)?,
        first: Position(number(row.get(1)?)),
        next: Position(number(row.get(2)?)),
        from_at: row.get(3)?,
        committed_at: row.get(4)?,
        body: row.get(5)?,
    })
}

/// What the batches of a block have in common.
#[derive(PartialEq, Eq)]
struct Common {
    boot: BootId,
    catalogue: CatalogueId,
    has_time: bool,
}

/// A block that is being collected.
struct Growing<'s> {
    stretch: &'s Stretch,
    /// Where the next batch must begin.
    at: Position,
    /// The chain there, as far as it is known.
    chain: Option<Digest>,
    common: Option<Common>,
    batches: Vec<Swallowed>,
    rows: Vec<(i64, Option<i64>)>,
    offsets: Vec<i64>,
    span: Option<(i64, i64)>,
}

impl<'s> Growing<'s> {
    fn new(connection: &Connection, stretch: &'s Stretch) -> Result<Self, QueryError> {
        Ok(Self {
            stretch,
            at: stretch.from,
            chain: chain_before(connection, stretch)?,
            common: None,
            batches: Vec::new(),
            rows: Vec::new(),
            offsets: Vec::new(),
            span: None,
        })
    }

    /// Takes the next row, or breaks off in front of what cannot be in one block with the others.
    fn take(&mut self, row: &BatchRow, codec: &mut Zstd) -> ControlFlow<()> {
        let is_next = row.first == self.at;
        let samples = self.batches.first().map_or(0, |begin| row.next - begin.batch.first);
        let fits = samples <= SAMPLES_MAX as u64;
        let opened = row.body.as_ref().filter(|_| is_next && fits);
        let opened = opened.and_then(|body| open(body, codec));
        let Some((envelope, batch)) = opened.filter(|(_, batch)| self.leads_on(batch, row)) else {
            // In front of everything: it stays, and the next step begins behind it.
            if self.batches.is_empty() {
                self.at = if is_next { row.next } else { row.first };
            }
            return ControlFlow::Break(());
        };
        let digest = leaf(&batch);
        if self.chain.is_some_and(|chain| link(chain, digest) != envelope.chain) {
            let (gateway, sequence) = (&self.stretch.gateway, row.sequence);
            tracing::error!(%gateway, sequence, "a stored batch does not lead to its chain");
            if self.batches.is_empty() {
                self.at = row.next;
            }
            return ControlFlow::Break(());
        }
        self.add(row, batch, digest, envelope.chain);
        ControlFlow::Continue(())
    }

    fn leads_on(&self, batch: &Batch, row: &BatchRow) -> bool {
        let common = common_of(batch, row);
        self.common.as_ref().is_none_or(|before| Some(before) == common.as_ref())
            && common.is_some()
    }

    fn add(&mut self, row: &BatchRow, batch: Batch, digest: Digest, chain: Digest) {
        self.common = common_of(&batch, row);
        self.at = row.next;
        self.chain = Some(chain);
        self.rows.push((row.sequence, row.from_at));
        let stored = StoredBatch::new(batch, row.from_at, row.committed_at);
        if let (Some(from), Some(offset)) = (row.from_at, stored.offset()) {
            self.offsets.push(offset);
            let latest = match &stored.batch.content {
                Content::Samples { samples, .. } => samples.iter().map(|sample| sample.at).max(),
                Content::Events(_) | Content::Outcomes(_) | Content::Gap(_) => None,
            };
            let to = latest.map_or(from, |latest| (UtcMillis(offset) + latest).0);
            self.span = Some(self.span.map_or((from, to), |(a, b)| (a.min(from), b.max(to))));
        }
        let StoredBatch { batch, committed_at, .. } = stored;
        self.batches.push(Swallowed { batch, leaf: digest, committed_at });
    }

    fn finish(self, is_closed: bool, codec: &mut Zstd) -> Option<Compaction> {
        let Stretch { gateway, incarnation, from, .. } = self.stretch;
        let compaction = |block| Compaction {
            gateway: gateway.clone(),
            incarnation: *incarnation,
            from: *from,
            to: self.at,
            block,
        };
        match (&self.common, self.chain) {
            // One batch is as good as a block of it.
            (Some(_), _) if is_closed && self.batches.len() == 1 => Some(compaction(None)),
            (Some(common), Some(chain)) if is_closed => {
                let block = NewBlock {
                    tenant: self.stretch.tenant.clone(),
                    first: *from,
                    boot: common.boot,
                    catalogue: common.catalogue,
                    chain,
                    span: self.span.map(|(from, to)| (UtcMillis(from), UtcMillis(to))),
                    offsets: common.has_time.then(|| block::encode_offsets(&self.offsets)),
                    body: block::encode(&self.batches, codec),
                    swallowed: self.rows.clone(),
                };
                Some(compaction(Some(block)))
            }
            (None, _) if self.at > *from => Some(compaction(None)),
            (Some(_) | None, _) => None,
        }
    }
}

fn open(body: &[u8], codec: &mut Zstd) -> Option<(Envelope, Batch)> {
    let envelope = decode_envelope(body).ok()?;
    let batch = envelope.open_packed(codec).ok()?;
    Some((envelope, batch))
}

fn common_of(batch: &Batch, row: &BatchRow) -> Option<Common> {
    match &batch.content {
        Content::Samples { catalogue, .. } => Some(Common {
            boot: batch.boot,
            catalogue: *catalogue,
            has_time: row.from_at.is_some(),
        }),
        Content::Events(_) | Content::Outcomes(_) | Content::Gap(_) => None,
    }
}

/// The chain where the stretch begins; `None` if what was before is not here any more.
fn chain_before(connection: &Connection, stretch: &Stretch) -> Result<Option<Digest>, QueryError> {
    let Stretch { gateway, incarnation, from, .. } = stretch;
    if from.0 == 0 {
        return Ok(Some(chain_start(gateway, *incarnation, Stream::Samples)));
    }
    let at = i64::try_from(from.0).unwrap_or(i64::MAX);
    let block: Option<([u8; 32], i64)> = connection
        .prepare_cached(
            "SELECT chain, next FROM block WHERE gateway = ?1 AND incarnation = ?2 AND first < ?3
             ORDER BY first DESC LIMIT 1",
        )?
        .query_row(params![gateway.as_str(), incarnation.0, at], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    if let Some((chain, _)) = block.filter(|(_, next)| *next == at) {
        return Ok(Some(Digest(chain)));
    }
    let batch: Option<(Vec<u8>, i64)> = connection
        .prepare_cached(
            "SELECT body, next FROM batch WHERE gateway = ?1 AND incarnation = ?2 AND stream = ?4
                AND first < ?3 ORDER BY first DESC LIMIT 1",
        )?
        .query_row(params![gateway.as_str(), incarnation.0, at, Stream::Samples.code()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let batch = batch.filter(|(_, next)| *next == at);
    Ok(batch.and_then(|(body, _)| decode_envelope(&body).ok()).map(|envelope| envelope.chain))
}
