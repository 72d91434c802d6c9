//! Finds the models of a device.
//!
//! # Invariants
//!
//! - One read is under way at a time, and the walk ends after [`MODELS_MAX`] models whatever the
//!   device answers.
//! - A device that breaks off in mid walk loses no model that it has shown.

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{READ_REGISTERS_MAX, ReadReply, ReadRequest, Table};
use thiserror::Error;

/// Where `SunS` may lie, in the order that the specification recommends to look (section 6.2).
pub const BASES: [u16; 3] = [40_000, 50_000, 0];

/// `SunS` in ASCII.
const MARK: [u16; 2] = [0x5375, 0x6E53];

/// The id behind the last model.
const END: u16 = 0xFFFF;

/// Real devices have up to some thirty models; a device that answers every read with the same
/// words must not hold the bus for long.
const MODELS_MAX: usize = 128;

/// Walks through a device.
#[derive(Debug, Clone)]
pub struct Discovery {
    state: State,
    effect: Option<DiscoveryEffect>,
    refusals: Vec<(u16, Fault)>,
}

#[derive(Debug, Clone)]
enum State {
    /// `SunS` is asked for at this place of [`BASES`].
    Seeking(usize),
    /// The header of a model at this address is asked for, with as many registers.
    Walking {
        found: Found,
        at: u16,
        registers: u16,
    },
    Ended,
}

/// What to do for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiscoveryEffect {
    /// Read this, and hand the answer to [`Discovery::handle_answer`].
    Read(ReadRequest),
    /// It has ended.
    Done(Result<Found, DiscoveryError>),
}

/// The models of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where `SunS` lies.
    pub base: u16,
    /// In the order of their addresses.
    pub models: Vec<FoundModel>,
    /// What is behind the last of them.
    pub ending: Ending,
}

/// A model as the device has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundModel {
    /// Its id.
    pub id: u16,
    /// Address of the register with its id.
    pub start: u16,
    /// Registers behind its id and its length.
    pub length: u16,
}

/// What ended the walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The id 0xFFFF, as it should be.
    Marked,
    /// The header at this address was not answered.
    BrokenOff(u16, Fault),
    /// The next model would lie behind address 65535.
    BeyondTable,
    /// There are more than 128 models, which no device has.
    TooMany,
}

/// Why no model was found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DiscoveryError {
    /// The device answers, and has something else at each of the addresses.
    #[error("no `SunS` at holding register 40000, 50000 or 0")]
    NotSunSpec,
    /// It did not answer at any of the addresses.
    #[error("the device gave no answer at any of the three addresses")]
    Silent(Fault),
}

impl Discovery {
    /// Begins with the first of [`BASES`].
    pub fn resume() -> Self {
        let mut discovery = Self { state: State::Seeking(0), effect: None, refusals: Vec::new() };
        discovery.read(BASES[0], 2);
        discovery
    }

