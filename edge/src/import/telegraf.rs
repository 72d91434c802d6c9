//! Telegraf's `[[inputs.modbus]]`, in its `request` and its `register` style.
//!
//! Addresses are those on the wire (README of the plugin, `plugins/inputs/modbus`).

use fieldgate_modbus::register::{Address, Table};
use fieldgate_rules::signal::WordOrder;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::draft::{Draft, DraftSignal};
use super::place::{self, Kind};
use super::{Imported, Note, Options, Weight};
use crate::lines::Lines;

/// Settings of the plugin that say how to reach the device or what to call its measurements; a
/// profile says what the device is, so they belong to the configuration.
const ELSEWHERE: [&str; 8] = [
    "controller",
    "baud_rate",
    "data_bits",
    "parity",
    "stop_bits",
    "transmission_mode",
    "timeout",
    "interval",
];

/// What is being read, where.
struct Reading<'t> {
    lines: Lines,
    options: &'t Options,
    draft: Draft,
    /// Every device that was seen, by controller and unit.
    seen: Vec<(String, u8)>,
}

/// A field of a table, with the line that it stands in.
type Field<'v, 't> = (usize, &'v DeValue<'t>);

/// Reads a configuration.
pub(super) fn import(text: &str, options: &Options) -> Result<Imported, Vec<Note>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let draft = Draft::new(format!("imported from the Telegraf configuration {}", options.file));
    let mut reading = Reading { lines: Lines::of(text), options, draft, seen: Vec::new() };
    for error in &errors {
        let line = error.span().map_or(1, |span| reading.lines.at(span.start));
        reading.draft.note(line, Weight::Lost, format!("not valid TOML: {}", error.message()));
    }
    let inputs = table_of(root.get_ref(), "inputs").and_then(|inputs| items(inputs, "modbus"));
    for input in inputs.unwrap_or_default() {
        reading.plugin(input);
    }
    reading.draft.finish(options)
}

