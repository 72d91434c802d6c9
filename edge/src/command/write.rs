//! One kind of command: writing a signal. The same path serves the cloud and the technician.
//!
//! # Invariants
//!
//! - What the profile or its limits forbid never reaches the bus.
//! - A unit takes one write at a time, and gives the turn up when the write's time has passed.
//! - A second function code is tried only after the device has said that it did nothing.

use std::time::Duration;

use fieldgate_modbus::register::{ReadReply, ReadRequest, UnitId, WriteRequest};
use fieldgate_model::{Action, Cause, Command, DeviceName, Millis, Outcome, SignalName, Value};
use fieldgate_rules::encode::EncodeError;
use fieldgate_rules::plan::Image;
use fieldgate_rules::signal::SignalSpec;
use fieldgate_rules::write::{
    Shown, Write, check, encode, is_refused_untouched, reads_before, shown,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::error::WriteError;
use super::payload;
use super::targets::{Targets, within};
use crate::config::Place;
use crate::drivers::host::HostWrite;
use crate::drivers::{Class, Job, WriteResult};

/// A write that the device took.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// What went over the wire; `dry_run` stops before that.
    pub request: Sent,
    /// Engineering value that the device showed afterwards, if that was asked for.
    pub read_back: Option<Value>,
}

/// What goes over the wire for a write.
#[derive(Debug, Clone, PartialEq)]
pub enum Sent {
    /// To registers or coils.
    Registers(WriteRequest),
    /// To a resource.
    Resource(HostWrite),
}

/// What to write.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub(crate) device: &'a DeviceName,
    pub(crate) signal: &'a SignalName,
    pub(crate) value: &'a Value,
    pub(crate) verify: bool,
    pub(crate) dry_run: bool,
    pub(crate) deadline: Option<Millis>,
}

/// A device and the bus it is on.
struct Line<'a> {
    unit: UnitId,
    bus: &'a mpsc::Sender<Job>,
    deadline: Option<Millis>,
}

/// Writes an engineering value to a signal, and reads it back if asked.
///
/// A dry run may read what the request depends on, such as the rest of a register; it writes
/// nothing.
pub async fn write(targets: &Targets, wanted: Wanted<'_>) -> Result<Written, WriteError> {
    let (device, spec) = targets.find(wanted.device, wanted.signal)?;
    check(spec, wanted.value).map_err(WriteError::Encode)?;
    let rule = spec.writable.unwrap_or_default();
    let (bus, unit) = match device.place {
        Place::Bus { bus, unit } => (bus, unit),
        Place::Host { host } => {
            let host = targets.hosts.get(host).ok_or(WriteError::Stopped)?;
            let _turn = targets.turn(device, wanted.deadline).await?;
            return payload::write(host, device, spec, wanted).await;
        }
    };
    let methods = targets.methods(device, spec, rule)?;
    let bus = targets.buses.get(bus).ok_or(WriteError::Stopped)?;
    let line = Line { unit, bus, deadline: wanted.deadline };
    let _turn = targets.turn(device, wanted.deadline).await?;

    let is_verified = wanted.verify && rule.verify;
    let mut refused = None;
    for (tried, method) in (1..).zip(&methods) {
        let before = line.read(reads_before(spec, *method)).await?;
        let write = encode(spec, wanted.value, *method, &before).map_err(WriteError::from)?;
        if wanted.dry_run {
            return Ok(Written { request: Sent::Registers(write.request), read_back: None });
        }
        let read_back = is_verified.then_some(write.read_back);
        match line.write(&write.request, read_back.filter(|_| rule.settle == Millis(0))).await? {
            WriteResult::Expired => return Err(WriteError::Expired),
            WriteResult::Failed(cause) if is_refused_untouched(cause) && tried < methods.len() => {
                tracing::info!(
                    device = %device.name, signal = %spec.name, %cause,
                    function = write.request.function(), "refused, another function is tried",
                );
                refused = Some(cause);
            }
            WriteResult::Failed(cause) => return Err(WriteError::Device(telling(refused, cause))),
            WriteResult::Written { read_back: reply } => {
                targets.remember(device, spec, *method, methods.len());
                return match read_back {
                    None => {
                        Ok(Written { request: Sent::Registers(write.request), read_back: None })
                    }
                    Some(_) => verify(&line, spec, write, reply, rule.settle).await,
                };
            }
        }
    }
    Err(WriteError::Encode(EncodeError::NoTarget))
}

