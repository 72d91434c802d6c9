//! How values and times are written for programs and people: engineering JSON and RFC 3339.
//!
//! # Invariants
//!
//! - An integer is exact: as a number up to 2^53, beyond that as a string of its digits.
//! - The same sample has the same text in JSON, NDJSON, CSV and on a screen.

use fieldgate_model::{Scale, UtcMillis, Value};
use serde_json::Number;

/// Largest integer that every JSON reader keeps exactly (RFC 8259, section 6).
const EXACT_MAX: u128 = 1 << 53;

/// The engineering value of `raw` as JSON.
pub fn engineering(raw: &Value, scale: Scale) -> serde_json::Value {
    match raw {
        Value::Text(text) => serde_json::Value::String(text.clone()),
        Value::Bool(on) if scale.is_identity() => serde_json::Value::Bool(*on),
        Value::Int(int) => integer(i128::from(*int), raw, scale),
        Value::Unsigned(unsigned) => integer(i128::from(*unsigned), raw, scale),
        Value::Float32(single) if scale.is_identity() => shortest(*single),
        #[expect(clippy::cast_possible_truncation, reason = "a single's precision is all it has")]
        Value::Float32(_) => {
            scale.apply(raw).map_or(serde_json::Value::Null, |v| shortest(v as f32))
        }
        Value::Bool(_) | Value::Float64(_) => float(scale.apply(raw)),
    }
}

/// The engineering value as plain text, empty for no value.
pub fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::Array(_)
        | serde_json::Value::Object(_) => value.to_string(),
    }
}

fn integer(raw: i128, value: &Value, scale: Scale) -> serde_json::Value {
    let (mantissa, exponent, offset) = scale.parts();
    #[expect(clippy::cast_possible_truncation, reason = "compared with its float afterwards")]
    let whole_offset = offset as i64;
    #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "an exactness test")]
    let offset_is_whole = whole_offset as f64 == offset;
    let exact = u32::try_from(exponent)
        .ok()
        .filter(|_| offset_is_whole)
        .and_then(|exponent| 10_i128.checked_pow(exponent))
        .and_then(|power| raw.checked_mul(i128::from(mantissa))?.checked_mul(power))
        .and_then(|scaled| scaled.checked_add(i128::from(whole_offset)));
    match exact {
        Some(exact) if exact.unsigned_abs() <= EXACT_MAX => {
            i64::try_from(exact).map_or(serde_json::Value::Null, Into::into)
        }
        Some(exact) => serde_json::Value::String(exact.to_string()),
        None => float(scale.apply(value)),
    }
}

fn float(value: Option<f64>) -> serde_json::Value {
    value.and_then(Number::from_f64).map_or(serde_json::Value::Null, serde_json::Value::Number)
}

/// The shortest decimal that is this single: 230.2, not 230.1999969482422.
fn shortest(single: f32) -> serde_json::Value {
    float(single.to_string().parse().ok())
}

const DAY: i64 = 86_400_000;

/// `2026-11-22T17:44:37.123Z`.
pub fn rfc3339(at: UtcMillis) -> String {
    let (year, month, day) = civil(at.0.div_euclid(DAY));
    let rest = at.0.rem_euclid(DAY);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// `2026-11-22`, from days since 1970-01-01.
pub fn date(days: i64) -> String {
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The days since 1970-01-01 of `2026-11-22`.
pub fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return None;
    }
    let (year, month, day) = (digits(year)?, digits(month)?, digits(day)?);
    let days = days_of(year, month, day);
    (civil(days) == (year, month, day)).then_some(days)
}

/// A time from RFC 3339 text (any offset) or from integer milliseconds since 1970.
pub fn parse_time(text: &str) -> Option<UtcMillis> {
    if let Ok(millis) = text.parse::<i64>() {
        // Four digits of a year: the years that RFC 3339 can write.
        return (days_of(0, 1, 1) * DAY..days_of(10_000, 1, 1) * DAY)
            .contains(&millis)
            .then_some(UtcMillis(millis));
    }
    let (day, clock) = text.split_once(['T', 't', ' '])?;
    let (clock, offset) = match clock.strip_suffix(['Z', 'z']) {
        Some(clock) => (clock, 0),
        None => split_offset(clock)?,
    };
    Some(UtcMillis(parse_date(day)? * DAY + parse_clock(clock)? - offset * 60_000))
}

