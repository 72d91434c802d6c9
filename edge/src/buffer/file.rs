//! `buffer.db`: opening it, setting a damaged one aside, and what is asked of it.
//!
//! # Invariants
//!
//! - WAL with `synchronous=FULL`: what COMMIT returned for survives a power cut.
//! - A file that cannot be trusted is moved aside, never repaired in place and never a reason not
//!   to start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fieldgate_model::{
    AlarmKey, AlarmState, BootId, Catalogue, CatalogueId, DeviceName, Digest, GatewayId,
    IncarnationId, Millis, Position, SignalName, Stream,
};
use fieldgate_protocol::uplink::HeldLine;
use fieldgate_rules::alarm::StoredAlarm;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::error::BufferError;
use super::maps::{self, DeviceMap};

/// SQLite below this has a race between a WAL reset and a second connection that loses commits.
const SQLITE_MIN: i32 = 3_051_003;
/// Pages of WAL after which SQLite writes back. Smaller means fewer bytes written a commit for the
/// small working set of a buffer.
const CHECKPOINT_PAGES: u32 = 250;
/// What the WAL may keep on disk after a checkpoint.
pub(super) const WAL_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Damaged files that are kept for salvage; older ones make room.
const SET_ASIDE_MAX: usize = 2;

/// The open file.
pub(super) struct BufferFile {
    pub(super) db: Connection,
    path: PathBuf,
    /// Ordinal of the incarnation that is written to.
    pub(super) current: i64,
    pub(super) gateway: GatewayId,
}

/// What the last run left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastRun {
    pub(super) boot: BootId,
    pub(super) clean: bool,
    pub(super) last_durable: Millis,
}

impl BufferFile {
    /// Opens the file, or a fresh one in place of one that cannot be trusted; says where that went.
    pub(super) fn open(
        path: &Path,
        gateway: &GatewayId,
    ) -> Result<(Self, Option<PathBuf>), BufferError> {
        let version = rusqlite::version_number();
        if version < SQLITE_MIN {
            return Err(BufferError::SqliteTooOld { version });
        }
        match Self::try_open(path, gateway) {
            Err(BufferError::Database { source, .. }) if is_damage(&source) => {
                let aside = set_aside(path)?;
                Ok((Self::try_open(path, gateway)?, Some(aside)))
            }
            other => other.map(|file| (file, None)),
        }
    }

    fn try_open(path: &Path, gateway: &GatewayId) -> Result<Self, BufferError> {
        let failed = |source| BufferError::Database { path: path.to_owned(), source };
        let db = Connection::open(path).map_err(failed)?;
        prepare(&db).map_err(failed)?;
        let mut file = Self { db, path: path.to_owned(), current: 0, gateway: gateway.clone() };
        file.choose_incarnation().map_err(failed)?;
        Ok(file)
    }

