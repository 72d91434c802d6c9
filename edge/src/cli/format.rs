//! Figures and tables as people read them.

use fieldgate_model::{Millis, UtcMillis};

/// Rows of columns that stand below each other, two spaces apart.
pub(super) fn table(rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A number of bytes with the unit that keeps it short.
#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", bytes as f64 / size as f64),
        None => format!("{bytes} B"),
    }
}

/// A duration in its largest whole units.
pub(super) fn duration(millis: Millis) -> String {
    let seconds = millis.0 / 1000;
    match seconds {
        0 => format!("{} ms", millis.0),
        _ if seconds < 60 && !millis.0.is_multiple_of(1000) => {
            format!("{}.{} s", seconds, millis.0 % 1000 / 100)
        }
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// How long ago an RFC 3339 time in UTC was; nothing of what is none.
pub(super) fn age(at: &str, now: UtcMillis) -> Option<Millis> {
    let number = |from: usize, to: usize| at.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    // Years from March, so that the leap day is the last; 400 of them have 146,097 days.
    let year = if month > 2 { year } else { year - 1 };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = days * 86_400 + number(11, 13)? * 3_600 + number(14, 16)? * 60 + number(17, 19)?;
    let millis = seconds * 1_000 + number(20, 23)?;
    // A clock that was set back makes nothing younger than new.
    Some(Millis(u64::try_from(now.0 - millis).unwrap_or(0)))
}

/// `1 thing` or `2 things`.
pub(super) fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (given, expected) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (512 << 20, "512.0 MiB")]
        {
            assert_eq!(bytes(given), expected);
        }
        for (given, expected) in [
            (0, "0 ms"),
            (200, "200 ms"),
            (1000, "1 s"),
            (1500, "1.5 s"),
            (61_000, "1 min 1 s"),
            (7_260_000, "2 h 1 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(Millis(given)), expected);
        }
    }

    #[test]
    fn an_age_counts_from_the_time_in_the_text() {
        // The times are those of `date -u -d @…`.
        for (at, now, expected) in [
            ("2024-02-29T00:00:00.123Z", 1_709_164_800_123, Some(0)),
            ("2000-02-28T23:59:59.999Z", 951_782_400_000, Some(1)),
            ("2100-03-01T00:00:00.000Z", 4_107_542_460_000, Some(60_000)),
            ("1970-01-01T00:00:01.000Z", 0, Some(0)),
            ("never", 0, None),
        ] {
            assert_eq!(age(at, UtcMillis(now)), expected.map(Millis), "{at}");
        }
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec!["long".to_owned(), "°C".to_owned()]];
        assert_eq!(table(rows), "a     b\nlong  °C\n");
    }
}
