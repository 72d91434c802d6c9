//! Faults on demand: what goes wrong with the answers of one device, how often, and when.
//!
//! # Invariants
//!
//! - Each answer draws once for each fault, in one order: a share that changes moves no other
//!   fault to another answer, and one device's requests move none of another's.
//! - What is counted as injected took effect.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;

use fieldgate_modbus::register::{Address, ReadRequest, Table};
use fieldgate_model::Millis;
use serde::Deserialize;
use thiserror::Error;

use super::chance::{Chance, Share, ShareError};
use super::frame::Framing;
use crate::config::{UnitError, parse_duration};

/// Random bytes before an answer: 1 to this many, as a driver that switches on too early makes.
const NOISE_MAX: u64 = 8;

/// What goes wrong with a device's answers; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultOptions {
    /// Answers that are not sent; what was to be written is written.
    pub drop: Share,
    /// Answers that are sent later than they could be.
    pub late: Option<Late>,
    /// Answers whose checksum is wrong; on TCP, whose length is wrong.
    pub crc: Share,
    /// Answers with random bytes before them.
    pub noise: Share,
    /// Answers with an answer of another unit before them.
    pub foreign: Share,
    /// Answers with the transaction id of another request; TCP only.
    pub wrong_tid: Share,
    /// Requests that are refused with exception 6.
    pub busy: Share,
    /// Each byte is sent alone.
    pub split: bool,
    /// Bytes after each frame: its CRC, then zeros.
    pub trailing: u8,
    /// Addresses that are refused.
    pub exceptions: Vec<Refused>,
    /// Reads of more registers are refused with exception 3.
    pub max_registers: Option<u16>,
}

/// Answers that come late; written `300ms` or `300ms@10%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Late {
    /// How late.
    pub by: Millis,
    /// How many.
    pub share: Share,
}

/// Addresses that are refused; written `2@hr:100..110`, both ends count, or `2@100..110` for all
/// tables.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Refused {
    /// The exception code.
    pub code: u8,
    /// Of which table; `None` for all.
    pub table: Option<Table>,
    /// PDU addresses.
    pub offsets: RangeInclusive<u16>,
}

/// A text that describes no fault.
#[derive(Debug, Error)]
pub enum FaultError {
    /// Not a time.
    #[error(transparent)]
    Time(#[from] UnitError),
    /// Not a share.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// Not a code and addresses.
    #[error("`{text}` is not an exception code and the addresses it is for")]
    Refused {
        /// What was written.
        text: String,
    },
}

impl FaultError {
    /// What to write instead.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Time(_) => "write `300ms`, or `300ms@10%` for some answers only",
            Self::Share(error) => error.hint(),
            Self::Refused { .. } => "write `2@hr:100..110`, or `2@100..110` for all tables",
        }
    }
}

/// What happens to one answer on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) late: Option<Millis>,
    pub(super) noise: Vec<u8>,
    pub(super) is_foreign_first: bool,
    /// What the checksum or length is changed by; 0 leaves it right.
    pub(super) spoil: u8,
    pub(super) is_of_another: bool,
    pub(super) is_split: bool,
    pub(super) trailing: u8,
}

/// What happens to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is refused with exception 6.
    Busy(Wire),
    /// It is served, and the answer is lost.
    Dropped,
    /// It is served.
    Served(Wire),
}

/// The faults of one device.
#[derive(Debug)]
pub(super) struct Faults {
    options: FaultOptions,
    chance: Chance,
    counts: BTreeMap<&'static str, u64>,
}

impl Faults {
    pub(super) fn new(options: FaultOptions, seed: u64) -> Self {
        Self { options, chance: Chance::new(seed), counts: BTreeMap::new() }
    }

    /// From the next request on.
    pub(super) fn set(&mut self, options: FaultOptions) {
        self.options = options;
    }

