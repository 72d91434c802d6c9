//! Home Assistant's `modbus:`: sensors, binary sensors, switches and their kin.
//!
//! Addresses are those on the wire (documentation of the integration, "modbus").

use std::collections::BTreeMap;

use fieldgate_modbus::register::{Address, Table};

use super::draft::{Draft, DraftSignal, SIGNALS_MAX};
use super::place::{self, Kind};
use super::tree::{self, Data, Node};
use super::{Imported, Note, Options, Weight};

/// Lists of a hub, by what their entries are.
const LISTS: [(&str, Entity); 7] = [
    ("sensors", Entity::Sensor),
    ("binary_sensors", Entity::BinarySensor),
    ("switches", Entity::Switch),
    ("lights", Entity::Switch),
    ("fans", Entity::Switch),
    ("climates", Entity::Climate),
    ("covers", Entity::Cover),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entity {
    Sensor,
    BinarySensor,
    Switch,
    Climate,
    Cover,
}

/// Keys that are read; any other is noted.
const KNOWN: [&str; 20] = [
    "name",
    "address",
    "slave",
    "device_address",
    "input_type",
    "data_type",
    "count",
    "swap",
    "scale",
    "offset",
    "unit_of_measurement",
    "nan_value",
    "structure",
    "slave_count",
    "virtual_count",
    "write_type",
    "command_on",
    "command_off",
    "target_temp_register",
    "temperature_unit",
];

struct Reading<'t> {
    options: &'t Options,
    draft: Draft,
    seen: Vec<(String, u8)>,
    /// Settings that a profile does not hold: where they stand first, and how often.
    settings: BTreeMap<String, (usize, usize)>,
}

/// Reads a configuration, or the file that its `modbus:` includes.
pub(super) fn import(text: &str, options: &Options) -> Result<Imported, Vec<Note>> {
    let root = tree::parse(text).map_err(|error| {
        vec![Note { line: Some(error.line), weight: Weight::Lost, what: error.what }]
    })?;
    let source = format!("imported from the Home Assistant configuration {}", options.file);
    let mut reading =
        Reading { options, draft: Draft::new(source), seen: Vec::new(), settings: BTreeMap::new() };
    let hubs = root.get("modbus").unwrap_or(&root);
    if !hubs.tag.is_empty() {
        let what = format!("`!{}` is in another file: import that one", hubs.tag);
        reading.draft.note(hubs.line, Weight::Lost, what);
    }
    for hub in hubs.items() {
        reading.hub(hub);
    }
    let settings = std::mem::take(&mut reading.settings);
    for (key, (line, times)) in settings {
        let times = if times > 1 { format!(", {times} times") } else { String::new() };
        reading.draft.note(line, Weight::Setting, format!("`{key}`{times}"));
    }
    reading.draft.finish(options)
}

