//! `[[signal]]` of a profile: TOML to a [`SignalSpec`] that cannot be wrong.

use fieldgate_modbus::register::{Address, AddressError, Table};
use fieldgate_model::{Millis, Scale, SignalName, ValueKind};
use fieldgate_rules::signal::{DataType, Report, SignalSource, SignalSpec, WordOrder};
use serde::Deserialize;
use toml::de::DeValue;

use super::fields::{Fields, Found, Wrong, list, nearest};
use super::units::{UnitError, parse_duration};
use super::write_file::read_write;

/// How long a signal that reports on change may be silent, if its profile does not say: four
/// samples an hour cost little and tell rest from silence.
const MAX_SILENCE: Millis = Millis::from_secs(15 * 60);

/// Types as profiles name them; text has a length of its own.
const TYPES: [(&str, DataType); 8] = [
    ("u16", DataType::U16),
    ("i16", DataType::I16),
    ("u32", DataType::U32),
    ("i32", DataType::I32),
    ("u64", DataType::U64),
    ("i64", DataType::I64),
    ("f32", DataType::F32),
    ("f64", DataType::F64),
];

/// A number or a text in hexadecimal.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a whole number, or its bits as in \"0x8000\"")]
pub(super) enum Raw {
    Number(i64),
    Text(String),
}

/// One or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected whole numbers, or bits as in [\"0x8000\"]")]
enum OneOrMore {
    One(Raw),
    More(Vec<Raw>),
}

