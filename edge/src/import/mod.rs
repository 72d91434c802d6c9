//! What people already have, as a profile: register lists, other gateways' configurations and
//! `SunSpec` definitions.
//!
//! # Invariants
//!
//! - Importers are functions of a text: no file, no clock, no network.
//! - Nothing is dropped in silence: whatever a profile cannot hold becomes a [`Note`] with its line.
//! - What an importer gives is loaded by the same reader as every other profile.

mod csv;
mod draft;
mod home_assistant;
mod names;
mod place;
mod sunspec;
mod telegraf;
mod tree;

pub(crate) use names::Names;

use std::fmt;

pub use self::sunspec::{SunSpecDevice, model_from_json, sunspec_device};

/// What kind of text is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A register list, one row a signal.
    Csv,
    /// Telegraf's `[[inputs.modbus]]`.
    Telegraf,
    /// Home Assistant's `modbus:`.
    HomeAssistant,
    /// The JSON definition of a `SunSpec` model.
    SunSpec,
}

/// What the person who imports says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The profile's name; made from the text or its file without it.
    pub name: Option<String>,
    /// Which device of several.
    pub device: Option<Pick>,
    /// Name of the file, for the profile's `source`.
    pub file: String,
    /// Whether bare numbers are counted from 1, as in most makers' tables.
    pub one_based: bool,
    /// Where a `SunSpec` model has its id; behind `SunS` at 40000 without it.
    pub at: Option<u16>,
}

/// One device of a text that has several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// The bus, hub or controller that it hangs on; any without it.
    pub bus: Option<String>,
    /// Its unit id.
    pub unit: u8,
}

/// A profile, and what did not fit into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The profile's text.
    pub toml: String,
    /// How many signals it has.
    pub signals: usize,
    /// What is to be known about it.
    pub notes: Vec<Note>,
}

/// Something that a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where in the text, from 1; `None` if it concerns the whole.
    pub line: Option<usize>,
    /// How much it matters.
    pub weight: Weight,
    /// What it is.
    pub what: String,
}

/// How much a [`Note`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Carried over, with a change or an assumption.
    Remark,
    /// A setting that a profile does not hold; the signal is there.
    Setting,
    /// Something that would be a signal is not in the profile.
    Lost,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(match self.weight {
            Weight::Remark => "",
            Weight::Setting => "not carried over: ",
            Weight::Lost => "left out: ",
        })?;
        f.write_str(&self.what)
    }
}

/// A profile from a text, or why there is none.
pub fn import(format: Format, text: &str, options: &Options) -> Result<Imported, Vec<Note>> {
    // Editors of spreadsheets put a byte order mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        Format::Csv => csv::import(text, options),
        Format::Telegraf => telegraf::import(text, options),
        Format::HomeAssistant => home_assistant::import(text, options),
        Format::SunSpec => sunspec::import(text, options),
    }
}
