//! A hole map as text, one fact a line, for whoever keeps it over restarts.
//!
//! ```text
//! holes 1
//! hole hr:100..101 2
//! cut hr:64
//! registers 62
//! ```

use core::fmt;
use core::str::FromStr;

use fieldgate_modbus::register::{Address, ReadRequest, Table};
use thiserror::Error;

use super::HoleMap;

/// The first line; a map of another form is learned again.
const HEAD: &str = "holes 1";

/// A text that is not a hole map of this form.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line} of a hole map cannot be read")]
pub struct HoleMapError {
    /// Which line, from 1.
    pub line: usize,
}

impl fmt::Display for HoleMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}")?;
        for (hole, code) in &self.code_by_hole {
            let last = u32::from(hole.start) + u32::from(hole.count) - 1;
            writeln!(f, "hole {}:{}..{last} {code}", short(hole.table), hole.start)?;
        }
        for Address { table, offset } in &self.cuts {
            writeln!(f, "cut {}:{offset}", short(*table))?;
        }
        match self.registers_max {
            Some(max) => writeln!(f, "registers {max}"),
            None => Ok(()),
        }
    }
}

impl FromStr for HoleMap {
    type Err = HoleMapError;

    fn from_str(text: &str) -> Result<Self, HoleMapError> {
        let mut map = Self::default();
        let mut lines = (1..).zip(text.lines());
        if lines.next().is_none_or(|(_, head)| head != HEAD) {
            return Err(HoleMapError { line: 1 });
        }
        for (line, text) in lines {
            map.read(text).ok_or(HoleMapError { line })?;
        }
        Ok(map)
    }
}

impl HoleMap {
    fn read(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("hole"), Some(range), Some(code), None) => {
                let hole = range.parse::<ReadRequest>().ok()?;
                self.code_by_hole.insert(hole, code.parse().ok()?);
            }
            (Some("cut"), Some(address), None, None) => {
                self.cuts.insert(address.parse().ok()?);
            }
            (Some("registers"), Some(max), None, None) => {
                self.registers_max = Some(max.parse().ok().filter(|max| *max > 0)?);
            }
            _ => return None,
        }
        Some(())
    }
}

const fn short(table: Table) -> &'static str {
    match table {
        Table::Coil => "co",
        Table::DiscreteInput => "di",
        Table::InputRegister => "ir",
        Table::HoldingRegister => "hr",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_map_is_read_as_it_was_written() {
        let table = Table::HoldingRegister;
        let mut map = HoleMap::default();
        for (start, count, code) in [(100, 2, 2), (7, 1, 3), (65_535, 1, 2)] {
            map.code_by_hole.insert(ReadRequest { table, start, count }, code);
        }
        let bits = ReadRequest { table: Table::Coil, start: 0, count: 2000 };
        map.code_by_hole.insert(bits, 1);
        map.cuts.insert(Address { table, offset: 64 });
        map.registers_max = Some(62);
        let text = map.to_string();
        assert_eq!(
            text,
            "holes 1\nhole co:0..1999 1\nhole hr:7..7 3\nhole hr:100..101 2\n\
             hole hr:65535..65535 2\ncut hr:64\nregisters 62\n"
        );
        assert_eq!(text.parse(), Ok(map));
        assert_eq!(HoleMap::default().to_string().parse(), Ok(HoleMap::default()));
    }

    #[test]
    fn a_text_of_another_form_is_no_hole_map() {
        for (text, line) in [
            ("", 1),
            ("holes 2\n", 1),
            ("holes 1\nhole hr:1 x", 2),
            ("holes 1\ncut hr:1\nhole hr:9..1 2", 3),
            ("holes 1\nhole hr:0..125 2", 2),
            ("holes 1\nregisters 0", 2),
            ("holes 1\nrows 5", 2),
        ] {
            assert_eq!(text.parse::<HoleMap>(), Err(HoleMapError { line }), "{text}");
        }
    }
}
