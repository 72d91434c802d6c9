//! Opens a database file and brings its schema up to date.
//!
//! # Invariants
//!
//! - Numbered files are applied in order, each in a transaction with its number, so that a file is
//!   applied once or not at all.
//! - A commit that returned is on the disk: `synchronous` is FULL.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use crate::store::StoreError;

/// The files under `schema/sqlite/`, in order. A file never changes once it was released.
const VERSIONS: [&str; 4] = [
    include_str!("../schema/sqlite/0001-first.sql"),
    include_str!("../schema/sqlite/0002-blocks.sql"),
    include_str!("../schema/sqlite/0003-doubt-and-steps.sql"),
    include_str!("../schema/sqlite/0004-anchors.sql"),
];

/// Below it a WAL can lose commits that a checkpoint runs into.
const SQLITE_MIN: i32 = 3_051_003;

/// Another process (a verb of the command line) holds the lock for one small transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The WAL shrinks to this after a burst; 64 MiB is a large group commit.
const JOURNAL_BYTES_MAX: i64 = 64 * 1024 * 1024;

pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < SQLITE_MIN {
        return Err(StoreError::OldSqlite(rusqlite::version()));
    }
    // SQLite gives its WAL the mode of the file, and the file the mode of the umask.
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    file.map_err(|source| StoreError::File { path: path.to_owned(), source })?;
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_BYTES_MAX)?;
    // A transaction that starts by reading cannot wait for another writer when it comes to write.
    connection.set_transaction_behavior(TransactionBehavior::Immediate);
    upgrade(&mut connection)?;
    Ok(connection)
}

fn upgrade(connection: &mut Connection) -> Result<(), StoreError> {
    loop {
        // The version is read under the lock: two processes may start on one folder.
        let transaction = connection.transaction()?;
        let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let found = usize::try_from(version).unwrap_or(usize::MAX);
        if found > VERSIONS.len() {
            return Err(StoreError::TooNew { found, known: VERSIONS.len() });
        }
        let Some(file) = VERSIONS.get(found) else { return Ok(()) };
        transaction.execute_batch(file)?;
        transaction.pragma_update(None, "user_version", version + 1)?;
        transaction.commit()?;
    }
}
