//! The demo's command line.

use std::time::Duration;

use clap::Parser;

/// Outage of the cloud that a person watches without getting bored.
const OUTAGE: Duration = Duration::from_secs(5);

/// The main job of Fieldgate, end to end, on this machine: real binaries, simulated devices.
#[derive(Debug, Parser)]
#[command(
    name = "cargo demo --",
    after_help = "Examples:\n  cargo demo\n  cargo demo -- --for 60s --json\n  \
                  cargo demo -- --for 60s --outage 10s"
)]
pub struct Options {
    /// Ends after this long instead of at Ctrl-C; the story is told to its end in any case
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub length: Option<Duration>,

    /// How long the cloud stays dead; 5 s, or 10 s where `--for` leaves room for it
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub outage: Option<Duration>,

    /// The last line of stdout is the result as one JSON object; what happens is told on stderr
    #[arg(long)]
    pub json: bool,
}

impl Options {
    pub(crate) fn outage(&self) -> Duration {
        let roomy = self.length.is_some_and(|length| length >= 12 * OUTAGE);
        self.outage.unwrap_or(if roomy { 2 * OUTAGE } else { OUTAGE })
    }
}

/// `500ms`, `30s`, `2m`, `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let millis = match unit.trim() {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        other => return Err(format!("`{other}` is not ms, s, m or h")),
    };
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is not a time like `30s`"))?;
    number.checked_mul(millis).map(Duration::from_millis).ok_or("too long".to_owned())
}

#[test]
fn a_time_is_a_number_with_a_unit() {
    let rows = [("500ms", 500), ("30s", 30_000), ("30 s", 30_000), ("2m", 120_000), ("7", 7_000)];
    for (text, millis) in rows {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "of `{text}`");
    }
    assert!(duration("soon").is_err() && duration("3 days").is_err());
}
