//! `fieldgate write`: a signal of a device, after a look at what would be sent.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use super::args::WriteArgs;
use super::ask::Daemon;
use super::failure::{Exit, Failure};
use super::screen::{self, Talk};
use crate::socket::message::{Ask, WriteAsk, WriteDone};

/// Writes, unless the person says no.
pub(super) fn write(config: &Path, args: &WriteArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    if !args.yes && !args.dry_run && !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "a write wants to be confirmed, and there is no terminal to ask on",
        )
        .hint("say `--yes` to write without asking, or `--dry-run` to see the request"));
    }
    let daemon = Daemon::find(config, &args.daemon, talk)?;
    let wanted = WriteAsk {
        device: args.device.clone(),
        signal: args.signal.clone(),
        value: args.value.clone(),
        verify: !args.no_verify,
        dry_run: true,
    };
    if args.dry_run || !args.yes {
        let planned: WriteDone = daemon.ask(Ask::Write(wanted.clone()))?;
        if args.dry_run {
            return show(&planned, args.daemon.json);
        }
        if !confirmed(&planned)? {
            return Err(Failure::refused("not confirmed, nothing was written"));
        }
    }
    let done = daemon.ask(Ask::Write(WriteAsk { dry_run: false, ..wanted }))?;
    show(&done, args.daemon.json)
}

/// Asks on the terminal; anything but yes is no.
fn confirmed(planned: &WriteDone) -> Result<bool, Failure> {
    let WriteDone { device, signal, request, .. } = planned;
    let mut out = std::io::stderr().lock();
    write!(out, "write {} to {device}/{signal} ({request})? [y/N] ", value_text(planned))?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn show(done: &WriteDone, is_json: bool) -> Result<Exit, Failure> {
    if is_json {
        screen::print_json(done)?;
        return Ok(Exit::Good);
    }
    let WriteDone { device, signal, request, .. } = done;
    let verb = if done.done { "wrote" } else { "would write" };
    let shows = done.read_back.as_ref();
    let shows = shows.map(|shows| format!(", reads back {}", with_unit(shows, &done.unit)));
    let (value, shows) = (value_text(done), shows.unwrap_or_default());
    screen::print(&format!("{verb} {value} to {device}/{signal} ({request}){shows}\n"))?;
    if !done.done {
        screen::print(&format!("as {}\n", done.frame))?;
    }
    Ok(Exit::Good)
}

fn value_text(done: &WriteDone) -> String {
    with_unit(&done.value, &done.unit)
}

fn with_unit(value: &serde_json::Value, unit: &str) -> String {
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("{value} {unit}").trim_end().to_owned()
}
