//! Registers and coils as they are, from a device of the gateway or from a line of our own.

use fieldgate_modbus::exception::Exception;
use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{Address, ReadReply, ReadRequest, UnitId};
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_model::{Millis, Value};
use fieldgate_rules::signal::WordOrder;
use serde::Serialize;
use serde_json::Value as Json;

use super::args::LineArgs;
use super::ask::Daemon;
use super::failure::{Exit, Failure};
use super::format::table;
use super::line::OpenLine;
use super::raw::{Form, RawRow, rows};
use super::read::start_of;
use super::screen::{self, Talk};
use crate::socket::fault_text;
use crate::socket::live::{RawItems, RawRead};
use crate::socket::message::Ask;
use crate::socket::value::json;

/// How long an answer may take if nothing is said: mbpoll's second.
const TIMEOUT: Millis = Millis(1_000);
/// The exception that a wrong address brings.
const ILLEGAL_ADDRESS: u8 = 2;

/// What to read, and how to show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) read: ReadRequest,
    pub(super) form: Form,
    pub(super) order: WordOrder,
}

/// Who is asked.
pub(super) enum Source {
    /// A device of the gateway.
    Device { daemon: Daemon, name: String },
    /// A unit on a line of our own.
    Direct { line: Box<OpenLine>, unit: UnitId, timeout: Millis },
}

/// What a device said to one read.
pub(super) enum Said {
    Items(ReadReply),
    Exception(u8),
}

#[derive(Serialize)]
struct Printed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<u8>,
    registers: Vec<PrintedRow>,
}

#[derive(Serialize)]
struct PrintedRow {
    /// As people write it, from 0.
    address: String,
    /// From 1.
    reference: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    words: Vec<String>,
    value: Json,
}

/// The order of numbers of several registers: as mbpoll has it where its types are used.
pub(super) const fn order(form: Option<Form>, is_big_endian: bool) -> WordOrder {
    match form {
        Some(Form::Number(_)) if !is_big_endian => WordOrder::Cdab,
        Some(_) | None => WordOrder::Abcd,
    }
}

/// The one unit that was named; 1 if none was.
pub(super) fn one_unit(args: &LineArgs) -> Result<UnitId, Failure> {
    match args.units.as_ref().map(super::raw::UnitList::units) {
        None => Ok(UnitId(1)),
        Some([unit]) => Ok(UnitId(*unit)),
        Some(_) => Err(Failure::usage("one unit at a time").hint("`fieldgate scan` asks several")),
    }
}

impl Source {
    /// A unit on a line of our own.
    pub(super) fn direct(line: OpenLine, unit: UnitId, args: &LineArgs) -> Self {
        Self::Direct { line: Box::new(line), unit, timeout: args.timeout.unwrap_or(TIMEOUT) }
    }

    /// Reads once. An exception is an answer; silence is none.
    pub(super) fn read(&mut self, read: ReadRequest) -> Result<Said, Failure> {
        match self {
            Self::Device { daemon, name } => {
                let ask = Ask::Raw { device: name.clone(), address: address_of(read) };
                let RawRead { items, .. } = daemon.ask(ask)?;
                Ok(match items {
                    RawItems::Words(words) => Said::Items(ReadReply::Registers(words)),
                    RawItems::Bits(states) => Said::Items(ReadReply::Bits(states)),
                    RawItems::Exception(code) => Said::Exception(code),
                })
            }
            Self::Direct { line, unit, timeout } => {
                match line.transact(*unit, &Request::Read(read), *timeout) {
                    Ok(Reply::Read(reply)) => Ok(Said::Items(reply)),
                    Ok(Reply::Written | Reply::ServerId(_) | Reply::DeviceId(_)) => {
                        Err(Failure::refused(fault_text(Fault::Malformed, unit.0)))
                    }
                    Err(Fault::Exception(code)) => Ok(Said::Exception(code)),
                    Err(fault) => Err(silent(fault, *unit)),
                }
            }
        }
    }

    fn unit(&self) -> Option<u8> {
        match self {
            Self::Device { .. } => None,
            Self::Direct { unit, .. } => Some(unit.0),
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Device { name, .. } => Some(name),
            Self::Direct { .. } => None,
        }
    }
}

