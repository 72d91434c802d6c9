//! One kind of command: writing a signal. The same path serves the cloud and the technician.

use std::sync::Arc;

use fieldgate_modbus::register::{ReadReply, ReadRequest, WriteRequest};
use fieldgate_model::{
    Action, Cause, Command, DeviceName, FailureKind, Millis, Outcome, SignalName, Value,
};
use fieldgate_rules::decode::decode;
use fieldgate_rules::encode::{EncodeError, Write, encode, matches};
use fieldgate_rules::plan::Image;
use fieldgate_rules::signal::SignalSpec;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::config::DeviceConfig;
use crate::drivers::{Class, Job, WriteResult};

/// The devices and the buses they are on.
#[derive(Debug, Clone)]
pub struct Targets {
    /// In the order of the configuration.
    pub devices: Arc<[DeviceConfig]>,
    /// In the order of the configuration.
    pub buses: Arc<[mpsc::Sender<Job>]>,
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

/// Writes an engineering value to a signal, and reads it back if asked.
pub async fn write(targets: &Targets, wanted: Wanted<'_>) -> Result<Written, WriteError> {
    let (device, spec) = find(targets, wanted.device, wanted.signal)?;
    let Write { request, read_back } = encode(spec, wanted.value).map_err(WriteError::Encode)?;
    if wanted.dry_run {
        return Ok(Written { request, read_back: None });
    }
    let (done, result) = oneshot::channel();
    let read_back = read_back.filter(|_| wanted.verify);
    let job = Job::Write {
        unit: device.unit,
        request: request.clone(),
        read_back,
        deadline: wanted.deadline,
        class: Class::Command,
        done,
    };
    let bus = targets.buses.get(device.bus).ok_or(WriteError::Stopped)?;
    bus.send(job).await.map_err(|_| WriteError::Stopped)?;
    match result.await.map_err(|_| WriteError::Stopped)? {
        WriteResult::Expired => Err(WriteError::Expired),
        WriteResult::Failed(cause) => Err(WriteError::Device(cause)),
        WriteResult::Written { read_back: reply } => {
            let Some((asked, reply)) = read_back.zip(reply) else {
                return Ok(Written { request, read_back: None });
            };
            let fits = reply.as_ref().is_ok_and(|reply| matches(&request, reply));
            let shows = show(spec, asked, reply);
            if fits {
                return Ok(Written { request, read_back: shows.ok() });
            }
            Err(WriteError::Mismatch {
                shows: shows.map_or_else(|cause| cause.to_string(), |value| value.to_string()),
            })
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
) -> Result<(&'a DeviceConfig, &'a SignalSpec), WriteError> {
    let found = targets
        .devices
        .iter()
        .find(|candidate| candidate.name == *device)
        .ok_or_else(|| WriteError::NoDevice { device: device.clone() })?;
    let (_, spec) = found
        .profile
        .signal(signal)
        .ok_or_else(|| WriteError::NoSignal { device: device.clone(), signal: signal.clone() })?;
    Ok((found, spec))
}

fn show(
    spec: &SignalSpec,
    asked: ReadRequest,
    reply: Result<ReadReply, Cause>,
) -> Result<Value, Cause> {
    let image = Image::new(vec![(asked, Ok(reply?))]);
    decode(spec, &image).map(|raw| spec.engineering(&raw))
}

fn kind(error: &WriteError) -> FailureKind {
    match error {
        WriteError::NoDevice { .. } | WriteError::NoSignal { .. } | WriteError::Encode(_) => {
            FailureKind::Refused
        }
        WriteError::Device(Cause::Exception(_)) => FailureKind::Exception,
        WriteError::Device(_) | WriteError::Stopped | WriteError::Expired => FailureKind::NoAnswer,
        WriteError::Mismatch { .. } => FailureKind::VerifyMismatch,
    }
}

fn reason(error: &WriteError) -> String {
    if let WriteError::Encode(source) = error { source.to_string() } else { error.to_string() }
}