    /// The answer to the last read.
    pub fn handle_answer(&mut self, answer: Result<ReadReply, Fault>) {
        let words = answer.and_then(|reply| match reply {
            ReadReply::Registers(words) => Ok(words),
            ReadReply::Bits(_) => Err(Fault::Malformed),
        });
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Seeking(place) => self.sought(place, words),
            State::Walking { found, at, registers } => {
                self.walked(found, at, registers, &words);
            }
            State::Ended => {}
        }
    }

    /// What to do next; `None` while an answer is awaited and after the end.
    pub fn poll_effect(&mut self) -> Option<DiscoveryEffect> {
        self.effect.take()
    }

    fn sought(&mut self, place: usize, words: Result<Vec<u16>, Fault>) {
        let base = BASES[place];
        match words {
            Ok(words) if words == MARK => {
                let found = Found { base, models: Vec::new(), ending: Ending::Marked };
                return self.walk(found, base.checked_add(2));
            }
            Ok(_) => {}
            Err(fault) => self.refusals.push((base, fault)),
        }
        if let Some(next) = BASES.get(place + 1) {
            self.state = State::Seeking(place + 1);
            return self.read(*next, 2);
        }
        // A device that refuses an address is there; one that is silent at each of them is not.
        let silent = self.refusals.iter().all(|(_, fault)| !matches!(fault, Fault::Exception(_)));
        let error = match self.refusals.pop() {
            Some((_, fault)) if silent && self.refusals.len() + 1 == BASES.len() => {
                DiscoveryError::Silent(fault)
            }
            Some(_) | None => DiscoveryError::NotSunSpec,
        };
        self.effect = Some(DiscoveryEffect::Done(Err(error)));
    }

    fn walked(
        &mut self,
        mut found: Found,
        at: u16,
        registers: u16,
        words: &Result<Vec<u16>, Fault>,
    ) {
        match words.as_deref() {
            Ok([END, ..]) => self.end(found, Ending::Marked),
            Ok([id, length]) => {
                found.models.push(FoundModel { id: *id, start: at, length: *length });
                let next = at.checked_add(2).and_then(|at| at.checked_add(*length));
                self.walk(found, next);
            }
            // Some devices end with the id alone, and refuse to be read beyond it.
            Err(Fault::Exception(_)) if registers == 2 => {
                self.state = State::Walking { found, at, registers: 1 };
                self.read(at, 1);
            }
            Ok(_) => self.end(found, Ending::BrokenOff(at, Fault::Malformed)),
            Err(fault) => self.end(found, Ending::BrokenOff(at, *fault)),
        }
    }

    fn walk(&mut self, found: Found, next: Option<u16>) {
        match next {
            None | Some(u16::MAX) => self.end(found, Ending::BeyondTable),
            Some(_) if found.models.len() >= MODELS_MAX => self.end(found, Ending::TooMany),
            Some(at) => {
                self.state = State::Walking { found, at, registers: 2 };
                self.read(at, 2);
            }
        }
    }

    fn end(&mut self, found: Found, ending: Ending) {
        self.effect = Some(DiscoveryEffect::Done(Ok(Found { ending, ..found })));
    }

    fn read(&mut self, start: u16, count: u16) {
        let request = ReadRequest { table: Table::HoldingRegister, start, count };
        self.effect = Some(DiscoveryEffect::Read(request));
    }
}