fn silent(fault: Fault, unit: UnitId) -> Failure {
    Failure::refused(fault_text(fault, unit.0))
        .hint("see unit id, speed, parity and wiring; `fieldgate scan` with `--sweep` tries them")
}

/// Reads and shows; an exception 2 is tried beside its address once.
pub(super) fn show(
    source: &mut Source,
    readings: &[Reading],
    is_json: bool,
    talk: &mut Talk,
) -> Result<Exit, Failure> {
    let mut printed = Vec::new();
    for reading in readings {
        match source.read(reading.read)? {
            Said::Items(reply) => printed.extend(shown(*reading, &reply)),
            Said::Exception(code) => return Err(refused(source, reading.read, code, talk)?),
        }
    }
    if is_json {
        let (device, unit) = (source.name(), source.unit());
        screen::print_json(&Printed { device, unit, registers: printed })?;
    } else {
        screen::print(&table(printed.iter().map(row)))?;
    }
    Ok(Exit::Good)
}

fn shown(reading: Reading, reply: &ReadReply) -> Vec<PrintedRow> {
    let start = start_of(reading.read);
    let rows: Vec<RawRow> = match reply {
        ReadReply::Registers(words) => rows(start, words, reading.form, reading.order),
        ReadReply::Bits(states) => {
            let row = |(place, on): (u16, &bool)| {
                let address = Address { offset: start.offset.saturating_add(place), ..start };
                RawRow { address, words: Vec::new(), value: Value::Bool(*on) }
            };
            (0..).zip(states).map(row).collect()
        }
    };
    rows.iter().map(printed_row).collect()
}

fn printed_row(row: &RawRow) -> PrintedRow {
    let both = row.address.to_string();
    let (address, reference) = both.split_once(" (").unwrap_or((&both, ""));
    PrintedRow {
        address: address.to_owned(),
        reference: reference.trim_end_matches(')').to_owned(),
        words: row.words.iter().map(|word| format!("0x{word:04X}")).collect(),
        value: json(&row.value),
    }
}

fn row(row: &PrintedRow) -> Vec<String> {
    let value = row.value.as_str().map_or_else(|| row.value.to_string(), str::to_owned);
    vec![format!("{} ({})", row.address, row.reference), row.words.join(" "), value]
}

/// Why a device refused; after exception 2 with what lies beside the address.
fn refused(
    source: &mut Source,
    read: ReadRequest,
    code: u8,
    talk: &mut Talk,
) -> Result<Failure, Failure> {
    let at = start_of(read);
    let what = match read.count {
        1 => at.to_string(),
        count => format!("{at} with {count} items"),
    };
    let failure = Failure::refused(format!("{what} is refused: {}", exception_text(code)));
    if code != ILLEGAL_ADDRESS {
        return Ok(failure);
    }
    for start in [read.start.checked_sub(1), read.start.checked_add(1)].into_iter().flatten() {
        let beside = ReadRequest { start, ..read };
        if let Said::Items(reply) = source.read(beside)? {
            let form = Form::Words;
            let found = shown(Reading { read: beside, form, order: WordOrder::Abcd }, &reply);
            talk.say(table(found.iter().map(row)).trim_end());
            let there = start_of(beside);
            return Ok(failure.hint(format!(
                "{there} answers: the manual may count from {}",
                u8::from(start < read.start)
            )));
        }
    }
    if read.count > 1 {
        // One register that is missing is enough for a device to refuse all of them.
        return Ok(failure.hint(
            "a device refuses a range if one register of it is missing: read fewer at a time",
        ));
    }
    Ok(failure.hint("its neighbours are refused too; see the table (hr, ir) and the manual"))
}

/// An exception by name and number.
pub(super) fn exception_text(code: u8) -> String {
    let name = Exception::from_code(code).name();
    format!("exception {code}, {name}")
}

/// A read as the socket takes it.
fn address_of(read: ReadRequest) -> String {
    let both = start_of(read).to_string();
    let first = both.split(' ').next().unwrap_or_default();
    let last = u32::from(read.start) + u32::from(read.count) - 1;
    format!("{first}..{last}")
}
