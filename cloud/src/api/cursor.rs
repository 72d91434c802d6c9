//! Cursors: where the next page begins, in a text that callers give back and do not read.
//!
//! # Invariants
//!
//! - A cursor works for the very list that it came from; anything else is refused, not guessed.

use sha2::{Digest, Sha256};

use super::problem::Problem;

/// Enough to tell a damaged or foreign cursor from a good one; it guards nothing.
const CHECK_BYTES: usize = 4;

/// The cursor of `list` for what stands behind `place`.
pub(super) fn encode(list: &str, place: &str) -> String {
    let mut bytes = check(list, place).to_vec();
    bytes.extend(place.as_bytes());
    crate::auth::hex(&bytes)
}

/// The place in a cursor of `list`.
pub(super) fn decode(list: &str, cursor: &serde_json::Value) -> Result<String, String> {
    let place = cursor.as_str().and_then(unhex).and_then(|bytes| {
        let (sum, place) = bytes.split_at_checked(CHECK_BYTES)?;
        let place = String::from_utf8(place.to_vec()).ok()?;
        (check(list, &place) == sum).then_some(place)
    });
    place.ok_or_else(|| "is not a cursor of this list".to_owned())
}

/// The rows of a page and the cursor behind them; `rows` has one more than `limit` if there is more.
pub(super) fn page<T>(
    mut rows: Vec<T>,
    limit: usize,
    list: &str,
    place: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|last| encode(list, &place(last)));
    (rows, next)
}

/// `{number}` of a place, for lists that are numbered.
pub(super) fn number(place: &str) -> Result<i64, Problem> {
    place.parse().map_err(|_| Problem::field("cursor", "is not a cursor of this list"))
}

fn check(list: &str, place: &str) -> [u8; CHECK_BYTES] {
    let digest: [u8; 32] = Sha256::digest(format!("{list}\n{place}")).into();
    [digest[0], digest[1], digest[2], digest[3]]
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_alone() {
        let cursor = encode("alarms", "17");
        assert_eq!(decode("alarms", &json!(cursor)), Ok("17".to_owned()));
        for (list, cursor) in [
            ("commands", json!(cursor)),
            ("alarms", json!(format!("{cursor}30"))),
            ("alarms", json!("")),
            ("alarms", json!("zz")),
            ("alarms", json!("é")),
            ("alarms", json!(17)),
        ] {
            assert!(decode(list, &cursor).is_err(), "{list} {cursor}");
        }
    }
}
