//! `read`, `type` and `order` of a `[[signal]]`: where its bits lie and what they are.

use fieldgate_modbus::register::{Address, AddressError, Table};
use fieldgate_model::ValueKind;
use fieldgate_rules::signal::{Byte, Charset, DataType, Padding, SignalSource, WordOrder};

use super::fields::{Fields, Found, Wrong, list, nearest};
use super::resource_file::{RawPick, read_pick};

/// What stands behind an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Bit(u8),
    Bits(u8, u8),
    Byte(Byte),
}

/// What belongs to one type or another.
struct Extras {
    order: Option<Found<WordOrder>>,
    registers: Option<Found<u16>>,
    charset: Option<Found<Charset>>,
    padding: Option<Found<Padding>>,
}

/// Where the signal comes from; problems stay in `fields`. One that lies in a resource gets its
/// place there once all are read.
pub(super) fn read_source(fields: &mut Fields<'_>) -> Option<(SignalSource, Option<RawPick>)> {
    if let Some(from) = fields.take::<String>("from") {
        return Some((read_parsed(fields, &from)?, None));
    }
    if fields.text("read").is_some_and(|read| read.starts_with('/')) {
        let path = fields.take::<String>("read")?;
        let data = match fields.take::<String>("type") {
            None => None,
            Some(kind) => {
                let extras = Extras::read(fields);
                let order = extras.order.as_ref().map_or(WordOrder::Abcd, |order| order.value);
                let byte =
                    matches!(kind.value.as_str(), "u8" | "i8").then_some(Part::Byte(Byte::Low));
                Some((read_type(fields, &kind, byte, &extras)?, order))
            }
        };
        return read_pick(fields, path, data).map(|(source, pick)| (source, Some(pick)));
    }
    read_registers(fields).map(|source| (source, None))
}

fn read_registers(fields: &mut Fields<'_>) -> Option<SignalSource> {
    let read = fields.parse_required("read", parse_place);
    let kind = fields.take::<String>("type");
    let extras = Extras::read(fields);
    let kind_name = kind.as_ref().map(|kind| kind.value.as_str());
    let Found { value: (address, part), line } = read?;
    let wrong = match (address.table.is_bits(), part, kind_name) {
        (true, None, None | Some("bit")) => {
            extras.refuse(fields, "a single bit");
            return Some(SignalSource::Bit { address });
        }
        (true, _, _) => {
            Wrong::new(format!("`read`: {address} is a single bit, so its type is `bit`"))
        }
        (false, Some(Part::Bit(bit)), None | Some("bit")) => {
            extras.refuse(fields, "a single bit");
            return Some(SignalSource::RegisterBit { address, bit });
        }
        (false, Some(Part::Bits(first, last)), None | Some("bits")) => {
            extras.refuse(fields, "bits of a register");
            return Some(SignalSource::RegisterBits { address, first, last });
        }
        (false, None, Some("bit")) => Wrong::new("`read` does not say which bit")
            .hint("write the bit behind the register, as in `hr:5/3`"),
        (false, None, Some("bits")) => Wrong::new("`read` does not say which bits")
            .hint("write them behind the register, as in `hr:5/3..7`"),
        (false, None | Some(Part::Byte(_)), None) => Wrong::new("has no `type`").hint(types_hint()),
        (false, part, Some(_)) => {
            let data = read_type(fields, kind.as_ref()?, part, &extras)?;
            return registers(fields, line, address, data, &extras);
        }
    };
    fields.wrong(line, wrong);
    None
}

pub(super) fn address_wrong(error: &AddressError) -> Wrong {
    Wrong::new(error).hint(error.hint())
}

