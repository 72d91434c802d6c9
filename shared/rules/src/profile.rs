//! A profile: the type of a device, with the tests that prove it.

use std::collections::BTreeMap;
use std::fmt;

use fieldgate_model::{CatalogueDevice, Cause, DeviceName, Millis, Quality, SignalName, Value};

use crate::alarm::AlarmRule;
use crate::decode::decode;
use crate::plan::{Image, plan};
use crate::register::{Address, ReadReply, ReadRequest};
use crate::signal::{SignalSource, SignalSpec};

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

    /// The requests of one poll.
    pub fn plan(&self) -> Vec<ReadRequest> {
        let reads = self.parser.as_ref().map_or(&[][..], |parser| &parser.reads);
        plan(&self.signals, reads)
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
}