impl Reading<'_> {
    fn hub(&mut self, hub: &Node) {
        let name = hub.get("name").and_then(Node::text).unwrap_or("modbus_hub").to_owned();
        for (key, line, value) in hub.entries() {
            match LISTS.iter().find(|(list, _)| list == key) {
                Some((_, entity)) => {
                    if !value.tag.is_empty() {
                        let what = format!("`{key}` is in another file");
                        self.draft.note(*line, Weight::Lost, what);
                    }
                    for item in value.items() {
                        self.entity(&name, *entity, item);
                    }
                }
                None if matches!(value.data, Data::List(_) | Data::Map(_)) => {
                    let what = format!("`{key}` is not a list of entities that is known");
                    self.draft.note(*line, Weight::Lost, what);
                }
                None if key == "name" => {}
                None => self.setting(
                    &format!("{key}` of the hub, which belongs to the bus: `{key}"),
                    *line,
                ),
            }
        }
    }

    fn setting(&mut self, key: &str, line: usize) {
        self.settings.entry(key.to_owned()).or_insert((line, 0)).1 += 1;
    }

    fn entity(&mut self, hub: &str, entity: Entity, item: &Node) {
        if self.draft.is_full() {
            return;
        }
        let unit = item.get("slave").or_else(|| item.get("device_address"));
        let unit = unit.and_then(Node::integer).and_then(|unit| u8::try_from(unit).ok());
        if !self.is_wanted(item.line, hub, unit.unwrap_or(0)) {
            return;
        }
        if let Some((_, unit)) = self.seen.first() {
            let name = format!("{hub}-{unit}");
            self.draft.set_name(&name);
        }
        let name = item.get("name").and_then(Node::text).unwrap_or_default().to_owned();
        let made = match entity {
            Entity::Sensor => self.sensor(item, &name),
            Entity::BinarySensor => binary_sensor(item, &name),
            Entity::Switch => switch(item, &name).map(|signal| vec![signal]),
            Entity::Climate => self.climate(item, &name),
            Entity::Cover => cover(item, &name).map(|signal| vec![signal]),
        };
        match made {
            Ok(signals) => {
                for signal in signals {
                    self.draft.add(Some(item.line), signal);
                }
                for (key, line, _) in item.entries() {
                    if !KNOWN.contains(&key.as_str()) {
                        self.setting(key, *line);
                    }
                }
            }
            Err(why) => self.draft.note(item.line, Weight::Lost, format!("`{name}`: {why}")),
        }
    }

    /// Whether an entity is of the device that is wanted; the first without a choice.
    fn is_wanted(&mut self, line: usize, hub: &str, unit: u8) -> bool {
        let device = (hub.to_owned(), unit);
        if let Some(pick) = &self.options.device {
            let wanted = pick.unit == unit && pick.bus.as_ref().is_none_or(|bus| bus == hub);
            if wanted && self.seen.is_empty() {
                self.seen.push(device);
            }
            return wanted;
        }
        if !self.seen.contains(&device) {
            self.seen.push(device.clone());
            if self.seen.len() > 1 {
                let what = format!(
                    "unit {unit} at `{hub}`: a profile is of one device; choose it with --device {hub}/{unit}"
                );
                self.draft.note(line, Weight::Lost, what);
            }
        }
        self.seen.first() == Some(&device)
    }

    fn sensor(&mut self, item: &Node, name: &str) -> Result<Vec<DraftSignal>, String> {
        let table = table(item, "input_type", Table::HoldingRegister)?;
        let mut signal = DraftSignal::new(name, address(item, "address", table)?);
        if table.is_bits() {
            return Ok(vec![signal]);
        }
        let registers = registers(item, "int16", &mut signal)?;
        scaling(item, &mut signal)?;
        signal.unit = place::unit(text(item, "unit_of_measurement").unwrap_or_default());
        if let Some(null) = item.get("nan_value") {
            let width = 16 * u32::from(registers);
            let bits = null.integer().and_then(|null| bits(null, width));
            signal.nulls = vec![bits.ok_or("its `nan_value` is not of its type")?];
        }
        if item.get("data_type").is_none() && item.get("structure").is_none() {
            let what = format!("`{name}` has no `data_type`, which means int16 there");
            self.draft.note(item.line, Weight::Remark, what);
        }
        Ok(repeated(item, &signal, registers))
    }

    fn climate(&mut self, item: &Node, name: &str) -> Result<Vec<DraftSignal>, String> {
        let table = table(item, "input_type", Table::HoldingRegister)?;
        let mut current = DraftSignal::new(name, address(item, "address", table)?);
        registers(item, "float32", &mut current)?;
        scaling(item, &mut current)?;
        current.unit = place::unit(text(item, "temperature_unit").unwrap_or("C"));
        let mut signals = vec![current.clone()];
        if let Some(target) = item.get("target_temp_register") {
            if target.integer().is_some() {
                let address = address(item, "target_temp_register", Table::HoldingRegister)?;
                let name = format!("{name} target");
                signals.push(DraftSignal { name, address, is_writable: true, ..current });
            } else {
                let what = format!("`{name}`: `target_temp_register` is a list");
                self.draft.note(target.line, Weight::Lost, what);
            }
        }
        for (key, line, _) in item.entries() {
            if key.ends_with("_register") && key != "target_temp_register" {
                let what = format!("`{name}`: `{key}`, whose values mean modes");
                self.draft.note(*line, Weight::Lost, what);
            }
        }
        Ok(signals)
    }
}

fn binary_sensor(item: &Node, name: &str) -> Result<Vec<DraftSignal>, String> {
    let table = table(item, "input_type", Table::Coil)?;
    let mut signal = DraftSignal::new(name, address(item, "address", table)?);
    if !table.is_bits() {
        signal.bits = Some("0".to_owned());
    }
    Ok(repeated(item, &signal, 1))
}

/// Switches, lights and fans: a coil, or a register with a number for on and one for off.
fn switch(item: &Node, name: &str) -> Result<DraftSignal, String> {
    let table = table(item, "write_type", Table::HoldingRegister)?;
    let mut signal = DraftSignal::new(name, address(item, "address", table)?);
    signal.is_writable = true;
    if !table.is_bits() {
        signal.kind = Some("u16");
        for (key, default, word) in [("command_off", 0, "off"), ("command_on", 1, "on")] {
            let number = item.get(key).map_or(Some(default), Node::integer);
            let number = number.ok_or_else(|| format!("its `{key}` is not a whole number"))?;
            signal.texts.push((i128::from(number), word.to_owned()));
        }
    }
    Ok(signal)
}

