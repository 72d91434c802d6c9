//! A signal as its profile declares it: where it lies, what its bits mean, what may be written.

use std::collections::BTreeMap;

use crate::payload::PickPlace;
use fieldgate_modbus::register::{Address, ReadRequest};
use fieldgate_model::{CatalogueSignal, Millis, Scale, SignalName, Value, ValueKind};

mod data;
mod order;
mod write_spec;

pub use data::{Byte, Charset, DataType, Padding};
pub use order::WordOrder;
pub use write_spec::{BitWrite, PayloadMethod, WriteFunction, WriteSpec};

/// One declared signal of a profile.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalSpec {
    /// Its stable key.
    pub name: SignalName,
    /// For people; the name if the profile gives none.
    pub title: String,
    /// Where its value comes from.
    pub source: SignalSource,
    /// Its unit, empty if it has none.
    pub unit: String,
    /// How raw becomes engineering.
    pub scale: Scale,
    /// The signal that holds the power of ten to multiply with, such as a scale factor of
    /// `SunSpec`.
    ///
    /// A catalogue's scale is fixed and this one is the device's to change, so such a signal
    /// travels as the engineering value, a float of 64 bits, and not as its raw integer: a batch
    /// can always be read with the catalogue that it names.
    pub scale_from: Option<ScaleFrom>,
    /// Raw bit patterns that mean "no value", in the declared width and word order ABCD.
    pub nulls: Vec<u64>,
    /// Smallest and largest engineering value that is believed, and that may be written; both
    /// inclusive.
    pub limits: Option<(f64, f64)>,
    /// What its raw integers are called; one that is not listed is shown as a number.
    pub texts: BTreeMap<i128, String>,
    /// How to write it; `None` if it must not be written.
    pub writable: Option<WriteSpec>,
    /// When a value becomes a sample.
    pub report: Report,
    /// Where the profile's author has it from, such as `table 1, row 1`; empty if not said.
    pub origin: String,
    /// Names that it had in earlier versions of the profile; no signal has them any more.
    pub was: Vec<SignalName>,
}

/// Where a signal's power of ten comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct ScaleFrom {
    /// The signal that holds it, of the same profile.
    pub signal: SignalName,
    /// Its registers: a whole number.
    pub source: SignalSource,
    /// The raw bits that mean that there is none.
    pub nulls: Vec<u64>,
}

/// Where a signal's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalSource {
    /// One or more registers in a row.
    Registers {
        /// The first; always in a table of registers.
        address: Address,
        /// What they hold.
        data: DataType,
        /// How a number is laid out; of a text only the bytes within a register are swapped.
        order: WordOrder,
    },
    /// A coil or a discrete input.
    Bit {
        /// Always in a table of bits.
        address: Address,
    },
    /// One bit of a register.
    RegisterBit {
        /// Always in a table of registers.
        address: Address,
        /// 0 (least significant) to 15.
        bit: u8,
    },
    /// Neighbouring bits of a register, an unsigned number.
    RegisterBits {
        /// Always in a table of registers.
        address: Address,
        /// The least significant, 0 to 15.
        first: u8,
        /// The most significant, `first` to 15.
        last: u8,
    },
    /// It lies in the payload of a resource.
    Payload {
        /// Where, in the profile's resources.
        place: PickPlace,
        /// The type it must have.
        kind: ValueKind,
    },
    /// The profile's parser gives it.
    Parser {
        /// The type it must have.
        kind: ValueKind,
    },
}

/// When a value becomes a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Report {
    /// With every poll.
    Always,
    /// When it has moved.
    OnChange {
        /// Engineering distance that it must exceed; 0 reports every change.
        deadband: f64,
        /// Report all the same after this time, so that silence can be told from rest.
        max_silence: Millis,
    },
}

impl SignalSource {
    /// What must be read for it; `None` if it lies in a payload, or a parser gives it.
    pub const fn read(&self) -> Option<ReadRequest> {
        let (address, count) = match self {
            Self::Registers { address, data, .. } => (address, data.registers()),
            Self::Bit { address }
            | Self::RegisterBit { address, .. }
            | Self::RegisterBits { address, .. } => (address, 1),
            Self::Payload { .. } | Self::Parser { .. } => return None,
        };
        Some(ReadRequest { table: address.table, start: address.offset, count })
    }

    /// The type of its raw values.
    pub const fn kind(&self) -> ValueKind {
        match self {
            Self::Registers { data, .. } => data.kind(),
            Self::RegisterBits { .. } => ValueKind::Unsigned,
            Self::Bit { .. } | Self::RegisterBit { .. } => ValueKind::Bool,
            Self::Payload { kind, .. } | Self::Parser { kind } => *kind,
        }
    }

    /// Its bits in the word on the wire, if it is a part of one register; the others belong to
    /// other signals, or to nobody.
    pub fn part(&self) -> Option<u16> {
        match self {
            Self::RegisterBit { bit, .. } => Some(1 << bit),
            Self::RegisterBits { first, last, .. } => {
                Some(u16::MAX >> (15 - last) & u16::MAX << first)
            }
            Self::Registers { data: data @ (DataType::U8(_) | DataType::I8(_)), order, .. } => {
                order.apply(&[0xFF << data.shift()]).first().copied()
            }
            Self::Registers { .. }
            | Self::Bit { .. }
            | Self::Payload { .. }
            | Self::Parser { .. } => None,
        }
    }
}

