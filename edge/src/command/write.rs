//! One kind of command: writing a signal. The same path serves the cloud and the technician.
//!
//! # Invariants
//!
//! - What the profile or its limits forbid never reaches the bus.
//! - A device takes one write at a time, so that two that change bits of one register cannot undo
//!   each other.
//! - A second function code is tried only after the device has said that it did nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_modbus::register::{ReadReply, ReadRequest, WriteRequest};
use fieldgate_model::{
    Action, Cause, Command, DeviceName, FailureKind, Millis, Outcome, SignalName, Value,
};
use fieldgate_rules::encode::EncodeError;
use fieldgate_rules::plan::Image;
use fieldgate_rules::signal::{SignalSpec, WriteSpec};
use fieldgate_rules::write::{
    Method, Write, check, encode, is_refused_untouched, methods, reads_before, shown,
};
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::config::DeviceConfig;
use crate::drivers::{Class, Job, WriteResult};

/// Which function code each signal took last, by device and signal.
type MethodBySignal = BTreeMap<(DeviceName, SignalName), Method>;

/// The devices and the buses they are on.
#[derive(Debug, Clone)]
pub struct Targets {
    /// In the order of the configuration.
    pub devices: Arc<[DeviceConfig]>,
    /// In the order of the configuration.
    pub buses: Arc<[mpsc::Sender<Job>]>,
    /// One permit a device: whose turn it is to write to it.
    turns: Arc<[Semaphore]>,
    /// What devices took when there was a choice. Kept while the daemon runs and not longer: a
    /// device may be exchanged meanwhile, and asking once more costs one answer.
    taken: Arc<watch::Sender<MethodBySignal>>,
}

/// A write that the device took.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// What went over the wire; `dry_run` stops before that.
    pub request: WriteRequest,
    /// Engineering value that the device showed afterwards, if that was asked for.
    pub read_back: Option<Value>,
}

