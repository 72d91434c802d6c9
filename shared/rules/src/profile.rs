//! A profile: the type of a device, with the tests that prove it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use fieldgate_model::{CatalogueDevice, Cause, DeviceName, Millis, SignalName, Value, ValueKind};

use crate::alarm::AlarmRule;
use crate::decode::{accept, decode};
use crate::number::{to_float, to_integer};
use crate::payload::{self, Resource};
use crate::plan::{HoleMap, Image, LinkCost, PlanOptions, ReadRules, plan, wanted};
use crate::signal::{SignalSource, SignalSpec};
use fieldgate_modbus::register::{Address, ReadReply, ReadRequest};

/// The type of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its name, an id of 1 to 64 characters.
    pub name: String,
    /// Its version, from 1.
    pub version: u32,
    /// For people.
    pub title: String,
    /// The document it was made from.
    pub source: String,
    /// Its resources, for devices that have payloads and no registers.
    pub resources: Vec<Resource>,
    /// Its signals; names are unique.
    pub signals: Vec<SignalSpec>,
    /// Its alarms; names are unique, every watched signal is among `signals` and is a number.
    pub alarms: Vec<AlarmRule>,
    /// Its parser; there is one if any signal comes from a parser.
    pub parser: Option<ParserSpec>,
    /// Its own tests.
    pub tests: Vec<ProfileTest>,
    /// Poll interval for devices that do not say one.
    pub every: Millis,
    /// Signals whose facts no second source has confirmed.
    pub unverified: BTreeSet<SignalName>,
    /// How its devices want to be read.
    pub reading: ReadRules,
}

/// The parser of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParserSpec {
    /// Its file name, for messages.
    pub file: String,
    /// Its Luau text.
    pub source: String,
    /// What its frame holds, beside what declared signals read.
    pub reads: Vec<ReadRequest>,
}

/// One test of a profile: what the device answers, and what must come of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProfileTest {
    /// Words from an address on.
    pub registers: Vec<(Address, Vec<u16>)>,
    /// Coils and discrete inputs from an address on.
    pub bits: Vec<(Address, Vec<bool>)>,
    /// What a resource answers, by its place in the profile.
    pub payloads: Vec<(usize, Vec<u8>)>,
    /// What must come of it, by signal.
    pub expect: BTreeMap<SignalName, Expected>,
}

/// What a test expects of a signal.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// This engineering value.
    Value(Value),
    /// No value, for this cause.
    Bad(Cause),
}

/// A test that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestFailure {
    /// Which test, from 1.
    pub test: usize,
    /// Which signal.
    pub signal: SignalName,
    /// What was expected, for people.
    pub expected: String,
    /// What came, for people.
    pub got: String,
}

/// What a parser made of one image: raw values by signal, or why it failed.
pub type Parsed = Result<BTreeMap<SignalName, Result<Value, Cause>>, String>;

impl Profile {
    /// `name@version`, as catalogues name it.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The signal of this name and its place in the profile.
    pub fn signal(&self, name: &SignalName) -> Option<(usize, &SignalSpec)> {
        self.signals.iter().enumerate().find(|(_, signal)| signal.name == *name)
    }

    /// What one poll must bring: each element in one answer.
    pub fn wanted(&self) -> Vec<ReadRequest> {
        let reads = self.parser.as_ref().map_or(&[][..], |parser| &parser.reads);
        wanted(&self.signals, reads)
    }

    /// The requests of one poll for whoever does not learn from a refusal: without any gap.
    pub fn plan(&self) -> Vec<ReadRequest> {
        self.plan_of(&self.wanted())
    }

    /// The requests that bring these of its values once, without any gap.
    pub fn plan_of(&self, wanted: &[ReadRequest]) -> Vec<ReadRequest> {
        let rules = ReadRules { gap_max: Some(0), ..self.reading.clone() };
        let holes = HoleMap::default();
        plan(wanted, &PlanOptions { link: LinkCost::tcp(), rules: &rules, holes: &holes })
    }

    /// Whether an alarm watches a signal that this request brings.
    pub fn is_watched(&self, request: ReadRequest) -> bool {
        let brings = |read: ReadRequest| request.holds(read);
        let mut watched = self.alarms.iter().filter_map(|alarm| self.signal(&alarm.signal));
        watched.any(|(_, spec)| spec.reads().any(brings))
    }

    /// A device of this profile as a catalogue lists it.
    pub fn catalogue_device(&self, name: DeviceName) -> CatalogueDevice {
        let signals = self.signals.iter().map(SignalSpec::catalogue_signal).collect();
        CatalogueDevice { name, profile: self.id(), signals }
    }

    /// Runs its tests on declared signals; what is expected of the parser is left out.
    pub fn run_tests(&self) -> Vec<TestFailure> {
        self.run(None)
    }

    /// Runs its tests on all signals; `parse` runs the parser on a test's image.
    pub fn run_tests_with(&self, parse: &mut dyn FnMut(&Image) -> Parsed) -> Vec<TestFailure> {
        self.run(Some(parse))
    }

