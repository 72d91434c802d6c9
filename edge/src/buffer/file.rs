//! `buffer.db`: opening it, and what can be read from it.
//!
//! # Invariants
//!
//! - WAL with `synchronous=FULL`: what COMMIT returned for survives a power cut.
//! - A file of a later version is refused before anything is written to it.
//! - Opening looks at the ends only, whatever the file's size; the rest is verified while it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fieldgate_model::{
    AlarmKey, AlarmState, BootId, Catalogue, CatalogueId, DeviceName, Digest, Gap, GapReason,
    GatewayId, IncarnationId, Millis, Position, SignalName, Stream,
};
use fieldgate_protocol::uplink::HeldLine;
use fieldgate_ring::{PairId, StoreView};
use fieldgate_rules::alarm::StoredAlarm;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::aside::with;
use super::error::BufferError;
use super::maps::{self, DeviceMap};
use super::ring_file::Identity;

/// SQLite below this has a race between a WAL reset and a second connection that loses commits.
const SQLITE_MIN: i32 = 3_051_003;
/// The newest step of the schema.
const SCHEMA_VERSION: i64 = 3;
/// Pages of WAL after which SQLite writes back. Smaller means fewer bytes written a commit for the
/// small working set of a buffer.
const CHECKPOINT_PAGES: u32 = 250;
/// What the WAL may keep on disk after a checkpoint.
pub(super) const WAL_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// A file up to this size is checked page by page when it is opened: some milliseconds.
const CHECKED_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The open file.
pub(super) struct BufferFile {
    pub(super) db: Connection,
    pub(super) path: PathBuf,
    identity: Option<Identity>,
    pub(super) gateway: GatewayId,
    /// Ordinal and name of the incarnation that is written to.
    pub(super) current: (i64, IncarnationId),
}

/// What the last run left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastRun {
    pub(super) boot: BootId,
    pub(super) clean: bool,
    pub(super) last_durable: Millis,
}

/// What the file knows of its ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watermark {
    pub(super) view: StoreView,
    pub(super) file_born: Option<i64>,
    pub(super) ring_born: Option<i64>,
}

impl BufferFile {
    /// Opens the file, or makes it. Without an incarnation it is of no use yet.
    pub(super) fn open(path: &Path, gateway: &GatewayId) -> Result<Self, BufferError> {
        let version = rusqlite::version_number();
        if version < SQLITE_MIN {
            return Err(BufferError::SqliteTooOld { version });
        }
        let failed = |source| BufferError::Database { path: path.to_owned(), source };
        let db = Connection::open(path).map_err(failed)?;
        let version: i64 =
            db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        if version > SCHEMA_VERSION {
            return Err(BufferError::Newer {
                path: path.to_owned(),
                version,
                known: SCHEMA_VERSION,
            });
        }
        prepare(&db, version).map_err(failed)?;
        let (gateway, current) = (gateway.clone(), (0, IncarnationId([0; 16])));
        let identity = Identity::of(path).ok();
        let mut file = Self { db, path: path.to_owned(), identity, gateway, current };
        file.find_incarnation().map_err(failed)?;
        file.check_ends().map_err(failed)?;
        Ok(file)
    }

    /// Finds the newest incarnation, if it is this gateway's.
    pub(super) fn find_incarnation(&mut self) -> rusqlite::Result<()> {
        let newest = self
            .db
            .query_row(
                "SELECT ordinal, id, gateway FROM incarnation ORDER BY ordinal DESC LIMIT 1",
                [],
                |row| Ok((row.get(0)?, IncarnationId(row.get(1)?), row.get::<_, String>(2)?)),
            )
            .optional()?;
        if let Some((ordinal, id, gateway)) = newest
            && gateway == self.gateway.as_str()
        {
            self.current = (ordinal, id);
        }
        Ok(())
    }

    /// Whether there is an incarnation to write to.
    pub(super) fn is_begun(&self) -> bool {
        self.current.0 > 0
    }

    /// The newest batch of each line must be what the line says of it.
    fn check_ends(&self) -> rusqlite::Result<()> {
        let mut statement = self.db.prepare(
            "SELECT b.body, l.stored_chain FROM line l JOIN batch b
             ON b.incarnation = l.incarnation AND b.stream = l.stream AND b.next = l.stored
             WHERE l.first < l.stored",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (body, chain): (Vec<u8>, [u8; 32]) = (row.get(0)?, row.get(1)?);
            let envelope = fieldgate_wire::decode_envelope(&body);
            if envelope.map_or(true, |envelope| envelope.chain.0 != chain) {
                return Err(damaged("the newest batch of a line is not what the line says"));
            }
        }
        Ok(())
    }

