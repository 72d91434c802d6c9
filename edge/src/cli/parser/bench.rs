//! `fieldgate parser bench`: how fast a parser is, and how near its limits.

use std::time::{Duration, Instant};

use fieldgate_script::{DeviceState, Limits};
use serde::Serialize;

use super::super::args::ParserBenchArgs;
use super::super::failure::{Exit, Failure};
use super::super::screen;
use super::frame::Given;
use super::open;
use super::test::usage;

/// Runs between two looks at the clock.
const RUNS: u64 = 100;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Measured<'a> {
    file: &'a str,
    parses: u64,
    parses_per_s: f64,
    us_per_parse: f64,
    fuel: u64,
    fuel_max: u64,
    memory_bytes: usize,
    memory_bytes_max: usize,
    state_bytes: usize,
    state_bytes_max: usize,
}

/// Runs the parser over one frame again and again, its state going on from run to run.
pub(super) fn bench(args: &ParserBenchArgs) -> Result<Exit, Failure> {
    let (mut parser, backstop) = open(&args.test.file)?.map_err(Failure::from_error)?;
    let given = Given::from_argument(args.test.frame.as_deref())?;
    let frame = given.frame()?;
    let mut state: DeviceState = given.state.clone();
    let length = Duration::from_millis(args.duration.0);
    let (start, mut runs) = (Instant::now(), 0);
    while runs == 0 || start.elapsed() < length {
        for _ in 0..RUNS {
            backstop.begin();
            parser.run(&frame, &mut state).map_err(Failure::from_error)?;
        }
        runs += RUNS;
    }
    let seconds = start.elapsed().as_secs_f64();
    let (used, limits) = (parser.used(), Limits::DEFAULT);
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let parses_per_s = runs as f64 / seconds;
    let state_bytes = if state.is_empty() { 0 } else { state.to_bytes().len() };
    if args.test.json {
        let round = |figure: f64| (figure * 100.0).round() / 100.0;
        screen::print_json(&Measured {
            file: &args.test.file.display().to_string(),
            parses: runs,
            parses_per_s: round(parses_per_s),
            us_per_parse: round(1e6 / parses_per_s),
            fuel: used.fuel,
            fuel_max: limits.fuel,
            memory_bytes: used.memory_bytes,
            memory_bytes_max: limits.memory_bytes,
            state_bytes,
            state_bytes_max: limits.state_bytes_max,
        })?;
    } else {
        screen::print(&format!(
            "{parses_per_s:.0} parses/s, {:.1} µs each\n{}state: {state_bytes} B of {} B\n",
            1e6 / parses_per_s,
            usage(used),
            limits.state_bytes_max,
        ))?;
    }
    Ok(Exit::Good)
}
