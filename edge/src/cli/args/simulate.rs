//! What `simulate` takes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use fieldgate_modbus::line::LineSettings;
use fieldgate_modbus::register::UnitId;
use fieldgate_model::Millis;

use super::duration;
use crate::simulate::{FaultOptions, Late, Refused, Share};

/// What help says after the options.
pub(in crate::cli) const AFTER_HELP: &str = "\
Examples:
  fieldgate simulate demo-meter demo-pump
  fieldgate simulate my-device.toml --listen 127.0.0.1:5021
  fieldgate simulate demo-meter --unit 17 --rtu=/tmp/bus --line 19200-8N1
  fieldgate simulate demo-meter --drop 5% --late 300ms@10% --exception 2@hr:100..110
  fieldgate simulate demo-meter --count 20 --silent-unit 7 --die-after 60s --revive-after 30s
  fieldgate simulate demo-meter --listen 127.0.0.1:0 --control 127.0.0.1:0 --json
  fieldgate simulate demo-coap-sensor --listen 127.0.0.1:5683 --drop 5% --late 300ms@10%

Unit ids count from 1, or from --unit, in the order given. --control takes one JSON object a line:
  {\"device\": \"demo-meter\", \"signal\": \"voltage_l1\", \"value\": 260}
  {\"device\": \"demo-meter\", \"faults\": {\"crc\": \"10%\", \"split\": true}}

A serial line is a pseudo-terminal: bytes take their time at the speed of --line, and are garbled
while the other end has another speed. It has no parity and no RS-485 settings, so those cannot be
rehearsed on it; open it as 8N1 whatever --line says, which then only costs the time.

The same --seed lets faults hit the same answers of each device again.";

#[derive(Debug, Args)]
pub(in crate::cli) struct SimulateArgs {
    /// Name of a profile, or path of its file.
    #[arg(value_name = "PROFILE", required = true)]
    pub(in crate::cli) profiles: Vec<String>,
    /// How many devices to make, of the profiles in turn; one of each by default.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(in crate::cli) count: Option<u16>,
    /// Unit id of the first device; the others count up from it.
    #[arg(
        short = 'a',
        long,
        value_name = "UNIT",
        default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..=247),
        conflicts_with = "separate"
    )]
    pub(in crate::cli) unit: u8,
    /// Give each device an address of its own and unit id 1: ports count up from --listen.
    #[arg(long)]
    pub(in crate::cli) separate: bool,
    /// Where to take control lines; port 0 for any.
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) control: Option<SocketAddr>,
    /// Of a CoAP device: tell whoever observes so often.
    #[arg(long, value_name = "DURATION", default_value = "1 s", value_parser = duration)]
    pub(in crate::cli) notify_every: Millis,
    /// Announce what is served where as one line of JSON.
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) doors: DoorArgs,
    #[command(flatten)]
    pub(in crate::cli) faults: FaultArgs,
}

/// Ways to the devices; all that are given lead to the same ones.
#[derive(Debug, Args)]
#[command(next_help_heading = "Transports")]
pub(in crate::cli) struct DoorArgs {
    /// Modbus TCP here, port 0 for any; 127.0.0.1:5020 if nothing else is asked for. A CoAP device
    /// is at 127.0.0.1:5683 by default, and knows the faults `--drop` and `--late`.
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) listen: Option<SocketAddr>,
    /// RTU frames over TCP here; port 0 for any.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "separate")]
    pub(in crate::cli) rtu_over_tcp: Option<SocketAddr>,
    /// RTU on a serial line; LINK is made to point to it.
    #[arg(
        long,
        value_name = "LINK",
        num_args = 0..=1,
        require_equals = true,
        conflicts_with = "separate"
    )]
    #[expect(clippy::option_option, reason = "absent, without a link, and with one")]
    pub(in crate::cli) rtu: Option<Option<PathBuf>>,
    /// Modbus ASCII on a serial line; LINK is made to point to it.
    #[arg(
        long,
        value_name = "LINK",
        num_args = 0..=1,
        require_equals = true,
        conflicts_with = "separate"
    )]
    #[expect(clippy::option_option, reason = "absent, without a link, and with one")]
    pub(in crate::cli) ascii: Option<Option<PathBuf>>,
    /// Speed and form of the serial lines.
    #[arg(long, value_name = "LINE", default_value = "9600-8N1", value_parser = line)]
    pub(in crate::cli) line: LineSettings,
    /// Echo on the serial lines what the client sends, as some two-wire adapters do.
    #[arg(long)]
    pub(in crate::cli) echo: bool,
}

