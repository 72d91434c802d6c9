//! The limit beside ingest: rows that one prepared statement appends to an `SQLite` table.

use std::time::{Duration, Instant};

use anyhow::Result;
use rusqlite::Connection;

use super::poll::as_f64;
use crate::harness::Scratch;

/// Rows a second, `rows` a commit, each commit on the disk when it returns.
pub(super) fn run(scratch: &Scratch, rows: u32, length: Duration) -> Result<f64> {
    let path = scratch.folder("raw")?.join(format!("rows-{rows}.db"));
    let mut connection = Connection::open(&path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let sql = "CREATE TABLE sample (series INTEGER, at INTEGER, value REAL)";
    connection.execute_batch(sql)?;
    let (started, mut count) = (Instant::now(), 0_i64);
    while started.elapsed() < length {
        let transaction = connection.transaction()?;
        {
            let sql = "INSERT INTO sample (series, at, value) VALUES (?1, ?2, ?3)";
            let mut statement = transaction.prepare_cached(sql)?;
            for row in 0..rows {
                let value = f64::from(row % 40) / 10.0;
                statement.execute(rusqlite::params![row % 40, count / 40, value])?;
                count += 1;
            }
        }
        transaction.commit()?;
    }
    let speed = as_f64(count.unsigned_abs()) / started.elapsed().as_secs_f64();
    drop(connection);
    std::fs::remove_file(&path)?;
    Ok(speed)
}
