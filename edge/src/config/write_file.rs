//! `write` of a `[[signal]]`: which function code, and whether there is anything to write to.

use fieldgate_modbus::register::Table;
use fieldgate_rules::signal::{SignalSource, WriteFunction, WriteSpec};
use serde::Deserialize;

use super::fields::{Fields, Found, Wrong};

/// `write = true` or `write = { fc = "multiple" }`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected true, false or { fc = \"multiple\" }")]
enum RawWrite {
    Flag(bool),
    Rule(RawWriteRule),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWriteRule {
    fc: String,
}

/// The rule, if the signal may be written; problems stay in `fields`.
pub(super) fn read_write(
    fields: &mut Fields<'_>,
    source: Option<SignalSource>,
) -> Option<WriteSpec> {
    let Found { value, line } = fields.take::<RawWrite>("write")?;
    let function = match value {
        RawWrite::Flag(false) => return None,
        RawWrite::Flag(true) => WriteFunction::Auto,
        RawWrite::Rule(rule) => match rule.fc.as_str() {
            "auto" => WriteFunction::Auto,
            "single" => WriteFunction::Single,
            "multiple" => WriteFunction::Multiple,
            other => {
                let what = format!("`write`: `{other}` is not a way to write");
                fields.wrong(line, Wrong::new(what).hint("known are `auto`, `single`, `multiple`"));
                return None;
            }
        },
    };
    let refused = match source? {
        SignalSource::Registers { address, data, .. } => match (address.table, function) {
            (Table::HoldingRegister, WriteFunction::Single) if data.registers() > 1 => {
                Some(format!("FC 6 writes one register, not {data}"))
            }
            (Table::HoldingRegister, _) => None,
            (Table::Coil | Table::DiscreteInput | Table::InputRegister, _) => {
                Some(format!("{address} cannot be written, only holding registers and coils can"))
            }
        },
        SignalSource::Bit { address } if address.table == Table::Coil => None,
        SignalSource::Bit { address } => {
            Some(format!("{address} cannot be written, only holding registers and coils can"))
        }
        SignalSource::RegisterBit { .. } => {
            Some("one bit of a register cannot be written".to_owned())
        }
        SignalSource::Parser { .. } => Some("what a parser gives cannot be written".to_owned()),
    };
    match refused {
        None => Some(WriteSpec { function }),
        Some(why) => {
            fields.wrong(line, Wrong::new(format!("`write`: {why}")));
            None
        }
    }
}
