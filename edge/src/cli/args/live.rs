//! Arguments of the verbs that a technician uses on a live bus.
//!
//! Letters that people know from mbpoll mean here what they mean there.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fieldgate_modbus::line::LineSettings;
use fieldgate_model::Millis;

use super::{DaemonArgs, duration};
use crate::cli::raw::{RawType, UnitList, parse_timeout};

/// How a device is reached that no configuration names.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Without a configuration (letters as mbpoll has them)")]
pub(in crate::cli) struct LineArgs {
    /// Unit id, or several as `1,2,5:9`.
    #[arg(short = 'a', long = "unit", value_name = "UNIT")]
    pub(in crate::cli) units: Option<UnitList>,
    /// What is spoken; told by the endpoint otherwise.
    #[arg(short = 'm', long, value_enum, value_name = "MODE")]
    pub(in crate::cli) mode: Option<Mode>,
    /// TCP port; 502 by default.
    #[arg(short = 'p', long, value_name = "PORT")]
    pub(in crate::cli) port: Option<u16>,
    /// Line settings such as `9600-8N1`, which is also the default.
    #[arg(long, value_name = "LINE", value_parser = line)]
    pub(in crate::cli) line: Option<LineSettings>,
    /// Speed of the line.
    #[arg(short = 'b', long, value_name = "BAUD", conflicts_with = "line")]
    pub(in crate::cli) baud: Option<u32>,
    /// Parity of the line.
    #[arg(short = 'P', long, value_enum, value_name = "PARITY", conflicts_with = "line")]
    pub(in crate::cli) parity: Option<ParityArg>,
    /// Data bits of a character, 7 or 8.
    #[arg(short = 'd', long, value_name = "BITS", conflicts_with = "line")]
    pub(in crate::cli) databits: Option<u8>,
    /// Stop bits of a character, 1 or 2.
    #[arg(short = 's', long, value_name = "BITS", conflicts_with = "line")]
    pub(in crate::cli) stopbits: Option<u8>,
    /// How long an answer may take: seconds, or with a unit such as `300 ms`.
    #[arg(short = 'o', long, value_name = "TIME", value_parser = parse_timeout)]
    pub(in crate::cli) timeout: Option<Millis>,
}

/// What is spoken on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Mode {
    /// Modbus TCP
    Tcp,
    /// Modbus RTU on a serial port
    Rtu,
    /// Modbus ASCII on a serial port
    Ascii,
    /// RTU frames on a TCP connection
    RtuOverTcp,
}

