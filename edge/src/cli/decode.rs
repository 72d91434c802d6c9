//! `fieldgate decode`: one reading in every type and word order, the plausible ones marked.

use std::path::Path;

use fieldgate_modbus::register::{Address, AddressError, ReadReply, ReadRequest};
use fieldgate_rules::interpret::{Interpretation, interpret};
use fieldgate_rules::signal::{Byte, DataType};
use serde::Serialize;
use serde_json::Value as Json;

use super::args::DecodeArgs;
use super::ask::Daemon;
use super::failure::{Exit, Failure};
use super::format::table;
use super::line::{self, OpenLine, Target};
use super::read::start_of;
use super::registers::{self, Said, Source, exception_text};
use super::screen::{self, Style, Talk, data_is_coloured, paint};
use crate::socket::value::json;

/// What `--json` prints.
#[derive(Serialize)]
struct Printed {
    words: Vec<String>,
    values: Vec<PrintedValue>,
}

#[derive(Serialize)]
struct PrintedValue {
    /// Place of its first register in the reading, from 0.
    register: usize,
    r#type: String,
    order: String,
    /// Null if it is no number.
    value: Json,
    plausible: bool,
    why: &'static str,
}

/// A meaning of the words from `register` on.
struct Meaning {
    register: usize,
    its: Interpretation,
}

/// Decodes, and ends with a finding if nothing is plausible.
pub(super) fn decode(config: &Path, args: &DecodeArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    let words = match (&args.target, &args.address) {
        (Some(target), Some(address)) => read(config, args, target, address, talk)?,
        (Some(_) | None, _) => args.words.clone(),
    };
    let address = args.address.as_ref().and_then(|text| text.parse::<ReadRequest>().ok());
    let start = address.map(start_of);
    let found = meanings(&words);
    let shown = found.iter().filter(|found| found.its.plausible || !args.plausible);
    if args.daemon.json {
        let words = words.iter().map(|word| format!("0x{word:04X}")).collect();
        screen::print_json(&Printed { words, values: shown.map(printed).collect() })?;
    } else {
        screen::print(&text(start, &words, shown))?;
    }
    let is_any = found.iter().any(|found| found.its.plausible);
    Ok(if is_any { Exit::Good } else { Exit::Findings })
}

fn read(
    config: &Path,
    args: &DecodeArgs,
    target: &str,
    address: &str,
    talk: &mut Talk,
) -> Result<Vec<u16>, Failure> {
    let read: ReadRequest = address
        .parse()
        .map_err(|error: AddressError| Failure::usage(error.to_string()).hint(error.hint()))?;
    if read.table.is_bits() {
        return Err(Failure::usage("bits have no type or order")
            .hint("decode registers, such as `hr:0..3` or `ir:0..3`"));
    }
    let mut source = match line::target(target, &args.line)? {
        Target::Name(name) => {
            Source::Device { daemon: Daemon::find(config, &args.daemon, talk)?, name }
        }
        Target::Endpoint(endpoint) => {
            let unit = registers::one_unit(&args.line)?;
            let line = OpenLine::open(endpoint, config, args.daemon.socket.as_deref(), talk)?;
            Source::direct(line, unit, &args.line)
        }
    };
    match source.read(read)? {
        Said::Items(ReadReply::Registers(words)) => Ok(words),
        Said::Items(ReadReply::Bits(_)) => Err(Failure::refused("the answer has no registers")),
        Said::Exception(code) => {
            let at = start_of(read);
            Err(Failure::refused(format!("{at} is refused: {}", exception_text(code))))
        }
    }
}

/// All meanings: each type at each place where a row of such values would have one.
fn meanings(words: &[u16]) -> Vec<Meaning> {
    let mut found = Vec::new();
    for register in 0..words.len() {
        // A text is all of the words.
        let is_here = |its: &Interpretation| {
            register == 0
                || (!matches!(its.data, DataType::Text { .. })
                    && register.is_multiple_of(usize::from(its.data.registers())))
        };
        let all = interpret(words.get(register..).unwrap_or_default()).into_iter();
        found.extend(all.filter(is_here).map(|its| Meaning { register, its }));
    }
    found
}

fn printed(found: &Meaning) -> PrintedValue {
    let Meaning { register, its } = found;
    PrintedValue {
        register: *register,
        r#type: name(its),
        order: order(its),
        value: json(&its.value),
        plausible: its.plausible,
        why: its.why,
    }
}

/// The type's word, with the half of the register that a byte is.
fn name(its: &Interpretation) -> String {
    if let DataType::U8(byte) | DataType::I8(byte) = its.data {
        let half = match byte {
            Byte::High => "high",
            Byte::Low => "low",
        };
        return format!("{}/{half}", its.data);
    }
    its.data.to_string()
}

fn order(its: &Interpretation) -> String {
    its.order.letters(its.data.registers()).to_string()
}

fn text<'a>(
    start: Option<Address>,
    words: &[u16],
    shown: impl Iterator<Item = &'a Meaning>,
) -> String {
    let is_coloured = data_is_coloured();
    let words: Vec<String> = words.iter().map(|word| format!("0x{word:04X}")).collect();
    let place = |register: usize| match (start, u16::try_from(register)) {
        (Some(start), Ok(place)) => {
            let at = Address { offset: start.offset.saturating_add(place), ..start }.to_string();
            at.split(' ').next().unwrap_or_default().to_owned()
        }
        (Some(_) | None, _) => format!("+{register}"),
    };
    let heading = ["", "AT", "type", "order", "value", "why"].map(str::to_owned).to_vec();
    let rows = shown.map(|found| {
        let Meaning { register, its } = found;
        let mark = if its.plausible { "*" } else { " " };
        let value = its.value.to_string();
        vec![mark.to_owned(), place(*register), name(its), order(its), value, its.why.to_owned()]
    });
    let lines = table(std::iter::once(heading).chain(rows));
    let painted = lines.lines().map(|line| {
        let style = if line.starts_with('*') { Style::Bold } else { Style::Plain };
        paint(is_coloured, style, line) + "\n"
    });
    format!("{}\n{}", words.join(" "), painted.collect::<String>())
}
