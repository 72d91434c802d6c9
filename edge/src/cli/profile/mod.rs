//! `fieldgate profile`: the types of devices that a configuration can name.

pub(super) mod args;
mod device;
mod import;
mod list;
mod show;
mod test;

use std::path::Path;
use std::sync::Arc;

use fieldgate_rules::profile::Profile;

use self::args::ProfileVerb;
use super::failure::{Exit, Failure};
use super::screen::Talk;
use crate::config::Library;

/// Performs a verb about profiles.
pub(super) fn perform(config: &Path, verb: &ProfileVerb, talk: &mut Talk) -> Result<Exit, Failure> {
    match verb {
        ProfileVerb::List(args) => list::list(config, args, talk),
        ProfileVerb::Show(args) => show::show(config, args, talk),
        ProfileVerb::Test(args) => test::test(config, args, talk),
        ProfileVerb::Import(args) => import::import(config, args, talk),
    }
}

/// The profiles in the binary, and those in the folder that a configuration has by default.
pub(super) fn library_beside(config: &Path) -> Library {
    Library::open(&config.parent().unwrap_or(Path::new("")).join("profiles"))
}

/// The library that a verb's `--profiles` names.
fn library(config: &Path, folder: Option<&Path>) -> Result<Library, Failure> {
    match folder {
        None => Ok(library_beside(config)),
        Some(folder) if folder.is_dir() => Ok(Library::open(folder)),
        Some(folder) => Err(Failure::usage(format!("there is no folder `{}`", folder.display()))),
    }
}

/// A profile by its name, or by the path of its file; what is wrong with it is told.
fn find(library: &Library, name: &str, talk: &mut Talk) -> Result<Arc<Profile>, Failure> {
    let is_path = name.contains('/') || Path::new(name).extension().is_some_and(|e| e == "toml");
    let read = is_path.then(|| Library::read(Path::new(name)).map(Arc::new));
    match read.as_ref().or_else(|| library.get(name)) {
        Some(Ok(profile)) => Ok(Arc::clone(profile)),
        Some(Err(problems)) => {
            talk.problems(problems);
            Err(Failure::refused(format!("cannot use the profile `{name}`")))
        }
        None => Err(Failure::usage(format!("there is no profile `{name}`"))
            .hint("`fieldgate profile list` shows them; a path has a `/` or ends in `.toml`")),
    }
}
