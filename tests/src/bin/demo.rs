//! `cargo demo`: the main job, end to end, on this machine.

use std::io::{Write, stderr};
use std::process::ExitCode;

use clap::Parser;
use fieldgate_tests::demo::{self, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    match demo::run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let mut out = stderr().lock();
            // Nobody reads it if stderr is gone.
            writeln!(out, "error: {error}").unwrap_or_default();
            for cause in error.chain().skip(1) {
                writeln!(out, "  Caused by: {cause}").unwrap_or_default();
            }
            ExitCode::FAILURE
        }
    }
}
