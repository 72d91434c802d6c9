//! What the buffer writes: bytes that reach the disk a day, counted by the kernel, beside rows of
//! SQLite on the same samples in the same run.
//!
//! A binary of its own, since the kernel counts for the whole process.

mod buffer_kit;

use std::fs;
use std::time::Instant;

use buffer_kit::{Folder, open, options};
use fieldgate_edge::buffer::{BufferOptions, Intake};
use fieldgate_model::{Millis, Quality, Sample, SignalIndex, Value};

/// Samples a second of the gateway that is measured.
const RATE: u64 = 100;
const SIGNALS: u64 = 40;
/// What a gateway with a window of a second may write a day: less than a third of what one commit of
/// SQLite a second costs.
const DAY_BYTES_MAX: f64 = 0.6e9;

/// Bytes that this process has sent towards a disk.
fn written() -> u64 {
    let text = fs::read_to_string("/proc/self/io").expect("the kernel counts");
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.expect("a line of its own").trim().parse().expect("a number")
}

/// Slowly varying values, as meters have them.
fn sample(number: u64) -> Sample {
    let signal = number % SIGNALS;
    let round = number / SIGNALS;
    let value = 2_300 + signal * 10 + (round * 7 + signal * 3) % 11;
    Sample {
        signal: SignalIndex(u32::try_from(signal).expect("few signals")),
        at: Millis(number * 1_000 / RATE),
        value: Some(Value::Unsigned(value)),
        quality: Quality::Good,
    }
}

fn intake(range: std::ops::Range<u64>) -> Intake {
    Intake { samples: range.map(sample).collect(), ..Intake::default() }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn day(bytes: u64, seconds: u64) -> f64 {
    bytes as f64 / seconds as f64 * 86_400.0
}

fn tell(words: &str) {
    std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{words}\n")).expect("stdout");
}

/// Bytes a day with a window of so many seconds; a batch is sealed every other flush of a second.
async fn of_window(window: u64, flushes: u64) -> f64 {
    let folder = Folder::new("cost");
    let cap = 512 * 1024 * 1024;
    let (buffer, _) = open(BufferOptions { max_bytes: cap, ..options(&folder.0) });
    let each = RATE * window;
    let before = written();
    for flush in 0..flushes {
        buffer.append(intake(flush * each..(flush + 1) * each)).await.expect("runs");
        if window > 1 || flush % 2 == 1 {
            buffer.append_durably(Intake::default()).await.expect("runs");
        } else {
            buffer.tick().await.expect("runs");
        }
    }
    buffer.stop().await.expect("stops");
    day(written() - before, flushes * window)
}

/// The same samples as rows, one commit a second.
fn of_rows(seconds: u64) -> f64 {
    let folder = Folder::new("rows");
    fs::create_dir_all(&folder.0).expect("a fresh folder");
    let mut db = rusqlite::Connection::open(folder.0.join("rows.db")).expect("a fresh file");
    db.pragma_update(None, "journal_mode", "WAL").expect("WAL");
    db.pragma_update(None, "synchronous", "FULL").expect("FULL");
    db.execute(
        "CREATE TABLE sample (signal INTEGER, at INTEGER, value INTEGER, quality INTEGER)",
        [],
    )
    .expect("a table");
    let before = written();
    for second in 0..seconds {
        let transaction = db.transaction().expect("a transaction");
        for number in second * RATE..(second + 1) * RATE {
            let sample = sample(number);
            let Some(Value::Unsigned(value)) = sample.value else { continue };
            let row =
                [i64::from(sample.signal.0), sample.at.0.cast_signed(), value.cast_signed(), 0];
            transaction.execute("INSERT INTO sample VALUES (?1, ?2, ?3, ?4)", row).expect("a row");
        }
        transaction.commit().expect("a commit");
    }
    day(written() - before, seconds)
}

#[tokio::test]
async fn a_day_of_a_hundred_samples_a_second_costs_less_than_a_third_of_rows() {
    let rows = of_rows(600);
    if rows < 1.0 {
        tell("skipped: the folder for temporary files is not on a disk, so nothing is counted");
        return;
    }
    let second = of_window(1, 1_200).await;
    let (five, ten) = (of_window(5, 300).await, of_window(10, 200).await);
    let [rows_gb, one_gb, five_gb, ten_gb] = [rows, second, five, ten].map(|bytes| bytes / 1e9);
    tell(&format!(
        "100 samples/s: {one_gb:.2} GB a day at 1 s, {five_gb:.2} at 5 s, {ten_gb:.2} at 10 s; \
         rows of SQLite at 1 s {rows_gb:.2}, {:.1} times as much",
        rows / second
    ));
    assert!(second <= DAY_BYTES_MAX, "{second}");
    assert!(second < rows / 3.0, "{second} against {rows}");
    assert!(five < second && ten < five, "{second} {five} {ten}");
}

#[tokio::test]
async fn a_backlog_goes_in_as_fast_as_the_disk_syncs() {
    let folder = Folder::in_memory("rate");
    let cap = 512 * 1024 * 1024;
    let (buffer, _) = open(BufferOptions { max_bytes: cap, ..options(&folder.0) });
    let begin = Instant::now();
    let batches = 500;
    for batch in 0..batches {
        buffer.append(intake(batch * 1_000..(batch + 1) * 1_000)).await.expect("runs");
    }
    buffer.append_durably(Intake::default()).await.expect("runs");
    let seconds = begin.elapsed().as_secs_f64();
    let stats = buffer.stats().borrow().clone();
    assert_eq!(stats.dropped, 0);
    let held: u64 = buffer.lines().borrow().iter().map(|line| line.stored.0).sum();
    assert_eq!(held, batches * 1_000);
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let rate = held as f64 / seconds;
    tell(&format!("{rate:.0} samples/s into ring and database, by a build that is not optimized"));
    buffer.stop().await.expect("stops");
}
