//! `fieldgate parser reload`: has the running gateway take a parser's file anew.

use std::path::Path;

use super::super::args::ParserReloadArgs;
use super::super::ask::Daemon;
use super::super::failure::{Exit, Failure};
use super::super::format::table;
use super::super::screen::{self, Talk};
use crate::socket::message::Ask;
use crate::socket::parsers::{Difference, ParserReloaded};

/// Asks for it, shows what differs, and ends with a finding if it was refused.
pub(super) fn reload(
    config: &Path,
    args: &ParserReloadArgs,
    talk: &mut Talk,
) -> Result<Exit, Failure> {
    let daemon = Daemon::find(config, &args.daemon, talk)?;
    let ask = Ask::ParserReload { file: args.file.clone(), force: args.force };
    let done: ParserReloaded = daemon.ask(ask)?;
    if args.daemon.json {
        screen::print_json(&done)?;
    } else {
        show(&done)?;
    }
    for failure in &done.failures {
        talk.say(failure);
    }
    if done.reloaded {
        talk.say(&format!("`{}` is reloaded", done.file));
        return Ok(Exit::Good);
    }
    let refused = format!("`{}` is refused, the present one stays", done.file);
    Err(Failure::refused(refused).hint("correct it, or take it all the same with `--force`"))
}

fn show(done: &ParserReloaded) -> Result<(), Failure> {
    let ParserReloaded { frames, compared, same, .. } = done;
    let row = |found: &Difference| {
        [&found.frame, &found.signal, &found.old, &found.new].map(Clone::clone).to_vec()
    };
    let mut text = format!("compared on {compared} of {frames} frames, {same} alike\n");
    if !done.differences.is_empty() {
        let head = ["frame", "signal", "old", "new"].map(str::to_owned).to_vec();
        text += &table(std::iter::once(head).chain(done.differences.iter().map(row)));
    }
    screen::print(&text)
}
