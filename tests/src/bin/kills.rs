//! `tests/kills`: `kill -9` of edge, cloud and broker for as long as asked, with exact accounting.

use std::io::{Write, stderr};
use std::process::ExitCode;

use clap::Parser;
use fieldgate_tests::kills::{self, Options};

fn main() -> ExitCode {
    match kills::run(&Options::parse()) {
        Ok(_) => ExitCode::SUCCESS,
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
