//! Names of signals from whatever people called them.

use std::collections::{BTreeMap, BTreeSet};

/// Leaves room in an id of 64 characters for the number of a namesake.
const NAME_MAX: usize = 58;

/// The names that are taken.
#[derive(Debug, Default)]
pub(crate) struct Names {
    taken: BTreeSet<String>,
    /// The number that the next namesake is tried with.
    next_by_name: BTreeMap<String, u32>,
}

impl Names {
    /// A name that no other has, as near to `wanted` as can be.
    pub(crate) fn take(&mut self, wanted: &str) -> String {
        let cleaned = Self::cleaned(wanted);
        let base = if cleaned.is_empty() { "signal".to_owned() } else { cleaned };
        if self.taken.insert(base.clone()) {
            return base;
        }
        let number = self.next_by_name.entry(base.clone()).or_insert(2);
        loop {
            let name = format!("{base}_{number}");
            *number += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }

    /// `wanted` in the characters of an id; a name that is one stays as it is.
    pub(super) fn cleaned(wanted: &str) -> String {
        let is_id = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if wanted.chars().all(is_id) && wanted.len() <= NAME_MAX {
            return wanted.to_owned();
        }
        let mut name = String::new();
        for c in wanted.chars() {
            match plain(c) {
                Some(plain) => name.push_str(plain),
                None if is_id(c) => name.push(c.to_ascii_lowercase()),
                None if name.ends_with('_') || name.is_empty() => {}
                None => name.push('_'),
            }
        }
        name.truncate(NAME_MAX);
        name.trim_end_matches('_').to_owned()
    }
}

/// Letters and signs that people use in names of signals, in ASCII.
fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        'ä' | 'Ä' => "ae",
        'ö' | 'Ö' => "oe",
        'ü' | 'Ü' => "ue",
        'ß' => "ss",
        'é' | 'è' | 'ê' | 'É' => "e",
        'à' | 'á' | 'â' => "a",
        'ç' => "c",
        'ñ' => "n",
        'φ' => "phi",
        '%' => "pct",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_words_become_ids_and_stay_unique() {
        let mut names = Names::default();
        for (wanted, name) in [
            ("voltage_l1", "voltage_l1"),
            ("PhVphA", "PhVphA"),
            ("Voltage L1-N (V)", "voltage_l1-n_v"),
            ("Außentemperatur °C", "aussentemperatur_c"),
            ("voltage_l1", "voltage_l1_2"),
            ("cos φ", "cos_phi"),
            ("温度", "signal"),
            ("", "signal_2"),
        ] {
            assert_eq!(names.take(wanted), name, "{wanted}");
        }
        assert_eq!(names.take(&"x".repeat(100)).len(), NAME_MAX);
    }
}
