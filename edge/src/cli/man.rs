//! `fieldgate man`: the manual, from the same texts as the help.

use std::path::Path;

use clap::CommandFactory as _;
use clap_mangen::{Man, generate_to};

use super::args::Cli;
use super::failure::{Exit, Failure};
use super::screen;

/// Prints the page of the whole, or writes one page for each verb into a folder.
pub(super) fn man(out: Option<&Path>) -> Result<Exit, Failure> {
    let command = Cli::command();
    match out {
        None => {
            let mut page = Vec::new();
            Man::new(command).render(&mut page)?;
            screen::print(&String::from_utf8_lossy(&page))?;
        }
        Some(folder) => {
            generate_to(command.disable_help_subcommand(true), folder).map_err(|error| {
                let what = format!("cannot write pages to `{}`", folder.display());
                Failure::from_error(error).while_doing(what)
            })?;
        }
    }
    Ok(Exit::Good)
}