/// A value in registers, if it fits where it is said to be and the order is one of its width.
fn registers(
    fields: &mut Fields<'_>,
    line: usize,
    address: Address,
    data: DataType,
    extras: &Extras,
) -> Option<SignalSource> {
    let order = extras.order.as_ref().map_or(WordOrder::Abcd, |order| order.value);
    if let Some(Found { line, .. }) = extras.order
        && order.needs_four_registers()
        && (data.registers() != 4 || data.kind() == ValueKind::Text)
    {
        let wrong = Wrong::new(format!("`order`: `{order}` is for 64 bits, not for {data}"));
        fields.wrong(line, wrong.hint("known are `ABCD`, `CDAB`, `BADC`, `DCBA`"));
        return None;
    }
    if u32::from(address.offset) + u32::from(data.registers()) <= 0x1_0000 {
        return Some(SignalSource::Registers { address, data, order });
    }
    let what = format!("`read`: {data} at {address} goes beyond address 65535");
    fields.wrong(line, Wrong::new(what));
    None
}

/// `from = "parser"`, and the kind of what it gives.
fn read_parsed(fields: &mut Fields<'_>, from: &Found<String>) -> Option<SignalSource> {
    let kind = fields.parse("kind", parse_kind);
    if from.value == "parser" {
        return Some(SignalSource::Parser { kind: kind.map_or(ValueKind::Float64, |k| k.value) });
    }
    let wrong = Wrong::new(format!("`from`: `{}` is not a source", from.value));
    let hint = "write `from = \"parser\"`, or `read = \"hr:0\"` for a register, `read = \"/temp\"` for a resource";
    fields.wrong(from.line, wrong.hint(hint));
    None
}

pub(super) fn parse_kind(text: &str) -> Result<ValueKind, Wrong> {
    ValueKind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
        let known = ValueKind::ALL.map(ValueKind::as_str);
        Wrong::new(format!("`{text}` is not a kind")).hint(format!("known are {}", list(&known)))
    })
}

/// An address, with a part of the register behind it: `hr:5/3`, `hr:5/3..7`, `hr:5/high`.
fn parse_place(text: &str) -> Result<(Address, Option<Part>), Wrong> {
    let (address, part) = match text.split_once('/') {
        None => (text, None),
        Some((address, part)) => (address, Some(part)),
    };
    let address = address.parse::<Address>().map_err(|error| address_wrong(&error))?;
    Ok((address, part.map(parse_part).transpose()?))
}

fn parse_part(text: &str) -> Result<Part, Wrong> {
    let bit = |text: &str| match text.trim().parse::<u8>() {
        Ok(bit) if bit < 16 => Ok(bit),
        Ok(_) | Err(_) => Err(Wrong::new(format!("`{text}` is not a bit of a register"))
            .hint("bits are 0 (least significant) to 15, as in `hr:5/3` or `hr:5/3..7`")),
    };
    match (text.trim(), text.split_once("..")) {
        ("high", _) => Ok(Part::Byte(Byte::High)),
        ("low", _) => Ok(Part::Byte(Byte::Low)),
        (_, None) => bit(text).map(Part::Bit),
        (_, Some((first, last))) => {
            let (first, last) = (bit(first)?, bit(last)?);
            if first <= last {
                return Ok(Part::Bits(first, last));
            }
            Err(Wrong::new(format!("bits `{text}` end before they start"))
                .hint("write the lower bit first, both ends count, as in `hr:5/3..7`"))
        }
    }
}

fn types_hint() -> String {
    let names = DataType::NUMBERS.map(|data| data.to_string());
    format!("known are {}, `bit`, `bits` and `string`; digits of BCD are counted", list(&names))
}

