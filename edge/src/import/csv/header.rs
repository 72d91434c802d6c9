//! A list whose first row names its columns.

use std::collections::BTreeMap;

use fieldgate_modbus::register::{Address, Table};

use super::rows::Row;
use crate::import::draft::{Draft, DraftSignal};
use crate::import::place::{self, Bare, Kind};
use crate::import::{Options, Weight};

/// What a column is, by the words that people head it with.
const COLUMNS: [(Column, &[&str]); 16] = [
    (Column::Name, &["name", "signal", "tag", "point", "parameter", "variable", "id"]),
    (Column::Title, &["title", "description", "desc", "label", "comment", "remark"]),
    (Column::Address, &["address", "addr", "register", "reg", "register address", "start address"]),
    (
        Column::Table,
        &["table", "register type", "input type", "object type", "fc", "function code"],
    ),
    (Column::Kind, &["type", "data type", "datatype", "format", "value type"]),
    (Column::Order, &["order", "word order", "byte order", "endian", "endianness", "swap"]),
    (Column::Unit, &["unit", "units", "uom", "unit of measurement"]),
    (Column::Scale, &["scale", "factor", "multiplier", "gain", "resolution"]),
    (Column::Divisor, &["divisor", "divider", "div"]),
    (Column::Offset, &["offset", "bias", "add"]),
    (Column::Access, &["access", "rw", "r/w", "read/write", "mode", "writable", "write"]),
    (Column::Registers, &["registers", "length", "len", "count", "size", "quantity", "words"]),
    (Column::Bit, &["bit", "bits"]),
    (Column::Low, &["min", "minimum", "low"]),
    (Column::High, &["max", "maximum", "high"]),
    (Column::Null, &["null", "nan", "invalid", "error value"]),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    Name,
    Title,
    Address,
    Table,
    Kind,
    Order,
    Unit,
    Scale,
    Divisor,
    Offset,
    Access,
    Registers,
    Bit,
    Low,
    High,
    Null,
}

/// Reads the rows behind the header.
pub(super) fn read(rows: &[Row], options: &Options, draft: &mut Draft) {
    let Some((head, rows)) = rows.split_first() else { return };
    let mut place_by_column = BTreeMap::new();
    for (place, title) in head.cells.iter().enumerate().filter(|(_, title)| !title.is_empty()) {
        match column(title) {
            Some(column) if !place_by_column.contains_key(&column) => {
                place_by_column.insert(column, place);
            }
            Some(_) | None => {
                draft.note(head.line, Weight::Setting, format!("column `{title}`"));
            }
        }
    }
    if !place_by_column.contains_key(&Column::Address) {
        let what = "the first row names no column `address`, which a register list needs; \
                    write such as `name,address,type,unit,scale`";
        draft.note(head.line, Weight::Lost, what);
        return;
    }
    let mut assumed = false;
    for row in rows {
        let cell = |column: Column| {
            let cell = place_by_column.get(&column).and_then(|place| row.cells.get(*place));
            cell.map(String::as_str).filter(|cell| !cell.is_empty())
        };
        match signal(&cell, options, &mut assumed) {
            Ok((signal, remarks)) => {
                let Some(name) = draft.add(Some(row.line), signal) else { continue };
                for remark in remarks {
                    draft.note(row.line, Weight::Remark, format!("`{name}` {remark}"));
                }
            }
            Err(why) => {
                let name = cell(Column::Name).or(cell(Column::Address)).unwrap_or("?");
                draft.note(row.line, Weight::Lost, format!("`{name}`: {why}"));
            }
        }
    }
    if assumed {
        let from = if options.one_based { "from 1" } else { "from 0, as on the wire" };
        let what = format!(
            "bare numbers are taken as addresses that count {from}; compare one with the device"
        );
        draft.note_whole(Weight::Remark, what);
    }
}

fn column(title: &str) -> Option<Column> {
    let title = title.trim().to_ascii_lowercase().replace(['_', '-'], " ");
    // `scale (x)` and `unit [V]` are headed so in makers' tables.
    let title = title.split(['(', '[']).next().unwrap_or_default().trim().to_owned();
    let found = COLUMNS.iter().find(|(_, words)| words.contains(&title.as_str()));
    found.map(|(column, _)| *column)
}

fn signal<'c>(
    cell: &dyn Fn(Column) -> Option<&'c str>,
    options: &Options,
    assumed: &mut bool,
) -> Result<(DraftSignal, Vec<String>), String> {
    let mut remarks = Vec::new();
    let kind = match cell(Column::Kind) {
        Some(word) => {
            Some(place::kind(word).ok_or_else(|| format!("`{word}` is not a type that is known"))?)
        }
        None => None,
    };
    let address = address(cell, kind, options, assumed)?;
    let name = cell(Column::Name).or(cell(Column::Title));
    let mut signal = DraftSignal::new(name.unwrap_or_default(), address);
    if name.is_none() {
        signal.name = format!("register_{}", address.offset);
    }
    cell(Column::Title).unwrap_or_default().clone_into(&mut signal.title);
    signal.unit = place::unit(cell(Column::Unit).unwrap_or_default());
    value(cell, kind, &mut signal, &mut remarks)?;
    if signal.kind.is_some_and(|kind| kind != "string") {
        scaling(cell, &mut signal)?;
    }
    signal.is_writable = writable(cell(Column::Access), address.table, &mut remarks);
    Ok((signal, remarks))
}

