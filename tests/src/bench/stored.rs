//! What the gateway's buffer holds after a benchmark, value by value.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use fieldgate_model::{Content, Value};
use rusqlite::{Connection, OpenFlags};

/// The counters that the devices served, as the buffer has them.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Sealed samples of all signals.
    pub(super) samples: u64,
    /// Bytes of their batches.
    pub(super) bytes: u64,
    /// Counter values that should lie between two stored ones and do not.
    pub(super) lost: u64,
    /// Counter values stored twice, or after a greater one.
    pub(super) doubled: u64,
    /// Counter values stored.
    pub(super) counted: u64,
}

/// Reads every sealed batch; `signals` is how many each device has, the first being its counter.
pub(super) fn tally(data: &Path, signals: u32) -> Result<Tally> {
    let path = data.join("buffer.db");
    let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("cannot open `{}`", path.display()))?;
    let mut query = db.prepare("SELECT body FROM batch ORDER BY sequence")?;
    let mut rows = query.query([])?;
    let mut tally = Tally::default();
    let mut last_by_device: BTreeMap<u32, u64> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let body: Vec<u8> = row.get(0)?;
        let batch = fieldgate_wire::decode_batch(&body).context("a batch of our own")?;
        let Content::Samples { samples, .. } = batch.content else { continue };
        tally.samples += samples.len() as u64;
        tally.bytes += body.len() as u64;
        for sample in samples.iter().filter(|sample| sample.signal.0 % signals == 0) {
            let Some(Value::Float32(count)) = sample.value else { continue };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a counter below 2^24"
            )]
            let count = count as u64;
            let last = last_by_device.entry(sample.signal.0 / signals).or_insert(count - 1);
            tally.counted += 1;
            match count.checked_sub(*last + 1) {
                Some(missing) => {
                    tally.lost += missing;
                    *last = count;
                }
                None => tally.doubled += 1,
            }
        }
    }
    Ok(tally)
}
