//! `SenML` (RFC 8428): a pack of records, with everything that its base fields say put into each.
//!
//! # Invariants
//!
//! - A pack is taken as a whole or not at all: what says that it must be understood and is not, or
//!   means two things, is refused with the number of its record.
//! - Whole numbers stay exact, also when a base value is added.

use thiserror::Error;

use super::node::{DocumentError, Key, Node};
use super::{cbor, json};

/// The version that is understood, which is that of RFC 8428.
const VERSION: i128 = 10;
/// Times below this, in seconds, count from the receiver's own time; others from 1970 (section 4.5.3).
const RELATIVE_BELOW: f64 = 268_435_456.0;
/// Longer times than any clock tells; beyond it a float has no milliseconds left.
const SECONDS_MAX: f64 = 1e12;
/// Characters of a name, its base included: many times what a URN of a device has.
const NAME_MAX: usize = 256;

/// The labels of a record as JSON has them, and as compact CBOR does (section 6, table 4).
const LABELS: [(&str, Option<i128>); 15] = [
    ("bver", Some(-1)),
    ("bn", Some(-2)),
    ("bt", Some(-3)),
    ("bu", Some(-4)),
    ("bv", Some(-5)),
    ("bs", Some(-6)),
    ("n", Some(0)),
    ("u", Some(1)),
    ("v", Some(2)),
    ("vs", Some(3)),
    ("vb", Some(4)),
    ("s", Some(5)),
    ("t", Some(6)),
    ("ut", Some(7)),
    ("vd", Some(8)),
];

/// One record, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its name, base and own.
    pub name: String,
    /// Its unit, or the pack's.
    pub unit: Option<String>,
    /// Its value; a record may have a sum alone.
    pub value: Option<Node>,
    /// The integral of its value over time.
    pub sum: Option<Node>,
    /// When it was taken.
    pub time: Time,
}

/// When a record was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// So many milliseconds from when the pack was received, mostly negative.
    Relative(i64),
    /// Milliseconds since 1970.
    Absolute(i64),
}

/// Why a document is no pack.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SenmlError {
    /// It is no document at all.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A pack is a list of maps.
    #[error("the pack is {found}, not a list of records")]
    NoPack {
        /// What it is.
        found: &'static str,
    },
    /// A record cannot be understood.
    #[error("record {number} of the pack {why}")]
    Record {
        /// Which, from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// The records of a pack in JSON.
pub fn from_json(bytes: &[u8]) -> Result<Vec<Record>, SenmlError> {
    resolve(&json::parse(bytes)?)
}

/// The records of a pack in CBOR.
pub fn from_cbor(bytes: &[u8]) -> Result<Vec<Record>, SenmlError> {
    resolve(&cbor::parse(bytes)?)
}

/// The records of a pack, each with what the base fields before it say.
pub fn resolve(pack: &Node) -> Result<Vec<Record>, SenmlError> {
    let Node::List(items) = pack else { return Err(SenmlError::NoPack { found: pack.kind() }) };
    let mut base = Base::default();
    let mut records = Vec::new();
    for (number, item) in (1..).zip(items) {
        let record = Fields::of(item).and_then(|fields| {
            base.take(&fields)?;
            base.record(&fields)
        });
        let record = record.map_err(|why| SenmlError::Record { number, why })?;
        records.extend(record);
    }
    Ok(records)
}

/// The known fields of one record.
struct Fields<'a>([Option<&'a Node>; LABELS.len()]);

impl<'a> Fields<'a> {
    fn of(item: &'a Node) -> Result<Self, String> {
        let Node::Map(map) = item else { return Err(format!("is {}, not a map", item.kind())) };
        let mut fields = [None; LABELS.len()];
        for (key, node) in map {
            let known = LABELS.iter().position(|(label, short)| match key {
                Key::Text(text) => text == label,
                Key::Int(int) => Some(*int) == *short,
            });
            match known {
                Some(place) => match fields[place].replace(node) {
                    None => {}
                    Some(_) => {
                        return Err(format!("has `{}` under both of its labels", LABELS[place].0));
                    }
                },
                None => match key {
                    // Section 4.4: such a label must be understood, or the pack must not be used.
                    Key::Text(text) if text.ends_with('_') => {
                        return Err(format!("has the field `{text}`, which must be understood"));
                    }
                    Key::Text(_) | Key::Int(_) => {}
                },
            }
        }
        Ok(Self(fields))
    }