    pub(super) fn error(&self, source: rusqlite::Error) -> BufferError {
        BufferError::Database { path: self.path.clone(), source }
    }

    /// Whether the file still stands where it was.
    pub(super) fn is_in_place(&self) -> bool {
        let here = Identity::of(&self.path).ok();
        let wal = with(&self.path, "-wal");
        here.is_some() && here == self.identity && wal.exists()
    }

    pub(super) fn watermark(&self) -> rusqlite::Result<Option<Watermark>> {
        self.db
            .query_row("SELECT pair, through, file_born, ring_born FROM watermark", [], |row| {
                let through = row.get::<_, i64>(1)?.cast_unsigned();
                Ok(Watermark {
                    view: StoreView { pair: PairId(row.get(0)?), through },
                    file_born: row.get(2)?,
                    ring_born: row.get(3)?,
                })
            })
            .optional()
    }

    pub(super) fn last_run(&self) -> rusqlite::Result<Option<LastRun>> {
        self.db
            .query_row("SELECT boot, clean, last_durable FROM run", [], |row| {
                Ok(LastRun {
                    boot: BootId(row.get(0)?),
                    clean: row.get(1)?,
                    last_durable: Millis(row.get::<_, i64>(2)?.cast_unsigned()),
                })
            })
            .optional()
    }

    pub(super) fn save_catalogue(&self, catalogue: &Catalogue) -> rusqlite::Result<CatalogueId> {
        let id = fieldgate_wire::catalogue_id(catalogue);
        self.db.execute(
            "INSERT INTO catalogue (id, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![id.0, fieldgate_wire::encode_catalogue(catalogue)],
        )?;
        Ok(id)
    }

    pub(super) fn catalogue(&self, id: CatalogueId) -> rusqlite::Result<Option<Vec<u8>>> {
        self.db
            .query_row("SELECT body FROM catalogue WHERE id = ?1", [id.0], |row| row.get(0))
            .optional()
    }

    /// Every line that may be written to or ever held something, oldest incarnation first: a cloud
    /// that came back from its backup must learn also of what is gone here.
    pub(super) fn lines(&self) -> rusqlite::Result<Vec<HeldLine>> {
        let mut statement = self.db.prepare_cached(
            "SELECT i.id, l.stream, l.first, l.released, l.stored, l.stored_chain
             FROM line l JOIN incarnation i ON i.ordinal = l.incarnation
             WHERE l.incarnation = ?1 OR l.stored > 0
             ORDER BY l.incarnation, l.stream",
        )?;
        let rows = statement.query_map([self.current.0], |row| {
            Ok(HeldLine {
                incarnation: IncarnationId(row.get(0)?),
                stream: stream(row.get(1)?)?,
                first: position(row.get(2)?),
                released: position(row.get(3)?),
                stored: position(row.get(4)?),
                chain: Digest(row.get(5)?),
            })
        })?;
        rows.collect()
    }

    /// The hash chain at a boundary between batches, or where the line starts.
    pub(super) fn chain_at(
        &self,
        incarnation: IncarnationId,
        stream: Stream,
        at: Position,
    ) -> rusqlite::Result<Option<Digest>> {
        let mut statement = self.db.prepare_cached(
            "SELECT b.chain FROM batch b JOIN incarnation i ON i.ordinal = b.incarnation
             WHERE i.id = ?1 AND b.stream = ?2 AND b.next = ?3
             UNION ALL
             SELECT l.first_chain FROM line l JOIN incarnation i ON i.ordinal = l.incarnation
             WHERE i.id = ?1 AND l.stream = ?2 AND l.first = ?3
             LIMIT 1",
        )?;
        statement
            .query_row(params![incarnation.0, stream.code(), number(at)], |row| {
                row.get(0).map(Digest)
            })
            .optional()
    }

    /// What is known of the records that gave way before they were released.
    pub(super) fn lost(
        &self,
        incarnation: IncarnationId,
        stream: Stream,
    ) -> rusqlite::Result<Option<Gap>> {
        let lost = self.db.query_row(
            "SELECT coalesce(lost_from, 0), coalesce(lost_to, 0), lost_reason
             FROM line l JOIN incarnation i ON i.ordinal = l.incarnation
             WHERE i.id = ?1 AND l.stream = ?2",
            params![incarnation.0, stream.code()],
            |row| {
                let millis =
                    |index| row.get::<_, i64>(index).map(|millis| Millis(millis.cast_unsigned()));
                let reason = reason(row.get(2)?);
                Ok(Gap { reason, from: millis(0)?, to: millis(1)?, summary: None })
            },
        );
        lost.optional()
    }

