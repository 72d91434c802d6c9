//! `write` of a `[[signal]]`: by which function, how a part of a register, and what shows that it
//! took.

use fieldgate_modbus::register::Table;
use fieldgate_model::{Millis, ValueKind};
use fieldgate_rules::signal::{BitWrite, PayloadMethod, SignalSource, WriteFunction, WriteSpec};
use fieldgate_rules::write::methods;
use serde::Deserialize;

use super::fields::{Fields, Found, Wrong};
use super::signal_file::unit_wrong;
use super::units::parse_duration;

/// Longer than any device takes over a set-point; whoever wrote is waiting.
const SETTLE_MAX: Millis = Millis::from_secs(10);

/// `write = true` or `write = { fc = "multiple", tolerance = 0.5 }`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected true, false or { fc = \"multiple\" }")]
enum RawWrite {
    Flag(bool),
    Rule(RawWriteRule),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWriteRule {
    fc: Option<RawFunction>,
    bit_write: Option<String>,
    verify: Option<bool>,
    tolerance: Option<f64>,
    settle: Option<String>,
    method: Option<String>,
}

/// `"multiple"` or `16`.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawFunction {
    Code(i64),
    Word(String),
}

/// The rule, if the signal may be written; problems stay in `fields`.
pub(super) fn read_write(
    fields: &mut Fields<'_>,
    source: Option<SignalSource>,
) -> Option<WriteSpec> {
    let Found { value, line } = fields.take::<RawWrite>("write")?;
    let mut wrongs = Vec::new();
    let write = match value {
        RawWrite::Flag(false) => return None,
        RawWrite::Flag(true) => WriteSpec::default(),
        RawWrite::Rule(rule) => read_rule(rule, source, &mut wrongs),
    };
    if let Some(source) = source {
        wrongs.extend(refused(source, write));
    }
    let is_good = wrongs.is_empty();
    for Wrong { what, hint } in wrongs {
        fields.wrong(line, Wrong { what: format!("`write`: {what}"), hint });
    }
    is_good.then_some(write)
}

fn read_rule(
    rule: RawWriteRule,
    source: Option<SignalSource>,
    wrongs: &mut Vec<Wrong>,
) -> WriteSpec {
    let mut write = WriteSpec::default();
    let is_bit = source.is_none_or(|source| matches!(source, SignalSource::Bit { .. }));
    let is_register = source.is_none_or(|source| !matches!(source, SignalSource::Bit { .. }));
    match rule.fc {
        None => {}
        Some(RawFunction::Word(word)) => match word.as_str() {
            "auto" => {}
            "single" => write.function = WriteFunction::Single,
            "multiple" => write.function = WriteFunction::Multiple,
            other => wrongs
                .push(Wrong::new(format!("`{other}` is not a way to write")).hint(FUNCTIONS_HINT)),
        },
        Some(RawFunction::Code(5)) if is_bit => write.function = WriteFunction::Single,
        Some(RawFunction::Code(15)) if is_bit => write.function = WriteFunction::Multiple,
        Some(RawFunction::Code(6)) if is_register => write.function = WriteFunction::Single,
        Some(RawFunction::Code(16)) if is_register => write.function = WriteFunction::Multiple,
        Some(RawFunction::Code(22)) if is_register => write.bit_write = BitWrite::Mask,
        Some(RawFunction::Code(code)) => {
            wrongs.push(Wrong::new(format!("FC {code} does not write this")).hint(FUNCTIONS_HINT));
        }
    }
    match rule.bit_write.as_deref() {
        None => {}
        Some("auto") => write.bit_write = BitWrite::Auto,
        Some("mask") => write.bit_write = BitWrite::Mask,
        Some("read-modify-write") => write.bit_write = BitWrite::ReadModifyWrite,
        Some(other) => wrongs.push(
            Wrong::new(format!("`{other}` is not a way to write bits"))
                .hint("known are `auto`, `mask` (FC 22), `read-modify-write`"),
        ),
    }
    let asks_mask = write.bit_write != BitWrite::Auto || rule.bit_write.is_some();
    if asks_mask && source.is_some_and(|source| source.part().is_none()) {
        wrongs.push(
            Wrong::new("`bit_write` and FC 22 are for a part of a register")
                .hint("leave it out, or name the bits, as in `hr:5/3` or `hr:5/3..7`"),
        );
    }
    let is_payload = source.is_none_or(|source| matches!(source, SignalSource::Payload { .. }));
    match rule.method.as_deref() {
        None => {}
        Some(_) if !is_payload => wrongs.push(Wrong::new("`method` is for a resource")),
        Some("PUT") => write.payload_method = PayloadMethod::Put,
        Some("POST") => write.payload_method = PayloadMethod::Post,
        Some(other) => wrongs.push(
            Wrong::new(format!("`{other}` is not a way to write")).hint("known are `PUT`, `POST`"),
        ),
    }
    write.verify = rule.verify.unwrap_or(true);
    if let Some(tolerance) = rule.tolerance {
        write.tolerance = tolerance;
        let is_number = source.is_none_or(|source| match source.kind() {
            ValueKind::Int | ValueKind::Unsigned | ValueKind::Float32 | ValueKind::Float64 => true,
            ValueKind::Bool | ValueKind::Text => false,
        });
        if !(tolerance.is_finite() && tolerance >= 0.0) {
            wrongs.push(Wrong::new("`tolerance` must be a number of at least 0"));
        } else if !is_number {
            wrongs.push(Wrong::new("`tolerance` needs a number"));
        }
    }
    match rule.settle.as_deref().map(parse_duration) {
        None => {}
        Some(Ok(settle)) if settle <= SETTLE_MAX => write.settle = settle,
        Some(Ok(_)) => wrongs.push(Wrong::new("`settle` is longer than 10 s")),
        Some(Err(error)) => wrongs.push(unit_wrong(&error)),
    }
    write
}

const FUNCTIONS_HINT: &str =
    "known are `auto`, `single` (5, 6), `multiple` (15, 16), and 22 for a part of a register";

/// Why what is at `source` cannot be written like this.
fn refused(source: SignalSource, write: WriteSpec) -> Option<Wrong> {
    let address = match source {
        SignalSource::Parser { .. } => {
            return Some(Wrong::new("what a parser gives cannot be written"));
        }
        SignalSource::Payload { .. } => {
            let is_plain =
                write.function == WriteFunction::Auto && write.bit_write == BitWrite::Auto;
            let wrong = || Wrong::new("`fc` and `bit_write` are for registers");
            return (!is_plain).then(|| wrong().hint("write `method = \"PUT\"` or `\"POST\"`"));
        }
        SignalSource::Registers { address, .. }
        | SignalSource::Bit { address }
        | SignalSource::RegisterBit { address, .. }
        | SignalSource::RegisterBits { address, .. } => address,
    };
    match (address.table, source) {
        (Table::DiscreteInput | Table::InputRegister, _) => Some(Wrong::new(format!(
            "{address} cannot be written, only holding registers and coils can"
        ))),
        (Table::HoldingRegister, SignalSource::Registers { data, .. }) => {
            match methods(&source, write) {
                Ok(_) => None,
                Err(_) if write.function == WriteFunction::Single => {
                    Some(Wrong::new(format!("FC 6 writes one register, not {data}")))
                }
                Err(error) => Some(Wrong::new(error)),
            }
        }
        (Table::Coil | Table::HoldingRegister, _) => None,
    }
}
