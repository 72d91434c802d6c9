//! `[[test]]` of a profile: what the device answers, and what must come of it.

use std::collections::{BTreeMap, BTreeSet};

use fieldgate_modbus::register::{Address, Table};
use fieldgate_model::{Cause, Quality, SignalName, Value};
use fieldgate_rules::profile::{Expected, ProfileTest};
use fieldgate_rules::signal::SignalSpec;
use serde::Deserialize;
use toml::Spanned;
use toml::de::DeValue;

use super::fields::{Fields, Found, Wrong};
use super::problem::Problem;
use super::profile_file::unknown_signal;
use super::resource_file::Resources;
use super::signal_file::{Raw, leaf};
use super::source_file::address_wrong;

/// What a test expects of a signal.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a value, or { quality = \"null\" }")]
enum RawExpected {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Quality(RawQuality),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuality {
    quality: String,
}

pub(super) fn read_tests(
    root: &mut Fields<'_>,
    signals: &[SignalSpec],
    resources: &Resources,
    problems: &mut Vec<Problem>,
) -> Vec<ProfileTest> {
    let mut tests = Vec::new();
    for mut fields in root.tables("test", "[[test]]") {
        let mut test = ProfileTest {
            registers: read_items(&mut fields, "registers", Table::is_bits, |value| {
                let raw = leaf::<Raw>(value)?;
                let word = raw.bits(16).and_then(|bits| u16::try_from(bits).ok());
                word.ok_or_else(|| Wrong::new(format!("`{raw}` is not a word of 16 bits")))
            }),
            bits: read_items(&mut fields, "coils", |table| table != Table::Coil, leaf::<bool>),
            payloads: read_payloads(&mut fields, resources),
            expect: BTreeMap::new(),
        };
        test.bits.extend(read_items(
            &mut fields,
            "discrete_inputs",
            |table| table != Table::DiscreteInput,
            leaf::<bool>,
        ));
        test.expect = read_expect(&mut fields, signals);
        problems.extend(fields.finish());
        tests.push(test);
    }
    tests
}

/// `{ "hr:0" = [1, "0x0002"] }`: what lies from each address on.
fn read_items<T>(
    fields: &mut Fields<'_>,
    key: &'static str,
    is_foreign: impl Fn(Table) -> bool,
    read: impl Fn(DeValue<'_>) -> Result<T, Wrong>,
) -> Vec<(Address, Vec<T>)> {
    let Some(table) = fields.table(key, "") else { return Vec::new() };
    let (entries, problems) = table.entries();
    debug_assert!(problems.is_empty(), "nothing was read from it yet");
    let mut found = Vec::new();
    for (address, Found { value, line }) in entries {
        let items = address.parse::<Address>().map_err(|error| address_wrong(&error));
        let items = items.and_then(|address| {
            if is_foreign(address.table) {
                return Err(Wrong::new(format!("{address} does not belong here")));
            }
            let values: Vec<Spanned<DeValue<'_>>> = match value {
                DeValue::Array(values) => values.into_iter().collect(),
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Table(_) => return Err(Wrong::new("must be a list")),
            };
            if usize::from(address.offset) + values.len() > 0x1_0000 {
                return Err(Wrong::new("goes beyond address 65535"));
            }
            let items = values.into_iter().map(|value| read(value.into_inner()));
            Ok((address, items.collect::<Result<Vec<T>, Wrong>>()?))
        });
        match items {
            Ok(items) => found.push(items),
            Err(Wrong { what, hint }) => {
                fields.wrong(line, Wrong { what: format!("`{key}` `{address}`: {what}"), hint });
            }
        }
    }
    found
}

/// `{ "/temp" = "21.5" }`, or `{ "/raw" = { hex = "01 02" } }` for bytes that are no text.
fn read_payloads(fields: &mut Fields<'_>, resources: &Resources) -> Vec<(usize, Vec<u8>)> {
    let Some(table) = fields.table("payloads", "") else { return Vec::new() };
    let mut payloads = Vec::new();
    for (path, Found { value, line }) in table.entries().0 {
        let payload = resources.place(&path).ok_or_else(|| {
            Wrong::new("is no resource of this profile")
                .hint("name it as `read` of a signal or `path` of a `[[resource]]` does")
        });
        match payload.and_then(|place| Ok((place, leaf::<RawPayload>(value)?.bytes()?))) {
            Ok(payload) => payloads.push(payload),
            Err(Wrong { what, hint }) => {
                fields.wrong(line, Wrong { what: format!("`payloads` `{path}`: {what}"), hint });
            }
        }
    }
    payloads
}

/// A payload as text or in hex.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text, or { hex = \"01 02\" }")]
enum RawPayload {
    Text(String),
    Hex(RawHex),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHex {
    hex: String,
}

impl RawPayload {
    fn bytes(self) -> Result<Vec<u8>, Wrong> {
        let hex = match self {
            Self::Text(text) => return Ok(text.into_bytes()),
            Self::Hex(RawHex { hex }) => hex,
        };
        let digits: Option<Vec<u8>> = hex
            .chars()
            .filter(|c| !c.is_whitespace())
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        let digits = digits.filter(|digits| digits.len() % 2 == 0);
        let digits = digits.ok_or_else(|| Wrong::new(format!("`{hex}` is not bytes in hex")))?;
        Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
    }
}

fn read_expect(fields: &mut Fields<'_>, signals: &[SignalSpec]) -> BTreeMap<SignalName, Expected> {
    let mut expect = BTreeMap::new();
    let names: BTreeSet<&str> = signals.iter().map(|signal| signal.name.as_str()).collect();
    let Some(table) = fields.table("expect", "") else {
        let line = fields.line();
        fields.wrong(line, Wrong::new("expects nothing").hint("write `expect = { signal = 1 }`"));
        return expect;
    };
    for (name, Found { value, line }) in table.entries().0 {
        if !names.contains(name.as_str()) {
            fields.wrong(line, unknown_signal(&name, signals));
            continue;
        }
        let expected = leaf::<RawExpected>(value).and_then(|raw| {
            Ok(match raw {
                RawExpected::Bool(on) => Expected::Value(Value::Bool(on)),
                RawExpected::Int(int) => Expected::Value(Value::Int(int)),
                RawExpected::Float(float) => Expected::Value(Value::Float64(float)),
                RawExpected::Text(text) => Expected::Value(Value::Text(text)),
                RawExpected::Quality(RawQuality { quality }) => {
                    Expected::Bad(parse_cause(&quality)?)
                }
            })
        });
        match (SignalName::new(name.as_str()), expected) {
            (Ok(name), Ok(expected)) => {
                expect.insert(name, expected);
            }
            (_, Err(Wrong { what, hint })) => {
                fields.wrong(line, Wrong { what: format!("`{name}`: {what}"), hint });
            }
            (Err(error), Ok(_)) => fields.wrong(line, Wrong::new(error)),
        }
    }
    expect
}

fn parse_cause(text: &str) -> Result<Cause, Wrong> {
    (0..=u16::MAX)
        .filter_map(Quality::from_code)
        .find_map(|quality| match quality {
            Quality::Bad(cause) if cause.to_string() == text => Some(cause),
            Quality::Bad(_) | Quality::Good | Quality::Uncertain => None,
        })
        .ok_or_else(|| {
            Wrong::new(format!("`{text}` is not a quality"))
                .hint("known are `null`, `out_of_range`, `malformed`, `exception_2` and so on")
        })
}