    pub(super) fn alarms(&self) -> rusqlite::Result<BTreeMap<AlarmKey, StoredAlarm>> {
        let mut statement =
            self.db.prepare("SELECT device, alarm, active, occurrence, transition FROM alarm")?;
        let rows = statement.query_map([], |row| {
            let device = DeviceName::new(row.get::<_, String>(0)?);
            let alarm = SignalName::new(row.get::<_, String>(1)?);
            let state = if row.get(2)? { AlarmState::Active } else { AlarmState::Normal };
            let stored = StoredAlarm {
                state,
                occurrence: row.get::<_, i64>(3)?.cast_unsigned(),
                transition: row.get::<_, i64>(4)?.cast_unsigned(),
            };
            Ok(device
                .ok()
                .zip(alarm.ok())
                .map(|(device, alarm)| (AlarmKey { device, alarm }, stored)))
        })?;
        // A name that is none any more belongs to no alarm of any configuration.
        rows.filter_map(Result::transpose).collect()
    }

    /// What devices have taught; that of devices which are no more is forgotten.
    pub(super) fn maps(
        &self,
        catalogue: &Catalogue,
    ) -> rusqlite::Result<BTreeMap<DeviceName, DeviceMap>> {
        maps::keep(&self.db, catalogue.devices.iter().map(|device| &device.name))?;
        maps::load(&self.db)
    }

    /// Bytes of file and WAL, and bytes of them that are free pages.
    pub(super) fn size(&self) -> rusqlite::Result<(u64, u64)> {
        let pragma = |name| self.db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let page = pragma("page_size")?.cast_unsigned();
        let wal = std::fs::metadata(with(&self.path, "-wal")).map_or(0, |meta| meta.len());
        let held = pragma("page_count")?.cast_unsigned() * page + wal;
        Ok((held, pragma("freelist_count")?.cast_unsigned() * page))
    }

    /// Batches held. Counting rows would read them all; eviction takes the oldest, so the ends say
    /// enough.
    pub(super) fn batches(&self) -> rusqlite::Result<u64> {
        self.db.query_row(
            "SELECT coalesce(max(sequence) - min(sequence) + 1, 0) FROM batch",
            [],
            |row| row.get::<_, i64>(0).map(i64::cast_unsigned),
        )
    }
}

/// A position as SQLite keeps it. No stream reaches 2^63 records.
pub(super) fn number(position: Position) -> i64 {
    position.0.cast_signed()
}

pub(super) fn position(number: i64) -> Position {
    Position(number.cast_unsigned())
}

pub(super) fn stream(code: u8) -> rusqlite::Result<Stream> {
    Stream::from_code(code).ok_or(rusqlite::Error::IntegralValueOutOfRange(0, i64::from(code)))
}

/// A reason as SQLite keeps it.
pub(super) const fn reason_code(reason: GapReason) -> u8 {
    match reason {
        GapReason::BufferFull => 0,
        GapReason::Damaged => 1,
        GapReason::Refused => 2,
    }
}

pub(super) const fn reason(code: u8) -> GapReason {
    match code {
        1 => GapReason::Damaged,
        2 => GapReason::Refused,
        _ => GapReason::BufferFull,
    }
}

fn prepare(db: &Connection, version: i64) -> rusqlite::Result<()> {
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    db.pragma_update(None, "journal_size_limit", WAL_BYTES_MAX.cast_signed())?;
    let pragma = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let bytes = pragma("page_count")?.cast_unsigned() * pragma("page_size")?.cast_unsigned();
    if bytes <= CHECKED_BYTES_MAX {
        let check: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if check != "ok" {
            return Err(damaged(&check));
        }
    }
    let steps = [include_str!("schema.sql"), maps::SCHEMA, include_str!("schema_3.sql")];
    for (step, sql) in steps.iter().enumerate().skip(usize::try_from(version).unwrap_or(0)) {
        let to = step + 1;
        db.execute_batch(&format!("BEGIN IMMEDIATE; {sql} PRAGMA user_version = {to}; COMMIT;"))?;
    }
    Ok(())
}

pub(super) fn damaged(what: &str) -> rusqlite::Error {
    let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(corrupt, Some(what.to_owned()))
}

/// Whether it says that what is there is not what was written. A type or a row that is not as the
/// schema has it is no less so than a page.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(
            code,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown
        ),
        None => true,
    }
}

/// Whether the disk has no room.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull))
}