/// `report = "on_change"` or `report = { deadband = 0.5, max_silence = "1 min" }`.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"always\", \"on_change\" or { deadband = 0.5, max_silence = \"1 min\" }"
)]
enum RawReport {
    Word(String),
    Rule(RawReportRule),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReportRule {
    #[serde(default)]
    deadband: f64,
    max_silence: Option<String>,
}

/// Reads one signal; `None` if it is too wrong to be one. Problems stay in `fields`.
pub(super) fn read_signal(fields: &mut Fields<'_>) -> Option<SignalSpec> {
    let name = read_name(fields, "name");
    let title = fields.take::<String>("title");
    let unit = fields.take::<String>("unit");
    let origin = fields.take::<String>("source");
    let scale = read_scale(fields);
    let limits = read_limits(fields);
    let report = read_report(fields);
    let source = read_source(fields);
    let nulls = read_nulls(fields, source);
    let writable = read_write(fields, source);
    let (name, source) = (name?, source?);
    let spec = SignalSpec {
        title: title.map_or_else(|| name.to_string(), |title| title.value),
        name,
        source,
        unit: unit.map(|unit| unit.value).unwrap_or_default(),
        scale,
        nulls,
        limits,
        writable,
        report,
        origin: origin.map(|origin| origin.value).unwrap_or_default(),
    };
    let numeric = match spec.kind() {
        ValueKind::Int | ValueKind::Unsigned | ValueKind::Float32 | ValueKind::Float64 => true,
        ValueKind::Bool | ValueKind::Text => false,
    };
    if !numeric && (!spec.scale.is_identity() || spec.limits.is_some()) {
        let line = fields.line();
        fields.wrong(line, Wrong::new("has scale, offset or limits, which need a number"));
    }
    Some(spec)
}

/// A name that must be there.
pub(super) fn read_name(fields: &mut Fields<'_>, key: &'static str) -> Option<SignalName> {
    fields
        .parse_required(key, |text| SignalName::new(text).map_err(Wrong::new))
        .map(|name| name.value)
}

pub(super) fn address_wrong(error: &AddressError) -> Wrong {
    Wrong::new(error).hint(error.hint())
}

pub(super) fn unit_wrong(error: &UnitError) -> Wrong {
    Wrong::new(error).hint(error.hint())
}

fn read_scale(fields: &mut Fields<'_>) -> Scale {
    let scale = fields.take::<f64>("scale");
    let offset = fields.take::<f64>("offset");
    let line = scale.as_ref().or(offset.as_ref()).map_or(fields.line(), |found| found.line);
    let multiplier = scale.map_or(1.0, |scale| scale.value);
    let offset = offset.map_or(0.0, |offset| offset.value);
    Scale::new(multiplier, offset).unwrap_or_else(|error| {
        fields.wrong(line, Wrong::new(error));
        Scale::IDENTITY
    })
}

fn read_limits(fields: &mut Fields<'_>) -> Option<(f64, f64)> {
    let Found { value, line } = fields.take::<Vec<f64>>("limits")?;
    match value.as_slice() {
        [low, high] if low < high && low.is_finite() && high.is_finite() => Some((*low, *high)),
        _ => {
            let wrong = Wrong::new("`limits` must be two numbers, the smaller first");
            fields.wrong(line, wrong.hint("write `limits = [0, 50]`"));
            None
        }
    }
}

fn read_report(fields: &mut Fields<'_>) -> Report {
    let Some(Found { value, line }) = fields.take::<RawReport>("report") else {
        return Report::Always;
    };
    let mut refuse = |wrong| {
        fields.wrong(line, wrong);
        Report::Always
    };
    match value {
        RawReport::Word(word) if word == "always" => Report::Always,
        RawReport::Word(word) if word == "on_change" => {
            Report::OnChange { deadband: 0.0, max_silence: MAX_SILENCE }
        }
        RawReport::Word(word) => refuse(
            Wrong::new(format!("`report`: `{word}` is not a way to report"))
                .hint("known are `always`, `on_change` and `{ deadband = …, max_silence = … }`"),
        ),
        RawReport::Rule(RawReportRule { deadband, .. })
            if !deadband.is_finite() || deadband < 0.0 =>
        {
            refuse(Wrong::new("`report`: deadband must be a number of at least 0"))
        }
        RawReport::Rule(RawReportRule { deadband, max_silence }) => {
            match max_silence.as_deref().map(parse_duration).transpose() {
                Ok(silence) => {
                    Report::OnChange { deadband, max_silence: silence.unwrap_or(MAX_SILENCE) }
                }
                Err(error) => refuse(unit_wrong(&error)),
            }
        }
    }
}

fn read_source(fields: &mut Fields<'_>) -> Option<SignalSource> {
    if let Some(from) = fields.take::<String>("from") {
        return read_parsed(fields, &from);
    }
    let read = fields.parse_required("read", parse_place);
    let kind = fields.take::<String>("type");
    let order = fields.parse("order", parse_order).map_or(WordOrder::Abcd, |found| found.value);
    let registers = fields.take::<u16>("registers");
    let Found { value: (address, bit), line } = read?;
    let is_bits = address.table.is_bits();
    let wrong = match (kind, bit) {
        (kind, Some(bit)) if !is_bits && kind.as_ref().is_none_or(|k| k.value == "bit") => {
            return Some(SignalSource::RegisterBit { address, bit });
        }
        (kind, None) if is_bits && kind.as_ref().is_none_or(|k| k.value == "bit") => {
            return Some(SignalSource::Bit { address });
        }
        (Some(kind), None) if kind.value == "bit" => Wrong::new("`read` does not say which bit")
            .hint("write the bit behind the register, as in `hr:5/3`"),
        (None, None) => Wrong::new("has no `type`").hint(types_hint()),
        (Some(kind), None) if !is_bits => {
            let data = read_type(fields, &kind, registers)?;
            if u32::from(address.offset) + u32::from(data.registers()) <= 0x1_0000 {
                return Some(SignalSource::Registers { address, data, order });
            }
            Wrong::new(format!("`read`: {data} at {address} goes beyond address 65535"))
        }
        (Some(_) | None, Some(_) | None) => {
            Wrong::new(format!("`read`: {address} is a single bit, so its type is `bit`"))
        }
    };
    fields.wrong(line, wrong);
    None
}

/// `from = "parser"`, and the kind of what it gives.
fn read_parsed(fields: &mut Fields<'_>, from: &Found<String>) -> Option<SignalSource> {
    let kind = fields.parse("kind", |text| {
        ValueKind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let known = ValueKind::ALL.map(ValueKind::as_str);
            Wrong::new(format!("`{text}` is not a kind"))
                .hint(format!("known are {}", list(&known)))
        })
    });
    if from.value == "parser" {
        return Some(SignalSource::Parser { kind: kind.map_or(ValueKind::Float64, |k| k.value) });
    }
    let wrong = Wrong::new(format!("`from`: `{}` is not a source", from.value));
    let hint = "write `from = \"parser\"`, or `read = \"hr:0\"` for a register";
    fields.wrong(from.line, wrong.hint(hint));
    None
}

