//! What can be written behind `fieldgate profile`.
#![expect(clippy::doc_markdown, reason = "these texts are the help, which has no backticks")]

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::args::LineArgs;

/// Verbs about profiles.
#[derive(Debug, Subcommand)]
pub(crate) enum ProfileVerb {
    /// List the profiles that a configuration can name
    #[command(after_help = "\
Examples:
  fieldgate profile list
  fieldgate profile list --profiles ./profiles --json")]
    List(ProfileListArgs),
    /// Show a profile: where each signal lies, what it means, where that is known from
    #[command(after_help = "\
Examples:
  fieldgate profile show eastron-sdm630
  fieldgate profile show ./profiles/pump.toml
  fieldgate profile show eastron-sdm630 --json | jq '.signals[] | select(.verified | not)'

`verified` says whether a second source, independent of the first, has the same.")]
    Show(ProfileShowArgs),
    /// Run the tests that profiles carry, their parsers included
    #[command(after_help = "\
Examples:
  fieldgate profile test
  fieldgate profile test eastron-sdm630 ./profiles/pump.toml
  fieldgate profile test --json | jq '.[] | select(.failures != [])'

Exit status: 0 all passed, 1 a test failed or a profile cannot be used.")]
    Test(ProfileTestArgs),
    /// Make a profile of what other tools have, or of what a SunSpec device says of itself
    // `-o` is the output here, as everywhere where something is written.
    #[command(mut_arg("timeout", |timeout| timeout.short(None)), after_help = "\
Examples:
  fieldgate profile import --from csv registers.csv --name my-meter -o profiles/my-meter.toml
  fieldgate profile import --from telegraf telegraf.conf --device 3
  fieldgate profile import --from home-assistant modbus.yaml --device cabinet/1
  fieldgate profile import --from sunspec model_103.json --at 40070
  fieldgate profile import --from sunspec-device tcp://192.0.2.7:502 -a 126 --models ./models
  fieldgate profile import --from sunspec-device /dev/ttyUSB0 --line 9600-8E1 -a 3
  fieldgate profile import --from sunspec-device cabinet -a 3

The profile goes to standard output without -o. What it could not take over is told with its line.
Exit status: 0 everything is in the profile, 1 something was left out, 2 there is no profile.")]
    Import(ProfileImportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ProfileListArgs {
    /// Folder of further profiles; `profiles` beside the configuration file by default.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) profiles: Option<PathBuf>,
    /// Print a JSON array.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ProfileShowArgs {
    /// Its name, or the path of its file.
    #[arg(value_name = "NAME|FILE")]
    pub(crate) profile: String,
    /// Folder of further profiles; `profiles` beside the configuration file by default.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) profiles: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ProfileTestArgs {
    /// Names, or paths of files; every profile that a configuration can name without any.
    #[arg(value_name = "NAME|FILE")]
    pub(crate) names: Vec<String>,
    /// Folder of further profiles; `profiles` beside the configuration file by default.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) profiles: Option<PathBuf>,
    /// Print a JSON array.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a profile is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    /// A register list, with a header or with modpoll's rows.
    Csv,
    /// Telegraf's configuration with `[[inputs.modbus]]`.
    Telegraf,
    /// Home Assistant's `modbus:`, or the file that it includes.
    HomeAssistant,
    /// The JSON definition of one SunSpec model.
    Sunspec,
    /// A SunSpec device, which is asked what it has.
    SunspecDevice,
}

#[derive(Debug, Args)]
pub(crate) struct ProfileImportArgs {
    /// What it is made of.
    #[arg(long, value_name = "KIND")]
    pub(crate) from: From,
    /// The file, `-` for standard input; for a SunSpec device the bus's name in the configuration,
    /// or `tcp://HOST:PORT`, `rtu+tcp://HOST:PORT`, `/dev/PORT`, `ascii:/dev/PORT`.
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
    /// The profile's name; as in the file by default.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Unit id of the one device of a file that is meant, if there are several; `cabinet/3` where several
    /// buses have it.
    #[arg(long, value_name = "[BUS/]UNIT")]
    pub(crate) device: Option<String>,
    /// Bare numbers count from 1, as in most makers' tables.
    #[arg(long)]
    pub(crate) one_based: bool,
    /// Holding register with the id of a SunSpec model.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) at: Option<u16>,
    /// Folder with JSON definitions of SunSpec models, beside those that are built in.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) models: Option<PathBuf>,
    /// Write the profile there; nothing that is there is written over.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print one JSON object: the profile's text and the notes.
    #[arg(long)]
    pub(crate) json: bool,
    /// The gateway's socket; as in the configuration file by default.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) line: LineArgs,
}
