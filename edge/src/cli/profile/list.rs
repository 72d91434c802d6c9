//! `fieldgate profile list`: the profiles that a configuration can name.

use std::path::Path;

use serde::Serialize;

use super::args::ProfileListArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::format::table;
use crate::cli::screen::{self, Talk};

/// A profile as a list shows it.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    name: &'a str,
    version: u32,
    title: &'a str,
    signals: usize,
}

/// Lists the profiles in the binary and in the folder; what is wrong with others is told.
pub(super) fn list(
    config: &Path,
    args: &ProfileListArgs,
    talk: &mut Talk,
) -> Result<Exit, Failure> {
    let library = super::library(config, args.profiles.as_deref())?;
    let mut listed = Vec::new();
    let mut exit = Exit::Good;
    for (_, profile) in library.iter() {
        match profile {
            Ok(profile) => listed.push(Listed {
                name: &profile.name,
                version: profile.version,
                title: &profile.title,
                signals: profile.signals.len(),
            }),
            Err(problems) => {
                talk.problems(problems);
                exit = Exit::Findings;
            }
        }
    }
    if args.json {
        screen::print_json(&listed)?;
    } else {
        let row = |listed: &Listed<'_>| {
            let id = format!("{}@{}", listed.name, listed.version);
            vec![id, format!("{} signals", listed.signals), listed.title.to_owned()]
        };
        screen::print(&table(listed.iter().map(row)))?;
    }
    Ok(exit)
}