/// Why a signal was not written.
#[derive(Debug, Error, PartialEq)]
pub enum WriteError {
    /// There is no such device, or it is not running.
    #[error("there is no running device `{device}`")]
    NoDevice {
        /// As it was named.
        device: DeviceName,
    },
    /// The device has no such signal.
    #[error("device `{device}` has no signal `{signal}`")]
    NoSignal {
        /// The device.
        device: DeviceName,
        /// As it was named.
        signal: SignalName,
    },
    /// The value cannot be written there.
    #[error("the value cannot be written")]
    Encode(#[source] EncodeError),
    /// A power of ten or the rest of a register could not be read, so nothing was written.
    #[error("what must be read before the write could not be read: {0}")]
    Unread(Cause),
    /// Its deadline had passed when its turn on the bus came.
    #[error("its time had passed before its turn on the bus came")]
    Expired,
    /// The device or the bus said no, or nothing.
    #[error("the device did not take it: {0}")]
    Device(Cause),
    /// The device took it and shows something else.
    #[error("the device took it and shows {shows} instead")]
    Mismatch {
        /// Engineering value read back, or why there is none.
        shows: String,
    },
    /// The bus has stopped.
    #[error("the bus has stopped")]
    Stopped,
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
    device: &'a DeviceConfig,
    bus: &'a mpsc::Sender<Job>,
    deadline: Option<Millis>,
}

/// Writes an engineering value to a signal, and reads it back if asked.
///
/// A dry run may read what the request depends on, such as the rest of a register; it writes
/// nothing.
pub async fn write(targets: &Targets, wanted: Wanted<'_>) -> Result<Written, WriteError> {
    let (place, device, spec) = find(targets, wanted.device, wanted.signal)?;
    check(spec, wanted.value).map_err(WriteError::Encode)?;
    let rule = spec.writable.unwrap_or_default();
    let methods = targets.methods(device, spec, rule)?;
    let bus = targets.buses.get(device.bus).ok_or(WriteError::Stopped)?;
    let line = Line { device, bus, deadline: wanted.deadline };
    let _turn = targets.turn(place, wanted.deadline).await?;

    let is_verified = wanted.verify && rule.verify;
    let mut refused = None;
    for (tried, method) in (1..).zip(&methods) {
        let before = line.read(reads_before(spec, *method)).await?;
        let write = encode(spec, wanted.value, *method, &before).map_err(WriteError::from)?;
        if wanted.dry_run {
            return Ok(Written { request: write.request, read_back: None });
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
                    None => Ok(Written { request: write.request, read_back: None }),
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
    let reply = match reply {
        Some(reply) => reply,
        None => {
            sleep(Duration::from_millis(settle.0)).await;
            line.ask(vec![write.read_back]).await?.pop().unwrap_or(Err(Cause::NoAnswer))
        }
    };
    let shown = shown(spec, &write, reply);
    if shown.is_as_written {
        return Ok(Written { request: write.request, read_back: shown.value.ok() });
    }
    let shows = shown.value.map_or_else(|cause| cause.to_string(), |value| value.to_string());
    Err(WriteError::Mismatch { shows })
}

/// Of two refusals the one that says more: a device that does not have the other function at all
/// says nothing about the register.
fn telling(first: Option<Cause>, last: Cause) -> Cause {
    match (first, last) {
        (Some(first), Cause::Exception(1)) => first,
        (Some(_) | None, last) => last,
    }
}

impl Targets {
    /// Devices and buses as the configuration orders them; nobody has written yet.
    pub fn new(devices: Arc<[DeviceConfig]>, buses: Arc<[mpsc::Sender<Job>]>) -> Self {
        let turns = devices.iter().map(|_| Semaphore::new(1)).collect();
        let taken = Arc::new(watch::Sender::new(BTreeMap::new()));
        Self { devices, buses, turns, taken }
    }

    /// The ways to write a signal, the one that the device took before first.
    fn methods(
        &self,
        device: &DeviceConfig,
        spec: &SignalSpec,
        rule: WriteSpec,
    ) -> Result<Vec<Method>, WriteError> {
        let mut methods = methods(&spec.source, rule).map_err(WriteError::Encode)?;
        let key = (device.name.clone(), spec.name.clone());
        let taken = self.taken.borrow().get(&key).copied();
        methods.sort_by_key(|method| Some(*method) != taken);
        Ok(methods)
    }

    fn remember(&self, device: &DeviceConfig, spec: &SignalSpec, method: Method, choices: usize) {
        if choices > 1 {
            let key = (device.name.clone(), spec.name.clone());
            self.taken.send_if_modified(|taken| taken.insert(key, method) != Some(method));
        }
    }

    /// Waits until nobody else writes to the device.
    async fn turn(
        &self,
        place: usize,
        deadline: Option<Millis>,
    ) -> Result<SemaphorePermit<'_>, WriteError> {
        let turn = self.turns.get(place).ok_or(WriteError::Stopped)?.acquire();
        let turn = match deadline {
            None => turn.await,
            Some(deadline) => {
                let left = Duration::from_millis(deadline.since(Clock.now()).0);
                timeout(left, turn).await.map_err(|_| WriteError::Expired)?
            }
        };
        turn.map_err(|_| WriteError::Stopped)
    }
}

impl Line<'_> {
    /// What these requests bring; nothing is asked for if there are none.
    async fn read(&self, requests: Vec<ReadRequest>) -> Result<Image, WriteError> {
        if requests.is_empty() {
            return Ok(Image::default());
        }
        let replies = self.ask(requests.clone()).await?;
        Ok(Image::new(requests.into_iter().zip(replies).collect()))
    }

    async fn ask(
        &self,
        requests: Vec<ReadRequest>,
    ) -> Result<Vec<Result<ReadReply, Cause>>, WriteError> {
        let (done, replies) = oneshot::channel();
        let job = Job::Read { unit: self.device.unit, requests, class: Class::Command, done };
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
            unit: self.device.unit,
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

impl From<EncodeError> for WriteError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Unread { cause } => Self::Unread(cause),
            EncodeError::NotWritable { .. }
            | EncodeError::NoTarget
            | EncodeError::Kind { .. }
            | EncodeError::Word { .. }
            | EncodeError::Limits { .. }
            | EncodeError::Range { .. }
            | EncodeError::Null { .. }
            | EncodeError::Function { .. } => Self::Encode(error),
        }
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
        Err(error) => Outcome::Failed { kind: kind(&error), reason: reason(&error) },
    }
}

fn find<'a>(
    targets: &'a Targets,
    device: &DeviceName,
    signal: &SignalName,
) -> Result<(usize, &'a DeviceConfig, &'a SignalSpec), WriteError> {
    let (place, found) = targets
        .devices
        .iter()
        .enumerate()
        .find(|(_, candidate)| candidate.name == *device)
        .ok_or_else(|| WriteError::NoDevice { device: device.clone() })?;
    let (_, spec) = found
        .profile
        .signal(signal)
        .ok_or_else(|| WriteError::NoSignal { device: device.clone(), signal: signal.clone() })?;
    Ok((place, found, spec))
}

fn kind(error: &WriteError) -> FailureKind {
    match error {
        WriteError::NoDevice { .. } | WriteError::NoSignal { .. } | WriteError::Encode(_) => {
            FailureKind::Refused
        }
        WriteError::Device(Cause::Exception(_)) | WriteError::Unread(Cause::Exception(_)) => {
            FailureKind::Exception
        }
        WriteError::Device(_)
        | WriteError::Unread(_)
        | WriteError::Stopped
        | WriteError::Expired => FailureKind::NoAnswer,
        WriteError::Mismatch { .. } => FailureKind::VerifyMismatch,
    }
}

fn reason(error: &WriteError) -> String {
    if let WriteError::Encode(source) = error { source.to_string() } else { error.to_string() }
}
