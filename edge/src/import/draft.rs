//! A profile in the making, and its text.

use std::collections::BTreeSet;

use fieldgate_modbus::register::{Address, Table};
use fieldgate_model::Scale;
use fieldgate_rules::signal::{DataType, WordOrder};

use super::names::Names;
use super::{Imported, Note, Options, Weight};

/// As many as the reader of profiles takes: a few words of a text may stand for millions.
pub(super) const SIGNALS_MAX: usize = 5_000;

/// More than anybody reads.
const NOTES_MAX: usize = 1_000;

/// A profile in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    name: String,
    title: String,
    source: String,
    signals: Vec<DraftSignal>,
    notes: Vec<Note>,
    /// Notes beyond those, and the most that one of them matters.
    unsaid: Option<(usize, Weight)>,
    /// Signals that were to be added, whether they could be or not.
    offered: usize,
    names: Names,
}

/// A signal in the making; what is empty is not written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DraftSignal {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) address: Address,
    /// `3`, `3..7`, `high` or `low`.
    pub(super) bits: Option<String>,
    /// As profiles name it; `None` for a bit.
    pub(super) kind: Option<&'static str>,
    /// Registers of a text.
    pub(super) registers: Option<u16>,
    pub(super) order: WordOrder,
    pub(super) unit: String,
    pub(super) scale: f64,
    pub(super) offset: f64,
    pub(super) scale_from: Option<String>,
    pub(super) nulls: Vec<u64>,
    pub(super) texts: Vec<(i128, String)>,
    pub(super) limits: Option<(f64, f64)>,
    pub(super) is_writable: bool,
    pub(super) source: String,
}

impl DraftSignal {
    pub(super) fn new(name: &str, address: Address) -> Self {
        Self {
            name: name.to_owned(),
            title: String::new(),
            address,
            bits: None,
            kind: None,
            registers: None,
            order: WordOrder::Abcd,
            unit: String::new(),
            scale: 1.0,
            offset: 0.0,
            scale_from: None,
            nulls: Vec::new(),
            texts: Vec::new(),
            limits: None,
            is_writable: false,
            source: String::new(),
        }
    }
}

impl Draft {
    pub(super) fn new(source: String) -> Self {
        Self { source, ..Self::default() }
    }

    pub(super) fn set_name(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    pub(super) fn set_title(&mut self, title: &str) {
        title.clone_into(&mut self.title);
    }

    pub(super) fn note(&mut self, line: usize, weight: Weight, what: impl Into<String>) {
        self.push(Note { line: Some(line), weight, what: what.into() });
    }

    pub(super) fn note_whole(&mut self, weight: Weight, what: impl Into<String>) {
        self.push(Note { line: None, weight, what: what.into() });
    }

    fn push(&mut self, note: Note) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note);
            return;
        }
        let (count, weight) = self.unsaid.unwrap_or((0, note.weight));
        self.unsaid = Some((count + 1, weight.max(note.weight)));
    }

    /// Whether no further signal is taken; [`Draft::add`] has said so then.
    pub(super) const fn is_full(&self) -> bool {
        self.offered > SIGNALS_MAX
    }

    /// Adds a signal under a name that is one and that no other has, and gives that name; `None`
    /// if no profile can hold it, which is noted.
    pub(super) fn add(&mut self, line: Option<usize>, mut signal: DraftSignal) -> Option<String> {
        let lost = |what| Note { line, weight: Weight::Lost, what };
        if self.is_full() {
            return None;
        }
        self.offered += 1;
        if self.is_full() {
            let what = format!("what comes from here on: a profile holds {SIGNALS_MAX} signals");
            self.push(lost(what));
            return None;
        }
        if let Err(why) = signal.check() {
            self.push(lost(format!("`{}`: {why}", signal.name)));
            return None;
        }
        let wanted = signal.name.clone();
        signal.name = self.names.take(&wanted);
        if signal.name != wanted {
            // A name of words is made into one for topics as a matter of course: its title stays.
            if signal.title.is_empty() && !wanted.is_empty() {
                signal.title.clone_from(&wanted);
            }
            if Names::cleaned(&wanted) != signal.name {
                let why = if Names::cleaned(&wanted).is_empty() {
                    "as it has no letter that a name may have"
                } else {
                    "as there is another"
                };
                let what = format!("`{wanted}` is named `{}`, {why}", signal.name);
                self.push(Note { line, weight: Weight::Remark, what });
            }
        }
        let name = signal.name.clone();
        self.signals.push(signal);
        Some(name)
    }

    /// The text, or what is wrong if there is no signal in it.
    pub(super) fn finish(mut self, options: &Options) -> Result<Imported, Vec<Note>> {
        // What concerns the whole stands first, and then in the order of lines.
        self.notes.sort_by_key(|note| note.line);
        if let Some((count, weight)) = self.unsaid {
            let what = format!("{count} things more, which are not listed");
            self.notes.push(Note { line: None, weight, what });
        }
        if self.signals.is_empty() {
            let what = "there is no signal that a profile could have".to_owned();
            self.notes.push(Note { line: None, weight: Weight::Lost, what });
            return Err(self.notes);
        }
        let wanted = options.name.clone().unwrap_or_else(|| self.name.clone());
        let mut name = Names::cleaned(&wanted).replace('_', "-");
        if name.is_empty() {
            "imported".clone_into(&mut name);
        }
        Ok(Imported { toml: self.text(&name), signals: self.signals.len(), notes: self.notes })
    }

    fn text(&self, name: &str) -> String {
        let mut text = String::from("[profile]\n");
        line(&mut text, "name", &quoted(name));
        line(&mut text, "version", "1");
        if !self.title.is_empty() {
            line(&mut text, "title", &quoted(&self.title));
        }
        line(&mut text, "source", &quoted(&self.source));
        for signal in &self.signals {
            text.push_str("\n[[signal]]\n");
            signal.write(&mut text);
        }
        text
    }
}

