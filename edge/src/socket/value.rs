//! Values and times as JSON has them.

use fieldgate_model::{Millis, Quality, Sample, UtcMillis, Value};
use fieldgate_rules::signal::SignalSpec;
use serde_json::Value as Json;

use super::message::SignalNow;
use crate::clock::Clock;
use crate::config::DeviceConfig;

/// Largest distance from zero up to which readers that know floats alone keep every integer.
const EXACT_MAX: u64 = 1 << 53;

/// A value; integers beyond 2^53 become strings, since most readers of JSON would round them.
pub(crate) fn json(value: &Value) -> Json {
    match value {
        Value::Bool(on) => Json::from(*on),
        Value::Int(int) if int.unsigned_abs() > EXACT_MAX => Json::from(int.to_string()),
        Value::Int(int) => Json::from(*int),
        Value::Unsigned(unsigned) if *unsigned > EXACT_MAX => Json::from(unsigned.to_string()),
        Value::Unsigned(unsigned) => Json::from(*unsigned),
        // The shortest text that names it: 230.2 and not 230.1999969482422.
        Value::Float32(float) => {
            Json::from(float.to_string().parse().unwrap_or_else(|_| f64::from(*float)))
        }
        Value::Float64(float) => Json::from(*float),
        Value::Text(text) => Json::from(text.as_str()),
    }
}

/// Bytes as two digits each, with blanks between them.
pub(crate) fn spaced(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(" ")
}

/// Bytes as two digits each.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.concat()
}

/// A signal as it is on screens, with the time of day as far as this machine knows it.
pub(super) fn signal_now(
    spec: &SignalSpec,
    value: Option<&Value>,
    quality: Quality,
    at: Option<Millis>,
) -> SignalNow {
    SignalNow {
        signal: spec.name.to_string(),
        value: value.map_or(Json::Null, |raw| json(&spec.engineering(raw))),
        text: value.and_then(|raw| spec.text(raw)).map(ToOwned::to_owned),
        unit: spec.unit.clone(),
        quality: quality.to_string(),
        at: at.map(|at| rfc3339(utc_of(at))),
    }
}

/// A sample as it is on screens.
pub(super) fn sample_now(spec: &SignalSpec, sample: &Sample) -> SignalNow {
    signal_now(spec, sample.value.as_ref(), sample.quality, Some(sample.at))
}

/// The device and the signal that a sample is of.
pub(super) fn find<'a>(
    devices: &'a [DeviceConfig],
    sample: &Sample,
) -> Option<(&'a DeviceConfig, &'a SignalSpec)> {
    let mut left = usize::try_from(sample.signal.0).ok()?;
    for device in devices {
        match device.profile.signals.get(left) {
            Some(spec) => return Some((device, spec)),
            None => left -= device.profile.signals.len(),
        }
    }
    None
}

/// The time of day at a monotonic time, by the machine's clock.
pub(super) fn utc_of(at: Millis) -> UtcMillis {
    Clock.utc() - Clock.now().since(at)
}

/// `2026-03-01T12:00:00.000Z` (RFC 3339, section 5.6).
pub(crate) fn rfc3339(utc: UtcMillis) -> String {
    const DAY: i64 = 86_400_000;
    let (days, millis) = (utc.0.div_euclid(DAY), utc.0.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    let (seconds, rest) = (millis / 1000 % 60, millis % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{rest:03}Z")
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last; 400 of them have 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_rfc_3339_has_it() {
        // Expected values from `date -u -d @…`.
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_123, "2024-02-29T00:00:00.123Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(UtcMillis(millis)), expected);
        }
    }

    #[test]
    fn a_value_keeps_every_digit_in_json() {
        for (value, expected) in [
            (Value::Unsigned(1 << 53), "9007199254740992"),
            (Value::Unsigned((1 << 53) + 1), "\"9007199254740993\""),
            (Value::Unsigned(u64::MAX), "\"18446744073709551615\""),
            (Value::Int(-(1 << 53)), "-9007199254740992"),
            (Value::Int(i64::MIN), "\"-9223372036854775808\""),
            (Value::Float32(230.2), "230.2"),
            (Value::Float64(0.1), "0.1"),
            (Value::Bool(true), "true"),
            (Value::Text("a\"b".to_owned()), "\"a\\\"b\""),
        ] {
            assert_eq!(json(&value).to_string(), expected);
        }
    }
}
