//! `fieldgate profile`: the profiles that a configuration can name.

use std::path::Path;

use serde::Serialize;

use super::args::ProfileListArgs;
use super::failure::{Exit, Failure};
use super::format::table;
use super::screen::{self, Talk};
use crate::config::Library;

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
    if let Some(folder) = args.profiles.as_deref().filter(|folder| !folder.is_dir()) {
        return Err(Failure::usage(format!("there is no folder `{}`", folder.display())));
    }
    let library = match &args.profiles {
        Some(folder) => Library::open(folder),
        None => library_beside(config),
    };
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

/// The profiles in the binary, and those in the folder that a configuration has by default.
pub(super) fn library_beside(config: &Path) -> Library {
    Library::open(&config.parent().unwrap_or(Path::new("")).join("profiles"))
}
