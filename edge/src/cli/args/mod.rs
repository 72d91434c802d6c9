//! What can be written on the command line.

mod live;
mod parser;
pub(super) mod simulate;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use fieldgate_model::Millis;

pub(super) use self::live::{
    DecodeArgs, ExplainArgs, LineArgs, Mode, ParityArg, ReadArgs, ScanArgs, TopArgs, TraceArgs,
};
pub(super) use self::parser::{
    ParserBenchArgs, ParserReloadArgs, ParserReplayArgs, ParserTestArgs, ParserVerb,
};
use self::simulate::SimulateArgs;
use super::buffer::BufferVerb;
use super::history::HistoryArgs;
use super::plan::PlanArgs;
use super::profile::args::ProfileVerb;
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
By what you are at:
  find out         scan, decode, read, trace
  describe         profile, parser, check, plan
  run and look     run, status, top, watch, history, buffer, explain, write, sync,
                   command
  rehearse         simulate

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
    /// Read a device at once, over the running gateway or without one
    #[command(after_help = "\
Examples:
  fieldgate read main-meter
  fieldgate read main-meter voltage_l1 voltage_l2
  fieldgate read main-meter hr:0..9
  fieldgate read main-meter --json | jq '.signals[].value'
  fieldgate read tcp://192.168.1.20:502 -a 1 hr:0..9
  fieldgate read /dev/ttyUSB0 -b 9600 -P none -a 1 -t 4:float -r 1 -c 2
  fieldgate read 192.168.1.20 -m tcp -a 1 -0 -r 0 -c 1 -t 4:float -B

A device that the gateway polls is asked by the gateway, between two polls. On exception 2 the
addresses beside it are tried once: manuals that count from 1 and from 0 are mixed up often.")]
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
    /// Find the devices on a bus: unit ids, line settings, what they are
    #[command(after_help = "\
Examples:
  fieldgate scan cabinet                            a bus of the configuration
  fieldgate scan tcp://192.168.1.20:502
  fieldgate scan /dev/ttyUSB0 --sweep               unknown speed and parity too
  fieldgate scan /dev/ttyUSB0 -b 9600 -P none -a 1,2,5:9
  fieldgate scan /dev/ttyUSB0 --sweep --resume      go on after Ctrl-C

Each unit is asked for holding register 0 (FC 3), and what answers anything, an exception too, is
asked for input register 0 (FC 4), its server id (FC 17), its identification (FC 43/14), and for the
mark of SunSpec at holding registers 40000, 50000 and 0 (FC 3). Nothing is written. A bus that the gateway polls is taken from it while the scan runs: nothing is polled
there meanwhile, and it is given back at the end, however this ends.")]
    Scan(ScanArgs),
    /// Show one reading in every type and word order
    #[command(after_help = "\
Examples:
  fieldgate decode main-meter hr:0..3
  fieldgate decode tcp://192.168.1.20 -a 1 ir:0..1 --plausible
  fieldgate decode --words 0x47F1,0x2000

A `*` marks what is plausible: a float of a size that devices measure, an integer that is not
enormous, a readable text.")]
    Decode(DecodeArgs),
    /// Say all about one signal: where it is from, how it is read, why it has no value
    #[command(after_help = "\
Examples:
  fieldgate explain main-meter voltage_l1
  fieldgate explain main-meter voltage_l1 --json | jq .why")]
    Explain(ExplainArgs),
    /// Show the frames on the buses, in words and hex, with their timing
    #[command(after_help = "\
Examples:
  fieldgate trace
  fieldgate trace cabinet --unit 1 --for '30 s'
  fieldgate trace cabinet --json | jq -c '[.direction, .words]'
  fieldgate trace cabinet --for '1 min' --pcap cabinet.pcap

