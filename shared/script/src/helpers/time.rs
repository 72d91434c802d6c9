//! Times of day as texts (RFC 3339) and as milliseconds since 1970, without any clock.

use std::rc::Rc;

use mlua::{Lua, LuaString, Table};

use super::{Problem, told};
use crate::meter::Meter;

const DAY: i64 = 86_400_000;
/// `9999-12-31T23:59:59.999Z`: RFC 3339 has four digits for a year.
const LAST: i64 = 253_402_300_799_999;
/// `0000-01-01T00:00:00Z`.
const FIRST: i64 = -62_167_219_200_000;

pub(super) fn add(lua: &Lua, meter: &Rc<Meter>, natives: &Table) -> mlua::Result<()> {
    let counted = Rc::clone(meter);
    let parse = lua.create_function(move |lua, text: LuaString| {
        counted.spend(lua, 1)?;
        let wrong = || Problem::Given("time: is not a time of RFC 3339".to_owned());
        told(lua, &counted, parse(&text.as_bytes()).ok_or_else(wrong))
    })?;
    natives.raw_set("time_parse", parse)?;
    let counted = Rc::clone(meter);
    let format = lua.create_function(move |lua, millis: f64| {
        counted.spend(lua, 1)?;
        #[expect(clippy::cast_possible_truncation, reason = "a cast saturates out of the range")]
        let millis = millis.floor() as i64;
        let shown = (FIRST..=LAST).contains(&millis).then(|| format(millis));
        let wrong = || Problem::Given("time: is outside the years 0 to 9999".to_owned());
        told(lua, &counted, shown.ok_or_else(wrong))
    })?;
    natives.raw_set("time_format", format)
}

/// `2026-03-01T12:00:00.000Z`.
fn format(millis: i64) -> String {
    let (year, month, day) = civil(millis.div_euclid(DAY));
    let rest = millis.rem_euclid(DAY);
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    let (seconds, millis) = (rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

/// Milliseconds since 1970 of a date-time of RFC 3339, section 5.6. Digits beyond milliseconds are
/// cut off; a leap second is the first of the next minute.
fn parse(text: &[u8]) -> Option<i64> {
    /// With nine digits of a second and an offset.
    const BYTES_MAX: usize = 40;
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= BYTES_MAX)?;
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = fields(date, '-', [4, 2, 2])?;
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = time.split_at_checked(zone)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hours, minutes, seconds] = fields(time, ':', [2, 2, 2])?;
    if month == 0 || month > 12 || day == 0 || day > days_in(year, month) {
        return None;
    }
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hours * 3600 + minutes * 60 + seconds;
    Some((seconds - offset(zone)?) * 1000 + millis(fraction)?)
}

/// Numbers of fixed width between separators.
fn fields(text: &str, separator: char, widths: [usize; 3]) -> Option<[i64; 3]> {
    let mut found = [0; 3];
    let mut parts = text.split(separator);
    for (field, width) in found.iter_mut().zip(widths) {
        *field = parts.next().filter(|part| part.len() == width).and_then(digits)?;
    }
    parts.next().is_none().then_some(found)
}

fn digits(text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// Milliseconds of the digits after the point.
fn millis(fraction: &str) -> Option<i64> {
    digits(fraction)?;
    let padded: String = fraction.chars().chain("00".chars()).take(3).collect();
    digits(&padded)
}

/// Seconds that a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let two = |text: &str| digits(text).filter(|_| text.len() == 2);
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last; 400 of them have 146,097 days.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + if month <= 2 { 1 } else { 0 }, month, day)
}
