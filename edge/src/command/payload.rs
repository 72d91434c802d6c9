//! Writing a signal that lies in a resource: one request, and a look at what the device shows then.

use std::time::Duration;

use fieldgate_model::{Cause, Millis, Value};
use fieldgate_rules::encode::EncodeError;
use fieldgate_rules::payload::compose::{compose, took};
use fieldgate_rules::payload::{Method, Resource, read};
use fieldgate_rules::signal::{PayloadMethod, SignalSpec};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::error::WriteError;
use super::write::{Sent, Wanted, Written};
use crate::config::DeviceConfig;
use crate::drivers::Class;
use crate::drivers::coap;
use crate::drivers::host::{Ask, HostJob, HostWrite, HostWriteResult, Payload};

/// Writes an engineering value to where a signal lies, and reads the resource back if asked.
pub(super) async fn write(
    host: &mpsc::Sender<HostJob>,
    device: &DeviceConfig,
    spec: &SignalSpec,
    wanted: Wanted<'_>,
) -> Result<Written, WriteError> {
    let picked = device.profile.picked(spec);
    let (_, resource, pick) = picked.ok_or(WriteError::Encode(EncodeError::NoTarget))?;
    let payload = compose(spec, resource.format, pick, wanted.value).map_err(WriteError::Encode)?;
    let rule = spec.writable.unwrap_or_default();
    let method = match rule.payload_method {
        PayloadMethod::Put => coap::Method::Put,
        PayloadMethod::Post => coap::Method::Post,
    };
    let (path, query) = (resource.segments(), resource.query());
    let write = HostWrite { method, path, query, format: resource.format, payload };
    if wanted.dry_run {
        return Ok(Written { request: Sent::Resource(write), read_back: None });
    }
    // What is read by POST would do something once more.
    let is_verified = wanted.verify && rule.verify && resource.method == Method::Get;
    let ask = is_verified.then(|| Ask::of(resource));
    let at_once = ask.clone().filter(|_| rule.settle == Millis(0));
    let (done, result) = oneshot::channel();
    let job = HostJob::Write {
        write: write.clone(),
        read_back: at_once,
        deadline: wanted.deadline,
        class: Class::Command,
        done,
    };
    host.send(job).await.map_err(|_| WriteError::Stopped)?;
    let brought = match result.await.map_err(|_| WriteError::Stopped)? {
        HostWriteResult::Expired => return Err(WriteError::Expired),
        HostWriteResult::Failed(cause) => return Err(WriteError::Device(cause)),
        HostWriteResult::Written { read_back } => read_back,
    };
    let shown = match (brought, ask) {
        (_, None) => return Ok(Written { request: Sent::Resource(write), read_back: None }),
        (Some(shown), Some(_)) => shown,
        (None, Some(ask)) => {
            sleep(Duration::from_millis(rule.settle.0)).await;
            fetch(host, ask).await?
        }
    };
    match shown.and_then(|payload| in_payload(device, resource, spec, &payload)) {
        Ok(raw) if took(spec, &raw, wanted.value) => {
            let read_back = Some(spec.engineering(&raw));
            Ok(Written { request: Sent::Resource(write), read_back })
        }
        Ok(raw) => Err(WriteError::Mismatch { shows: spec.engineering(&raw).to_string() }),
        Err(cause) => Err(WriteError::Mismatch { shows: cause.to_string() }),
    }
}

async fn fetch(
    host: &mpsc::Sender<HostJob>,
    ask: Ask,
) -> Result<Result<Payload, Cause>, WriteError> {
    let (done, answers) = oneshot::channel();
    let job = HostJob::Fetch { asks: vec![ask], class: Class::Command, done };
    host.send(job).await.map_err(|_| WriteError::Stopped)?;
    let mut answers = answers.await.map_err(|_| WriteError::Stopped)?;
    Ok(answers.pop().unwrap_or(Err(Cause::NoAnswer)))
}

/// The signal in what its resource shows.
fn in_payload(
    device: &DeviceConfig,
    resource: &Resource,
    spec: &SignalSpec,
    payload: &Payload,
) -> Result<Value, Cause> {
    let readings = read(&device.profile, resource, payload.format, &payload.bytes);
    let is_it =
        |signal: usize| device.profile.signals.get(signal).is_some_and(|its| its.name == spec.name);
    let its = readings.into_iter().rev().find(|reading| is_it(reading.signal));
    its.map_or(Err(Cause::Malformed), |reading| reading.value.map_err(|unread| unread.cause))
}