impl SignalSpec {
    /// A signal that is read, shown and sampled as it is: no unit, scale, limits or write.
    pub fn new(name: SignalName, source: SignalSource) -> Self {
        Self {
            title: name.to_string(),
            name,
            source,
            unit: String::new(),
            scale: Scale::IDENTITY,
            scale_from: None,
            nulls: Vec::new(),
            limits: None,
            texts: BTreeMap::new(),
            writable: None,
            report: Report::Always,
            origin: String::new(),
            was: Vec::new(),
        }
    }

    /// The type of its values as they travel.
    pub const fn kind(&self) -> ValueKind {
        if self.scale_from.is_some() { ValueKind::Float64 } else { self.source.kind() }
    }

    /// All that must be read for it: its own place, and that of its power of ten.
    pub fn reads(&self) -> impl Iterator<Item = ReadRequest> + use<> {
        let factor = self.scale_from.as_ref().and_then(|factor| factor.source.read());
        self.source.read().into_iter().chain(factor)
    }

    /// What its value is called, if the profile has a word for it.
    pub fn text(&self, raw: &Value) -> Option<&str> {
        let integer = match raw {
            Value::Bool(on) => i128::from(*on),
            Value::Int(int) => i128::from(*int),
            Value::Unsigned(unsigned) => i128::from(*unsigned),
            Value::Float32(_) | Value::Float64(_) | Value::Text(_) => return None,
        };
        self.texts.get(&integer).map(String::as_str)
    }

    /// The engineering value as a number, for limits and alarms; `None` for text.
    ///
    /// A float of 32 bits counts as the shortest decimal that names it, so that a device's 0.1 is
    /// not above a limit of 0.1.
    pub fn number(&self, raw: &Value) -> Option<f64> {
        Self::number_at(raw, self.scale)
    }

    /// The number of a raw value at this scale.
    pub(crate) fn number_at(raw: &Value, scale: Scale) -> Option<f64> {
        match raw {
            Value::Float32(float) => scale.apply(&Value::Float64(widen(*float))),
            Value::Bool(_)
            | Value::Int(_)
            | Value::Unsigned(_)
            | Value::Float64(_)
            | Value::Text(_) => scale.apply(raw),
        }
    }

    /// The engineering value as it is shown: `raw` itself where nothing is scaled, so that integers
    /// stay exact.
    pub fn engineering(&self, raw: &Value) -> Value {
        if self.scale.is_identity() {
            return raw.clone();
        }
        self.number(raw).map_or_else(|| raw.clone(), Value::Float64)
    }

    /// The signal as a catalogue lists it.
    pub fn catalogue_signal(&self) -> CatalogueSignal {
        CatalogueSignal {
            name: self.name.clone(),
            kind: self.kind(),
            unit: self.unit.clone(),
            scale: self.scale,
            writable: self.writable.is_some(),
        }
    }
}

/// The float of 64 bits that is nearest to the shortest decimal text of `float`.
fn widen(float: f32) -> f64 {
    float.to_string().parse().unwrap_or_else(|_| f64::from(float))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(scale: Scale) -> SignalSpec {
        let source = SignalSource::Parser { kind: ValueKind::Float32 };
        SignalSpec { scale, ..SignalSpec::new(SignalName::new("signal").expect("a name"), source) }
    }

    #[test]
    fn a_short_float_is_the_decimal_that_names_it() {
        let plain = spec(Scale::IDENTITY);
        assert_eq!(plain.number(&Value::Float32(0.1)), Some(0.1));
        assert_eq!(plain.number(&Value::Float32(230.2)), Some(230.2));
        assert_eq!(plain.number(&Value::Text(String::new())), None);
    }

    #[test]
    fn an_unscaled_integer_stays_exact_and_a_scaled_one_becomes_a_decimal() {
        let raw = Value::Unsigned(u64::MAX);
        assert_eq!(spec(Scale::IDENTITY).engineering(&raw), raw);
        let tenth = spec(Scale::new(0.1, 0.0).expect("a scale"));
        assert_eq!(tenth.engineering(&Value::Unsigned(2302)), Value::Float64(230.2));
    }

    #[test]
    fn a_part_of_a_register_knows_its_bits_on_the_wire() {
        let address =
            Address { table: fieldgate_modbus::register::Table::HoldingRegister, offset: 0 };
        let byte = |data, order| SignalSource::Registers { address, data, order };
        for (source, mask) in [
            (SignalSource::RegisterBit { address, bit: 15 }, Some(0x8000)),
            (SignalSource::RegisterBits { address, first: 3, last: 7 }, Some(0x00F8)),
            (SignalSource::RegisterBits { address, first: 0, last: 15 }, Some(0xFFFF)),
            (SignalSource::RegisterBits { address, first: 15, last: 15 }, Some(0x8000)),
            (byte(DataType::U8(Byte::High), WordOrder::Abcd), Some(0xFF00)),
            (byte(DataType::I8(Byte::Low), WordOrder::Abcd), Some(0x00FF)),
            (byte(DataType::U8(Byte::Low), WordOrder::Badc), Some(0xFF00)),
            (byte(DataType::U16, WordOrder::Abcd), None),
            (SignalSource::Bit { address }, None),
        ] {
            assert_eq!(source.part(), mask, "{source:?}");
        }
    }

    #[test]
    fn a_value_with_a_word_is_shown_by_it_and_any_other_as_a_number() {
        let texts = BTreeMap::from([(0, "off".to_owned()), (-1, "fault".to_owned())]);
        let spec = SignalSpec { texts, ..spec(Scale::IDENTITY) };
        assert_eq!(spec.text(&Value::Unsigned(0)), Some("off"));
        assert_eq!(spec.text(&Value::Bool(false)), Some("off"));
        assert_eq!(spec.text(&Value::Int(-1)), Some("fault"));
        assert_eq!(spec.text(&Value::Unsigned(7)), None);
    }
}