/// Compares what the device shows with what was written, once it had time to settle.
async fn verify(
    line: &Line<'_>,
    spec: &SignalSpec,
    write: Write,
    reply: Option<Result<ReadReply, Cause>>,
    settle: Millis,
) -> Result<Written, WriteError> {
    let reply = if let Some(reply) = reply {
        reply
    } else {
        sleep(Duration::from_millis(settle.0)).await;
        line.ask(vec![write.read_back]).await?.pop().unwrap_or(Err(Cause::NoAnswer))
    };
    let Shown { value, is_as_written } = shown(spec, &write, reply);
    if is_as_written {
        return Ok(Written { request: Sent::Registers(write.request), read_back: value.ok() });
    }
    Err(WriteError::Mismatch {
        shows: value.map_or_else(|cause| cause.to_string(), |value| value.to_string()),
    })
}

/// Of two refusals the one that says more: a device that does not have the other function at all
/// says nothing about the register.
fn telling(first: Option<Cause>, last: Cause) -> Cause {
    match (first, last) {
        (Some(first), Cause::Exception(1)) => first,
        (Some(_) | None, last) => last,
    }
}

impl Line<'_> {
    /// What these requests bring; nothing is asked for if there are none.
    async fn read(&self, requests: Vec<ReadRequest>) -> Result<Image, WriteError> {
        if requests.is_empty() {
            return Ok(Image::default());
        }
        // A unit that is silent must not keep the turn from a write that still has time.
        let replies = within(self.deadline, self.ask(requests.clone())).await??;
        Ok(Image::new(requests.into_iter().zip(replies).collect()))
    }

    async fn ask(
        &self,
        requests: Vec<ReadRequest>,
    ) -> Result<Vec<Result<ReadReply, Cause>>, WriteError> {
        let (done, replies) = oneshot::channel();
        let job = Job::Read { unit: self.unit, requests, class: Class::Command, done };
        self.bus.send(job).await.map_err(|_| WriteError::Stopped)?;
        replies.await.map_err(|_| WriteError::Stopped)
    }

    async fn write(
        &self,
        request: &WriteRequest,
        read_back: Option<ReadRequest>,
    ) -> Result<WriteResult, WriteError> {
        let (done, result) = oneshot::channel();
        let job = Job::Write {
            unit: self.unit,
            request: request.clone(),
            read_back,
            deadline: self.deadline,
            class: Class::Command,
            done,
        };
        self.bus.send(job).await.map_err(|_| WriteError::Stopped)?;
        result.await.map_err(|_| WriteError::Stopped)
    }
}