    fn run(&self, mut parse: Option<&mut dyn FnMut(&Image) -> Parsed>) -> Vec<TestFailure> {
        let mut failures = Vec::new();
        for (number, test) in (1..).zip(&self.tests) {
            let image = test.image();
            let parsed = parse.as_mut().map(|parse| parse(&image));
            for (name, expected) in &test.expect {
                let Some(got) = self.outcome(name, test, &image, parsed.as_ref()) else { continue };
                let spec = self.signal(name).map(|(_, spec)| spec);
                if !spec.is_some_and(|spec| expected.is_met(spec, &got)) {
                    failures.push(TestFailure {
                        test: number,
                        signal: name.clone(),
                        expected: expected.to_string(),
                        got: match (got, spec) {
                            (Got::Value(raw), Some(spec)) => match spec.text(&raw) {
                                Some(word) => word.to_owned(),
                                None => spec.engineering(&raw).to_string(),
                            },
                            (Got::Value(raw), None) => raw.to_string(),
                            (Got::Bad(cause), _) => cause.to_string(),
                            (Got::Nothing(why), _) => why,
                        },
                    });
                }
            }
        }
        failures
    }

    /// What came of a signal; `None` if a parser gives it and none was run.
    fn outcome(
        &self,
        name: &SignalName,
        test: &ProfileTest,
        image: &Image,
        parsed: Option<&Parsed>,
    ) -> Option<Got> {
        let Some((signal, spec)) = self.signal(name) else {
            return Some(Got::Nothing("no such signal".to_owned()));
        };
        let result = match spec.source {
            SignalSource::Registers { .. }
            | SignalSource::Bit { .. }
            | SignalSource::RegisterBit { .. }
            | SignalSource::RegisterBits { .. } => match decode(spec, image) {
                Err(Cause::ConfigError) => {
                    let why = "the test does not give all of its registers";
                    return Some(Got::Nothing(why.to_owned()));
                }
                result => result,
            },
            SignalSource::Payload { place, .. } => {
                return Some(self.in_payload(signal, usize::from(place.resource), test));
            }
            SignalSource::Parser { .. } => match parsed? {
                Err(why) => return Some(Got::Nothing(why.clone())),
                Ok(values) => match values.get(name) {
                    None => return Some(Got::Nothing("the parser did not give it".to_owned())),
                    Some(result) => result.clone().and_then(|value| accept(spec, value)),
                },
            },
        };
        Some(result.map_or_else(Got::Bad, Got::Value))
    }

    /// What came of a signal in the payload that a test gives to its resource, the last one if there
    /// are several.
    fn in_payload(&self, signal: usize, resource: usize, test: &ProfileTest) -> Got {
        let given = test.payloads.iter().find(|(place, _)| *place == resource);
        let (Some((_, bytes)), Some(resource)) = (given, self.resources.get(resource)) else {
            return Got::Nothing("the test does not give the payload of its resource".to_owned());
        };
        let mut readings = payload::read(self, resource, None, bytes);
        readings.retain(|reading| reading.signal == signal);
        match readings.pop().map(|reading| reading.value) {
            None => Got::Nothing("the payload does not name it".to_owned()),
            Some(Ok(value)) => Got::Value(value),
            Some(Err(unread)) => Got::Bad(unread.cause),
        }
    }

    /// The resource that a signal lies in, and where.
    pub fn picked(&self, spec: &SignalSpec) -> Option<(usize, &Resource, &payload::Pick)> {
        let SignalSource::Payload { place, .. } = spec.source else { return None };
        let resource = self.resources.get(usize::from(place.resource))?;
        let picked = resource.picks.get(usize::from(place.pick))?;
        Some((usize::from(place.resource), resource, &picked.pick))
    }

    /// Whether an alarm watches a signal in this resource.
    pub fn watches_resource(&self, resource: usize) -> bool {
        let mut watched = self.alarms.iter().filter_map(|alarm| self.signal(&alarm.signal));
        watched.any(|(_, spec)| self.picked(spec).is_some_and(|(place, ..)| place == resource))
    }
}

/// What came of a signal in a test.
enum Got {
    Value(Value),
    Bad(Cause),
    Nothing(String),
}

impl ProfileTest {
    /// What the device answers in this test: each unbroken run of registers or bits as one reply.
    pub fn image(&self) -> Image {
        let registers = runs(&self.registers).into_iter();
        let bits = runs(&self.bits).into_iter();
        let registers = registers.map(|(at, words)| (at, ReadReply::Registers(words)));
        let bits = bits.map(|(at, bits)| (at, ReadReply::Bits(bits)));
        Image::new(registers.chain(bits).map(|(request, reply)| (request, Ok(reply))).collect())
    }
}

