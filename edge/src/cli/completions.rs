//! `fieldgate completions`: what a shell needs to complete a command line.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use super::args::Cli;
use super::failure::{Exit, Failure};
use super::screen;

/// Prints the completions for a shell.
pub(super) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "fieldgate", &mut script);
    screen::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Good)
}