    /// Goes on in the newest incarnation if it was written by this gateway, else in a new one.
    fn choose_incarnation(&mut self) -> rusqlite::Result<()> {
        let newest = self
            .db
            .query_row(
                "SELECT ordinal, gateway FROM incarnation ORDER BY ordinal DESC LIMIT 1",
                [],
                |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)),
            )
            .optional()?;
        match newest {
            Some((ordinal, gateway)) if gateway == self.gateway.as_str() => self.current = ordinal,
            Some(_) | None => {
                let transaction = self.db.transaction()?;
                self.current = super::seal::begin_incarnation(&transaction, &self.gateway)?;
                transaction.commit()?;
            }
        }
        Ok(())
    }

    pub(super) fn error(&self, source: rusqlite::Error) -> BufferError {
        BufferError::Database { path: self.path.clone(), source }
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
        let rows = statement.query_map([self.current], |row| {
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

    /// How many records are sealed in the incarnation that is written to.
    pub(super) fn sealed(&self) -> rusqlite::Result<u64> {
        let mut statement =
            self.db.prepare_cached("SELECT sum(stored) FROM line WHERE incarnation = ?1")?;
        statement.query_row([self.current], |row| row.get::<_, i64>(0).map(i64::cast_unsigned))
    }

    /// The batch that starts at `first`, and where it ends.
    pub(super) fn load(
        &self,
        incarnation: IncarnationId,
        stream: Stream,
        first: Position,
    ) -> rusqlite::Result<Option<(Vec<u8>, Position)>> {
        let mut statement = self.db.prepare_cached(
            "SELECT b.body, b.next FROM batch b JOIN incarnation i ON i.ordinal = b.incarnation
             WHERE i.id = ?1 AND b.stream = ?2 AND b.first = ?3",
        )?;
        statement
            .query_row(params![incarnation.0, stream.code(), number(first)], |row| {
                Ok((row.get(0)?, position(row.get(1)?)))
            })
            .optional()
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

    /// Times of the first and last record that gave way before they were released.
    pub(super) fn lost_span(
        &self,
        incarnation: IncarnationId,
        stream: Stream,
    ) -> rusqlite::Result<(Millis, Millis)> {
        self.db.query_row(
            "SELECT coalesce(lost_from, 0), coalesce(lost_to, 0)
             FROM line l JOIN incarnation i ON i.ordinal = l.incarnation
             WHERE i.id = ?1 AND l.stream = ?2",
            params![incarnation.0, stream.code()],
            |row| {
                let millis =
                    |index| row.get::<_, i64>(index).map(|millis| Millis(millis.cast_unsigned()));
                Ok((millis(0)?, millis(1)?))
            },
        )
    }

    pub(super) fn alarms(&self) -> rusqlite::Result<Vec<(AlarmKey, StoredAlarm)>> {
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

    /// Bytes of file and WAL, bytes of them that are free pages, and batches held.
    pub(super) fn size(&self) -> rusqlite::Result<(u64, u64, u64)> {
        let pragma = |name| self.db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let page = pragma("page_size")?.cast_unsigned();
        let wal = std::fs::metadata(self.wal_path()).map_or(0, |meta| meta.len());
        let held = pragma("page_count")?.cast_unsigned() * page + wal;
        let free = pragma("freelist_count")?.cast_unsigned() * page;
        // Counting rows would read them all; eviction takes the oldest, so the ends say enough.
        let batches = self.db.query_row(
            "SELECT coalesce(max(sequence) - min(sequence) + 1, 0) FROM batch",
            [],
            |row| row.get::<_, i64>(0),
        )?;
        Ok((held, free, batches.cast_unsigned()))
    }

    fn wal_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push("-wal");
        path.into()
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

fn prepare(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    db.pragma_update(None, "journal_size_limit", WAL_BYTES_MAX.cast_signed())?;
    let check: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if check != "ok" {
        return Err(damaged(check));
    }
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 {
        db.execute_batch(&format!(
            "BEGIN IMMEDIATE; {} PRAGMA user_version = 1; COMMIT;",
            include_str!("schema.sql")
        ))?;
    }
    if version < 2 {
        db.execute_batch(&format!(
            "BEGIN IMMEDIATE; {} PRAGMA user_version = 2; COMMIT;",
            super::maps::SCHEMA
        ))?;
    }
    Ok(())
}

fn damaged(what: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
        Some(what),
    )
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Moves the file and its WAL to `…damaged-N`; what is there can be salvaged by hand.
fn set_aside(path: &Path) -> Result<PathBuf, BufferError> {
    let numbered = |number: usize, suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("{suffix}.damaged-{number}"));
        PathBuf::from(name)
    };
    let free = (0..SET_ASIDE_MAX).find(|number| !numbered(*number, "").exists()).unwrap_or(0);
    for suffix in ["", "-wal", "-shm"] {
        let mut from = path.as_os_str().to_owned();
        from.push(suffix);
        let from = PathBuf::from(from);
        if from.exists() {
            std::fs::rename(&from, numbered(free, suffix))
                .map_err(|source| BufferError::SetAside { path: from, source })?;
        }
    }
    Ok(numbered(free, ""))
}
