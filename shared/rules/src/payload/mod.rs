//! Payloads: what a resource of a device answers or sends, and the signals that are in it.
//!
//! [`read()`] finds the signals of a resource in a payload, [`compose`] makes the payload of a write.
//! Everything between is pure and bounded: text, JSON (RFC 8259) and CBOR (RFC 8949) with pointers
//! (RFC 6901), `SenML` (RFC 8428) in both, and bytes at an offset.
//!
//! # Invariants
//!
//! - Whatever a device sends, there is a value or a cause: nothing panics, and nothing takes more
//!   memory than a few times the payload, which has an end itself ([`PAYLOAD_MAX`]).
//! - A value that comes out is of its signal's kind and finite; integers never pass through a float.

pub mod cbor;
pub mod compose;
pub mod json;
mod node;
pub mod pointer;
mod present;
pub mod read;
pub mod senml;
mod value;

use std::fmt;

use fieldgate_model::Millis;

pub use self::node::{DEPTH_MAX, DocumentError, Key, NODES_MAX, Node, PAYLOAD_MAX};
pub use self::pointer::{Pointer, PointerError};
pub use self::present::present;
pub use self::read::{Reading, Unread, read};
use crate::signal::{DataType, WordOrder};

/// How a payload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// `text/plain`.
    Text,
    /// `application/octet-stream`.
    Octets,
    /// `application/json`.
    Json,
    /// `application/cbor`.
    Cbor,
    /// `application/senml+json`.
    SenmlJson,
    /// `application/senml+cbor`.
    SenmlCbor,
}

/// One resource of a profile: what to ask for, and what is in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Its path, such as `/sensors/temp`, and its query if it has one: `/temp?unit=c`.
    pub path: String,
    /// How it is read.
    pub method: Method,
    /// What is asked for, and believed where an answer does not say.
    pub format: Format,
    /// The interval between two reads; the device's own without it.
    pub every: Option<Millis>,
    /// Ask the device to say by itself when it changes.
    pub observe: bool,
    /// The device sends it to the gateway; it is never asked for.
    pub push: bool,
    /// What is in it.
    pub picks: Vec<Picked>,
}

/// How a resource is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST without a payload, for devices that measure only when told to.
    Post,
}

/// A signal in a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Picked {
    /// Place of the signal in its profile.
    pub signal: usize,
    /// Where it lies.
    pub pick: Pick,
}

/// Where a signal lies in a payload.
#[derive(Debug, Clone, PartialEq)]
pub enum Pick {
    /// It is all of it: a text, or a document of one value.
    Whole,
    /// There, in JSON or CBOR.
    At(Pointer),
    /// In the records of this name in a pack of `SenML`.
    Record {
        /// The whole name, or its last part behind a `:` or `/`: what is in front of it mostly names
        /// the one device.
        name: String,
        /// Which of the record's two.
        field: Field,
    },
    /// From this byte on.
    Bytes {
        /// Counted from 0.
        offset: usize,
        /// What they hold; a byte of a register is one byte here.
        data: DataType,
        /// How a number is laid out.
        order: WordOrder,
    },
}

/// Which of a record's two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Its value.
    Value,
    /// Its sum.
    Sum,
}

/// Where a signal stands in its profile's resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PickPlace {
    /// Place of the resource in its profile.
    pub resource: u16,
    /// Place in [`Resource::picks`].
    pub pick: u16,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Text, Self::Octets, Self::Json, Self::Cbor, Self::SenmlJson, Self::SenmlCbor];

    /// Its number in the registry of `CoAP` content formats.
    pub const fn code(self) -> u16 {
        match self {
            Self::Text => 0,
            Self::Octets => 42,
            Self::Json => 50,
            Self::Cbor => 60,
            Self::SenmlJson => 110,
            Self::SenmlCbor => 112,
        }
    }

    /// The format of this number, if it is one of these.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.code() == code)
    }

    /// Its word in profiles.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Octets => "octets",
            Self::Json => "json",
            Self::Cbor => "cbor",
            Self::SenmlJson => "senml-json",
            Self::SenmlCbor => "senml-cbor",
        }
    }

    /// The format of a payload that says this of itself, where this one was expected.
    ///
    /// Small devices call everything text, and a pack of `SenML` is JSON or CBOR: what cannot mean
    /// something else is taken as what was expected. `None` if it is something else.
    pub fn told(self, code: Option<u16>) -> Option<Self> {
        let Some(code) = code else { return Some(self) };
        match (self, Self::from_code(code)?) {
            (_, told) if told == self => Some(self),
            (Self::Json | Self::Cbor, told @ (Self::Json | Self::Cbor))
            | (Self::SenmlJson | Self::SenmlCbor, told @ (Self::SenmlJson | Self::SenmlCbor)) => {
                Some(told)
            }
            (Self::SenmlJson, Self::Json | Self::Text) => Some(Self::SenmlJson),
            (Self::SenmlCbor, Self::Cbor | Self::Octets) => Some(Self::SenmlCbor),
            (Self::Json, Self::Text | Self::SenmlJson) => Some(Self::Json),
            (Self::Cbor, Self::Octets | Self::SenmlCbor) => Some(Self::Cbor),
            (
                Self::Text
                | Self::Octets
                | Self::Json
                | Self::Cbor
                | Self::SenmlJson
                | Self::SenmlCbor,
                _,
            ) => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Resource {
    /// A resource that is read by GET, at the device's interval, with nothing picked from it.
    pub fn new(path: impl Into<String>, format: Format) -> Self {
        Self {
            path: path.into(),
            method: Method::Get,
            format,
            every: None,
            observe: false,
            push: false,
            picks: Vec::new(),
        }
    }

    /// The segments of its path, as they go into a request's options.
    pub fn segments(&self) -> Vec<String> {
        let path = self.path.split_once('?').map_or(self.path.as_str(), |(path, _)| path);
        path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
    }

    /// The parts of its query, likewise.
    pub fn query(&self) -> Vec<String> {
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        query.split('&').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }
}

/// `whole`, `/a/b`, `record temp`, `u16 ABCD at byte 4`.
impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("all of it"),
            Self::At(pointer) => write!(f, "at {pointer}"),
            Self::Record { name, field: Field::Value } => write!(f, "record {name}"),
            Self::Record { name, field: Field::Sum } => write!(f, "sum of record {name}"),
            Self::Bytes { offset, data, order } => {
                write!(f, "{data} {} at byte {offset}", order.letters(data.registers()))
            }
        }
    }
}
