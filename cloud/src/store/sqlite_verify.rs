//! Looks whether what is stored of a stream still leads to the chain that its gateway has.
//!
//! # Invariants
//!
//! - A leaf is computed from the stored bytes, never taken over: from a batch's body, or from the
//!   columns of a block, out of which each batch is built again.

use fieldgate_model::{
    BootId, CatalogueId, Cursor, Digest, GatewayId, IncarnationId, Position, Stream,
};
use fieldgate_pack::Zstd;
use fieldgate_wire::{chain_start, decode_envelope, leaf, link};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::block::{Damaged, Origin, Whole};
use super::query::{QueryError, Readers};
use super::sqlite_query::number;

/// What a look through a stream has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Batches whose leaf was computed, in blocks and outside.
    pub batches: u64,
    /// Blocks looked into.
    pub blocks: u64,
    /// Gaps, and batches kept in custody, whose chain is the gateway's word.
    pub taken_over: u64,
    /// The first place that is not as it should be, and why.
    pub damage: Option<(Position, &'static str)>,
}

impl Readers {
    /// Computes every leaf of a stream and compares the chain with the cursor's.
    pub async fn verify(
        &self,
        gateway: GatewayId,
        incarnation: IncarnationId,
        stream: Stream,
    ) -> Result<Verified, QueryError> {
        self.read(move |connection| {
            let chain = chain_start(&gateway, incarnation, stream);
            let mut walk = Walk {
                connection,
                codec: Zstd::new(),
                cursor: Cursor { incarnation, stream, committed: Position(0), chain },
                found: Verified::default(),
            };
            walk.run(&gateway)?;
            Ok(walk.found)
        })
        .await
    }
}

struct Walk<'c> {
    connection: &'c Connection,
    codec: Zstd,
    /// Where it stands, and the chain there.
    cursor: Cursor,
    found: Verified,
}

impl Walk<'_> {
    fn run(&mut self, gateway: &GatewayId) -> Result<(), QueryError> {
        let Cursor { incarnation, stream, .. } = self.cursor;
        let sql = "SELECT committed, chain FROM cursor
            WHERE gateway = ?1 AND incarnation = ?2 AND stream = ?3";
        let wanted = params![gateway.as_str(), incarnation.0, stream.code()];
        let mut statement = self.connection.prepare_cached(sql)?;
        let end = statement.query_row(wanted, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((committed, chain)): Option<(i64, [u8; 32])> = end else { return Ok(()) };
        let sql = "SELECT first, next, state, body, NULL, NULL, NULL FROM batch
            WHERE gateway = ?1 AND incarnation = ?2 AND stream = ?3
            UNION ALL SELECT first, next, 0, body, boot, catalogue, chain FROM block
            WHERE gateway = ?1 AND incarnation = ?2 AND ?3 = 2
            ORDER BY 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(wanted)?;
        while let Some(row) = rows.next()? {
            if let Err(Damaged(why)) = self.step(row)? {
                self.found.damage = Some((self.cursor.committed, why));
                return Ok(());
            }
        }
        if (self.cursor.committed, self.cursor.chain)
            != (Position(number(committed)), Digest(chain))
        {
            let why = "what is stored does not lead to the cursor";
            self.found.damage = Some((self.cursor.committed, why));
        }
        Ok(())
    }

    fn step(&mut self, row: &Row<'_>) -> Result<Result<(), Damaged>, QueryError> {
        let (first, next) = (Position(number(row.get(0)?)), Position(number(row.get(1)?)));
        if first != self.cursor.committed {
            return Ok(Err(Damaged("something is missing in front of it")));
        }
        let body: Vec<u8> = row.get(3)?;
        let stepped = match row.get::<_, Option<[u8; 16]>>(4)? {
            Some(boot) => {
                let catalogue = CatalogueId(row.get(5)?);
                let incarnation = self.cursor.incarnation;
                let of = Origin { incarnation, boot: BootId(boot), catalogue };
                self.block(first, &body, &of, Digest(row.get(6)?))
            }
            None => self.batch(&body, row.get::<_, i64>(2)? == 0),
        };
        Ok(stepped.map(|()| self.cursor.committed = next))
    }

    fn batch(&mut self, body: &[u8], is_readable: bool) -> Result<(), Damaged> {
        let envelope = decode_envelope(body).map_err(|_| Damaged("it cannot be read"))?;
        if is_readable {
            let batch = envelope.open_packed(&mut self.codec);
            let batch = batch.map_err(|_| Damaged("it cannot be read"))?;
            if link(self.cursor.chain, leaf(&batch)) != envelope.chain {
                return Err(Damaged("it does not lead to its chain"));
            }
            self.found.batches += 1;
        } else {
            self.found.taken_over += 1;
        }
        self.cursor.chain = envelope.chain;
        Ok(())
    }

    fn block(
        &mut self,
        first: Position,
        body: &[u8],
        of: &Origin,
        chain: Digest,
    ) -> Result<(), Damaged> {
        let whole = Whole::read(first, body)?;
        let batches = whole.batches(of, &mut self.codec)?;
        for (batch, member) in batches.iter().zip(&whole.index.members) {
            let digest = leaf(batch);
            if digest != member.leaf {
                return Err(Damaged("a batch in it is not what it was"));
            }
            self.cursor.chain = link(self.cursor.chain, digest);
            self.found.batches += 1;
        }
        self.found.blocks += 1;
        if self.cursor.chain == chain {
            Ok(())
        } else {
            Err(Damaged("it does not lead to its chain"))
        }
    }
}