    /// How often each fault was injected.
    pub(super) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// Decides about the next answer.
    pub(super) fn draw(&mut self, framing: Framing) -> Fate {
        let Self { options, chance, counts } = self;
        let late = options.late.filter(|late| chance.hits(late.share)).map(|late| late.by);
        let mut draw = |share| chance.hits(share);
        let [is_dropped, is_spoilt, is_noisy] =
            [options.drop, options.crc, options.noise].map(&mut draw);
        let [is_foreign_first, is_of_another, is_busy] =
            [options.foreign, options.wrong_tid, options.busy].map(&mut draw);
        let noise = match 1 + chance.next() % NOISE_MAX {
            length if is_noisy => (0..length).map(|_| chance.byte()).collect(),
            _ => Vec::new(),
        };
        let spoil = if is_spoilt { chance.byte() | 1 } else { 0 };
        let is_of_another = is_of_another && framing == Framing::Tcp;
        let mut count = |name, happens: bool| {
            if happens {
                *counts.entry(name).or_default() += 1;
            }
        };
        count("drop", is_dropped);
        if is_dropped {
            return Fate::Dropped;
        }
        count("late", late.is_some());
        count("crc", is_spoilt);
        count("noise", is_noisy);
        count("foreign", is_foreign_first);
        count("wrong_tid", is_of_another);
        count("busy", is_busy);
        let (is_split, trailing) = (options.split, options.trailing);
        let wire = Wire { late, noise, is_foreign_first, spoil, is_of_another, is_split, trailing };
        if is_busy { Fate::Busy(wire) } else { Fate::Served(wire) }
    }

    /// The exception that a range is refused with.
    pub(super) fn refusal(&mut self, range: ReadRequest) -> Option<u8> {
        let is_long = self.options.max_registers.is_some_and(|max| range.count > max);
        let last = range.start.saturating_add(range.count.saturating_sub(1));
        let touched = |refused: &&Refused| {
            refused.table.is_none_or(|table| table == range.table)
                && *refused.offsets.start() <= last
                && range.start <= *refused.offsets.end()
        };
        let refused = self.options.exceptions.iter().find(touched).map(|refused| refused.code);
        let code = if is_long && !range.table.is_bits() { Some(3) } else { refused };
        if code.is_some() {
            *self.counts.entry("exception").or_default() += 1;
        }
        code
    }
}

impl Wire {
    /// Whether the asker cannot use the answer.
    pub(super) fn is_useless(&self) -> bool {
        self.spoil != 0 || self.is_of_another
    }
}

impl FromStr for Late {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (by, share) = match text.split_once('@') {
            Some((by, share)) => (by, share.parse()?),
            None => (text, Share::ALL),
        };
        Ok(Self { by: parse_duration(by)?, share })
    }
}

impl FromStr for Refused {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let wrong = || FaultError::Refused { text: text.to_owned() };
        let (code, range) = text.split_once('@').ok_or_else(wrong)?;
        let code = code.trim().parse().ok().filter(|code| *code != 0).ok_or_else(wrong)?;
        let (first, last) = range.split_once("..").unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.trim().parse(), last.trim().parse::<u16>()) {
            return Ok(Self { code, table: None, offsets: first..=last }).and_then(forward(wrong));
        }
        let first: Address = first.parse().map_err(|_| wrong())?;
        let offset = if let Ok(offset) = last.trim().parse() {
            offset
        } else {
            let last: Address = last.parse().map_err(|_| wrong())?;
            if last.table != first.table {
                return Err(wrong());
            }
            last.offset
        };
        let refused = Self { code, table: Some(first.table), offsets: first.offset..=offset };
        Ok(refused).and_then(forward(wrong))
    }
}

/// Refuses a range that ends before it starts.
fn forward(wrong: impl Fn() -> FaultError) -> impl Fn(Refused) -> Result<Refused, FaultError> {
    move |refused| if refused.offsets.is_empty() { Err(wrong()) } else { Ok(refused) }
}

impl TryFrom<String> for Late {
    type Error = FaultError;

    fn try_from(text: String) -> Result<Self, FaultError> {
        text.parse()
    }
}

impl TryFrom<String> for Refused {
    type Error = FaultError;

    fn try_from(text: String) -> Result<Self, FaultError> {
        text.parse()
    }
}
