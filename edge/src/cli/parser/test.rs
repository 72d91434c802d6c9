//! `fieldgate parser test`: runs a parser over one frame, without any profile.

use fieldgate_script::{Limits, Reading, ScriptError, Used};
use serde::Serialize;
use serde_json::Value as Json;

use super::super::args::ParserTestArgs;
use super::super::failure::{Exit, Failure};
use super::super::format::{bytes, table};
use super::super::screen;
use super::frame::Given;
use super::open;
use crate::socket::value;

/// What `--json` prints: readings, or an error.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    readings: Option<Vec<PrintedReading>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<PrintedError>,
    fuel: u64,
    fuel_max: u64,
    memory_bytes: usize,
    memory_bytes_max: usize,
}

/// One reading as `--json` has it.
#[derive(Debug, Serialize)]
pub(super) struct PrintedReading {
    signal: String,
    value: Json,
    quality: String,
}

#[derive(Debug, Serialize)]
struct PrintedError {
    line: Option<u32>,
    what: String,
}

/// Runs the parser, shows what it gives, and ends with a finding if it fails.
pub(super) fn test(args: &ParserTestArgs) -> Result<Exit, Failure> {
    let opened = open(&args.file)?;
    let given = Given::from_argument(args.frame.as_deref())?;
    let (result, used) = match opened {
        Ok((mut parser, backstop)) => {
            backstop.begin();
            (parser.run(&given.frame()?, &mut given.state.clone()), parser.used())
        }
        Err(error) => (Err(error), Used::default()),
    };
    let file = args.file.display().to_string();
    match result {
        Ok(readings) if args.json => {
            let readings = Some(readings.iter().map(printed).collect());
            print_json(&file, readings, None, used)?;
            Ok(Exit::Good)
        }
        Ok(readings) => {
            screen::print(&format!("{}{}", rows(&readings), usage(used)))?;
            Ok(Exit::Good)
        }
        Err(error) => {
            if args.json {
                print_json(&file, None, Some(&error), used)?;
            }
            Err(Failure::from_error(error))
        }
    }
}

fn print_json(
    file: &str,
    readings: Option<Vec<PrintedReading>>,
    error: Option<&ScriptError>,
    used: Used,
) -> Result<(), Failure> {
    let error = error.map(|error| PrintedError { line: error.line, what: error.fault.to_string() });
    screen::print_json(&Printed {
        file,
        readings,
        error,
        fuel: used.fuel,
        fuel_max: Limits::DEFAULT.fuel,
        memory_bytes: used.memory_bytes,
        memory_bytes_max: Limits::DEFAULT.memory_bytes,
    })
}

/// A reading for `--json`.
pub(super) fn printed(reading: &Reading) -> PrintedReading {
    PrintedReading {
        signal: reading.name.to_string(),
        value: reading.value.as_ref().map_or(Json::Null, value::json),
        quality: reading.quality.to_string(),
    }
}

/// Readings in rows.
fn rows(readings: &[Reading]) -> String {
    let row = |reading: &Reading| {
        let shown = reading.value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        vec![reading.name.to_string(), shown, reading.quality.to_string()]
    };
    table(readings.iter().map(row))
}

/// Fuel and memory against their limits, a line each.
pub(super) fn usage(used: Used) -> String {
    let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let Limits { fuel, memory_bytes, .. } = Limits::DEFAULT;
    format!(
        "fuel: {} of {fuel}\nmemory: {} of {}\n",
        used.fuel,
        bytes(wide(used.memory_bytes)),
        bytes(wide(memory_bytes)),
    )
}