impl DraftSignal {
    /// Why no profile can hold it. One wrong row shall not cost all others.
    fn check(&self) -> Result<(), String> {
        let registers = match self.kind {
            Some("string") => match self.registers {
                Some(registers) if (1..=125).contains(&registers) => registers,
                Some(_) | None => return Err("is text, and not of 1 to 125 registers".to_owned()),
            },
            Some(word) => {
                let found = DataType::NUMBERS.iter().find(|data| data.to_string() == word);
                found.map_or(1, |data| data.registers())
            }
            None => 1,
        };
        if u32::from(self.address.offset) + u32::from(registers) > 1 << 16 {
            return Err("goes beyond address 65535".to_owned());
        }
        if let Some(bits) = self.bits.as_deref().filter(|bits| !matches!(*bits, "high" | "low")) {
            let bit = bits.parse::<u8>().ok().filter(|bit| *bit < 16);
            bit.ok_or_else(|| format!("`{bits}` is not a bit of a register, which has 0 to 15"))?;
        }
        Scale::new(self.scale, self.offset).map_err(|error| error.to_string())?;
        let width = 16 * u32::from(registers);
        if self.nulls.iter().any(|null| width < 64 && *null >> width != 0) {
            return Err(format!("what stands for no value has more than {width} bits"));
        }
        if self.limits.is_some_and(|(low, high)| low >= high) {
            return Err("needs both limits, the smaller first".to_owned());
        }
        let numbers: BTreeSet<i128> = self.texts.iter().map(|(number, _)| *number).collect();
        let texts: BTreeSet<&str> = self.texts.iter().map(|(_, text)| text.as_str()).collect();
        if numbers.len() < self.texts.len() || texts.len() < self.texts.len() {
            return Err("two of its values have one number or one name".to_owned());
        }
        let negative = numbers.first().is_some_and(|number| *number < 0);
        if negative && self.kind.is_some_and(|kind| kind.starts_with('u')) {
            return Err("is unsigned, and has a name for a number below zero".to_owned());
        }
        Ok(())
    }

    fn write(&self, text: &mut String) {
        line(text, "name", &quoted(&self.name));
        if !self.title.is_empty() && self.title != self.name {
            line(text, "title", &quoted(&self.title));
        }
        let bits = self.bits.as_ref().map_or(String::new(), |bits| format!("/{bits}"));
        line(text, "read", &quoted(&format!("{}{bits}", short(self.address))));
        if let Some(kind) = self.kind {
            line(text, "type", &quoted(kind));
        }
        if let Some(registers) = self.registers {
            line(text, "registers", &registers.to_string());
        }
        if self.order != WordOrder::Abcd {
            line(text, "order", &quoted(&self.order.to_string()));
        }
        if !self.unit.is_empty() {
            line(text, "unit", &quoted(&self.unit));
        }
        if !is_one(self.scale) {
            line(text, "scale", &number(self.scale));
        }
        if self.offset != 0.0 {
            line(text, "offset", &number(self.offset));
        }
        if let Some(factor) = &self.scale_from {
            line(text, "scale_from", &quoted(factor));
        }
        if !self.nulls.is_empty() {
            let nulls: Vec<_> = self.nulls.iter().map(|null| format!("\"{null:#X}\"")).collect();
            line(text, "null", &format!("[{}]", nulls.join(", ").replace("0X", "0x")));
        }
        if !self.texts.is_empty() {
            let texts = self.texts.iter();
            let texts: Vec<_> =
                texts.map(|(number, name)| format!("{number} = {}", quoted(name))).collect();
            line(text, "texts", &format!("{{ {} }}", texts.join(", ")));
        }
        if let Some((low, high)) = self.limits {
            line(text, "limits", &format!("[{}, {}]", number(low), number(high)));
        }
        if self.is_writable {
            line(text, "write", "true");
        }
        if !self.source.is_empty() {
            line(text, "source", &quoted(&self.source));
        }
    }
}

fn line(text: &mut String, key: &str, value: &str) {
    for part in [key, " = ", value, "\n"] {
        text.push_str(part);
    }
}

/// A text as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn number(number: f64) -> String {
    toml::Value::Float(number).to_string()
}

#[expect(clippy::float_cmp, reason = "a scale is written unless it is exactly 1")]
fn is_one(scale: f64) -> bool {
    scale == 1.0
}

fn short(address: Address) -> String {
    let table = match address.table {
        Table::Coil => "co",
        Table::DiscreteInput => "di",
        Table::InputRegister => "ir",
        Table::HoldingRegister => "hr",
    };
    format!("{table}:{}", address.offset)
}