fn address<'c>(
    cell: &dyn Fn(Column) -> Option<&'c str>,
    kind: Option<Kind>,
    options: &Options,
    assumed: &mut bool,
) -> Result<Address, String> {
    let text = cell(Column::Address).ok_or("has no address")?;
    let table = match cell(Column::Table) {
        Some(word) => Some(place::table(word).ok_or_else(|| format!("`{word}` is not a table"))?),
        None => None,
    };
    let one_based = options.one_based;
    let plain = place::address(text, Bare { table, one_based });
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex = text.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x"));
    *assumed |= is_number && table.is_some() && text.parse::<Address>().is_err();
    if plain.is_err() && table.is_none() && (is_number || is_hex) {
        // Without any word of a table most lists are of holding registers.
        *assumed = true;
        let table = if kind == Some(Kind::Bit) && cell(Column::Bit).is_none() {
            Table::Coil
        } else {
            Table::HoldingRegister
        };
        return place::address(text, Bare { table: Some(table), one_based });
    }
    plain
}

/// What the registers hold.
fn value<'c>(
    cell: &dyn Fn(Column) -> Option<&'c str>,
    kind: Option<Kind>,
    signal: &mut DraftSignal,
    remarks: &mut Vec<String>,
) -> Result<(), String> {
    let is_bits = signal.address.table.is_bits();
    let count = cell(Column::Registers).and_then(|count| count.parse::<u16>().ok());
    if let Some(bit) = cell(Column::Bit) {
        let bit: u8 = bit.parse().ok().filter(|bit| *bit < 16).ok_or("bits are 0 to 15")?;
        signal.bits = (!is_bits).then(|| bit.to_string());
        return Ok(());
    }
    let kind = match (kind, is_bits) {
        (_, true) => return Ok(()),
        (Some(Kind::Bit), false) => {
            return Err("is one bit of a register, and does not say which".to_owned());
        }
        (Some(kind), false) => kind,
        (None, false) => {
            let kind = if count == Some(2) { ("u32", 2) } else { ("u16", 1) };
            remarks.push(format!("has no type, and is taken as `{}`", kind.0));
            Kind::Number(kind.0, kind.1)
        }
    };
    match kind {
        Kind::Text => {
            let count = count.filter(|count| (1..=125).contains(count));
            signal.registers =
                Some(count.ok_or("is text, and does not say in how many registers")?);
            signal.kind = Some("string");
        }
        Kind::Number(word, _) => signal.kind = Some(word),
        Kind::Bit => {}
    }
    if let Some(order) = cell(Column::Order) {
        let found = place::order(order).ok_or_else(|| format!("`{order}` is not a word order"))?;
        // Within one register nothing but bytes can be swapped.
        let is_word = matches!(kind, Kind::Number(_, 1));
        signal.order = if is_word { found.within_registers() } else { found };
    }
    Ok(())
}

fn scaling<'c>(
    cell: &dyn Fn(Column) -> Option<&'c str>,
    signal: &mut DraftSignal,
) -> Result<(), String> {
    let number = |column: Column, what: &str| match cell(column) {
        None => Ok(None),
        Some(text) => match text.replace(',', ".").parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            Ok(_) | Err(_) => Err(format!("`{text}` is not a number for its {what}")),
        },
    };
    if let Some(scale) = number(Column::Scale, "scale")?.filter(|scale| *scale != 0.0) {
        signal.scale = scale;
    }
    if let Some(divisor) = number(Column::Divisor, "divisor")?.filter(|divisor| *divisor != 0.0) {
        signal.scale /= divisor;
    }
    signal.offset = number(Column::Offset, "offset")?.unwrap_or(0.0);
    signal.limits = match (number(Column::Low, "minimum")?, number(Column::High, "maximum")?) {
        (Some(low), Some(high)) => Some((low, high)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err("needs both limits, the smaller first".to_owned());
        }
    };
    if let Some(null) = cell(Column::Null) {
        let bits = match null.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => null.parse().ok(),
        };
        signal.nulls = vec![bits.ok_or_else(|| format!("`{null}` is not a bit pattern"))?];
    }
    Ok(())
}

fn writable(access: Option<&str>, table: Table, remarks: &mut Vec<String>) -> bool {
    let word = access.unwrap_or_default().to_ascii_lowercase();
    let writes = match word.as_str() {
        "" | "r" | "ro" | "read" | "readonly" | "read only" | "read-only" | "no" | "false"
        | "0" => false,
        "w" | "wo" | "rw" | "r/w" | "w/r" | "write" | "read/write" | "readwrite" | "rm"
        | "r/wc" | "yes" | "true" | "1" => true,
        other => {
            remarks.push(format!("has the access `{other}`, and is taken as read only"));
            false
        }
    };
    let can = matches!(table, Table::Coil | Table::HoldingRegister);
    if writes && !can {
        remarks.push("is in a table that cannot be written, and is read only".to_owned());
    }
    writes && can
}
