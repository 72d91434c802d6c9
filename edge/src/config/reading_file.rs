//! How a profile's devices want to be read: limits, gaps and boundaries in `[profile]`.

use fieldgate_modbus::register::{Address, READ_BITS_MAX, READ_REGISTERS_MAX, Table};
use fieldgate_rules::plan::ReadRules;
use fieldgate_rules::signal::SignalSpec;

use super::fields::{Fields, Found, Wrong};
use super::source_file::address_wrong;

/// `max_registers`, `max_bits`, `max_gap`, `boundary` and `merge`, each as the protocol has it by
/// default.
pub(super) fn read_rules(header: &mut Fields<'_>) -> ReadRules {
    let default = ReadRules::default();
    let registers_max = read_limit(header, "max_registers", READ_REGISTERS_MAX);
    let bits_max = read_limit(header, "max_bits", READ_BITS_MAX);
    ReadRules {
        registers_max: registers_max.unwrap_or(default.registers_max),
        bits_max: bits_max.unwrap_or(default.bits_max),
        gap_max: header.take::<u16>("max_gap").map(|max| max.value),
        boundaries: read_boundaries(header),
        merge: header.take::<bool>("merge").map_or(default.merge, |merge| merge.value),
    }
}

/// Says which signals cannot be read under these rules: they lie across a boundary, or are longer
/// than the device gives at once.
pub(super) fn check_rules(header: &mut Fields<'_>, rules: &ReadRules, signals: &[SignalSpec]) {
    let line = header.line();
    for signal in signals {
        let Some(read) = signal.source.read() else { continue };
        let name = &signal.name;
        let end = u32::from(read.start) + u32::from(read.count);
        let cut = rules.boundaries.iter().find(|cut| {
            cut.table == read.table && read.start < cut.offset && u32::from(cut.offset) < end
        });
        if let Some(cut) = cut {
            let wrong = Wrong::new(format!("`boundary` {cut} cuts the signal `{name}` in two"));
            header.wrong(line, wrong.hint("a boundary is where a block starts"));
        }
        let (key, max) = match read.table {
            Table::Coil | Table::DiscreteInput => ("max_bits", rules.bits_max),
            Table::InputRegister | Table::HoldingRegister => ("max_registers", rules.registers_max),
        };
        if read.count > max {
            let what =
                format!("`{key}` is {max}, and the signal `{name}` takes {} at once", read.count);
            header.wrong(line, Wrong::new(what));
        }
    }
}

fn read_limit(header: &mut Fields<'_>, key: &'static str, most: u16) -> Option<u16> {
    let Found { value, line } = header.take::<i64>(key)?;
    match u16::try_from(value) {
        Ok(limit) if (1..=most).contains(&limit) => Some(limit),
        Ok(_) | Err(_) => {
            header.wrong(line, Wrong::new(format!("`{key}` must be 1 to {most}")));
            None
        }
    }
}

fn read_boundaries(header: &mut Fields<'_>) -> Vec<Address> {
    let Some(Found { value, line }) = header.take::<Vec<String>>("boundary") else {
        return Vec::new();
    };
    let mut boundaries = Vec::new();
    for text in &value {
        match text.parse::<Address>() {
            Ok(address) => boundaries.push(address),
            Err(error) => {
                let Wrong { what, hint } = address_wrong(&error);
                header.wrong(line, Wrong { what: format!("`boundary`: {what}"), hint });
            }
        }
    }
    boundaries
}

#[cfg(test)]
mod tests {
    use super::super::Library;
    use super::super::tests::{Folder, check_profile};

    #[test]
    fn a_profile_says_how_its_devices_want_to_be_read() {
        const SIGNALS: &str = "[[signal]]\nname = \"a\"\nread = \"hr:98\"\ntype = \"f64\"\n";
        let folder = Folder::new();
        let text = format!(
            "[profile]\nname = \"mine\"\nversion = 1\nmax_registers = 16\nmax_gap = 0\n\
             boundary = [\"hr:98\", \"40201\"]\nmerge = false\n{SIGNALS}"
        );
        let profile = Library::read(&folder.write("mine.toml", &text)).expect("well formed");
        let rules = &profile.reading;
        assert_eq!((rules.registers_max, rules.bits_max, rules.gap_max), (16, 2000, Some(0)));
        let places: Vec<_> = rules.boundaries.iter().map(|address| address.offset).collect();
        assert_eq!((places, rules.merge), (vec![98, 200], false));
        for (key, expected) in [
            ("max_registers = 0", &["4: [profile] `max_registers` must be 1 to 125"][..]),
            ("max_registers = 126", &["4: [profile] `max_registers` must be 1 to 125"]),
            ("max_bits = 2001", &["4: [profile] `max_bits` must be 1 to 2000"]),
            ("boundary = [\"100\"]", &["4: [profile] `boundary`: address `100` names no table"]),
            (
                "boundary = [\"hr:100\"]",
                &["1: [profile] `boundary` hr:100 (4x0101) cuts the signal `a` in two"],
            ),
            (
                "max_registers = 3",
                &["1: [profile] `max_registers` is 3, and the signal `a` takes 4 at once"],
            ),
        ] {
            let head = "[profile]\nname = \"mine\"\nversion = 1\n";
            check_profile(&format!("{head}{key}\n{SIGNALS}"), expected);
        }
    }
}
