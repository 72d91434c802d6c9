//! `fieldgate decode`: one reading in every type and word order, the plausible ones marked.

use std::path::Path;

use fieldgate_modbus::register::{ReadReply, ReadRequest};
use serde::Serialize;
use serde_json::Value as Json;

use super::args::DecodeArgs;
use super::ask::Daemon;
use super::failure::{Exit, Failure};
use super::format::table;
use super::interpretations::{Interpretation, interpretations};
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
    order: Option<&'static str>,
    value: Json,
    plausible: bool,
}

/// Decodes, and ends with a finding if nothing is plausible.
pub(super) fn decode(config: &Path, args: &DecodeArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    let words = match (&args.target, &args.address) {
        (Some(target), Some(address)) => read(config, args, target, address, talk)?,
        (Some(_) | None, _) => args.words.clone(),
    };
    let found = interpretations(&words);
    let shown = found.iter().filter(|its| its.is_plausible || !args.plausible);
    if args.daemon.json {
        let words = words.iter().map(|word| format!("0x{word:04X}")).collect();
        screen::print_json(&Printed { words, values: shown.map(printed).collect() })?;
    } else {
        screen::print(&text(&words, shown))?;
    }
    let is_any = found.iter().any(|its| its.is_plausible);
    Ok(if is_any { Exit::Good } else { Exit::Findings })
}

fn read(
    config: &Path,
    args: &DecodeArgs,
    target: &str,
    address: &str,
    talk: &mut Talk,
) -> Result<Vec<u16>, Failure> {
    let read: ReadRequest =
        address.parse().map_err(|error: fieldgate_modbus::register::AddressError| {
            Failure::usage(error.to_string()).hint(error.hint())
        })?;
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
            let line = OpenLine::open(endpoint, config, &args.daemon, talk)?;
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

fn printed(its: &Interpretation) -> PrintedValue {
    PrintedValue {
        register: its.register,
        r#type: its.name.clone(),
        order: its.order,
        value: json(&its.value),
        plausible: its.is_plausible,
    }
}

fn text<'a>(words: &[u16], shown: impl Iterator<Item = &'a Interpretation>) -> String {
    let is_coloured = data_is_coloured();
    let words: Vec<String> = words.iter().map(|word| format!("0x{word:04X}")).collect();
    let rows = shown.map(|its| {
        let mark = if its.is_plausible { "*" } else { " " };
        vec![
            mark.to_owned(),
            format!("+{}", its.register),
            its.name.clone(),
            its.order.unwrap_or("").to_owned(),
            its.value.to_string(),
        ]
    });
    let lines = table(rows);
    let painted = lines.lines().map(|line| {
        let style = if line.starts_with('*') { Style::Bold } else { Style::Plain };
        paint(is_coloured, style, line) + "\n"
    });
    format!("{}\n{}", words.join(" "), painted.collect::<String>())
}
