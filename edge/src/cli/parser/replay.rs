//! `fieldgate parser replay`: a file over the frames that a gateway has kept.

use std::path::Path;

use fieldgate_script::{Reading, ScriptError};
use serde::Serialize;

use super::super::args::ParserReplayArgs;
use super::super::ask::Daemon;
use super::super::failure::{Exit, Failure};
use super::super::format::{count, table};
use super::super::screen::{self, Talk};
use super::frame::Given;
use super::open;
use super::test::{PrintedReading, printed};
use crate::socket::message::Ask;
use crate::socket::parsers::FrameText;

/// One line of `--json`.
#[derive(Debug, Serialize)]
struct Replayed {
    device: Option<String>,
    at: Option<u64>,
    /// Why it failed on the gateway.
    failed: Option<String>,
    /// Why it fails by this file.
    error: Option<String>,
    readings: Vec<PrintedReading>,
}

/// Runs the file over each frame, and ends with a finding if it fails on one.
pub(super) fn replay(
    config: &Path,
    args: &ParserReplayArgs,
    talk: &mut Talk,
) -> Result<Exit, Failure> {
    let (mut parser, backstop) = open(&args.file)?.map_err(Failure::from_error)?;
    let frames = match &args.frames {
        Some(file) => read(file)?,
        None => ask(config, args, talk)?,
    };
    if let Some(file) = &args.save {
        save(file, &frames)?;
    }
    let mut replayed = Vec::new();
    for text in frames {
        let given = Given::new(text)?;
        backstop.begin();
        let outcome = parser.run(&given.frame()?, &mut given.state.clone());
        replayed.push(line(given.text, outcome));
    }
    let failing = replayed.iter().filter(|line| line.error.is_some()).count();
    if args.daemon.json {
        replayed.iter().try_for_each(screen::print_json)?;
    } else {
        show(&replayed)?;
    }
    talk.say(&format!("{}, {failing} failing", count(replayed.len(), "frame")));
    Ok(if failing == 0 { Exit::Good } else { Exit::Findings })
}

fn line(text: FrameText, outcome: Result<Vec<Reading>, ScriptError>) -> Replayed {
    let (readings, error) = match outcome {
        Ok(readings) => (readings.iter().map(printed).collect(), None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    Replayed { device: text.device, at: text.at, failed: text.error, error, readings }
}

fn ask(config: &Path, args: &ParserReplayArgs, talk: &mut Talk) -> Result<Vec<FrameText>, Failure> {
    let name = args.file.file_name().map(|name| name.to_string_lossy().into_owned());
    let file = name.ok_or_else(|| Failure::usage("the parser has no file name"))?;
    Daemon::find(config, &args.daemon, talk)?.ask(Ask::ParserFrames { file })
}

fn read(file: &Path) -> Result<Vec<FrameText>, Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::from_error(error)
            .while_doing(format!("cannot read `{shown}`"))
            .exiting(Exit::Usage)
    })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let frame = |(place, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            let what = format!("`{shown}` line {} is not a frame", place + 1);
            Failure::from_error(error).while_doing(what).exiting(Exit::Usage)
        })
    };
    lines.map(frame).collect()
}

fn save(file: &Path, frames: &[FrameText]) -> Result<(), Failure> {
    let mut text = String::new();
    for frame in frames {
        text += &serde_json::to_string(frame).map_err(Failure::from_error)?;
        text.push('\n');
    }
    let what = || format!("cannot write `{}`", file.display());
    std::fs::write(file, text).map_err(|error| Failure::from_error(error).while_doing(what()))
}

fn show(replayed: &[Replayed]) -> Result<(), Failure> {
    let row = |line: &Replayed| {
        let at = line.at.map_or_else(|| "-".to_owned(), |at| format!("{at} ms"));
        let before = if line.failed.is_some() { "failed" } else { "good" };
        let outcome = match &line.error {
            Some(error) => error.clone(),
            None => count(line.readings.len(), "value"),
        };
        vec![line.device.clone().unwrap_or_default(), at, before.to_owned(), outcome]
    };
    let head = ["device", "at", "then", "by this file"].map(str::to_owned).to_vec();
    screen::print(&table(std::iter::once(head).chain(replayed.iter().map(row))))
}