/// Parity as mbpoll names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ParityArg {
    /// no parity bit
    #[value(alias = "n", alias = "N")]
    None,
    /// even parity
    #[value(alias = "e", alias = "E")]
    Even,
    /// odd parity
    #[value(alias = "o", alias = "O")]
    Odd,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ReadArgs {
    /// The device's name in the configuration; or `tcp://HOST:PORT`, `rtu+tcp://HOST:PORT`,
    /// `/dev/PORT`, `ascii:/dev/PORT`.
    #[arg(value_name = "DEVICE")]
    pub(in crate::cli) target: String,
    /// Signals, or addresses such as `hr:0..9`; all signals of the device without any.
    #[arg(value_name = "SIGNAL|ADDRESS")]
    pub(in crate::cli) items: Vec<String>,
    /// First reference, counted from 1, or from 0 with `-0`; instead of an address.
    #[arg(short = 'r', long = "reference", value_name = "REFERENCE")]
    pub(in crate::cli) reference: Option<u32>,
    /// How many values.
    #[arg(short = 'c', long, value_name = "COUNT")]
    pub(in crate::cli) count: Option<u16>,
    /// Table and type: `0` coils, `1` discrete inputs, `3` input registers, `4` holding registers;
    /// `4:float`, `4:int`, `4:int16`, `4:hex`, `4:string`, or `4:u32` and the like. Numbers of two
    /// registers are CDAB without `-B`, as mbpoll has it.
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    pub(in crate::cli) data: Option<RawType>,
    /// References count from 0.
    #[arg(short = '0', long)]
    pub(in crate::cli) from_zero: bool,
    /// Read once; so it is anyway, unless `-l` is given.
    #[arg(short = '1', long, conflicts_with = "poll_rate")]
    pub(in crate::cli) once: bool,
    /// Numbers of several registers are ABCD.
    #[arg(short = 'B', long)]
    pub(in crate::cli) big_endian: bool,
    /// Read again every so many milliseconds, until stopped.
    #[arg(short = 'l', long, value_name = "MILLISECONDS")]
    pub(in crate::cli) poll_rate: Option<u64>,
    #[command(flatten)]
    pub(in crate::cli) line: LineArgs,
    #[command(flatten)]
    pub(in crate::cli) daemon: DaemonArgs,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(in crate::cli) struct ScanArgs {
    /// The bus's name in the configuration; or `tcp://HOST:PORT`, `rtu+tcp://HOST:PORT`,
    /// `/dev/PORT`, `ascii:/dev/PORT`; or `coap://HOST:PORT`, `coap` for this machine.
    #[arg(value_name = "BUS|ENDPOINT")]
    pub(in crate::cli) target: String,
    /// With `coap`: ask all CoAP devices on the network, by multicast.
    #[arg(long)]
    pub(in crate::cli) multicast: bool,
    /// On a serial line: try these speeds and parities too, the common ones first.
    #[arg(long)]
    pub(in crate::cli) sweep: bool,
    /// Go on from this unit id.
    #[arg(long, value_name = "UNIT")]
    pub(in crate::cli) from: Option<u8>,
    /// Go on where an interrupted scan of the same place has stopped.
    #[arg(long, conflicts_with = "from")]
    pub(in crate::cli) resume: bool,
    /// Where an interrupted scan remembers how far it was.
    #[arg(long, value_name = "FILE", default_value = ".fieldgate-scan.json")]
    pub(in crate::cli) state: PathBuf,
    /// Do not probe how many requests may be under way at a time.
    #[arg(long)]
    pub(in crate::cli) no_pipelining: bool,
    #[command(flatten)]
    pub(in crate::cli) line: LineArgs,
    #[command(flatten)]
    pub(in crate::cli) daemon: DaemonArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DecodeArgs {
    /// The device's name in the configuration, or an endpoint as `read` takes it.
    #[arg(value_name = "DEVICE", required_unless_present = "words", conflicts_with = "words")]
    pub(in crate::cli) target: Option<String>,
    /// Where to read, such as `hr:0..3`.
    #[arg(value_name = "ADDRESS", required_unless_present = "words")]
    pub(in crate::cli) address: Option<String>,
    /// Registers to decode without a device, such as `0x47F1,0x2000`.
    #[arg(long, value_name = "WORDS", value_delimiter = ',', value_parser = word)]
    pub(in crate::cli) words: Vec<u16>,
    /// Only what is plausible.
    #[arg(long)]
    pub(in crate::cli) plausible: bool,
    #[command(flatten)]
    pub(in crate::cli) line: LineArgs,
    #[command(flatten)]
    pub(in crate::cli) daemon: DaemonArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ExplainArgs {
    /// The device's name in the configuration.
    pub(in crate::cli) device: String,
    /// The signal's name in the profile.
    pub(in crate::cli) signal: String,
    #[command(flatten)]
    pub(in crate::cli) daemon: DaemonArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TraceArgs {
    /// One bus only; a CoAP host by its URL, or all of them by `coap`.
    pub(in crate::cli) bus: Option<String>,
    /// One unit only.
    #[arg(short = 'a', long, value_name = "UNIT")]
    pub(in crate::cli) unit: Option<u8>,
    /// Stop after this time, such as `30 s`.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(in crate::cli) duration: Option<Millis>,
    /// Write the frames to this file instead, for Wireshark.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) pcap: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) daemon: DaemonArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TopArgs {
    /// Print one screen as text and end; so it is without a terminal.
    #[arg(long)]
    pub(in crate::cli) once: bool,
    /// The device whose signals are shown first.
    pub(in crate::cli) device: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) daemon: DaemonArgs,
}

fn line(text: &str) -> Result<LineSettings, String> {
    text.parse::<LineSettings>().map_err(|error| format!("{error}; {}", error.hint()))
}

fn word(text: &str) -> Result<u16, String> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let word = match digits {
        Some(hex) => u16::from_str_radix(hex, 16),
        None => text.parse(),
    };
    word.map_err(|_| format!("`{text}` is not a register; write `0x47F1` or `18417`"))
}