fn read_type(
    fields: &mut Fields<'_>,
    kind: &Found<String>,
    part: Option<Part>,
    extras: &Extras,
) -> Option<DataType> {
    let (name, line) = (kind.value.as_str(), kind.line);
    let data = match (name, part) {
        ("string", None) => return read_text(fields, line, extras),
        ("u8", Some(Part::Byte(byte))) => Some(DataType::U8(byte)),
        ("i8", Some(Part::Byte(byte))) => Some(DataType::I8(byte)),
        ("u8" | "i8", _) => {
            let wrong = Wrong::new(format!("`read` does not say which byte is the {name}"));
            fields.wrong(line, wrong.hint("write it behind the register: `hr:5/low`, `hr:5/high`"));
            return None;
        }
        (_, None) => DataType::NUMBERS.into_iter().find(|data| data.to_string() == name),
        (_, Some(Part::Byte(_))) => {
            let wrong = Wrong::new(format!("`type`: one byte is a `u8` or an `i8`, not `{name}`"));
            fields.wrong(line, wrong);
            return None;
        }
        (_, Some(Part::Bit(_) | Part::Bits(..))) => {
            let wrong = Wrong::new(format!("`type`: bits of a register are no `{name}`"));
            fields.wrong(line, wrong.hint("leave the type out: `hr:5/3..7` is an unsigned number"));
            return None;
        }
    };
    if data.is_none() {
        let names = DataType::NUMBERS.map(|data| data.to_string());
        let near = nearest(name, names.iter().map(String::as_str))
            .map_or_else(types_hint, |near| format!("did you mean `{near}`?"));
        fields.wrong(line, Wrong::new(format!("`type`: `{name}` is not a type")).hint(near));
    }
    extras.refuse_text(fields);
    data
}

fn read_text(fields: &mut Fields<'_>, line: usize, extras: &Extras) -> Option<DataType> {
    let max = Table::HoldingRegister.read_max();
    let charset = extras.charset.as_ref().map_or(Charset::Utf8, |charset| charset.value);
    let padding = extras.padding.as_ref().map_or(Padding::Both, |padding| padding.value);
    match extras.registers {
        Some(Found { value: registers, .. }) if (1..=max).contains(&registers) => {
            Some(DataType::Text { registers, charset, padding })
        }
        ref found => {
            let what = format!("a `string` needs `registers`, from 1 to {max}");
            let line = found.as_ref().map_or(line, |registers| registers.line);
            fields.wrong(line, Wrong::new(what).hint("two characters lie in each register"));
            None
        }
    }
}

impl Extras {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            order: fields.parse("order", parse_order),
            registers: fields.take::<u16>("registers"),
            charset: fields.parse("charset", parse_charset),
            padding: fields.parse("padding", parse_padding),
        }
    }

    /// Says what does not belong to a signal that is no value of whole registers.
    fn refuse(&self, fields: &mut Fields<'_>, what: &str) {
        if let Some(Found { line, .. }) = self.order {
            fields.wrong(line, Wrong::new(format!("`order` means nothing for {what}")));
        }
        self.refuse_text(fields);
    }

    fn refuse_text(&self, fields: &mut Fields<'_>) {
        let registers = self.registers.as_ref().map(|found| ("registers", found.line));
        let charset = self.charset.as_ref().map(|found| ("charset", found.line));
        let padding = self.padding.as_ref().map(|found| ("padding", found.line));
        for (key, line) in [registers, charset, padding].into_iter().flatten() {
            fields.wrong(line, Wrong::new(format!("`{key}` is for `string` alone")));
        }
    }
}

fn parse_order(text: &str) -> Result<WordOrder, Wrong> {
    WordOrder::from_letters(text).ok_or_else(|| {
        let long: Vec<&str> = WordOrder::all(4).iter().map(|order| order.letters(4)).collect();
        Wrong::new(format!("`{text}` is not a word order")).hint(format!(
            "known are `ABCD`, `CDAB`, `BADC`, `DCBA` for any width, and for 64 bits {}",
            list(&long)
        ))
    })
}

fn parse_charset(text: &str) -> Result<Charset, Wrong> {
    match text {
        "ascii" => Ok(Charset::Ascii),
        "utf-8" => Ok(Charset::Utf8),
        "latin1" => Ok(Charset::Latin1),
        _ => Err(Wrong::new(format!("`{text}` is not a charset"))
            .hint("known are `ascii`, `utf-8`, `latin1`")),
    }
}

fn parse_padding(text: &str) -> Result<Padding, Wrong> {
    match text {
        "nul" => Ok(Padding::Nul),
        "space" => Ok(Padding::Space),
        "both" => Ok(Padding::Both),
        _ => Err(Wrong::new(format!("`{text}` is not a padding"))
            .hint("known are `nul`, `space`, `both`")),
    }
}