/// Does what a command asks and says how that ended.
pub(super) async fn carry_out(targets: &Targets, command: &Command, deadline: Millis) -> Outcome {
    let Action::Write { device, signal, value, verify } = &command.action;
    let wanted = Wanted {
        device,
        signal,
        value,
        verify: *verify,
        dry_run: command.dry_run,
        deadline: Some(deadline),
    };
    match write(targets, wanted).await {
        Ok(written) => Outcome::Done { read_back: written.read_back },
        Err(WriteError::Expired) => Outcome::Expired,
        Err(error) => Outcome::Failed { kind: error.kind(), reason: error.reason() },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use fieldgate_modbus::register::{Address, Table};
    use fieldgate_rules::plan::ReadRules;
    use fieldgate_rules::profile::Profile;
    use fieldgate_rules::signal::{
        BitWrite, DataType, ScaleFrom, SignalSource, WordOrder, WriteFunction, WriteSpec,
    };
    use fieldgate_rules::write::Method;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::clock::Clock;
    use crate::config::DeviceConfig;

    /// A device with a bus of its own. Its holding registers are those that stand in the map.
    #[derive(Debug, Default)]
    struct Fake {
        registers: BTreeMap<u16, u16>,
        /// Function codes that it refuses, each with its exception.
        refuses: BTreeMap<u8, u8>,
        /// No set-point stays above it.
        highest: Option<u16>,
        /// Function code of every transaction, in order.
        functions: Vec<u8>,
    }

    impl Fake {
        fn read(&mut self, request: ReadRequest) -> Result<ReadReply, Cause> {
            self.functions.push(request.table.read_function());
            let offsets = (request.start..=u16::MAX).take(usize::from(request.count));
            let words = offsets.map(|offset| self.registers.get(&offset).copied());
            words.collect::<Option<_>>().map(ReadReply::Registers).ok_or(Cause::Exception(2))
        }

        fn write(&mut self, request: &WriteRequest) -> Result<(), Cause> {
            self.functions.push(request.function());
            if let Some(code) = self.refuses.get(&request.function()) {
                return Err(Cause::Exception(*code));
            }
            let (start, words) = match request {
                WriteRequest::Register { offset, word } => (*offset, vec![*word]),
                WriteRequest::Registers { start, words } => (*start, words.clone()),
                WriteRequest::MaskRegister { offset, and, or } => {
                    let old = self.registers[offset];
                    (*offset, vec![old & and | or & !and])
                }
                WriteRequest::Coil { .. } | WriteRequest::Coils { .. } => {
                    return Err(Cause::Exception(1));
                }
            };
            let highest = self.highest.unwrap_or(u16::MAX);
            let words = words.into_iter().map(|word| word.min(highest));
            self.registers.extend((start..=u16::MAX).zip(words));
            Ok(())
        }

        async fn run(mut self, mut jobs: mpsc::Receiver<Job>) -> Self {
            while let Some(job) = jobs.recv().await {
                match job {
                    Job::Read { requests, done, .. } => {
                        let replies = requests.into_iter().map(|request| self.read(request));
                        done.send(replies.collect()).expect("somebody waits");
                    }
                    Job::Write { request, read_back, done, .. } => {
                        let result = match self.write(&request) {
                            Err(cause) => WriteResult::Failed(cause),
                            Ok(()) => WriteResult::Written {
                                read_back: read_back.map(|request| self.read(request)),
                            },
                        };
                        done.send(result).expect("somebody waits");
                    }
                    Job::Transact { .. } | Job::Take { .. } => panic!("no write does that"),
                }
            }
            self
        }
    }

    /// One of the names of unit 1.
    fn device(name: &str, profile: &Arc<Profile>) -> DeviceConfig {
        DeviceConfig {
            name: DeviceName::new(name).expect("a name"),
            profile: Arc::clone(profile),
            place: Place::Bus { bus: 0, unit: UnitId(1) },
            every: Millis(1000),
            timeout: Millis(1000),
        }
    }

    struct Rig {
        targets: Targets,
        device: DeviceName,
        fake: JoinHandle<Fake>,
    }

    impl Rig {
        fn start(fake: Fake, signals: Vec<SignalSpec>) -> Self {
            let profile = Profile {
                name: "fake".to_owned(),
                version: 1,
                title: String::new(),
                source: String::new(),
                resources: Vec::new(),
                signals,
                alarms: Vec::new(),
                parser: None,
                tests: Vec::new(),
                reading: ReadRules::default(),
                unverified: std::collections::BTreeSet::new(),
                every: Millis(1000),
            };
            let profile = Arc::new(profile);
            let devices: Vec<_> = ["device", "twin"].map(|name| device(name, &profile)).into();
            let (jobs, jobs_out) = mpsc::channel(8);
            let name = devices[0].name.clone();
            let targets = Targets::new(devices.into(), vec![jobs].into(), Vec::new().into());
            Self { targets, device: name, fake: tokio::spawn(fake.run(jobs_out)) }
        }

        async fn write(&self, signal: &str, value: Value) -> Result<Written, WriteError> {
            self.ask(signal, value, true, false).await
        }

        async fn ask(
            &self,
            signal: &str,
            value: Value,
            verify: bool,
            dry_run: bool,
        ) -> Result<Written, WriteError> {
            let signal = SignalName::new(signal).expect("a name");
            let deadline = Some(Clock.now() + Millis::from_secs(30));
            let (device, signal, value) = (&self.device, &signal, &value);
            let wanted = Wanted { device, signal, value, verify, dry_run, deadline };
            write(&self.targets, wanted).await
        }

        /// The device as it is in the end.
        async fn stop(self) -> Fake {
            drop(self.targets);
            self.fake.await.expect("nothing panicked")
        }
    }

    fn at(offset: u16) -> Address {
        Address { table: Table::HoldingRegister, offset }
    }

    fn register(name: &str, offset: u16) -> SignalSpec {
        let (data, order) = (DataType::U16, WordOrder::Abcd);
        signal(name, SignalSource::Registers { address: at(offset), data, order })
    }

    fn signal(name: &str, source: SignalSource) -> SignalSpec {
        let name = SignalName::new(name).expect("a name");
        SignalSpec { writable: Some(WriteSpec::default()), ..SignalSpec::new(name, source) }
    }

    fn holding(words: &[u16]) -> Fake {
        Fake { registers: (0..).zip(words.iter().copied()).collect(), ..Fake::default() }
    }

    #[tokio::test]
    async fn a_refused_function_is_replaced_once_and_remembered() {
        for code in [1, 2] {
            let fake = Fake { refuses: BTreeMap::from([(6, code)]), ..holding(&[0]) };
            let rig = Rig::start(fake, vec![register("a", 0)]);
            let written = rig.write("a", Value::Int(5)).await.expect("FC 16 takes it");
            let request = WriteRequest::Registers { start: 0, words: vec![5] };
            assert_eq!(written.request, Sent::Registers(request));
            assert_eq!(written.read_back, Some(Value::Unsigned(5)));
            rig.write("a", Value::Int(6)).await.expect("FC 16 takes it");
            let fake = rig.stop().await;
            assert_eq!(fake.functions, [6, 16, 3, 16, 3], "FC 6 is asked once");
            assert_eq!(fake.registers[&0], 6);
        }
    }

    #[tokio::test]
    async fn a_remembered_function_that_is_refused_later_gives_way_again() {
        let fake = Fake { refuses: BTreeMap::from([(16, 1)]), ..holding(&[0]) };
        let rig = Rig::start(fake, vec![register("a", 0)]);
        let signal = SignalName::new("a").expect("a name");
        let (device, spec) = rig.targets.find(&rig.device, &signal).expect("it is there");
        rig.targets.remember(device, spec, Method::Multiple, 2);
        rig.write("a", Value::Int(5)).await.expect("FC 6 takes it");
        rig.write("a", Value::Int(6)).await.expect("FC 6 takes it");
        assert_eq!(rig.stop().await.functions, [16, 6, 3, 6, 3]);
    }

    #[tokio::test]
    async fn a_refusal_that_says_anything_else_ends_the_write() {
        for (refuses, function, cause, functions) in [
            (vec![(6, 3)], WriteFunction::Auto, 3, &[6][..]),
            (vec![(6, 1)], WriteFunction::Single, 1, &[6]),
            (vec![(16, 2)], WriteFunction::Multiple, 2, &[16]),
            (vec![(6, 2), (16, 1)], WriteFunction::Auto, 2, &[6, 16]),
            (vec![(6, 1), (16, 2)], WriteFunction::Auto, 2, &[6, 16]),
        ] {
            let fake = Fake { refuses: refuses.into_iter().collect(), ..holding(&[7]) };
            let mut spec = register("a", 0);
            spec.writable = Some(WriteSpec { function, ..WriteSpec::default() });
            let rig = Rig::start(fake, vec![spec]);
            let error = rig.write("a", Value::Int(5)).await.expect_err("it refuses");
            assert_eq!(error, WriteError::Device(Cause::Exception(cause)));
            let fake = rig.stop().await;
            assert_eq!((fake.functions.as_slice(), fake.registers[&0]), (functions, 7));
        }
    }

    #[tokio::test]
    async fn bits_are_written_by_mask_or_around_what_is_there() {
        let bits = SignalSource::RegisterBits { address: at(0), first: 4, last: 7 };
        for (bit_write, refuses, functions) in [
            (BitWrite::Auto, vec![], &[22, 3][..]),
            (BitWrite::Auto, vec![(22, 1)], &[22, 3, 6, 3]),
            (BitWrite::Auto, vec![(22, 1), (6, 1)], &[22, 3, 6, 3, 16, 3]),
            (BitWrite::ReadModifyWrite, vec![], &[3, 6, 3]),
        ] {
            let fake = Fake { refuses: refuses.into_iter().collect(), ..holding(&[0xABCD]) };
            let mut spec = signal("bits", bits);
            spec.writable = Some(WriteSpec { bit_write, ..WriteSpec::default() });
            let rig = Rig::start(fake, vec![spec]);
            let written = rig.write("bits", Value::Int(5)).await.expect("it takes it");
            assert_eq!(written.read_back, Some(Value::Unsigned(5)));
            let fake = rig.stop().await;
            assert_eq!((fake.functions.as_slice(), fake.registers[&0]), (functions, 0xAB5D));
        }
    }

    #[tokio::test]
    async fn two_writes_to_bits_of_one_register_do_not_undo_each_other() {
        let fake = Fake { refuses: BTreeMap::from([(22, 1)]), ..holding(&[0]) };
        let bit = |name: &str, bit| signal(name, SignalSource::RegisterBit { address: at(0), bit });
        let rig = Rig::start(fake, vec![bit("a", 0), bit("b", 9)]);
        let (a, b) =
            tokio::join!(rig.write("a", Value::Bool(true)), rig.write("b", Value::Bool(true)));
        assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
        assert_eq!(rig.stop().await.registers[&0], 0x0201);
    }

    #[tokio::test]
    async fn two_devices_that_are_one_unit_do_not_undo_each_others_bits() {
        let fake = Fake { refuses: BTreeMap::from([(22, 1)]), ..holding(&[0]) };
        let bit = |name: &str, bit| signal(name, SignalSource::RegisterBit { address: at(0), bit });
        let rig = Rig::start(fake, vec![bit("a", 0), bit("b", 9)]);
        let twin = DeviceName::new("twin").expect("a name");
        let of_twin = Wanted {
            device: &twin,
            signal: &SignalName::new("b").expect("a name"),
            value: &Value::Bool(true),
            verify: true,
            dry_run: false,
            deadline: None,
        };
        let (a, b) = tokio::join!(rig.write("a", Value::Bool(true)), write(&rig.targets, of_twin));
        assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
        assert_eq!(rig.stop().await.registers[&0], 0x0201);
    }

    #[tokio::test]
    async fn a_read_before_a_write_ends_with_the_writes_own_time() {
        let bit = signal("a", SignalSource::RegisterBit { address: at(0), bit: 0 });
        let by_hand = WriteSpec { bit_write: BitWrite::ReadModifyWrite, ..WriteSpec::default() };
        let mut rig =
            Rig::start(holding(&[0]), vec![SignalSpec { writable: Some(by_hand), ..bit }]);
        let (jobs, _nobody_answers) = mpsc::channel(8);
        rig.targets =
            Targets::new(Arc::clone(&rig.targets.devices), vec![jobs].into(), Vec::new().into());
        let wanted = Wanted {
            device: &rig.device,
            signal: &SignalName::new("a").expect("a name"),
            value: &Value::Bool(true),
            verify: true,
            dry_run: false,
            deadline: Some(Clock.now() + Millis(20)),
        };
        assert_eq!(write(&rig.targets, wanted).await, Err(WriteError::Expired));
    }

    #[tokio::test]
    async fn what_is_forbidden_never_reaches_the_bus() {
        let limited = SignalSpec { limits: Some((0.0, 50.0)), ..register("a", 0) };
        let fixed = SignalSpec { writable: None, ..register("b", 1) };
        let rig = Rig::start(holding(&[0, 0]), vec![limited, fixed]);
        for (signal, value) in [
            ("a", Value::Int(51)),
            ("a", Value::Bool(true)),
            ("a", Value::Float64(f64::NAN)),
            ("b", Value::Int(1)),
        ] {
            let error = rig.write(signal, value).await.expect_err("it is forbidden");
            assert!(matches!(error, WriteError::Encode(_)), "{error}");
        }
        let dry = rig.ask("a", Value::Int(5), true, true).await.expect("it would be");
        let request = WriteRequest::Register { offset: 0, word: 5 };
        assert_eq!(dry.request, Sent::Registers(request));
        assert_eq!(rig.stop().await.functions, [] as [u8; 0]);
    }

    #[tokio::test]
    async fn a_device_that_limits_a_value_is_found_out_unless_that_is_tolerated() {
        let rule = |tolerance, verify, settle| {
            let write = WriteSpec { tolerance, verify, settle, ..WriteSpec::default() };
            SignalSpec { writable: Some(write), ..register("a", 0) }
        };
        let shows = |shows: &str| Err(WriteError::Mismatch { shows: shows.to_owned() });
        let good = |value| Ok(Some(Value::Unsigned(value)));
        for (spec, value, expected, functions) in [
            (rule(0.0, true, Millis(0)), 40, good(40), &[6, 3][..]),
            (rule(0.0, true, Millis(0)), 41, shows("40"), &[6, 3]),
            (rule(0.0, true, Millis(1)), 41, shows("40"), &[6, 3]),
            (rule(1.0, true, Millis(1)), 41, good(40), &[6, 3]),
            (rule(1.0, true, Millis(0)), 42, shows("40"), &[6, 3]),
            (rule(0.0, false, Millis(1)), 42, Ok(None), &[6]),
        ] {
            let rig = Rig::start(Fake { highest: Some(40), ..holding(&[0]) }, vec![spec]);
            let written = rig.write("a", Value::Int(value)).await;
            assert_eq!(written.map(|written| written.read_back), expected, "{value}");
            assert_eq!(rig.stop().await.functions, functions);
        }
    }

    #[tokio::test]
    async fn a_power_of_ten_is_asked_for_first_and_without_it_nothing_is_written() {
        let source = |offset| SignalSource::Registers {
            address: at(offset),
            data: DataType::I16,
            order: WordOrder::Abcd,
        };
        let factor = |offset| {
            let signal = SignalName::new("sf").expect("a name");
            Some(ScaleFrom { signal, source: source(offset), nulls: vec![0x8000] })
        };
        let good = SignalSpec { scale_from: factor(1), ..signal("good", source(0)) };
        let null = SignalSpec { scale_from: factor(2), ..signal("null", source(0)) };
        let missing = SignalSpec { scale_from: factor(9), ..signal("missing", source(0)) };
        let rig = Rig::start(holding(&[0, 0xFFFF, 0x8000]), vec![good, null, missing]);
        let written = rig.write("good", Value::Float64(21.5)).await.expect("it takes it");
        let request = WriteRequest::Register { offset: 0, word: 215 };
        assert_eq!(written.request, Sent::Registers(request));
        assert_eq!(written.read_back, Some(Value::Float64(21.5)));
        for (signal, cause) in [("null", Cause::Null), ("missing", Cause::Exception(2))] {
            let error = rig.write(signal, Value::Int(1)).await.expect_err("there is no factor");
            assert_eq!(error, WriteError::Unread(cause));
        }
        let fake = rig.stop().await;
        assert_eq!((fake.functions.as_slice(), fake.registers[&0]), (&[3, 6, 3, 3, 3][..], 215));
    }
}