The time of an answer counts from its request. In a capture, Modbus TCP frames lie in Ethernet, IP
and TCP on port 502, and Wireshark shows them as they are. Frames of serial lines have the link
type USER0 (147): in Wireshark, under Preferences, Protocols, DLT_USER, set the payload of User 0
to `mbrtu` (for ASCII there is no such protocol; the frame is its text).
The gateway waits for nobody: what a slow reader missed is counted and said.")]
    Trace(TraceArgs),
    /// Show buses, devices and signals live on one screen
    #[command(after_help = "\
Examples:
  fieldgate top
  fieldgate top main-meter
  fieldgate top --once
  fieldgate top --json | jq .wrong

Keys: q ends, up and down or j and k select, tab changes the list, ? shows the keys.")]
    Top(TopArgs),
    /// Show how the uplink is: whom it obeys, how far each stream is, what holds it up
    #[command(after_help = "\
Examples:
  fieldgate sync
  fieldgate sync --json | jq '.streams[] | .sealed - .committed'")]
    Sync(DaemonArgs),
    /// Show what the cloud has asked of this gateway, and what became of it
    #[command(after_help = "\
Examples:
  fieldgate command list
  fieldgate command show cmd-01f7a3")]
    Command {
        #[command(subcommand)]
        verb: CommandVerb,
    },
    /// Print the manual as man pages
    #[command(after_help = "\
Examples:
  fieldgate man | man -l -
  fieldgate man --out /usr/local/share/man/man1")]
    Man {
        /// Write one page for each verb into this folder.
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
    /// Try out parsers, replay the frames that failed, and take a new file into the running gateway
    #[command(after_help = "\
Examples:
  fieldgate parser test pump.luau
  fieldgate parser replay pump.luau
  fieldgate parser reload pump.luau")]
    Parser {
        #[command(subcommand)]
        verb: ParserVerb,
    },
    /// Serve simulated Modbus devices whose values move, and whose answers go wrong on demand
    #[command(after_help = simulate::AFTER_HELP)]
    Simulate(Box<SimulateArgs>),
    /// Look at profiles, test them, make them of what other tools have
    #[command(after_help = "\
Examples:
  fieldgate profile list
  fieldgate profile show eastron-sdm630
  fieldgate profile test
  fieldgate profile import --from csv registers.csv -o profiles/my-meter.toml")]
    Profile {
        #[command(subcommand)]
        verb: ProfileVerb,
    },
    /// Show what the gateway holds of a device, sent or not
    #[command(after_help = "\
Examples:
  fieldgate history main-meter --last '10 min'
  fieldgate history main-meter/voltage_l1 --last '1 h' --csv > voltage.csv
  fieldgate history main-meter --json | jq -c '[.at, .value]'

Read from the buffer's files, whether the gateway runs or not. Minutes that had to give way show
their mean, smallest and greatest value.")]
    History(HistoryArgs),
    /// Look into the buffer: what it holds, whether it is sound, what can be saved of a damaged one
    #[command(after_help = "\
Examples:
  fieldgate buffer stat
  fieldgate buffer verify
  fieldgate buffer salvage buffer.db.damaged-0 > salvaged.ndjson")]
    Buffer {
        #[command(subcommand)]
        verb: BufferVerb,
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

/// Verbs about commands of the cloud.
#[derive(Debug, Subcommand)]
pub(super) enum CommandVerb {
    /// List the commands that arrived last, newest first
    #[command(after_help = "\
Examples:
  fieldgate command list
  fieldgate command list --count 500 --json | jq '.[] | select(.state == \"failed\")'")]
    List(CommandListArgs),
    /// Show one command: who asked for what, and when each step was taken
    #[command(after_help = "\
Examples:
  fieldgate command show cmd-01f7a3
  fieldgate command show cmd-01f7a3 --json | jq .started_at")]
    Show(CommandShowArgs),
}

#[derive(Debug, Args)]
pub(super) struct CommandListArgs {
    /// How many.
    #[arg(long, value_name = "NUMBER", default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) count: u32,
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
}

#[derive(Debug, Args)]
pub(super) struct CommandShowArgs {
    /// The command's id.
    pub(super) id: String,
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
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
