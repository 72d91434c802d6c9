//! One simulated device: the registers that its profile says it has.
//!
//! # Invariants
//!
//! - An address that neither a signal nor the parser reads is refused with exception 2.
//! - What was written or pinned last is what is read.
//! - A signal called `reads` shows how many read requests that cover it were answered, this one
//!   included: whoever collects its values can tell lost, doubled and reordered ones exactly.

use std::collections::BTreeMap;
use std::sync::Arc;

use fieldgate_modbus::register::{Address, ReadReply, ReadRequest, Table, UnitId, WriteRequest};
use fieldgate_model::{Millis, Scale, SignalName, Value, ValueKind};
use fieldgate_rules::encode::{encode_raw, encode_registers};
use fieldgate_rules::profile::Profile;
use fieldgate_rules::signal::{DataType, SignalSource, SignalSpec, WordOrder};

use super::faults::{FaultOptions, Faults};
use super::options::SimulatedDevice;
use super::{pdu, wave};

/// The signal that counts.
const READS: &str = "reads";

/// What a signal shows whose power of ten others are multiplied with: enough to be seen, and so
/// little that 16 bits hold the values of most units.
const POWER_OF_TEN: i8 = -1;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// With exception 2.
    Address,
    /// With exception 3.
    Value,
}

/// What a control connection got wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum PinError {
    #[error("device `{device}` has no signal `{signal}`")]
    NoSignal { device: String, signal: String },
    #[error("signal `{signal}` comes from a parser; pin the registers that it reads")]
    Parsed { signal: String },
    #[error("signal `{signal}` cannot show `{value}`")]
    Value { signal: String, value: String },
}

#[derive(Debug)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) unit: UnitId,
    pub(super) profile: Arc<Profile>,
    /// It hears and says nothing.
    pub(super) is_silent: bool,
    /// Answered read requests that cover `reads`.
    pub(super) reads: u64,
    /// Answered read requests.
    pub(super) requests: u64,
    /// Executed writes: whoever commands can tell one that was executed twice.
    pub(super) writes: u64,
    pub(super) faults: Faults,
    seed: u64,
    pinned: BTreeMap<Address, u16>,
}

impl Device {
    /// `fault_seed` makes its faults repeat; they differ between devices all the same.
    pub(super) fn new(device: SimulatedDevice, faults: FaultOptions, fault_seed: u64) -> Self {
        let SimulatedDevice { name, unit, profile } = device;
        let seed = name.bytes().fold(7, |seed: u64, byte| seed * 31 % 1_000_003 + u64::from(byte));
        let faults = Faults::new(faults, fault_seed.wrapping_add(seed));
        Self {
            name,
            unit,
            profile,
            is_silent: false,
            reads: 0,
            requests: 0,
            writes: 0,
            faults,
            seed,
            pinned: BTreeMap::new(),
        }
    }

    /// Answers a read.
    pub(super) fn read(&mut self, read: ReadRequest, time: Millis) -> Result<ReadReply, Refusal> {
        if read.count == 0 || read.count > read.table.read_max() {
            return Err(Refusal::Value);
        }
        let profile = Arc::clone(&self.profile);
        let counter = profile.signals.iter().find(|signal| signal.name.as_str() == READS);
        let is_counted = counter.and_then(|spec| spec.source.read()).is_some_and(|reads| {
            reads.table == read.table && read.start <= reads.start && end(reads) <= end(read)
        });
        let words = self.words(read, self.reads + u64::from(is_counted), time)?;
        self.requests += 1;
        self.reads += u64::from(is_counted);
        Ok(match read.table {
            Table::Coil | Table::DiscreteInput => {
                ReadReply::Bits(words.iter().map(|word| *word != 0).collect())
            }
            Table::InputRegister | Table::HoldingRegister => ReadReply::Registers(words),
        })
    }