/// What goes wrong; shares are written `5%` or `0.05`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Faults")]
pub(in crate::cli) struct FaultArgs {
    /// Lose this share of the answers.
    #[arg(long, value_name = "SHARE", default_value = "0", hide_default_value = true, value_parser = share)]
    pub(in crate::cli) drop: Share,
    /// Send answers late, all or a share: 300ms, 300ms@10%.
    #[arg(long, value_name = "TIME[@SHARE]", value_parser = fault::<Late>)]
    pub(in crate::cli) late: Option<Late>,
    /// Spoil the checksum; on TCP the length.
    #[arg(long, value_name = "SHARE", default_value = "0", hide_default_value = true, value_parser = share)]
    pub(in crate::cli) crc: Share,
    /// Put random bytes before the answer.
    #[arg(long, value_name = "SHARE", default_value = "0", hide_default_value = true, value_parser = share)]
    pub(in crate::cli) noise: Share,
    /// Put an answer of another unit before the answer.
    #[arg(long, value_name = "SHARE", default_value = "0", hide_default_value = true, value_parser = share)]
    pub(in crate::cli) foreign: Share,
    /// Answer with another transaction id; TCP only.
    #[arg(long, value_name = "SHARE", default_value = "0", hide_default_value = true, value_parser = share)]
    pub(in crate::cli) wrong_tid: Share,
    /// Refuse with exception 6.
    #[arg(long, value_name = "SHARE", default_value = "0", hide_default_value = true, value_parser = share)]
    pub(in crate::cli) busy: Share,
    /// Send byte by byte.
    #[arg(long)]
    pub(in crate::cli) split: bool,
    /// Send so many bytes after each frame.
    #[arg(long, value_name = "BYTES", default_value = "0", hide_default_value = true)]
    pub(in crate::cli) trailing: u8,
    /// Refuse addresses with an exception: 2@hr:100..110, or 2@100..110 in all tables.
    #[arg(long = "exception", value_name = "CODE@RANGE", value_parser = fault::<Refused>)]
    pub(in crate::cli) exceptions: Vec<Refused>,
    /// Refuse reads of more registers with exception 3.
    #[arg(long, value_name = "NUMBER")]
    pub(in crate::cli) max_registers: Option<u16>,
    /// Leave a unit without answer; may be given again.
    #[arg(long = "silent-unit", value_name = "UNIT")]
    silent_units: Vec<u8>,
    /// Fall silent after this time.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(in crate::cli) die_after: Option<Millis>,
    /// Answer again this long after that.
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "die_after")]
    pub(in crate::cli) revive_after: Option<Millis>,
    /// Decides which answers are hit.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(in crate::cli) seed: u64,
}

impl FaultArgs {
    /// What goes wrong with answers.
    pub(in crate::cli) fn options(&self) -> FaultOptions {
        FaultOptions {
            drop: self.drop,
            late: self.late,
            crc: self.crc,
            noise: self.noise,
            foreign: self.foreign,
            wrong_tid: self.wrong_tid,
            busy: self.busy,
            split: self.split,
            trailing: self.trailing,
            exceptions: self.exceptions.clone(),
            max_registers: self.max_registers,
        }
    }

    pub(in crate::cli) fn silent_units(&self) -> BTreeSet<UnitId> {
        self.silent_units.iter().copied().map(UnitId).collect()
    }
}

fn share(text: &str) -> Result<Share, String> {
    text.parse::<Share>().map_err(|error| format!("{error}; {}", error.hint()))
}

fn fault<T: FromStr<Err = crate::simulate::FaultError>>(text: &str) -> Result<T, String> {
    text.parse::<T>().map_err(|error| format!("{error}; {}", error.hint()))
}

fn line(text: &str) -> Result<LineSettings, String> {
    text.parse::<LineSettings>().map_err(|error| format!("{error}; {}", error.hint()))
}