/// An address, with a bit behind it if it is one of a register: `hr:5/3`.
fn parse_place(text: &str) -> Result<(Address, Option<u8>), Wrong> {
    let (address, bit) = match text.split_once('/') {
        None => (text, None),
        Some((address, bit)) => (address, Some(bit)),
    };
    let address = address.parse::<Address>().map_err(|error| address_wrong(&error))?;
    let bit = bit.map(|bit| match bit.trim().parse::<u8>() {
        Ok(bit) if bit < 16 => Ok(bit),
        Ok(_) | Err(_) => Err(Wrong::new(format!("`{bit}` is not a bit of a register"))
            .hint("bits are 0 (least significant) to 15, as in `hr:5/3`")),
    });
    Ok((address, bit.transpose()?))
}

fn types_hint() -> String {
    format!("known are {}, `bit` and `string`", list(&TYPES.map(|(name, _)| name)))
}

fn read_type(
    fields: &mut Fields<'_>,
    kind: &Found<String>,
    registers: Option<Found<u16>>,
) -> Option<DataType> {
    let (name, line) = (kind.value.as_str(), kind.line);
    if name == "string" {
        let length = registers.as_ref().map(|registers| registers.value);
        let max = Table::HoldingRegister.read_max();
        return match length {
            Some(registers) if (1..=max).contains(&registers) => Some(DataType::Text { registers }),
            Some(_) | None => {
                let what = format!("a `string` needs `registers`, from 1 to {max}");
                let line = registers.map_or(line, |registers| registers.line);
                fields.wrong(line, Wrong::new(what).hint("two characters lie in each register"));
                None
            }
        };
    }
    if let Some(Found { line, .. }) = registers {
        fields.wrong(line, Wrong::new("`registers` is for `string` alone"));
    }
    let found = TYPES.iter().find(|(known, _)| *known == name).map(|(_, data)| *data);
    if found.is_none() {
        let near = nearest(name, TYPES.map(|(name, _)| name))
            .map_or_else(types_hint, |near| format!("did you mean `{near}`?"));
        fields.wrong(line, Wrong::new(format!("`type`: `{name}` is not a type")).hint(near));
    }
    found
}

fn parse_order(text: &str) -> Result<WordOrder, Wrong> {
    match text.to_ascii_uppercase().as_str() {
        "ABCD" => Ok(WordOrder::Abcd),
        "CDAB" => Ok(WordOrder::Cdab),
        "BADC" => Ok(WordOrder::Badc),
        "DCBA" => Ok(WordOrder::Dcba),
        _ => Err(Wrong::new(format!("`{text}` is not a word order"))
            .hint("known are `ABCD`, `CDAB`, `BADC`, `DCBA`; for 64 bits likewise")),
    }
}

fn read_nulls(fields: &mut Fields<'_>, source: Option<SignalSource>) -> Vec<u64> {
    let Some(Found { value, line }) = fields.take::<OneOrMore>("null") else { return Vec::new() };
    let width = match source {
        Some(SignalSource::Registers { data, .. }) if data.kind() != ValueKind::Text => {
            16 * u32::from(data.registers())
        }
        Some(_) => {
            fields.wrong(line, Wrong::new("`null` needs a number in registers"));
            return Vec::new();
        }
        None => return Vec::new(),
    };
    let values = match value {
        OneOrMore::One(one) => vec![one],
        OneOrMore::More(more) => more,
    };
    let mut nulls = Vec::new();
    for value in &values {
        match value.bits(width) {
            Some(bits) => nulls.push(bits),
            None => fields.wrong(
                line,
                Wrong::new(format!("`null`: `{value}` has no {width} bits"))
                    .hint("write the raw bits, as in `null = [\"0x8000\"]`"),
            ),
        }
    }
    nulls
}

impl Raw {
    /// The bits of a number of this width; a negative one in two's complement.
    pub(super) fn bits(&self, width: u32) -> Option<u64> {
        let number = match self {
            Self::Number(number) => i128::from(*number),
            Self::Text(text) => {
                i128::from(u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()?)
            }
        };
        let span = 1_i128 << width;
        let bits = if number < 0 { number + span } else { number };
        let fits = bits < span && (number >= 0 || bits >= span / 2);
        u64::try_from(bits).ok().filter(|_| fits)
    }
}

impl std::fmt::Display for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// Deserializes a value that was taken as it stands.
pub(super) fn leaf<T: serde::de::DeserializeOwned>(value: DeValue<'_>) -> Result<T, Wrong> {
    let value = toml::Spanned::new(0..0, value);
    T::deserialize(toml::de::ValueDeserializer::from(value))
        .map_err(|error| Wrong::new(error.message()))
}