    /// Keeps what is written, if it may be.
    pub(super) fn write(&mut self, write: &WriteRequest, time: Millis) -> Result<(), Refusal> {
        let (table, start, words): (_, _, Vec<u16>) = match write {
            WriteRequest::Coil { offset, on } => (Table::Coil, *offset, vec![u16::from(*on)]),
            WriteRequest::Register { offset, word } => {
                (Table::HoldingRegister, *offset, vec![*word])
            }
            WriteRequest::Coils { start, states } => {
                (Table::Coil, *start, states.iter().map(|on| u16::from(*on)).collect())
            }
            WriteRequest::Registers { start, words } => {
                (Table::HoldingRegister, *start, words.clone())
            }
            WriteRequest::MaskRegister { offset, and, or } => {
                let at = ReadRequest { table: Table::HoldingRegister, start: *offset, count: 1 };
                let words = self.words(at, self.reads, time)?;
                let word = words.first().copied().unwrap_or_default() & and | or & !and;
                (Table::HoldingRegister, *offset, vec![word])
            }
        };
        let count = u16::try_from(words.len()).map_err(|_| Refusal::Value)?;
        let range = ReadRequest { table, start, count };
        let writable = self.profile.signals.iter().filter(|signal| signal.writable.is_some());
        let declared = writable.filter_map(|signal| signal.source.read());
        let parsed = self.profile.parser.iter().flat_map(|parser| parser.reads.iter().copied());
        let open: Vec<ReadRequest> = declared.chain(parsed).collect();
        let is_open = |offset| {
            open.iter().any(|range| {
                range.table == table && range.start <= offset && u32::from(offset) < end(*range)
            })
        };
        if end(range) > 0x1_0000 || !(start..=u16::MAX).take(words.len()).all(is_open) {
            return Err(Refusal::Address);
        }
        self.pin_words(table, start, &words);
        self.writes += 1;
        Ok(())
    }

    /// What device identification tells of it, by object id.
    pub(super) fn identity(&self) -> Vec<(u8, String)> {
        vec![
            (0, "Fieldgate simulator".to_owned()),
            (1, self.profile.name.clone()),
            (2, self.profile.version.to_string()),
            (4, self.profile.title.clone()),
            (5, self.profile.id()),
            (6, self.name.clone()),
        ]
    }

    /// Holds a signal at an engineering value, or lets it move again.
    pub(super) fn pin(&mut self, signal: &str, value: Option<&Value>) -> Result<(), PinError> {
        let profile = Arc::clone(&self.profile);
        let name = SignalName::new(signal).ok();
        let found = name.and_then(|name| profile.signal(&name));
        let (_, spec) = found.ok_or_else(|| PinError::NoSignal {
            device: self.name.clone(),
            signal: signal.to_owned(),
        })?;
        let range = spec.source.read();
        let range = range.ok_or_else(|| PinError::Parsed { signal: signal.to_owned() })?;
        let Some(value) = value else {
            self.pinned.retain(|at, _| !covers(range, *at));
            return Ok(());
        };
        let wrong = || PinError::Value { signal: signal.to_owned(), value: value.to_string() };
        let mut words = encoded(spec, value).ok_or_else(wrong)?;
        if let (Some(own), [word]) = (spec.source.part(), words.as_mut_slice()) {
            // The register is held as a whole: its other bits as they are, or as they began.
            let rest = self.words(range, self.reads, Millis(0)).unwrap_or_default();
            *word |= rest.first().copied().unwrap_or_default() & !own;
        }
        self.pin_words(range.table, range.start, &words);
        Ok(())
    }

    /// Holds registers or bits at these words.
    pub(super) fn pin_words(&mut self, table: Table, start: u16, words: &[u16]) {
        let places = (start..=u16::MAX).map(|offset| Address { table, offset });
        self.pinned.extend(places.zip(words.iter().copied()));
    }

    /// What stands in a range; refused if any of it does not exist.
    fn words(&self, range: ReadRequest, reads: u64, time: Millis) -> Result<Vec<u16>, Refusal> {
        let mut words: Vec<Option<u16>> = vec![None; usize::from(range.count)];
        let mut put = |offset: u16, set: &mut dyn FnMut(&mut Option<u16>)| {
            if let Some(word) =
                offset.checked_sub(range.start).and_then(|place| words.get_mut(usize::from(place)))
            {
                set(word);
            }
        };
        for read in self.profile.parser.iter().flat_map(|parser| &parser.reads) {
            if read.table == range.table {
                for offset in (read.start..=u16::MAX).take(usize::from(read.count)) {
                    put(offset, &mut |word| *word = Some(wave::word(offset, time)));
                }
            }
        }
        for spec in &self.profile.signals {
            let Some(source) = spec.source.read() else { continue };
            let is_apart = source.table != range.table
                || end(source) <= u32::from(range.start)
                || end(range) <= u32::from(source.start);
            if is_apart {
                continue;
            }
            let shown = self.shown(spec, reads, time);
            if let (Some(own), [bits]) = (spec.source.part(), shown.as_slice()) {
                put(source.start, &mut |word| *word = Some(word.unwrap_or(0) & !own | bits & own));
                continue;
            }
            for (offset, shown) in (source.start..=u16::MAX).zip(shown) {
                put(offset, &mut |word| *word = Some(shown));
            }
        }
        let first = Address { table: range.table, offset: range.start };
        for (at, pinned) in self.pinned.range(first..).take_while(|(at, _)| covers(range, **at)) {
            put(at.offset, &mut |word| *word = word.map(|_| *pinned));
        }
        words.into_iter().collect::<Option<_>>().ok_or(Refusal::Address)
    }

