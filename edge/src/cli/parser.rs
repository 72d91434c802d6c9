//! `fieldgate parser test`: runs a parser over one frame, without any profile.

use std::collections::BTreeMap;

use fieldgate_model::{DeviceName, Millis};
use fieldgate_script::{Block, DeviceState, Frame, Limits, Parser, Reading, ScriptError};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::args::ParserTestArgs;
use super::failure::{Exit, Failure};
use super::format::table;
use super::profile_tests::Backstop;
use super::screen;
use crate::socket::value;

/// What `--frame` holds.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawFrame {
    device: Option<String>,
    hr: RawTable<u16>,
    ir: RawTable<u16>,
    co: RawTable<bool>,
    di: RawTable<bool>,
    payload: Option<String>,
    format: Option<u16>,
}

/// Items from address 0 on, or by the address of the first.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a list of items, or an object of address to list")]
enum RawTable<T> {
    List(Vec<T>),
    ByAddress(BTreeMap<String, Vec<T>>),
}

impl<T> Default for RawTable<T> {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

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
}

#[derive(Debug, Serialize)]
struct PrintedReading {
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
    let source = std::fs::read_to_string(&args.file).map_err(|error| {
        let what = format!("cannot read `{}`", args.file.display());
        Failure::from_error(error).while_doing(what).exiting(Exit::Usage)
    })?;
    let raw = raw_frame(args.frame.as_deref())?;
    let name = DeviceName::new(raw.device.as_deref().unwrap_or("test"))
        .map_err(|error| Failure::usage(format!("`device` in --frame {error}")))?;
    let frame = frame(&raw, &name)?;
    let file = args.file.display().to_string();

    let (result, fuel) = match Parser::load(&file, &source, Limits::DEFAULT) {
        Ok(mut parser) => {
            let _backstop = Backstop::start(parser.cancel());
            let result = parser.run(&frame, &mut DeviceState::default());
            (result, parser.used().fuel)
        }
        Err(error) => (Err(error), 0),
    };
    match result {
        Ok(readings) => {
            show(&file, &readings, fuel, args.json)?;
            Ok(Exit::Good)
        }
        Err(error) => {
            if args.json {
                show_error(&error, fuel)?;
            }
            Err(Failure::from_error(error))
        }
    }
}

fn raw_frame(text: Option<&str>) -> Result<RawFrame, Failure> {
    let Some(text) = text else {
        return Ok(RawFrame { hr: RawTable::List((0..10).collect()), ..RawFrame::default() });
    };
    serde_json::from_str(text).map_err(|error| {
        Failure::from_error(error)
            .while_doing("--frame is not a frame")
            .hint("write such as `--frame '{\"hr\": [1, 2], \"co\": {\"16\": [true]}}'`")
            .exiting(Exit::Usage)
    })
}

fn frame<'a>(raw: &'a RawFrame, device: &'a DeviceName) -> Result<Frame<'a>, Failure> {
    Ok(Frame {
        hr: blocks(&raw.hr)?,
        ir: blocks(&raw.ir)?,
        co: blocks(&raw.co)?,
        di: blocks(&raw.di)?,
        payload: raw.payload.as_ref().map(String::as_bytes),
        format: raw.format,
        ..Frame::new(device, Millis(0))
    })
}

fn blocks<T: Clone>(table: &RawTable<T>) -> Result<Vec<Block<T>>, Failure> {
    match table {
        RawTable::List(items) if items.is_empty() => Ok(Vec::new()),
        RawTable::List(items) => Ok(vec![Block { start: 0, items: items.clone() }]),
        RawTable::ByAddress(items_by_address) => {
            let block = |(address, items): (&String, &Vec<T>)| {
                let start = address.parse().map_err(|_| {
                    Failure::usage(format!("`{address}` in --frame is not an address"))
                        .hint("addresses are PDU addresses, from 0 to 65535")
                })?;
                Ok(Block { start, items: items.clone() })
            };
            items_by_address.iter().map(block).collect()
        }
    }
}

fn show(file: &str, readings: &[Reading], fuel: u64, is_json: bool) -> Result<(), Failure> {
    let fuel_max = Limits::DEFAULT.fuel;
    if is_json {
        let printed = |reading: &Reading| PrintedReading {
            signal: reading.name.to_string(),
            value: reading.value.as_ref().map_or(Json::Null, value::json),
            quality: reading.quality.to_string(),
        };
        let readings = Some(readings.iter().map(printed).collect());
        return screen::print_json(&Printed { file, readings, error: None, fuel, fuel_max });
    }
    let row = |reading: &Reading| {
        let shown = reading.value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        vec![reading.name.to_string(), shown, reading.quality.to_string()]
    };
    let rows = table(readings.iter().map(row));
    screen::print(&format!("{rows}fuel: {fuel} of {fuel_max}\n"))
}

fn show_error(error: &ScriptError, fuel: u64) -> Result<(), Failure> {
    let what = PrintedError { line: error.line, what: error.fault.to_string() };
    let (file, fuel_max) = (error.file.as_str(), Limits::DEFAULT.fuel);
    screen::print_json(&Printed { file, readings: None, error: Some(what), fuel, fuel_max })
}
