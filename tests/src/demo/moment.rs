//! Moments of UTC, as the API writes them.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// Milliseconds of UTC since 1970.
pub(crate) fn now_millis() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds of `2026-11-22T17:44:37.123Z`.
pub(crate) fn parse(text: &str) -> Result<i64> {
    read(text).with_context(|| format!("`{text}` is not a moment in UTC"))
}

fn read(text: &str) -> Option<i64> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut clock = clock.split(':');
    let hour: i64 = clock.next()?.parse().ok()?;
    let minute: i64 = clock.next()?.parse().ok()?;
    let (second, fraction) = clock.next()?.split_once('.').unwrap_or((clock.next()?, "0"));
    let second: i64 = second.parse().ok()?;
    let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1000 + millis)
}

/// Days since 1970-01-01 of a civil date, for years from 1970 (Howard Hinnant's algorithm).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let shifted = (month + 9) % 12;
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[test]
fn moments_are_read_as_the_api_writes_them() {
    let rows = [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T23:59:59Z", 951_868_799_000),
        ("2026-11-22T17:44:37Z", 1_795_369_477_000),
    ];
    for (text, millis) in rows {
        assert_eq!(parse(text).ok(), Some(millis), "reading {text}");
    }
    assert_eq!(parse("2026-11-22T17:44:37.5Z").ok(), Some(1_795_369_477_500));
    assert!(parse("yesterday").is_err());
}
