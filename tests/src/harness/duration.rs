//! Times on the command lines of demo and benchmarks.

use std::time::Duration;

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
