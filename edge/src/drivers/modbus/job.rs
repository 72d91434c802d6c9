//! What people and commands asked of a bus, from the asking to the answer.

use std::collections::BTreeMap;

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{ReadReply, ReadRequest, UnitId, WriteRequest};
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_model::{Cause, Millis};
use fieldgate_rules::schedule::{Class, JobId, JobSpec};
use tokio::sync::oneshot;

use crate::drivers::{Job, WriteResult};

/// The jobs that have not ended.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    open: BTreeMap<JobId, Open>,
    last: u64,
}

/// A job that has not ended, with what it has brought.
#[derive(Debug)]
enum Open {
    Read {
        unit: UnitId,
        requests: Vec<ReadRequest>,
        class: Class,
        replies: Vec<Option<Result<ReadReply, Cause>>>,
        done: oneshot::Sender<Vec<Result<ReadReply, Cause>>>,
    },
    Write {
        unit: UnitId,
        request: WriteRequest,
        read_back: Option<ReadRequest>,
        deadline: Option<Millis>,
        class: Class,
        written: Option<Result<(), Cause>>,
        shown: Option<Result<ReadReply, Cause>>,
        done: oneshot::Sender<WriteResult>,
    },
    Transact {
        unit: UnitId,
        request: Request,
        outcome: Option<Result<Reply, Fault>>,
        done: oneshot::Sender<Result<Reply, Fault>>,
    },
}

/// One transaction of a job.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) unit: UnitId,
    pub(super) request: Request,
    /// Not to be sent from this moment on.
    pub(super) deadline: Option<Millis>,
}

/// Somebody who wants the whole line.
#[derive(Debug)]
pub(super) struct Taker {
    pub(super) granted: oneshot::Sender<()>,
    pub(super) released: oneshot::Receiver<()>,
}

impl Jobs {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Takes a job in; `patience` is how long a unit may take to answer. Taking the line is none: it
    /// is handed back.
    pub(super) fn add(
        &mut self,
        job: Job,
        patience: impl FnOnce(UnitId) -> Millis,
    ) -> Result<(JobId, JobSpec), Taker> {
        let open = match job {
            Job::Read { unit, requests, class, done } => {
                let replies = requests.iter().map(|_| None).collect();
                Open::Read { unit, requests, class, replies, done }
            }
            Job::Write { unit, request, read_back, deadline, class, done } => {
                let (written, shown) = (None, None);
                Open::Write { unit, request, read_back, deadline, class, written, shown, done }
            }
            Job::Transact { unit, request, done } => {
                Open::Transact { unit, request, outcome: None, done }
            }
            Job::Take { granted, released } => return Err(Taker { granted, released }),
        };
        let spec = open.spec(patience);
        self.last += 1;
        let id = JobId(self.last);
        self.open.insert(id, open);
        Ok((id, spec))
    }

    /// What is to be sent for a step; `None` if nobody waits for it any more.
    pub(super) fn step(&self, id: JobId, step: usize) -> Option<Step> {
        let open = self.open.get(&id)?;
        if open.is_abandoned() {
            return None;
        }
        match open {
            Open::Read { unit, requests, .. } => {
                let request = Request::Read(*requests.get(step)?);
                Some(Step { unit: *unit, request, deadline: None })
            }
            Open::Write { unit, request, deadline, .. } if step == 0 => {
                let request = Request::Write(request.clone());
                Some(Step { unit: *unit, request, deadline: *deadline })
            }
            Open::Write { unit, read_back, .. } => {
                let request = Request::Read((*read_back)?);
                Some(Step { unit: *unit, request, deadline: None })
            }
            Open::Transact { unit, request, .. } => {
                Some(Step { unit: *unit, request: request.clone(), deadline: None })
            }
        }
    }

