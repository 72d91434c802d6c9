//! The operator's command line: the service, and verbs that work on its data folder.
//!
//! stdout is data, stderr is talk. Exit status 0 is good, 1 says that something was found or
//! refused, 2 that the command was used wrongly.
//!
//! # Invariants
//!
//! - A verb opens the same database as the running service: nothing has to be stopped.
//! - A secret is printed once, on stdout or into a file that its owner alone can read.

mod check;
mod console_link;
mod gateway;
mod output;
mod serve;
mod tenant;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use fieldgate_model::{IdError, TenantId};

use crate::store::{DATABASE_FILE, SqliteStore};
use output::{Failure, Output};

/// The cloud service of Fieldgate, and its operator's command line.
#[derive(Debug, Parser)]
#[command(name = "fieldgate-cloud", version, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    /// The data folder; made if it is not there.
    #[arg(
        long,
        global = true,
        env = "FIELDGATE_CLOUD_DATA",
        value_name = "DIR",
        default_value = "fieldgate-cloud-data"
    )]
    data: PathBuf,
    /// Print JSON on stdout.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  fieldgate-cloud serve --data /var/lib/fieldgate-cloud
  fieldgate-cloud tenant add acme --name 'Acme Pumps'
  fieldgate-cloud gateway add --tenant acme pump-house-3 --out credentials.toml
  fieldgate-cloud token add --tenant acme --scopes 'read command' dashboard
  fieldgate-cloud console-link --tenant acme";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the service.
    Serve(serve::Arguments),
    /// Add and list tenants, suspend and activate them.
    #[command(subcommand)]
    Tenant(tenant::Verb),
    /// Add, list and revoke API tokens.
    #[command(subcommand)]
    Token(token::Verb),
    /// Add and list gateways.
    #[command(subcommand)]
    Gateway(gateway::Verb),
    /// Print a link that opens the console once.
    ConsoleLink(console_link::Arguments),
    /// Look over the data folder.
    Check,
    /// Print a completion script for a shell.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  fieldgate-cloud completions bash > /etc/bash_completion.d/fieldgate-cloud
  fieldgate-cloud completions fish > ~/.config/fish/completions/fieldgate-cloud.fish";

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return output::usage(&error),
    };
    let output = Output { json: arguments.json };
    match run(arguments, output) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: Arguments, output: Output) -> Result<ExitCode, Failure> {
    let folder = Folder(arguments.data);
    match arguments.verb {
        Verb::Serve(arguments) => serve::run(arguments, folder, output),
        Verb::Tenant(verb) => tenant::run(verb, &folder, output),
        Verb::Token(verb) => token::run(verb, &folder, output),
        Verb::Gateway(verb) => gateway::run(verb, &folder, output),
        Verb::ConsoleLink(arguments) => console_link::run(&arguments, &folder, output),
        Verb::Check => check::run(&folder, output),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(
                shell,
                &mut Arguments::command(),
                "fieldgate-cloud",
                &mut script,
            );
            output::text(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The data folder.
struct Folder(PathBuf);

impl Folder {
    /// Opens the store; makes folder and database if they are not there, and says so.
    fn open_store(&self) -> Result<SqliteStore, Failure> {
        let path = self.0.join(DATABASE_FILE);
        let is_fresh = !path.exists();
        crate::app::make_data_folder(&self.0)
            .with_context(|| format!("cannot make data folder `{}`", self.0.display()))?;
        let store = SqliteStore::open(&path)
            .with_context(|| format!("cannot open `{}`", path.display()))
            .map_err(|error| Failure::from(error).hint("give the data folder with `--data`"))?;
        if is_fresh {
            output::talk(&format!("made `{}`", path.display()));
        }
        Ok(store)
    }
}

fn tenant_id(text: &str) -> Result<TenantId, IdError> {
    TenantId::new(text)
}

/// Who acts, for the audit.
fn actor() -> String {
    let user = std::env::var("USER").unwrap_or_default();
    if user.is_empty() { "cli".to_owned() } else { format!("cli:{user}") }
}