fn split_offset(clock: &str) -> Option<(&str, i64)> {
    // A plus sign that nobody escaped arrives as a space.
    let place = clock.rfind(['+', '-', ' '])?;
    let (clock, offset) = clock.split_at_checked(place)?;
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    if (hours.len(), minutes.len()) != (2, 2) {
        return None;
    }
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours < 24 && minutes < 60).then_some((clock, sign * (hours * 60 + minutes)))
}

fn parse_clock(clock: &str) -> Option<i64> {
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || (hour.len(), minute.len(), second.len()) != (2, 2, 2) {
        return None;
    }
    let (hour, minute, second) = (digits(hour)?, digits(minute)?, digits(second)?);
    if hour > 23 || minute > 59 || second > 59 || fraction.is_empty() {
        return None;
    }
    digits(fraction)?;
    let milli: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some(((hour * 60 + minute) * 60 + second) * 1000 + milli)
}

/// Decimal digits alone: no sign, no blank. Nine at most, the nanoseconds of RFC 3339 in practice.
fn digits(text: &str) -> Option<i64> {
    let fine = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    fine.then(|| text.parse().ok()).flatten()
}

/// Days since 1970-01-01 of a Gregorian date (Hinnant, "chrono-compatible low-level date
/// algorithms").
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let years = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * years + years / 4 - years / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (years + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_integer_is_exact_however_large() {
        let tenth = Scale::new(0.1, 0.0).expect("a scale");
        let tens = Scale::new(10.0, 5.0).expect("a scale");
        for (raw, scale, expected) in [
            (Value::Int(-7), Scale::IDENTITY, json!(-7)),
            (Value::Unsigned(1 << 53), Scale::IDENTITY, json!(9_007_199_254_740_992_u64)),
            (Value::Unsigned((1 << 53) + 1), Scale::IDENTITY, json!("9007199254740993")),
            (Value::Unsigned(u64::MAX), Scale::IDENTITY, json!("18446744073709551615")),
            (Value::Int(i64::MIN), Scale::IDENTITY, json!("-9223372036854775808")),
            (Value::Unsigned(u64::MAX), tens, json!("184467440737095516155")),
            (Value::Int(70), tens, json!(705)),
            (Value::Int(2302), tenth, json!(230.2)),
            (Value::Float32(230.2), Scale::IDENTITY, json!(230.2)),
            (Value::Float32(2302.0), tenth, json!(230.2)),
            (Value::Float64(f64::NAN), Scale::IDENTITY, json!(null)),
            (Value::Bool(true), Scale::IDENTITY, json!(true)),
            (Value::Text("on".into()), tenth, json!("on")),
        ] {
            assert_eq!(engineering(&raw, scale), expected, "{raw:?}");
        }
    }

    #[test]
    fn a_time_is_read_as_it_is_written() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T23:59:59.5Z", Some(951_868_799_500)),
            ("2026-11-22T17:44:37.123Z", Some(1_795_369_477_123)),
            ("2026-11-22T18:44:37.123+01:00", Some(1_795_369_477_123)),
            ("2026-11-22T18:44:37.123 01:00", Some(1_795_369_477_123)),
            ("2026-11-22T12:14:37.1230009-05:30", Some(1_795_369_477_123)),
            ("1969-12-31T23:59:59.999Z", Some(-1)),
            ("-1", Some(-1)),
            ("1795369477123", Some(1_795_369_477_123)),
            ("9223372036854775807", None),
            ("2026-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-11-22T24:00:00Z", None),
            ("2026-11-22T17:44:37", None),
            ("2026-11-22T17:44:37.Z", None),
            ("2026-11-22", None),
            ("yesterday", None),
            ("+5", Some(5)),
            ("\u{661}", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text), millis.map(UtcMillis), "{text}");
        }
        for millis in [-62_167_219_200_000, -1, 0, 951_868_799_500, 1_795_369_477_123] {
            assert_eq!(parse_time(&rfc3339(UtcMillis(millis))), Some(UtcMillis(millis)));
        }
    }
}