    /// Keeps what a step brought.
    pub(super) fn note(&mut self, id: JobId, step: usize, brought: Result<Reply, Fault>) {
        match self.open.get_mut(&id) {
            None => {}
            Some(Open::Read { replies, .. }) => {
                if let Some(reply) = replies.get_mut(step) {
                    *reply = Some(as_read(brought));
                }
            }
            Some(Open::Write { written, .. }) if step == 0 => {
                *written = Some(brought.map(|_| ()).map_err(Cause::from));
            }
            Some(Open::Write { shown, .. }) => *shown = Some(as_read(brought)),
            Some(Open::Transact { outcome, .. }) => *outcome = Some(brought),
        }
    }

    /// Ends a job: steps that were not made failed for `rest`.
    pub(super) fn finish(&mut self, id: JobId, rest: Option<Fault>) {
        let rest = rest.unwrap_or(Fault::NoAnswer);
        let Some(open) = self.open.remove(&id) else { return };
        // Whoever asked may have gone away; the answer is of use to nobody else.
        match open {
            Open::Read { replies, done, .. } => {
                let rest = |reply: Option<_>| reply.unwrap_or(Err(Cause::from(rest)));
                drop(done.send(replies.into_iter().map(rest).collect()));
            }
            Open::Write { read_back, written, shown, done, .. } => {
                let rest = Cause::from(rest);
                let shown = || read_back.map(|_| shown.unwrap_or(Err(rest)));
                let written = written.unwrap_or(Err(rest));
                let result = written.map_or_else(WriteResult::Failed, |()| WriteResult::Written {
                    read_back: shown(),
                });
                drop(done.send(result));
            }
            Open::Transact { outcome, done, .. } => {
                drop(done.send(outcome.unwrap_or(Err(rest))));
            }
        }
    }

    /// Ends all jobs: steps that were not made failed for `rest`. Gives which they were.
    pub(super) fn end_all(&mut self, rest: Fault) -> Vec<JobId> {
        let ids: Vec<JobId> = self.open.keys().copied().collect();
        for id in &ids {
            self.finish(*id, Some(rest));
        }
        ids
    }

    /// Ends a job whose time had passed before it reached the wire.
    pub(super) fn expire(&mut self, id: JobId) {
        match self.open.remove(&id) {
            Some(Open::Write { done, .. }) => drop(done.send(WriteResult::Expired)),
            Some(other @ (Open::Read { .. } | Open::Transact { .. })) => {
                self.open.insert(id, other);
                self.finish(id, Some(Fault::NoAnswer));
            }
            None => {}
        }
    }
}

impl Open {
    fn spec(&self, patience: impl FnOnce(UnitId) -> Millis) -> JobSpec {
        let (unit, class, transactions, not_after, exclusive) = match self {
            Self::Read { unit, class, requests, .. } => {
                (*unit, *class, requests.len(), None, false)
            }
            Self::Write { unit, class, read_back, deadline, .. } => {
                (*unit, *class, 1 + usize::from(read_back.is_some()), *deadline, true)
            }
            Self::Transact { unit, request, .. } => {
                let writes = matches!(request, Request::Write(_) | Request::ReadWrite { .. });
                (*unit, Class::Command, 1, None, writes)
            }
        };
        let timeout = patience(unit);
        JobSpec { class, unit, transactions, timeout, not_after, exclusive }
    }

    fn is_abandoned(&self) -> bool {
        match self {
            Self::Read { done, .. } => done.is_closed(),
            // Who asked for a write may have lost the link to hear of it; it is to be made still.
            Self::Write { .. } => false,
            Self::Transact { done, .. } => done.is_closed(),
        }
    }
}

fn as_read(brought: Result<Reply, Fault>) -> Result<ReadReply, Cause> {
    match brought {
        Ok(Reply::Read(reply)) => Ok(reply),
        // The client answers a read with a read.
        Ok(Reply::Written | Reply::ServerId(_) | Reply::DeviceId(_)) => Err(Cause::Malformed),
        Err(fault) => Err(fault.into()),
    }
}