impl FoundModel {
    /// The reads that bring all its registers, from its id on.
    pub fn reads(&self) -> Vec<ReadRequest> {
        let end = (u32::from(self.start) + 2 + u32::from(self.length)).min(0x1_0000);
        let mut reads = Vec::new();
        let mut start = u32::from(self.start);
        while start < end {
            let count = (end - start).min(u32::from(READ_REGISTERS_MAX));
            let read = |start, count| ReadRequest { table: Table::HoldingRegister, start, count };
            if let (Ok(start), Ok(count)) = (u16::try_from(start), u16::try_from(count)) {
                reads.push(read(start, count));
            }
            start += count;
        }
        reads
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A device that holds these words and refuses every other address.
    fn device(blocks: &[(u16, &[u16])]) -> BTreeMap<u16, u16> {
        let words =
            |(start, words): &(u16, &[u16])| (*start..).zip(words.to_vec()).collect::<Vec<_>>();
        blocks.iter().flat_map(words).collect()
    }

    fn answer(device: &BTreeMap<u16, u16>, request: ReadRequest) -> Result<ReadReply, Fault> {
        assert_eq!(request.table, Table::HoldingRegister);
        let words = (request.start..).take(usize::from(request.count));
        let words: Option<Vec<u16>> = words.map(|at| device.get(&at).copied()).collect();
        words.map(ReadReply::Registers).ok_or(Fault::Exception(2))
    }

    fn discover(
        mut answer: impl FnMut(ReadRequest) -> Result<ReadReply, Fault>,
    ) -> (Result<Found, DiscoveryError>, usize) {
        let mut discovery = Discovery::resume();
        for reads in 0..1000 {
            match discovery.poll_effect().expect("something to do") {
                DiscoveryEffect::Read(request) => discovery.handle_answer(answer(request)),
                DiscoveryEffect::Done(outcome) => {
                    assert_eq!(discovery.poll_effect(), None);
                    return (outcome, reads);
                }
            }
        }
        panic!("the walk does not end");
    }

    #[test]
    fn the_models_are_found_at_each_of_the_three_addresses() {
        for base in BASES {
            let words = [0x5375, 0x6E53, 1, 2, 0, 0, 103, 0, 0xFFFF, 0];
            let device = device(&[(base, &words)]);
            let (found, _) = discover(|request| answer(&device, request));
            let models = vec![
                FoundModel { id: 1, start: base + 2, length: 2 },
                FoundModel { id: 103, start: base + 6, length: 0 },
            ];
            assert_eq!(found, Ok(Found { base, models, ending: Ending::Marked }));
        }
    }

    #[test]
    fn an_end_without_a_length_is_an_end() {
        let device = device(&[(40_000, &[0x5375, 0x6E53, 1, 1, 0, 0xFFFF])]);
        let (found, _) = discover(|request| answer(&device, request));
        let found = found.expect("it is there");
        assert_eq!((found.models.len(), found.ending), (1, Ending::Marked));
    }

    #[test]
    fn a_walk_that_breaks_off_keeps_what_it_has_found() {
        let words = [0x5375, 0x6E53, 1, 1, 0, 101];
        let device = device(&[(0, &words)]);
        let (found, _) = discover(|request| answer(&device, request));
        let found = found.expect("it is there");
        assert_eq!(found.models.len(), 1);
        assert_eq!(found.ending, Ending::BrokenOff(5, Fault::Malformed));
        let (found, _) = discover(|request| match request.start {
            40_000 => Ok(ReadReply::Registers(vec![0x5375, 0x6E53])),
            40_002 => Ok(ReadReply::Registers(vec![1, 66])),
            _ => Err(Fault::NoAnswer),
        });
        let found = found.expect("it is there");
        assert_eq!(found.models, [FoundModel { id: 1, start: 40_002, length: 66 }]);
        assert_eq!(found.ending, Ending::BrokenOff(40_070, Fault::NoAnswer));
    }

    #[test]
    fn a_device_that_answers_nonsense_ends_the_walk() {
        let (found, _) = discover(|request| match request.start {
            40_000 => Ok(ReadReply::Registers(vec![0x5375, 0x6E53])),
            _ => Ok(ReadReply::Registers(vec![7, 0])),
        });
        let found = found.expect("it is there");
        assert_eq!((found.models.len(), found.ending), (MODELS_MAX, Ending::TooMany));
        let (found, _) = discover(|request| match request.start {
            40_000 => Ok(ReadReply::Registers(vec![0x5375, 0x6E53])),
            _ => Ok(ReadReply::Registers(vec![7, 60_000])),
        });
        assert_eq!(found.expect("it is there").ending, Ending::BeyondTable);
    }

    #[test]
    fn a_silent_device_is_told_from_one_without_sunspec() {
        for (fault, error) in [
            (Fault::NoAnswer, DiscoveryError::Silent(Fault::NoAnswer)),
            (Fault::Exception(2), DiscoveryError::NotSunSpec),
        ] {
            assert_eq!(discover(|_| Err(fault)), (Err(error), 3));
        }
        let zeros = |_| Ok(ReadReply::Registers(vec![0, 0]));
        assert_eq!(discover(zeros), (Err(DiscoveryError::NotSunSpec), 3));
    }

    #[test]
    fn a_model_is_read_in_as_few_requests_as_the_protocol_allows() {
        let model = FoundModel { id: 211, start: 100, length: 124 };
        let reads = model.reads();
        let spans: Vec<_> = reads.iter().map(|read| (read.start, read.count)).collect();
        assert_eq!(spans, [(100, 125), (225, 1)]);
    }
}
