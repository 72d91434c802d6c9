//! Looking into a buffer from outside, whether its gateway runs or not: nothing is written.
//!
//! A running gateway goes on beside it. What was sealed last may be in the ring alone; both are read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fieldgate_model::{Batch, Catalogue, CatalogueId, Content, Digest, IncarnationId, Stream};
use fieldgate_protocol::uplink::HeldLine;
use fieldgate_ring::{Entry, Replay, Replayed, recover};
use rusqlite::{Connection, OpenFlags};

use super::error::BufferError;
use super::file::{position, stream};
use super::{FILE, RING, ring_file};

/// The files of a buffer, and what their names say.
const FILES: [&str; 4] = [FILE, "buffer.db-wal", RING, super::BALLAST];

/// A buffer that is looked at.
pub struct View {
    db: Connection,
    path: PathBuf,
    /// Sealed and not in the database.
    sealed: Vec<Batch>,
    /// Flushed and not sealed, as batches without a place.
    pub unsealed: Vec<Content>,
    /// How the ring is.
    pub ring: RingView,
}

/// How a ring is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RingView {
    /// Its records that the database has not taken.
    pub live: u64,
    /// The newest record.
    pub newest: u64,
    /// Something behind the newest record is damaged, or was torn by a crash.
    pub is_torn: bool,
    /// Records between what the database has taken and what is there.
    pub missing: u64,
}

/// How a batch was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// It says what was sealed.
    Sound(Batch),
    /// It can be read, and nothing vouches for it: the batch before it is not there.
    Unproven(Batch),
    /// It is not what was sealed, or cannot be read.
    Damaged {
        /// Its incarnation, as the row says.
        incarnation: IncarnationId,
        /// Its stream.
        stream: Stream,
        /// Its first position.
        first: u64,
    },
}

/// The files in the folder, with their bytes; those that were set aside are among them.
pub fn files(folder: &Path) -> Vec<(String, u64)> {
    let mut files: Vec<(String, u64)> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.metadata().ok()?)))
        .filter(|(name, _)| FILES.contains(&name.as_str()) || name.contains(".damaged-"))
        .map(|(name, meta)| (name, meta.len()))
        .collect();
    files.sort();
    files
}

impl View {
    /// Looks into the buffer of a folder.
    pub fn open(folder: &Path) -> Result<Self, BufferError> {
        let mut view = Self::open_file(&folder.join(FILE))?;
        view.read_ring(&folder.join(RING))?;
        Ok(view)
    }

