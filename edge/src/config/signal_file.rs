//! `[[signal]]` of a profile: TOML to a [`SignalSpec`] that cannot be wrong.

use std::collections::BTreeMap;

use fieldgate_model::{Millis, Scale, SignalName, ValueKind};
use fieldgate_rules::signal::{Report, SignalSource, SignalSpec};
use serde::Deserialize;
use toml::de::DeValue;

use super::fields::{Fields, Found, Wrong};
use super::resource_file::RawPick;
use super::source_file::read_source;
use super::units::{UnitError, parse_duration};
use super::write_file::read_write;

/// How long a signal that reports on change may be silent, if its profile does not say: four
/// samples an hour cost little and tell rest from silence.
const MAX_SILENCE: Millis = Millis::from_secs(15 * 60);

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

/// One name or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a name, or a list of names")]
enum Names {
    One(String),
    More(Vec<String>),
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

/// A signal as it was read, before it is seen together with the others.
pub(super) struct RawSignal {
    /// Without its `scale_from`.
    pub(super) spec: SignalSpec,
    /// The name of the signal that holds its power of ten.
    pub(super) scale_from: Option<Found<String>>,
    /// Where it lies in a resource; the place in `spec` is none yet.
    pub(super) pick: Option<RawPick>,
}

/// Reads one signal; `None` if it is too wrong to be one. Problems stay in `fields`.
pub(super) fn read_signal(fields: &mut Fields<'_>) -> Option<RawSignal> {
    let name = read_name(fields, "name");
    let title = fields.take::<String>("title");
    let unit = fields.take::<String>("unit");
    let origin = fields.take::<String>("source");
    let scale = read_scale(fields);
    let limits = read_limits(fields);
    let report = read_report(fields);
    let found = read_source(fields);
    let (source, pick) = found.map_or((None, None), |(source, pick)| (Some(source), pick));
    let nulls = read_nulls(fields, source);
    let writable = read_write(fields, source);
    let texts = read_texts(fields, source);
    let was = read_was(fields);
    let scale_from = fields.take::<String>("scale_from");
    let (name, source) = (name?, source?);
    let spec = SignalSpec {
        title: title.map_or_else(|| name.to_string(), |title| title.value),
        unit: unit.map(|unit| unit.value).unwrap_or_default(),
        scale,
        nulls,
        limits,
        texts,
        writable,
        report,
        origin: origin.map(|origin| origin.value).unwrap_or_default(),
        was,
        ..SignalSpec::new(name, source)
    };
    let numeric = match source.kind() {
        ValueKind::Int | ValueKind::Unsigned | ValueKind::Float32 | ValueKind::Float64 => true,
        ValueKind::Bool | ValueKind::Text => false,
    };
    if !numeric && (!spec.scale.is_identity() || spec.limits.is_some()) {
        let line = fields.line();
        fields.wrong(line, Wrong::new("has scale, offset or limits, which need a number"));
    }
    if let Some(Found { line, .. }) = &scale_from {
        if !numeric || matches!(source, SignalSource::Payload { .. } | SignalSource::Parser { .. })
        {
            fields.wrong(*line, Wrong::new("`scale_from` needs a number in registers"));
        }
        if !spec.scale.is_identity() {
            let wrong = Wrong::new("has both `scale_from` and a scale or offset of its own");
            fields.wrong(*line, wrong.hint("the power of ten is the whole scale; drop the other"));
        }
    }
    if !spec.texts.is_empty() && (scale_from.is_some() || !spec.scale.is_identity()) {
        let line = fields.line();
        fields.wrong(line, Wrong::new("has both `texts` and a scale: a state is no quantity"));
    }
    Some(RawSignal { spec, scale_from, pick })
}

/// A name that must be there.
pub(super) fn read_name(fields: &mut Fields<'_>, key: &'static str) -> Option<SignalName> {
    fields
        .parse_required(key, |text| SignalName::new(text).map_err(Wrong::new))
        .map(|name| name.value)
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

/// `texts = { 0 = "off", 1 = "on" }`.
fn read_texts(fields: &mut Fields<'_>, source: Option<SignalSource>) -> BTreeMap<i128, String> {
    let mut texts = BTreeMap::new();
    let line = fields.line_of("texts");
    let Some(table) = fields.table("texts", "") else { return texts };
    for (key, Found { value, line }) in table.entries().0 {
        let integer = key.parse::<i128>().ok().filter(|integer| match source.map(|s| s.kind()) {
            Some(ValueKind::Unsigned) => u64::try_from(*integer).is_ok(),
            Some(ValueKind::Bool) => matches!(integer, 0 | 1),
            Some(ValueKind::Int) => i64::try_from(*integer).is_ok(),
            Some(ValueKind::Float32 | ValueKind::Float64 | ValueKind::Text) | None => true,
        });
        let wrong = match (integer, leaf::<String>(value)) {
            (Some(_), Ok(text)) if texts.values().any(|known| *known == text) => {
                Wrong::new(format!("`{text}` stands for two values"))
                    .hint("a write could mean either; tell them apart")
            }
            (Some(integer), Ok(text)) => {
                texts.insert(integer, text);
                continue;
            }
            (None, _) => Wrong::new(format!("`{key}` is no value of this signal"))
                .hint("write raw integers, as in `texts = { 0 = \"off\", 1 = \"on\" }`"),
            (Some(_), Err(wrong)) => wrong,
        };
        fields.wrong(line, Wrong { what: format!("`texts`: {}", wrong.what), ..wrong });
    }
    let is_integer = source.is_none_or(|source| match source.kind() {
        ValueKind::Bool | ValueKind::Int | ValueKind::Unsigned => true,
        ValueKind::Float32 | ValueKind::Float64 | ValueKind::Text => false,
    });
    if !is_integer {
        fields.wrong(line, Wrong::new("`texts` need an integer or a bit"));
    }
    texts
}

/// `was = "old_name"`, or several.
fn read_was(fields: &mut Fields<'_>) -> Vec<SignalName> {
    let Some(Found { value, line }) = fields.take::<Names>("was") else { return Vec::new() };
    let texts = match value {
        Names::One(one) => vec![one],
        Names::More(more) => more,
    };
    let mut names = Vec::new();
    for text in texts {
        match SignalName::new(text.as_str()) {
            Ok(name) => names.push(name),
            Err(error) => fields.wrong(line, Wrong::new(format!("`was`: `{text}` {error}"))),
        }
    }
    names
}

fn read_nulls(fields: &mut Fields<'_>, source: Option<SignalSource>) -> Vec<u64> {
    let Some(Found { value, line }) = fields.take::<OneOrMore>("null") else { return Vec::new() };
    let width = match source {
        Some(SignalSource::Registers { data, .. }) if data.kind() != ValueKind::Text => data.bits(),
        Some(SignalSource::RegisterBits { first, last, .. }) => u32::from(last - first) + 1,
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
