//! `tests/bench`: speeds and sizes, as ratios against a peer that does the same work in the same run.

use std::io::{Write, stderr};
use std::process::ExitCode;

use clap::Parser;
use fieldgate_tests::bench::{self, Options};

fn main() -> ExitCode {
    match bench::run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
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