    /// Looks into one database, such as one that was set aside.
    pub fn open_file(path: &Path) -> Result<Self, BufferError> {
        let failed = |source| BufferError::Database { path: path.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(failed)?;
        let ring = RingView::default();
        Ok(Self { db, path: path.to_owned(), sealed: Vec::new(), unsealed: Vec::new(), ring })
    }

    fn read_ring(&mut self, path: &Path) -> Result<(), BufferError> {
        let image = ring_file::read(path)
            .map_err(|source| BufferError::Ring { path: path.to_owned(), source })?;
        let Some(recovery) = image.as_deref().and_then(recover) else { return Ok(()) };
        let through = self.db.query_row("SELECT through FROM watermark", [], |row| {
            row.get(0).map(i64::cast_unsigned)
        });
        let through: u64 = through.map_err(|source| self.error(source))?;
        let mut replay = Replay::default();
        for record in recovery.records.iter().filter(|record| through < record.sequence) {
            let entry = Entry::decode(&record.body)
                .map_err(|_| BufferError::NewerRing { path: path.to_owned() })?;
            let sealed = replay.entry(entry).into_iter().filter_map(|item| match item {
                Replayed::Sealed(sealed) => Some(sealed.batch),
                Replayed::Lines(_) | Replayed::Lost(_) => None,
            });
            self.sealed.extend(sealed);
        }
        self.unsealed = replay.unsealed();
        self.ring = RingView {
            live: recovery.newest().saturating_sub(through),
            newest: recovery.newest(),
            is_torn: recovery.is_torn,
            missing: recovery.oldest().saturating_sub(through + 1),
        };
        Ok(())
    }

    /// Every line, oldest incarnation first, with what the ring has beyond the database.
    pub fn lines(&self) -> Result<Vec<HeldLine>, BufferError> {
        let mut lines: Vec<HeldLine> = self.query(
            "SELECT i.id, l.stream, l.first, l.released, l.stored, l.stored_chain FROM line l
             JOIN incarnation i ON i.ordinal = l.incarnation ORDER BY l.incarnation, l.stream",
            |row| {
                Ok(HeldLine {
                    incarnation: IncarnationId(row.get(0)?),
                    stream: stream(row.get(1)?)?,
                    first: position(row.get(2)?),
                    released: position(row.get(3)?),
                    stored: position(row.get(4)?),
                    chain: Digest(row.get(5)?),
                })
            },
        )?;
        for batch in &self.sealed {
            let name = (batch.incarnation, batch.stream);
            for line in lines.iter_mut().filter(|line| (line.incarnation, line.stream) == name) {
                (line.stored, line.chain) = (batch.next.max(line.stored), batch.chain);
            }
        }
        Ok(lines)
    }

    /// The catalogues that batches may name.
    pub fn catalogues(&self) -> Result<BTreeMap<CatalogueId, Catalogue>, BufferError> {
        let rows = self.query("SELECT id, body FROM catalogue", |row| {
            Ok((CatalogueId(row.get(0)?), row.get::<_, Vec<u8>>(1)?))
        })?;
        let read = |(id, body): (CatalogueId, Vec<u8>)| {
            Some((id, fieldgate_wire::decode_catalogue(&body).ok()?))
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Shows every batch that can be reached, in the order of sealing; those of the ring last. Where
    /// a page is damaged, what lies beyond it is reached from the other end.
    pub fn each(&self, mut show: impl FnMut(Seen)) -> Result<(), BufferError> {
        let mut chain_by_end: BTreeMap<(IncarnationId, Stream, u64), Digest> = BTreeMap::new();
        for line in self.query(
            "SELECT i.id, l.stream, l.first, l.first_chain FROM line l
             JOIN incarnation i ON i.ordinal = l.incarnation",
            |row| {
                let name = (IncarnationId(row.get(0)?), stream(row.get(1)?)?);
                Ok(((name.0, name.1, row.get::<_, i64>(2)?.cast_unsigned()), Digest(row.get(3)?)))
            },
        )? {
            chain_by_end.insert(line.0, line.1);
        }
        let mut judge = |row: Row, show: &mut dyn FnMut(Seen)| {
            let Row { incarnation, stream, first, next, chain, body, .. } = row;
            let before = chain_by_end.get(&(incarnation, stream, first)).copied();
            chain_by_end.insert((incarnation, stream, next), chain);
            let batch = fieldgate_wire::decode_batch(&body).ok();
            show(match batch.filter(|batch| batch.chain == chain && batch.first.0 == first) {
                None => Seen::Damaged { incarnation, stream, first },
                Some(batch) if matches!(batch.content, Content::Gap(_)) => Seen::Sound(batch),
                Some(batch) => match before {
                    None => Seen::Unproven(batch),
                    Some(before)
                        if fieldgate_wire::link(before, fieldgate_wire::leaf(&batch)) == chain =>
                    {
                        Seen::Sound(batch)
                    }
                    Some(_) => Seen::Damaged { incarnation, stream, first },
                },
            });
        };
        let mut last = 0;
        let forward = self.walk("> ?1 ORDER BY b.sequence", i64::MIN, |row| {
            last = row.sequence;
            judge(row, &mut show);
        });
        if let Err(error) = forward {
            tracing::debug!(error = crate::telemetry::chain(&error), "reading from the other end");
            let mut behind: Vec<Row> = Vec::new();
            // As far as it goes; the error is the one that was met from this end too.
            drop(self.walk("> ?1 ORDER BY b.sequence DESC", last, |row| behind.push(row)));
            behind.into_iter().rev().for_each(|row| judge(row, &mut show));
        }
        self.sealed.iter().cloned().for_each(|batch| show(Seen::Sound(batch)));
        Ok(())
    }

    fn walk(&self, from: &str, bound: i64, mut show: impl FnMut(Row)) -> Result<(), BufferError> {
        let sql = format!(
            "SELECT b.sequence, i.id, b.stream, b.first, b.next, b.chain, b.body FROM batch b
             JOIN incarnation i ON i.ordinal = b.incarnation WHERE b.sequence {from}"
        );
        let mut walk = || -> rusqlite::Result<()> {
            let mut statement = self.db.prepare(&sql)?;
            let mut rows = statement.query([bound])?;
            while let Some(row) = rows.next()? {
                show(Row {
                    sequence: row.get(0)?,
                    incarnation: IncarnationId(row.get(1)?),
                    stream: stream(row.get(2)?)?,
                    first: row.get::<_, i64>(3)?.cast_unsigned(),
                    next: row.get::<_, i64>(4)?.cast_unsigned(),
                    chain: Digest(row.get(5)?),
                    body: row.get(6)?,
                });
            }
            Ok(())
        };
        walk().map_err(|source| self.error(source))
    }

    fn query<T>(
        &self,
        sql: &str,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, BufferError> {
        let rows =
            || -> rusqlite::Result<Vec<T>> { self.db.prepare(sql)?.query_map([], read)?.collect() };
        rows().map_err(|source| self.error(source))
    }

    fn error(&self, source: rusqlite::Error) -> BufferError {
        BufferError::Database { path: self.path.clone(), source }
    }
}

struct Row {
    sequence: i64,
    incarnation: IncarnationId,
    stream: Stream,
    first: u64,
    next: u64,
    chain: Digest,
    body: Vec<u8>,
}