/// Joins what lies side by side; where two overlap, the later one counts.
fn runs<T: Copy>(given: &[(Address, Vec<T>)]) -> Vec<(ReadRequest, Vec<T>)> {
    let mut item_by_address = BTreeMap::new();
    for (address, items) in given {
        for (offset, item) in (address.offset..=u16::MAX).zip(items) {
            item_by_address.insert(Address { offset, ..*address }, *item);
        }
    }
    let mut runs: Vec<(ReadRequest, Vec<T>)> = Vec::new();
    for (Address { table, offset }, item) in item_by_address {
        match runs.last_mut() {
            Some((last, items))
                if last.table == table && last.start.checked_add(last.count) == Some(offset) =>
            {
                last.count += 1;
                items.push(item);
            }
            Some(_) | None => {
                runs.push((ReadRequest { table, start: offset, count: 1 }, vec![item]));
            }
        }
    }
    runs
}

impl Expected {
    fn is_met(&self, spec: &SignalSpec, got: &Got) -> bool {
        match (self, got) {
            (Self::Bad(expected), Got::Bad(cause)) => expected == cause,
            (Self::Value(expected), Got::Value(raw)) => same(spec, expected, raw),
            (Self::Bad(_), Got::Value(_) | Got::Nothing(_))
            | (Self::Value(_), Got::Bad(_) | Got::Nothing(_)) => false,
        }
    }
}

/// Whether a raw value is the engineering value that a person expects.
fn same(spec: &SignalSpec, expected: &Value, raw: &Value) -> bool {
    /// What a float of 32 bits cannot tell apart, and what two roundings of 64 bits may differ by.
    const DISTANCE_F32: f64 = 1e-6;
    const DISTANCE_F64: f64 = 1e-12;
    let got = spec.engineering(raw);
    if let Value::Text(text) = expected {
        if let Some(word) = spec.text(raw) {
            return word == text;
        }
        // Integers beyond 2^63 stand as text in a profile, because TOML ends there.
        return got.to_string() == *text;
    }
    if let (Some(expected), Some(got)) = (to_integer(expected), to_integer(&got)) {
        return expected == got;
    }
    if let (Value::Bool(expected), Value::Bool(got)) = (expected, &got) {
        return expected == got;
    }
    let (Some(expected), Some(got)) = (to_float(expected), spec.number(raw)) else {
        return false;
    };
    let share = if spec.kind() == ValueKind::Float32 { DISTANCE_F32 } else { DISTANCE_F64 };
    raw.kind() != ValueKind::Bool && (expected - got).abs() <= share * expected.abs().max(got.abs())
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Bad(cause) => cause.fmt(f),
        }
    }
}

impl fmt::Display for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { test, signal, expected, got } = self;
        write!(f, "test {test}: signal `{signal}` must be `{expected}`, is `{got}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::{DataType, WordOrder};
    use fieldgate_modbus::register::Table;

    fn name(text: &str) -> SignalName {
        SignalName::new(text).expect("a name")
    }

    fn signal(text: &str, source: SignalSource) -> SignalSpec {
        SignalSpec::new(name(text), source)
    }

    /// A profile with a declared signal in two registers that the test gives one by one.
    fn profile(declared: Expected, parsed: Expected) -> Profile {
        let address = Address { table: Table::HoldingRegister, offset: 0 };
        let next = Address { offset: 1, ..address };
        let source =
            SignalSource::Registers { address, data: DataType::U32, order: WordOrder::Abcd };
        let parser = SignalSource::Parser { kind: ValueKind::Unsigned };
        let expect = BTreeMap::from([(name("declared"), declared), (name("parsed"), parsed)]);
        let registers = vec![(next, vec![2]), (address, vec![1])];
        Profile {
            name: "device".to_owned(),
            version: 3,
            title: String::new(),
            source: String::new(),
            resources: Vec::new(),
            signals: vec![signal("declared", source), signal("parsed", parser)],
            alarms: Vec::new(),
            parser: None,
            tests: vec![ProfileTest { registers, bits: Vec::new(), payloads: Vec::new(), expect }],
            every: Millis(1000),
            unverified: BTreeSet::new(),
            reading: ReadRules::default(),
        }
    }

    fn number(integer: i64) -> Expected {
        Expected::Value(Value::Int(integer))
    }

    #[test]
    fn declared_signals_are_tested_without_a_parser_and_parsed_ones_with_it() {
        let good = profile(number(65_538), number(7));
        assert_eq!(good.run_tests(), []);
        let mut seven = |_: &Image| Ok(BTreeMap::from([(name("parsed"), Ok(Value::Float64(7.0)))]));
        assert_eq!(good.run_tests_with(&mut seven), []);
        assert_eq!(good.id(), "device@3");

        let wrong = profile(Expected::Bad(Cause::Null), number(8));
        let failures: Vec<_> =
            wrong.run_tests_with(&mut seven).iter().map(ToString::to_string).collect();
        assert_eq!(
            failures,
            [
                "test 1: signal `declared` must be `null`, is `65538`",
                "test 1: signal `parsed` must be `8`, is `7`",
            ]
        );
        let mut silent = |_: &Image| Ok(BTreeMap::new());
        let failures = good.run_tests_with(&mut silent);
        assert_eq!(failures[0].got, "the parser did not give it");
        let mut broken = |_: &Image| Err("device.luau:3: no".to_owned());
        assert_eq!(good.run_tests_with(&mut broken)[0].got, "device.luau:3: no");
    }
}
