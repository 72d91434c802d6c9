//! What can be written on the command line.

pub(super) mod simulate;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use fieldgate_model::Millis;

use self::simulate::SimulateArgs;
use super::plan::PlanArgs;
use crate::config::parse_duration;

/// Polls field devices, raises alarms, keeps everything until the cloud has it, and writes what it
/// is told to.
#[derive(Debug, Parser)]
#[command(name = "fieldgate", version, arg_required_else_help = true, after_help = TOP_EXAMPLES)]
pub(super) struct Cli {
    /// The configuration file.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "FIELDGATE_CONFIG",
        default_value = "/etc/fieldgate/fieldgate.toml"
    )]
    pub(super) config: PathBuf,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

const TOP_EXAMPLES: &str = "\
Examples:
  fieldgate check --config site.toml          what is wrong, and what it would cost to run
  fieldgate run --config site.toml            poll until stopped
  fieldgate status                            how the running gateway is
  fieldgate read main-meter                   ask a device, at once
  fieldgate simulate demo-meter demo-pump     devices to try it with

Exit status: 0 good, 1 findings or a refusal, 2 wrong use or unusable configuration.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run the gateway until it is stopped
    #[command(after_help = "\
Examples:
  fieldgate run --config site.toml
  RUST_LOG=debug fieldgate run --config site.toml

SIGTERM and SIGINT stop it in order within 5 s; a second one ends it at once.")]
    Run,
    /// Say what is wrong with a configuration, what it asks of the buses, and what it will write
    #[command(after_help = "\
Examples:
  fieldgate check --config site.toml
  fieldgate check --config site.toml --json | jq .forecast")]
    Check(CheckArgs),
    /// Show what is asked of each device, in which requests, and what that costs
    #[command(after_help = "\
Examples:
  fieldgate plan
  fieldgate plan main-meter
  fieldgate plan --bus cabinet --line 9600-8N1      what if it were on this line
  fieldgate plan --json | jq '.buses[].load_percent'

Ranges that a device refuses are known from the running gateway's buffer.")]
    Plan(PlanArgs),
    /// Show how the running gateway is, what is wrong first
    #[command(after_help = "\
Examples:
  fieldgate status
  fieldgate status --json | jq '.devices[] | select(.state != \"ok\")'
  fieldgate status --socket /run/fieldgate/fieldgate.sock")]
    Status(DaemonArgs),
    /// Read a device at once, over the running gateway
    #[command(after_help = "\
Examples:
  fieldgate read main-meter
  fieldgate read main-meter voltage_l1 voltage_l2
  fieldgate read main-meter --json | jq '.signals[].value'")]
    Read(ReadArgs),
    /// Write a signal, over the running gateway; asks before it writes
    #[command(after_help = "\
Examples:
  fieldgate write heating setpoint 21.5
  fieldgate write heating setpoint 21.5 --dry-run     what would be sent
  fieldgate write heating enabled on --yes            without asking
  fieldgate write heating offset --yes -- -3          a negative value

The value is in the signal's unit. It is read back and compared, unless --no-verify is given.")]
    Write(WriteArgs),
    /// Show values as they come in
    #[command(after_help = "\
Examples:
  fieldgate watch
  fieldgate watch main-meter --for '30 s'
  fieldgate watch main-meter --json | jq -c '[.signal, .value]'")]
    Watch(WatchArgs),
    /// Try out parsers
    #[command(after_help = "\
Examples:
  fieldgate parser test pump.luau")]
    Parser {
        #[command(subcommand)]
        verb: ParserVerb,
    },
    /// Serve simulated Modbus devices whose values move, and whose answers go wrong on demand
    #[command(after_help = simulate::AFTER_HELP)]
    Simulate(Box<SimulateArgs>),
    /// Look at profiles
    #[command(after_help = "\
Examples:
  fieldgate profile list")]
    Profile {
        #[command(subcommand)]
        verb: ProfileVerb,
    },
    /// Print completions for a shell
    #[command(after_help = "\
Examples:
  fieldgate completions bash > /etc/bash_completion.d/fieldgate
  fieldgate completions zsh > ~/.zfunc/_fieldgate
  fieldgate completions fish > ~/.config/fish/completions/fieldgate.fish")]
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// Verbs about parsers.
#[derive(Debug, Subcommand)]
pub(super) enum ParserVerb {
    /// Run a parser over one frame; it needs no profile
    #[command(after_help = "\
Examples:
  fieldgate parser test pump.luau
  fieldgate parser test pump.luau --frame '{\"hr\": [1, 1450, 325, 482, 0, 7]}'
  fieldgate parser test pump.luau --frame '{\"ir\": {\"100\": [7, 8]}, \"co\": [true]}'
  fieldgate parser test text.luau --frame '{\"payload\": \"21.5 C\", \"format\": 0}'

Without --frame, hr[0] to hr[9] hold 0 to 9.")]
    Test(ParserTestArgs),
}

/// Verbs about profiles.
#[derive(Debug, Subcommand)]
pub(super) enum ProfileVerb {
    /// List the profiles that a configuration can name
    #[command(after_help = "\
Examples:
  fieldgate profile list
  fieldgate profile list --profiles ./profiles --json")]
    List(ProfileListArgs),
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

/// Where the running gateway is found.
#[derive(Debug, Args)]
pub(super) struct DaemonArgs {
    /// The gateway's socket; as in the configuration file by default.
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ReadArgs {
    /// The device's name in the configuration.
    pub(super) device: String,
    /// Signals to read; all of the device without any.
    #[arg(value_name = "SIGNAL")]
    pub(super) signals: Vec<String>,
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
}

#[derive(Debug, Args)]
pub(super) struct WriteArgs {
    /// The device's name in the configuration.
    pub(super) device: String,
    /// The signal's name in the profile.
    pub(super) signal: String,
    /// The value, in the signal's unit.
    pub(super) value: String,
    /// Write without asking.
    #[arg(long)]
    pub(super) yes: bool,
    /// Show the request, write nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not read back and compare.
    #[arg(long)]
    pub(super) no_verify: bool,
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
}

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// One device only.
    pub(super) device: Option<String>,
    /// Stop after this time, such as `30 s`.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(super) duration: Option<Millis>,
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
}

#[derive(Debug, Args)]
pub(super) struct ParserTestArgs {
    /// The parser's Luau file.
    pub(super) file: PathBuf,
    /// What it is given: `hr`, `ir`, `co`, `di` as lists from address 0 or objects of address to
    /// list; `payload`, `format`, `device`.
    #[arg(long, value_name = "JSON")]
    pub(super) frame: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ProfileListArgs {
    /// Folder of further profiles; `profiles` beside the configuration file by default.
    #[arg(long, value_name = "FOLDER")]
    pub(super) profiles: Option<PathBuf>,
    /// Print a JSON array.
    #[arg(long)]
    pub(super) json: bool,
}

fn duration(text: &str) -> Result<Millis, String> {
    parse_duration(text).map_err(|error| format!("{error}; {}", error.hint()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_configuration_is_taken_before_and_after_the_verb() {
        for line in
            [["fieldgate", "--config", "a.toml", "run"], ["fieldgate", "run", "--config", "a.toml"]]
        {
            let cli = Cli::try_parse_from(line).expect("both are right");
            assert_eq!(cli.config, PathBuf::from("a.toml"));
        }
    }

    #[test]
    fn every_verb_has_examples() {
        fn walk(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:\n  fieldgate"), "{}", command.get_name());
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }
}
