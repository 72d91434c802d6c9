//! A signal as its profile declares it: where it lies, what its bits mean, what may be written.

use std::fmt;

use fieldgate_model::{CatalogueSignal, Millis, Scale, SignalName, Value, ValueKind};

use fieldgate_modbus::register::{Address, ReadRequest};

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
    /// Raw bit patterns that mean "no value", in the declared width and word order ABCD.
    pub nulls: Vec<u64>,
    /// Smallest and largest engineering value that is believed, and that may be written; both
    /// inclusive.
    pub limits: Option<(f64, f64)>,
    /// How to write it; `None` if it must not be written.
    pub writable: Option<WriteSpec>,
    /// When a value becomes a sample.
    pub report: Report,
    /// Where the profile's author has it from, such as `table 1, row 1`; empty if not said.
    pub origin: String,
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
    /// The profile's parser gives it.
    Parser {
        /// The type it must have.
        kind: ValueKind,
    },
}

/// What registers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    /// Unsigned, 1 register.
    U16,
    /// Two's complement, 1 register.
    I16,
    /// Unsigned, 2 registers.
    U32,
    /// Two's complement, 2 registers.
    I32,
    /// Unsigned, 4 registers.
    U64,
    /// Two's complement, 4 registers.
    I64,
    /// IEEE 754 binary32, 2 registers.
    F32,
    /// IEEE 754 binary64, 4 registers.
    F64,
    /// ASCII or UTF-8, two bytes a register, high byte first, padded at its end with NUL or space.
    Text {
        /// 1 to 125.
        registers: u16,
    },
}

/// How the bytes of a number lie in its registers, `A` being the most significant byte of 32 bits.
///
/// Any width likewise: `Cdab` reverses the registers, `Badc` swaps the bytes in each of them,
/// `Dcba` does both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WordOrder {
    /// Big endian; what the Modbus specification uses within a register.
    #[default]
    Abcd,
    /// Registers reversed.
    Cdab,
    /// Bytes swapped within each register.
    Badc,
    /// Little endian: both.
    Dcba,
}

/// How a signal is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteSpec {
    /// Which function code carries it.
    pub function: WriteFunction,
}

/// Which function code carries a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WriteFunction {
    /// FC 6 for one register, FC 16 for more, FC 5 for a coil.
    #[default]
    Auto,
    /// FC 6 or FC 5; a value of several registers cannot be written this way.
    Single,
    /// FC 16 or FC 15, even for one; some devices have nothing else.
    Multiple,
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

impl DataType {
    /// How many registers it takes.
    pub const fn registers(self) -> u16 {
        match self {
            Self::U16 | Self::I16 => 1,
            Self::U32 | Self::I32 | Self::F32 => 2,
            Self::U64 | Self::I64 | Self::F64 => 4,
            Self::Text { registers } => registers,
        }
    }

    /// The type of the values it gives.
    pub const fn kind(self) -> ValueKind {
        match self {
            Self::U16 | Self::U32 | Self::U64 => ValueKind::Unsigned,
            Self::I16 | Self::I32 | Self::I64 => ValueKind::Int,
            Self::F32 => ValueKind::Float32,
            Self::F64 => ValueKind::Float64,
            Self::Text { .. } => ValueKind::Text,
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U16 => f.write_str("u16"),
            Self::I16 => f.write_str("i16"),
            Self::U32 => f.write_str("u32"),
            Self::I32 => f.write_str("i32"),
            Self::U64 => f.write_str("u64"),
            Self::I64 => f.write_str("i64"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Text { registers } => write!(f, "text of {registers} registers"),
        }
    }
}

impl WordOrder {
    /// The order within registers alone, which is what applies to text.
    #[must_use]
    pub const fn within_registers(self) -> Self {
        match self {
            Self::Abcd | Self::Cdab => Self::Abcd,
            Self::Badc | Self::Dcba => Self::Badc,
        }
    }

    /// Puts words into order ABCD, or from ABCD into this order: each of the four is its own
    /// inverse.
    #[must_use]
    pub fn apply(self, words: &[u16]) -> Vec<u16> {
        let swap = |word: &u16| word.swap_bytes();
        match self {
            Self::Abcd => words.to_vec(),
            Self::Cdab => words.iter().rev().copied().collect(),
            Self::Badc => words.iter().map(swap).collect(),
            Self::Dcba => words.iter().rev().map(swap).collect(),
        }
    }
}

impl SignalSource {
    /// What must be read for it; `None` if a parser gives it.
    pub const fn read(&self) -> Option<ReadRequest> {
        let (address, count) = match self {
            Self::Registers { address, data, .. } => (address, data.registers()),
            Self::Bit { address } | Self::RegisterBit { address, .. } => (address, 1),
            Self::Parser { .. } => return None,
        };
        Some(ReadRequest { table: address.table, start: address.offset, count })
    }
}

impl SignalSpec {
    /// The type of its raw values.
    pub const fn kind(&self) -> ValueKind {
        match self.source {
            SignalSource::Registers { data, .. } => data.kind(),
            SignalSource::Bit { .. } | SignalSource::RegisterBit { .. } => ValueKind::Bool,
            SignalSource::Parser { kind } => kind,
        }
    }

    /// The engineering value as a number, for limits and alarms; `None` for text.
    ///
    /// A float of 32 bits counts as the shortest decimal that names it, so that a device's 0.1 is
    /// not above a limit of 0.1.
    pub fn number(&self, raw: &Value) -> Option<f64> {
        match raw {
            Value::Float32(float) => self.scale.apply(&Value::Float64(widen(*float))),
            Value::Bool(_)
            | Value::Int(_)
            | Value::Unsigned(_)
            | Value::Float64(_)
            | Value::Text(_) => self.scale.apply(raw),
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
        SignalSpec {
            name: SignalName::new("signal").expect("a name"),
            title: String::new(),
            source: SignalSource::Parser { kind: ValueKind::Float32 },
            unit: String::new(),
            scale,
            nulls: Vec::new(),
            limits: None,
            writable: None,
            report: Report::Always,
            origin: String::new(),
        }
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
    fn each_word_order_undoes_itself() {
        for order in [WordOrder::Abcd, WordOrder::Cdab, WordOrder::Badc, WordOrder::Dcba] {
            for words in [&[0x0102][..], &[0x0102, 0x0304], &[1, 2, 3, 4]] {
                assert_eq!(order.apply(&order.apply(words)), words, "{order:?}");
            }
        }
    }
}
