//! `fieldgate parser`: parsers at the desk, and those of the running gateway.

mod bench;
mod frame;
mod reload;
mod replay;
mod test;

use std::path::Path;

use fieldgate_script::{Executor, Limits, ScriptError, load};

use super::args::ParserVerb;
use super::failure::{Exit, Failure};
use super::screen::Talk;
use crate::engine::Backstop;

/// Does what was asked.
pub(super) fn perform(config: &Path, verb: ParserVerb, talk: &mut Talk) -> Result<Exit, Failure> {
    match verb {
        ParserVerb::Test(args) => test::test(&args),
        ParserVerb::Replay(args) => replay::replay(config, &args, talk),
        ParserVerb::Bench(args) => bench::bench(&args),
        ParserVerb::Reload(args) => reload::reload(config, &args, talk),
    }
}

/// A parser and its backstop, or why it does not load.
type Opened = Result<(Box<dyn Executor>, Backstop), ScriptError>;

/// A parser from its file, with the backstop to begin before each run.
fn open(file: &Path) -> Result<Opened, Failure> {
    let source = std::fs::read_to_string(file).map_err(|error| {
        let what = format!("cannot read `{}`", file.display());
        Failure::from_error(error).while_doing(what).exiting(Exit::Usage)
    })?;
    let (backstop, cancel) = Backstop::new();
    let parser = load(&file.display().to_string(), &source, Limits::DEFAULT, cancel);
    Ok(parser.map(|parser| (parser, backstop)))
}
