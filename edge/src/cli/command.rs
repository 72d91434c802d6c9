//! `fieldgate command`: what the cloud has asked of this gateway, and what became of it.

use std::path::Path;

use super::args::{CommandListArgs, CommandShowArgs, CommandVerb};
use super::ask::Daemon;
use super::failure::{Exit, Failure};
use super::format::table;
use super::screen::{self, Talk};
use crate::socket::commands::CommandNow;
use crate::socket::message::Ask;

/// Performs a verb about commands.
pub(super) fn perform(config: &Path, verb: &CommandVerb, talk: &mut Talk) -> Result<Exit, Failure> {
    match verb {
        CommandVerb::List(args) => list(config, args, talk),
        CommandVerb::Show(args) => show(config, args, talk),
    }
}

fn list(config: &Path, args: &CommandListArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    let daemon = Daemon::find(config, &args.daemon, talk)?;
    let commands: Vec<CommandNow> = daemon.ask(Ask::Commands { count: args.count })?;
    if args.daemon.json {
        screen::print_json(&commands)?;
        return Ok(Exit::Good);
    }
    let heads = ["id", "state", "what", "by", "received", "closed"].map(Into::into);
    let rows = commands.iter().map(|command| {
        vec![
            command.id.clone(),
            command.state.clone(),
            what(command),
            command.by.clone(),
            command.received_at.clone().unwrap_or_default(),
            command.closed_at.clone().unwrap_or_default(),
        ]
    });
    screen::print(&table(std::iter::once(heads.to_vec()).chain(rows)))?;
    Ok(Exit::Good)
}

fn show(config: &Path, args: &CommandShowArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    let daemon = Daemon::find(config, &args.daemon, talk)?;
    let command: CommandNow = daemon.ask(Ask::Command { id: args.id.clone() })?;
    if args.daemon.json {
        screen::print_json(&command)?;
    } else {
        screen::print(&table(rows(&command)))?;
    }
    Ok(Exit::Good)
}

fn rows(its: &CommandNow) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |name: &str, words: Option<String>| {
        if let Some(words) = words {
            rows.push(vec![name.to_owned(), words]);
        }
    };
    let marks = [("verify", its.verify), ("dry run", its.dry_run), ("retry safe", its.retry_safe)];
    let marks: Vec<&str> = marks.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    row("command", Some(its.id.clone()));
    row("state", Some(its.state.clone()));
    row("reason", its.reason.clone());
    row("what", Some(what(its)));
    row("marks", Some(marks.join(", ")).filter(|marks| !marks.is_empty()));
    row("read back", its.read_back.as_ref().map(ToString::to_string));
    row("by", Some(its.by.clone()));
    row("sent by", Some(format!("{}, epoch {}", its.owner, its.epoch)));
    row("received", its.received_at.clone());
    row("started", its.started_at.clone());
    row("closed", its.closed_at.clone());
    row("not after", Some(its.not_after.clone()));
    row("reported", Some(if its.reported { "yes" } else { "not yet" }.to_owned()));
    rows
}

fn what(command: &CommandNow) -> String {
    format!("{}/{} = {}", command.device, command.signal, command.value)
}