    /// The words of a signal that moves.
    fn shown(&self, spec: &SignalSpec, reads: u64, time: Millis) -> Vec<u16> {
        if spec.name.as_str() == READS {
            return counted(spec, reads);
        }
        let mut factors = self.profile.signals.iter().filter_map(|spec| spec.scale_from.as_ref());
        if factors.any(|factor| factor.signal == spec.name) {
            let exponent = Value::Int(POWER_OF_TEN.into());
            return encode_raw(&spec.source, &exponent).unwrap_or_else(|_| zeros(spec));
        }
        let value = wave::engineering(spec, self.seed, time);
        encoded(spec, &value).unwrap_or_else(|| zeros(spec))
    }
}

/// The words that show an engineering value; `None` if they cannot.
fn encoded(spec: &SignalSpec, engineering: &Value) -> Option<Vec<u16>> {
    let scale = match &spec.scale_from {
        None => spec.scale,
        Some(_) => Scale::from_parts(1, POWER_OF_TEN, 0.0).ok()?,
    };
    let raw = match (spec.source.kind(), engineering) {
        (ValueKind::Text, text) => text.clone(),
        (ValueKind::Bool, on) => Value::Bool(on.as_f64()? != 0.0),
        (_, exact @ (Value::Int(_) | Value::Unsigned(_))) if scale.is_identity() => exact.clone(),
        (ValueKind::Float32 | ValueKind::Float64, number) => {
            Value::Float64(scale.invert(number.as_f64()?))
        }
        (ValueKind::Int | ValueKind::Unsigned, number) => {
            let raw = scale.invert(number.as_f64()?).round();
            // Beyond 64 bits nothing fits anyway.
            #[expect(clippy::cast_possible_truncation, reason = "an overflow saturates")]
            Value::Int(raw as i64)
        }
    };
    encode_raw(&spec.source, &raw).ok()
}

/// A counter's words: it starts again at 0 where its type ends, and is never scaled.
fn counted(spec: &SignalSpec, count: u64) -> Vec<u16> {
    let (data, order) = match spec.source {
        SignalSource::Registers { data, order, .. } => (data, order),
        SignalSource::Bit { .. }
        | SignalSource::RegisterBit { .. }
        | SignalSource::RegisterBits { .. }
        | SignalSource::Payload { .. }
        | SignalSource::Parser { .. } => (DataType::U16, WordOrder::Abcd),
    };
    let bits = match data.kind() {
        ValueKind::Unsigned => data.bits(),
        ValueKind::Int => data.bits() - 1,
        ValueKind::Bool | ValueKind::Float32 | ValueKind::Float64 | ValueKind::Text => u64::BITS,
    };
    let count = 1_u64.checked_shl(bits).map_or(count, |end| count % end);
    encode_registers(data, order, &Value::Unsigned(count)).unwrap_or_else(|_| zeros(spec))
}

fn zeros(spec: &SignalSpec) -> Vec<u16> {
    vec![0; spec.source.read().map_or(0, |range| usize::from(range.count))]
}

/// The place after the last item.
fn end(range: ReadRequest) -> u32 {
    u32::from(range.start) + u32::from(range.count)
}

fn covers(range: ReadRequest, at: Address) -> bool {
    at.table == range.table && range.start <= at.offset && u32::from(at.offset) < end(range)
}

impl From<Refusal> for u8 {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Address => pdu::ILLEGAL_ADDRESS,
            Refusal::Value => pdu::ILLEGAL_VALUE,
        }
    }
}
