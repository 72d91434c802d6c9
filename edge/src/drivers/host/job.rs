//! What people and commands ask of a host, from the asking to the answer.

use std::collections::BTreeMap;

use fieldgate_modbus::fault::Fault;
use fieldgate_model::{Cause, Millis};
use fieldgate_rules::payload::Format;
use fieldgate_rules::schedule::{Class, JobId, JobSpec};
use tokio::sync::oneshot;

use super::{Ask, Payload};
use crate::drivers::NO_UNIT;
use crate::drivers::coap::{CoapRequest, ContentFormat, Method};

/// Something to do beside the polls.
#[derive(Debug)]
pub enum HostJob {
    /// Ask now, whatever the poll interval.
    Fetch {
        /// What to ask.
        asks: Vec<Ask>,
        /// What it may go before.
        class: Class,
        /// Where the answers go, in the order of `asks`.
        done: oneshot::Sender<Vec<Result<Payload, Cause>>>,
    },
    /// Write, and read back if asked.
    Write {
        /// What to write.
        write: HostWrite,
        /// What to ask afterwards.
        read_back: Option<Ask>,
        /// Monotonic time from which on it must not reach the network any more.
        deadline: Option<Millis>,
        /// What it may go before.
        class: Class,
        /// Where the result goes.
        done: oneshot::Sender<HostWriteResult>,
    },
}

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostWrite {
    /// PUT or POST.
    pub method: Method,
    /// Segments.
    pub path: Vec<String>,
    /// Parts.
    pub query: Vec<String>,
    /// What the payload is.
    pub format: Format,
    /// What to write.
    pub payload: Vec<u8>,
}

/// What became of a [`HostJob::Write`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostWriteResult {
    /// Its deadline had passed when its turn came; nothing was sent.
    Expired,
    /// The device or the host said no, or nothing.
    Failed(Cause),
    /// The device acknowledged it.
    Written {
        /// The answer to the read-back, if one was asked for.
        read_back: Option<Result<Payload, Cause>>,
    },
}

/// The jobs that have not ended.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    open: BTreeMap<JobId, Open>,
    last: u64,
}

#[derive(Debug)]
struct Open {
    job: HostJob,
    /// By step.
    brought: Vec<Option<Result<Payload, Cause>>>,
}

/// One step of a job.
#[derive(Debug)]
pub(super) enum Step {
    Ask(Ask),
    Write {
        write: HostWrite,
        /// Not to be sent from this moment on.
        deadline: Option<Millis>,
    },
}

impl HostWrite {
    pub(super) fn request(&self, deadline: Millis) -> CoapRequest {
        CoapRequest {
            method: self.method,
            path: self.path.clone(),
            query: self.query.clone(),
            accept: None,
            content_format: Some(ContentFormat(self.format.code())),
            payload: self.payload.clone(),
            confirmable: true,
            block_size: None,
            deadline,
        }
    }
}

impl Jobs {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Takes a job in.
    pub(super) fn add(&mut self, job: HostJob, timeout: Millis) -> (JobId, JobSpec) {
        let (class, transactions, not_after, exclusive) = match &job {
            HostJob::Fetch { asks, class, .. } => (*class, asks.len(), None, false),
            HostJob::Write { read_back, deadline, class, .. } => {
                (*class, 1 + usize::from(read_back.is_some()), *deadline, true)
            }
        };
        let spec = JobSpec { class, unit: NO_UNIT, transactions, timeout, not_after, exclusive };
        self.last += 1;
        let id = JobId(self.last);
        let brought = (0..transactions).map(|_| None).collect();
        self.open.insert(id, Open { job, brought });
        (id, spec)
    }

    /// What is to be sent for a step; `None` if nobody waits for it any more.
    pub(super) fn step(&self, id: JobId, step: usize) -> Option<Step> {
        match &self.open.get(&id)?.job {
            HostJob::Fetch { asks, done, .. } => {
                asks.get(step).filter(|_| !done.is_closed()).cloned().map(Step::Ask)
            }
            // Who asked for a write may have lost the link to hear of it; it is to be made still.
            HostJob::Write { write, deadline, .. } if step == 0 => {
                Some(Step::Write { write: write.clone(), deadline: *deadline })
            }
            HostJob::Write { read_back, .. } => read_back.clone().map(Step::Ask),
        }
    }

    /// Keeps what a step brought.
    pub(super) fn note(&mut self, id: JobId, step: usize, brought: Result<Payload, Cause>) {
        let open = self.open.get_mut(&id);
        if let Some(place) = open.and_then(|open| open.brought.get_mut(step)) {
            *place = Some(brought);
        }
    }

    /// Ends a job: steps that were not made failed for `rest`.
    pub(super) fn finish(&mut self, id: JobId, rest: Option<Fault>) {
        let rest = rest.map_or(Cause::NoAnswer, cause_of);
        let Some(Open { job, brought }) = self.open.remove(&id) else { return };
        let mut brought = brought.into_iter().map(|brought| brought.unwrap_or(Err(rest)));
        // Whoever asked may have gone away; the answer is of use to nobody else.
        match job {
            HostJob::Fetch { done, .. } => drop(done.send(brought.collect())),
            HostJob::Write { done, .. } => {
                let written = brought.next().unwrap_or(Err(rest));
                let read_back = brought.next();
                drop(done.send(match written {
                    Ok(_) => HostWriteResult::Written { read_back },
                    Err(cause) => HostWriteResult::Failed(cause),
                }));
            }
        }
    }

    /// Ends a job whose time had passed before it was sent.
    pub(super) fn expire(&mut self, id: JobId) {
        if let Some(Open { job: HostJob::Write { .. }, .. }) = self.open.get(&id)
            && let Some(Open { job: HostJob::Write { done, .. }, .. }) = self.open.remove(&id)
        {
            drop(done.send(HostWriteResult::Expired));
            return;
        }
        self.finish(id, Some(Fault::NoAnswer));
    }
}

/// A code of CoAP is above all that Modbus has for an exception.
pub(super) fn cause_of(fault: Fault) -> Cause {
    match fault {
        Fault::Exception(code) => Cause::Refused(code),
        Fault::NoAnswer | Fault::NoLink | Fault::LinkLost | Fault::Checksum | Fault::Malformed => {
            fault.into()
        }
    }
}
