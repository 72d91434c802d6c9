//! What a configuration will take in and write to its disk, before it runs.

use fieldgate_model::Millis;
use fieldgate_rules::signal::Report;
use serde::Serialize;

use crate::config::Config;

/// Bytes that a sample costs beyond its flush: sealed, it is written to the database's log and then to
/// its file, with a share of its batch's row and indices. Less in large batches, more in small ones.
const SAMPLE_BYTES: (f64, f64) = (5.0, 15.0);
/// Bytes that one flush writes: a block of the ring, and a second one where samples are many.
const FLUSH_BYTES: (f64, f64) = (4_096.0, 5_300.0);
/// Samples that make the buffer flush before its time.
const BATCH_SAMPLES: f64 = 1_000.0;
/// How the bytes a day are found, for people who want to check it.
const FORMULA: &str = "samples/s × 86,400 × (5 to 15 B) + flushes/day × (4.1 to 5.3 KB); \
                       a flush in every window with samples, or every 1,000 samples; \
                       the file system's own writes come on top";
const DAY_SECONDS: f64 = 86_400.0;

/// What will be taken in and written.
#[derive(Debug, Serialize)]
pub(super) struct Forecast {
    pub(super) samples_per_s: Span,
    pub(super) commits_per_day: f64,
    pub(super) disk_bytes_per_day: Span,
    pub(super) formula: &'static str,
}

/// From the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Span {
    pub(super) min: f64,
    pub(super) max: f64,
}

/// What the configuration will take in and write.
pub(super) fn forecast(config: &Config) -> Forecast {
    let mut samples = Span { min: 0.0, max: 0.0 };
    let mut polls = 0.0;
    for device in &config.devices {
        let rate = rate(device.every);
        polls += rate;
        for signal in &device.profile.signals {
            samples.max += rate;
            samples.min += match signal.report {
                Report::Always => rate,
                Report::OnChange { max_silence, .. } => rate.min(self::rate(max_silence)),
            };
        }
    }
    let flushes = rate(config.buffer.flush);
    let commits = flushes.min(polls).max(samples.max / BATCH_SAMPLES) * DAY_SECONDS;
    let disk = Span {
        min: samples.min * DAY_SECONDS * SAMPLE_BYTES.0 + commits * FLUSH_BYTES.0,
        max: samples.max * DAY_SECONDS * SAMPLE_BYTES.1 + commits * FLUSH_BYTES.1,
    };
    Forecast {
        samples_per_s: samples,
        commits_per_day: commits.round(),
        disk_bytes_per_day: Span { min: disk.min.round(), max: disk.max.round() },
        formula: FORMULA,
    }
}

fn rate(every: Millis) -> f64 {
    1000.0 / float(every.0.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn float(number: u64) -> f64 {
    number as f64
}
