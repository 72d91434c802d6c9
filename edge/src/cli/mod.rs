//! The technician's command line: one file a verb. Standard output is data, standard error is talk.
//!
//! # Invariants
//!
//! - Exit status 0 is good, 1 is a finding or a refusal, 2 is wrong use or a configuration that
//!   cannot be used.
//! - No verb opens a port that the daemon owns: what concerns devices is asked of the daemon, or its
//!   bus is taken first.

mod args;
mod ask;
mod buffer;
mod bus_plan;
mod check;
mod coap_words;
mod command;
mod completions;
mod decode;
mod explain;
mod failure;
mod forecast;
mod format;
mod history;
mod host_plan;
mod line;
mod man;
mod parser;
mod pcap;
mod plan;
mod profile;
mod profile_tests;
mod raw;
mod read;
mod registers;
mod run;
mod scan;
mod screen;
mod signals;
mod simulate;
mod status;
mod sunspec;
mod sync;
mod top;
mod trace;
mod transcript;
mod watch;
mod write;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use self::args::{Cli, Verb};
use self::failure::{Exit, Failure};
use self::screen::Talk;
use crate::config::{self, Loaded, Problem};

/// Runs the verb that the process was called with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too; if nobody can read them, nobody is told.
            drop(error.print());
            return if error.use_stderr() { Exit::Usage } else { Exit::Good }.into();
        }
    };
    let mut talk = Talk::start();
    let ended = perform(cli, &mut talk);
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) if failure.is_closed_pipe() => Exit::Good.into(),
        Err(failure) => {
            talk.failure(&failure);
            failure.exit().into()
        }
    }
}

fn perform(cli: Cli, talk: &mut Talk) -> Result<Exit, Failure> {
    let config = cli.config;
    match cli.verb {
        Verb::Run => run::run(&config, talk),
        Verb::Check(args) => check::check(&config, &args, talk),
        Verb::Plan(args) => plan::plan(&config, &args, talk),
        Verb::Status(args) => status::status(&config, &args, talk),
        Verb::Read(args) => read::read(&config, &args, talk),
        Verb::Write(args) => write::write(&config, &args, talk),
        Verb::Watch(args) => watch::watch(&config, &args, talk),
        Verb::Scan(args) => scan::scan(&config, &args, talk),
        Verb::Decode(args) => decode::decode(&config, &args, talk),
        Verb::Explain(args) => explain::explain(&config, &args, talk),
        Verb::Trace(args) => trace::trace(&config, &args, talk),
        Verb::Top(args) => top::top(&config, &args, talk),
        Verb::Sync(args) => sync::sync(&config, &args, talk),
        Verb::Command { verb } => command::perform(&config, &verb, talk),
        Verb::Man { out } => man::man(out.as_deref()),
        Verb::Simulate(args) => simulate::simulate(&config, &args, talk),
        Verb::Profile { verb } => profile::perform(&config, &verb, talk),
        Verb::History(args) => history::history(&config, &args, talk),
        Verb::Buffer { verb } => buffer::perform(&config, &verb, talk),
        Verb::Parser { verb } => parser::perform(&config, verb, talk),
        Verb::Completions { shell } => completions::completions(shell),
    }
}

/// The configuration; its problems are told, and fatal ones end the verb.
fn load(path: &Path, talk: &mut Talk) -> Result<Loaded, Failure> {
    match config::load(path) {
        Ok(loaded) => {
            talk.problems(&loaded.problems);
            Ok(loaded)
        }
        Err(problems) => {
            talk.problems(&problems);
            Err(unusable(path, &problems))
        }
    }
}

/// The end of a verb whose configuration cannot be used.
fn unusable(path: &Path, problems: &[Problem]) -> Failure {
    let count = match problems.len() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    Failure::usage(format!("cannot use `{}`: {count}", path.display()))
}