impl Reading<'_> {
    fn plugin(&mut self, input: &Spanned<DeValue<'_>>) {
        let Some(plugin) = input.get_ref().as_table() else { return };
        let controller = self.word(plugin, "controller").unwrap_or_default();
        let name = self.word(plugin, "name").unwrap_or_default();
        for (key, value) in plugin {
            let key = key.get_ref().as_ref();
            if ELSEWHERE.contains(&key) || key == "workarounds" || key == "tags" {
                let line = self.lines.at(value.span().start);
                let what = format!("`{key}` belongs to the bus or device in the configuration");
                self.draft.note(line, Weight::Setting, what);
            }
        }
        let unit = self.unit(plugin, "slave_id");
        for request in items(plugin, "request").unwrap_or_default() {
            let line = self.lines.at(request.span().start);
            let Some(request) = request.get_ref().as_table() else { continue };
            let unit = self.unit(request, "slave_id").or(unit).unwrap_or(0);
            if self.is_wanted(line, &controller, unit) {
                self.draft.set_name(&name);
                self.draft.set_title(&name);
                self.request(line, request);
            }
        }
        for (key, table) in [
            ("discrete_inputs", Table::DiscreteInput),
            ("coils", Table::Coil),
            ("holding_registers", Table::HoldingRegister),
            ("input_registers", Table::InputRegister),
        ] {
            for field in items(plugin, key).unwrap_or_default() {
                let line = self.lines.at(field.span().start);
                let Some(field) = field.get_ref().as_table() else { continue };
                if self.is_wanted(line, &controller, unit.unwrap_or(0)) {
                    self.draft.set_name(&name);
                    self.draft.set_title(&name);
                    self.register(line, field, table);
                }
            }
        }
    }

    /// Whether what follows is of the device that is wanted; the first without a choice.
    fn is_wanted(&mut self, line: usize, controller: &str, unit: u8) -> bool {
        let device = (controller.to_owned(), unit);
        let is_first = !self.seen.contains(&device);
        if is_first {
            self.seen.push(device.clone());
        }
        if let Some(pick) = &self.options.device {
            return pick.unit == unit
                && pick.bus.as_ref().is_none_or(|bus| controller.contains(bus));
        }
        if is_first && self.seen.len() > 1 {
            let what = format!(
                "unit {unit} at `{controller}`: a profile is of one device; choose it with --device {unit}"
            );
            self.draft.note(line, Weight::Lost, what);
        }
        self.seen.first() == Some(&device)
    }

    fn request(&mut self, line: usize, request: &DeTable<'_>) {
        let word = self.word(request, "register").unwrap_or_else(|| "holding".to_owned());
        let Some(table) = place::table(&word) else {
            self.draft.note(line, Weight::Lost, format!("`{word}` is not a table"));
            return;
        };
        let order = self.word(request, "byte_order").unwrap_or_else(|| "ABCD".to_owned());
        let Some(order) = place::order(&order) else {
            self.draft.note(line, Weight::Lost, format!("`{order}` is not a word order"));
            return;
        };
        for field in items(request, "fields").unwrap_or_default() {
            let line = self.lines.at(field.span().start);
            let Some(field) = field.get_ref().as_table() else { continue };
            let omitted = field.get("omit").and_then(|omit| omit.get_ref().as_bool());
            if omitted == Some(true) {
                // It says what to read over, which the planner finds out by itself.
                continue;
            }
            let address = get(field, "address").and_then(|(_, value)| integer(value));
            let made = self.field(field, table, order, address, "type");
            self.keep(line, field, made);
        }
    }

    /// A field of the older style: its addresses are all that it takes, in a list.
    fn register(&mut self, line: usize, field: &DeTable<'_>, table: Table) {
        let addresses: Vec<i64> = match get(field, "address").map(|(_, value)| value) {
            Some(DeValue::Array(list)) => {
                list.iter().filter_map(|value| integer(value.get_ref())).collect()
            }
            Some(_) | None => Vec::new(),
        };
        let is_row = addresses.windows(2).all(|pair| matches!(pair, [a, b] if a + 1 == *b));
        let order = self.word(field, "byte_order").unwrap_or_else(|| "ABCD".to_owned());
        let order = match place::order(&order) {
            Some(order) if addresses.len() > 1 || order != WordOrder::Dcba => order,
            // `BA` swaps the bytes of one register.
            Some(_) => WordOrder::Badc,
            None => {
                self.draft.note(line, Weight::Lost, format!("`{order}` is not a word order"));
                return;
            }
        };
        let made = if is_row {
            self.fixed(field, table, order, &addresses)
        } else {
            Err("its registers do not lie in a row".to_owned())
        };
        self.keep(line, field, made);
    }

    /// `FIXED` and `UFIXED` are whole numbers as wide as the registers that are given.
    fn fixed(
        &self,
        field: &DeTable<'_>,
        table: Table,
        order: WordOrder,
        addresses: &[i64],
    ) -> Result<DraftSignal, String> {
        let mut signal =
            self.field(field, table, order, addresses.first().copied(), "data_type")?;
        if let Some(word) = self.word(field, "data_type").map(|word| word.to_ascii_uppercase()) {
            let width = addresses.len();
            signal.kind = match (word.as_str(), width) {
                ("FIXED", 1) => Some("i16"),
                ("FIXED", 2) => Some("i32"),
                ("FIXED", 4) => Some("i64"),
                ("UFIXED" | "FLOAT32", 1) => Some("u16"),
                ("UFIXED" | "FLOAT32", 2) => Some("u32"),
                ("UFIXED" | "FLOAT32", 4) => Some("u64"),
                ("STRING", 1..=125) => Some("string"),
                (_, width) => {
                    let expected = place::kind(&word).map(|kind| match kind {
                        Kind::Number(_, registers) => usize::from(registers),
                        Kind::Bit | Kind::Text => 1,
                    });
                    if expected != Some(width) {
                        return Err(format!("`{word}` does not take {width} registers"));
                    }
                    signal.kind
                }
            };
            if signal.kind == Some("string") {
                signal.registers = u16::try_from(width).ok();
            }
        }
        Ok(signal)
    }

    fn field(
        &self,
        field: &DeTable<'_>,
        table: Table,
        order: WordOrder,
        address: Option<i64>,
        type_key: &str,
    ) -> Result<DraftSignal, String> {
        let name = self.word(field, "name").unwrap_or_default();
        let offset = address.and_then(|address| u16::try_from(address).ok());
        let address = Address { table, offset: offset.ok_or("has no address from 0 to 65535")? };
        let mut signal = DraftSignal::new(&name, address);
        if table.is_bits() {
            return Ok(signal);
        }
        let word = self.word(field, type_key).ok_or("has no type")?;
        let half = match word.to_ascii_uppercase().as_str() {
            "INT8L" | "INT8H" | "UINT8L" | "UINT8H" => true,
            "FIXED" | "UFIXED" | "STRING" => false,
            _ if place::kind(&word).is_none() => return Err(format!("`{word}` is not a type")),
            _ => false,
        };
        signal.order = order;
        match place::kind(&word) {
            _ if half => {
                let word = word.to_ascii_uppercase();
                let byte = if word.ends_with('H') { "high" } else { "low" };
                signal.kind = Some(if word.starts_with('I') { "i8" } else { "u8" });
                signal.bits = Some(byte.to_owned());
                signal.order = WordOrder::Abcd;
            }
            Some(Kind::Number(word, registers)) => {
                signal.kind = Some(word);
                if registers == 1 {
                    signal.order = order.within_registers();
                }
            }
            Some(Kind::Bit) => {
                let bit = get(field, "bit").and_then(|(_, value)| integer(value)).unwrap_or(0);
                signal.bits = Some(bit.to_string());
                signal.order = WordOrder::Abcd;
            }
            Some(Kind::Text) => {
                let length = get(field, "length").and_then(|(_, value)| integer(value));
                signal.registers = length.and_then(|length| u16::try_from(length).ok());
                signal.kind = Some("string");
            }
            None => {}
        }
        if let Some((_, scale)) = get(field, "scale") {
            let scale = float(scale).filter(|scale| scale.is_finite());
            signal.scale = scale.ok_or("its scale is not a number")?;
        }
        Ok(signal)
    }

    fn keep(&mut self, line: usize, field: &DeTable<'_>, made: Result<DraftSignal, String>) {
        let known = [
            "address",
            "name",
            "type",
            "data_type",
            "scale",
            "omit",
            "length",
            "bit",
            "byte_order",
        ];
        let name = self.word(field, "name").unwrap_or_else(|| "?".to_owned());
        match made {
            Ok(signal) => {
                if self.draft.add(Some(line), signal).is_none() {
                    return;
                }
                for key in field.keys().map(|key| key.get_ref().as_ref()) {
                    if !known.contains(&key) {
                        self.draft.note(line, Weight::Setting, format!("`{key}` of `{name}`"));
                    }
                }
            }
            Err(why) => self.draft.note(line, Weight::Lost, format!("`{name}`: {why}")),
        }
    }

    #[expect(clippy::unused_self, reason = "reads as the other fields do")]
    fn word(&self, table: &DeTable<'_>, key: &str) -> Option<String> {
        get(table, key).and_then(|(_, value)| value.as_str()).map(ToOwned::to_owned)
    }

    #[expect(clippy::unused_self, reason = "reads as the other fields do")]
    fn unit(&self, table: &DeTable<'_>, key: &str) -> Option<u8> {
        let unit = get(table, key).and_then(|(_, value)| integer(value))?;
        u8::try_from(unit).ok()
    }
}

fn get<'v, 't>(table: &'v DeTable<'t>, key: &str) -> Option<Field<'v, 't>> {
    table.get(key).map(|value| (value.span().start, value.get_ref()))
}

fn table_of<'v, 't>(table: &'v DeTable<'t>, key: &str) -> Option<&'v DeTable<'t>> {
    table.get(key).and_then(|value| value.get_ref().as_table())
}

fn items<'v, 't>(table: &'v DeTable<'t>, key: &str) -> Option<Vec<&'v Spanned<DeValue<'t>>>> {
    table.get(key).and_then(|value| value.get_ref().as_array()).map(|list| list.iter().collect())
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let DeValue::Integer(integer) = value else { return None };
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn float(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(float) => float.as_str().parse().ok(),
        DeValue::Integer(_) => integer(value).and_then(|integer| integer.to_string().parse().ok()),
        DeValue::String(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    }
}