    fn get(&self, label: &str) -> Option<&'a Node> {
        self.0[LABELS.iter().position(|(known, _)| *known == label)?]
    }

    fn text(&self, label: &str) -> Result<Option<&'a str>, String> {
        match self.get(label) {
            None => Ok(None),
            Some(Node::Text(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(label, other, "text")),
        }
    }

    fn number(&self, label: &str) -> Result<Option<&'a Node>, String> {
        match self.get(label) {
            None => Ok(None),
            Some(number @ (Node::Int(_) | Node::Float(_))) => Ok(Some(number)),
            Some(other) => Err(wrong(label, other, "a number")),
        }
    }

    fn seconds(&self, label: &str) -> Result<Option<f64>, String> {
        let Some(number) = self.number(label)? else { return Ok(None) };
        let seconds = float(number);
        // A comparison that NaN fails, too.
        if seconds.abs() <= SECONDS_MAX {
            return Ok(Some(seconds));
        }
        Err(format!("has a `{label}` that no clock tells"))
    }

    /// The one value that it has, or none.
    fn value(&self) -> Result<Option<Node>, String> {
        let value = self.number("v")?.cloned();
        let text = self.text("vs")?.map(|text| Node::Text(text.to_owned()));
        let on = match self.get("vb") {
            None => None,
            Some(on @ Node::Bool(_)) => Some(on.clone()),
            Some(other) => return Err(wrong("vb", other, "a truth value")),
        };
        // JSON has its bytes in base 64, which nobody here takes apart: it is text as it stands.
        let data = match self.get("vd") {
            None => None,
            Some(data @ (Node::Text(_) | Node::Bytes(_))) => Some(data.clone()),
            Some(other) => return Err(wrong("vd", other, "bytes")),
        };
        let mut values = [value, text, on, data].into_iter().flatten();
        let first = values.next();
        if values.next().is_some() { Err("has two values".to_owned()) } else { Ok(first) }
    }
}

fn wrong(label: &str, found: &Node, wanted: &str) -> String {
    format!("has {} as `{label}`, not {wanted}", found.kind())
}

/// What the base fields say so far.
#[derive(Default)]
struct Base {
    name: String,
    time: f64,
    unit: Option<String>,
    value: Option<Node>,
    sum: Option<Node>,
}

impl Base {
    fn take(&mut self, fields: &Fields<'_>) -> Result<(), String> {
        match fields.get("bver") {
            None => {}
            Some(Node::Int(version)) if (1..=VERSION).contains(version) => {}
            Some(Node::Int(version)) => {
                return Err(format!("is of version {version}, and {VERSION} is understood"));
            }
            Some(other) => return Err(wrong("bver", other, "a whole number")),
        }
        if let Some(name) = fields.text("bn")? {
            name.clone_into(&mut self.name);
        }
        if let Some(seconds) = fields.seconds("bt")? {
            self.time = seconds;
        }
        if let Some(unit) = fields.text("bu")? {
            self.unit = Some(unit.to_owned());
        }
        if let Some(value) = fields.number("bv")? {
            self.value = Some(value.clone());
        }
        if let Some(sum) = fields.number("bs")? {
            self.sum = Some(sum.clone());
        }
        Ok(())
    }

    /// The record with all this in it; `None` if it has base fields alone.
    fn record(&self, fields: &Fields<'_>) -> Result<Option<Record>, String> {
        let own_name = fields.text("n")?;
        let value = match (fields.value()?, &self.value) {
            (Some(number @ (Node::Int(_) | Node::Float(_))), Some(base)) => {
                Some(sum(base, &number))
            }
            (value, _) => value,
        };
        let total = match (fields.number("s")?, &self.sum) {
            (Some(own), Some(base)) => Some(sum(base, own)),
            (Some(own), None) => Some(own.clone()),
            // Of base and own sum one alone is enough (section 4.3).
            (None, base) => base.clone(),
        };
        if value.is_none() && fields.number("s")?.is_none() {
            return match own_name {
                None => Ok(None),
                Some(_) => Err("has neither a value nor a sum".to_owned()),
            };
        }
        let name = format!("{}{}", self.name, own_name.unwrap_or_default());
        check_name(&name)?;
        let seconds = self.time + fields.seconds("t")?.unwrap_or(0.0);
        let unit = fields.text("u")?.map(str::to_owned).or_else(|| self.unit.clone());
        Ok(Some(Record { name, unit, value, sum: total, time: time(seconds) }))
    }
}

/// Section 4.5.1: letters, digits and `-:./_`, the first one a letter or digit.
fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric();
    if name.len() > NAME_MAX {
        return Err(format!("has a name of more than {NAME_MAX} characters"));
    }
    match name.chars().next() {
        None => Err("has no name".to_owned()),
        Some(first) if !is_plain(first) => {
            Err("has a name that begins with neither a letter nor a digit".to_owned())
        }
        Some(_) => match name.chars().find(|c| !is_plain(*c) && !"-:./_".contains(*c)) {
            None => Ok(()),
            Some(foreign) => Err(format!("has {foreign:?} in its name")),
        },
    }
}

fn time(seconds: f64) -> Time {
    #[expect(clippy::cast_possible_truncation, reason = "at most twice SECONDS_MAX")]
    let millis = (seconds * 1000.0).round() as i64;
    if seconds < RELATIVE_BELOW { Time::Relative(millis) } else { Time::Absolute(millis) }
}

fn sum(base: &Node, own: &Node) -> Node {
    match (base, own) {
        (Node::Int(base), Node::Int(own)) => match base.checked_add(*own) {
            Some(sum) => Node::Int(sum),
            None => Node::Float(f64::INFINITY),
        },
        _ => Node::Float(float(base) + float(own)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "what is added to a float is one")]
fn float(node: &Node) -> f64 {
    match node {
        Node::Int(int) => *int as f64,
        Node::Float(float) => *float,
        Node::Null
        | Node::Bool(_)
        | Node::Text(_)
        | Node::Bytes(_)
        | Node::List(_)
        | Node::Map(_) => f64::NAN,
    }
}