fn cover(item: &Node, name: &str) -> Result<DraftSignal, String> {
    let table = table(item, "input_type", Table::HoldingRegister)?;
    let mut signal = DraftSignal::new(name, address(item, "address", table)?);
    signal.is_writable = true;
    if !table.is_bits() {
        signal.kind = Some("u16");
        for (key, default, word) in [
            ("state_closed", 0, "closed"),
            ("state_open", 1, "open"),
            ("state_opening", 2, "opening"),
            ("state_closing", 3, "closing"),
        ] {
            let number = item.get(key).map_or(Some(default), Node::integer);
            let number = number.ok_or_else(|| format!("its `{key}` is not a whole number"))?;
            signal.texts.push((i128::from(number), word.to_owned()));
        }
    }
    Ok(signal)
}

fn text<'n>(item: &'n Node, key: &str) -> Option<&'n str> {
    item.get(key).and_then(Node::text)
}

fn table(item: &Node, key: &str, default: Table) -> Result<Table, String> {
    match text(item, key) {
        None => Ok(default),
        // `holdings` and `coils` write several at once, which a profile decides by itself.
        Some(word) => place::table(word.trim_end_matches('s'))
            .ok_or_else(|| format!("`{word}` is not a table")),
    }
}

fn address(item: &Node, key: &str, table: Table) -> Result<Address, String> {
    let offset = item.get(key).and_then(Node::integer).and_then(|at| u16::try_from(at).ok());
    let offset = offset.ok_or_else(|| format!("has no `{key}` from 0 to 65535"))?;
    Ok(Address { table, offset })
}

/// What the registers hold; gives how many there are.
fn registers(item: &Node, default: &str, signal: &mut DraftSignal) -> Result<u16, String> {
    let word = text(item, "data_type").unwrap_or(default);
    let count = item.get("count").and_then(Node::integer).and_then(|n| u16::try_from(n).ok());
    let kind = match (word, text(item, "structure")) {
        ("custom", Some(structure)) => python_struct(structure)
            .ok_or_else(|| format!("its structure `{structure}` is not one number"))?,
        ("custom", None) => return Err("is custom, and has no structure".to_owned()),
        (word, _) => match place::kind(word) {
            Some(Kind::Number(word, registers)) => (word, registers),
            Some(Kind::Text) => {
                let count = count.filter(|count| (1..=125).contains(count));
                signal.registers = count;
                ("string", count.ok_or("is text, and its `count` is not 1 to 125")?)
            }
            Some(Kind::Bit) | None => return Err(format!("`{word}` is not a type that is known")),
        },
    };
    signal.kind = Some(kind.0);
    let swap = text(item, "swap").unwrap_or("none");
    let order = place::order(swap).ok_or_else(|| format!("`{swap}` is not a way to swap"))?;
    signal.order = if kind.1 == 1 { order.within_registers() } else { order };
    Ok(kind.1)
}

/// One number of Python's `struct`, in network order.
fn python_struct(structure: &str) -> Option<(&'static str, u16)> {
    let letter = structure.trim().trim_start_matches(['>', '!']);
    Some(match letter {
        "h" => ("i16", 1),
        "H" => ("u16", 1),
        "i" | "l" => ("i32", 2),
        "I" | "L" => ("u32", 2),
        "q" => ("i64", 4),
        "Q" => ("u64", 4),
        "e" => ("f16", 1),
        "f" => ("f32", 2),
        "d" => ("f64", 4),
        _ => return None,
    })
}

fn scaling(item: &Node, signal: &mut DraftSignal) -> Result<(), String> {
    let number = |key: &str, default: f64| match item.get(key) {
        None => Ok(default),
        Some(node) => node.number().ok_or_else(|| format!("its `{key}` is not a number")),
    };
    let (scale, offset) = (number("scale", 1.0)?, number("offset", 0.0)?);
    if signal.kind != Some("string") {
        (signal.scale, signal.offset) = (scale, offset);
    }
    Ok(())
}

/// The signal, and those that `slave_count` or `virtual_count` put behind it.
fn repeated(item: &Node, signal: &DraftSignal, registers: u16) -> Vec<DraftSignal> {
    let more = item.get("slave_count").or_else(|| item.get("virtual_count"));
    let more = more.and_then(Node::integer).and_then(|more| u16::try_from(more).ok()).unwrap_or(0);
    let mut signals = vec![signal.clone()];
    // One more than a profile holds is enough to be told of.
    let more = more.min(u16::try_from(SIGNALS_MAX).unwrap_or(u16::MAX));
    for number in 1..=more {
        let offset = number.checked_mul(registers);
        let offset = offset.and_then(|behind| signal.address.offset.checked_add(behind));
        let Some(offset) = offset else { break };
        let mut next = DraftSignal { name: format!("{} {number}", signal.name), ..signal.clone() };
        next.address.offset = offset;
        signals.push(next);
    }
    signals
}

/// The bits of a number of this width; a negative one in two's complement.
fn bits(number: i64, width: u32) -> Option<u64> {
    let mask = if width >= 64 { u64::MAX } else { (1 << width) - 1 };
    let fits = width >= 64 || (-(1_i64 << (width - 1))..1_i64 << width).contains(&number);
    fits.then(|| number.cast_unsigned() & mask)
}
