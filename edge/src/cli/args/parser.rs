//! What can be written after `fieldgate parser`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fieldgate_model::Millis;

use super::{DaemonArgs, duration};

/// Verbs about parsers.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ParserVerb {
    /// Run a parser over one frame; it needs no profile
    #[command(after_help = "\
Examples:
  fieldgate parser test pump.luau
  fieldgate parser test pump.luau --frame '{\"hr\": [1, 1450, 325, 482, 0, 7]}'
  fieldgate parser test pump.luau --frame '{\"ir\": {\"100\": [7, 8]}, \"co\": [true]}'
  fieldgate parser test text.luau --frame '{\"payload\": \"21.5 C\", \"format\": 0}'
  fieldgate parser test text.luau --frame '{\"payload_hex\": \"01AB\"}'

Without --frame, hr[0] to hr[9] hold 0 to 9.")]
    Test(ParserTestArgs),
    /// Run a parser over the frames that the running gateway has kept: those that failed, and the
    /// last ones
    #[command(after_help = "\
Examples:
  fieldgate parser replay pump.luau                      your file over the gateway's frames
  fieldgate parser replay pump.luau --save frames.jsonl  keep them
  fieldgate parser replay pump.luau --frames frames.jsonl
  fieldgate parser replay pump.luau --json | jq 'select(.error)'

The gateway keeps the last 20 frames that failed and the last 100 of all for each parser, in memory,
with the state that they came with. Exit status 1 if your file fails on any.")]
    Replay(ParserReplayArgs),
    /// Measure a parser: parses a second, fuel and memory against their limits
    #[command(after_help = "\
Examples:
  fieldgate parser bench pump.luau
  fieldgate parser bench pump.luau --frame '{\"hr\": [1, 1450, 325]}' --for '5 s' --json")]
    Bench(ParserBenchArgs),
    /// Have the running gateway take a parser's file anew
    #[command(after_help = "\
Examples:
  fieldgate parser reload pump.luau
  fieldgate parser reload pump.luau --force
  fieldgate parser reload pump.luau --json | jq .differences

The file is read from the gateway's folder of profiles. Old and new are run over the last 100 frames,
and what differs is shown. If the new one fails where the old one did not, it is refused, unless
--force is given. A parser that was disabled for overrunning its limits runs again.")]
    Reload(ParserReloadArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ParserTestArgs {
    /// The parser's Luau file.
    pub(in crate::cli) file: PathBuf,
    /// What it is given: `hr`, `ir`, `co`, `di` as lists from address 0 or objects of address to
    /// list; `payload` or `payload_hex`, `format`, `device`, `at`.
    #[arg(long, value_name = "JSON")]
    pub(in crate::cli) frame: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ParserReplayArgs {
    /// The parser's Luau file; the gateway knows it by its name without the folder.
    pub(in crate::cli) file: PathBuf,
    /// Frames from a file, one JSON object a line, instead of the running gateway.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) frames: Option<PathBuf>,
    /// Write the gateway's frames to a file.
    #[arg(long, value_name = "FILE", conflicts_with = "frames")]
    pub(in crate::cli) save: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) daemon: DaemonArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ParserBenchArgs {
    #[command(flatten)]
    pub(in crate::cli) test: ParserTestArgs,
    /// How long it is measured.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = "2 s")]
    pub(in crate::cli) duration: Millis,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ParserReloadArgs {
    /// The name of the parser's file in the gateway's folder of profiles.
    pub(in crate::cli) file: String,
    /// Take it even if it fails on frames that the present one does not fail on.
    #[arg(long)]
    pub(in crate::cli) force: bool,
    #[command(flatten)]
    pub(in crate::cli) daemon: DaemonArgs,
}
