//! Jobs on the live bus: reads and writes that people and commands asked for.

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{ReadReply, ReadRequest, UnitId};
use fieldgate_model::Cause;

use super::link::{Ask, Failure, Line, Reply};
use crate::drivers::{Job, WriteResult};

/// Does `job`, tells whoever asked, and gives what the bus learned of itself.
pub(super) async fn carry_out(line: &mut Line, job: Job) -> Result<(), Fault> {
    match job {
        Job::Read { unit, requests, done, class: _ } => {
            let mut replies = Vec::with_capacity(requests.len());
            let mut outcome = Ok(());
            for request in requests {
                if let Err(fault @ (Fault::NoAnswer | Fault::NoLink)) = outcome {
                    // The unit would be silent again, and others are waiting for the bus.
                    replies.push(Err(fault.into()));
                    continue;
                }
                let reply = read(line, unit, request).await;
                outcome = reply.as_ref().map(|_| ()).map_err(|fault| *fault);
                replies.push(reply.map_err(Cause::from));
            }
            // Whoever asked may have gone away; the answer is of use to nobody else.
            drop(done.send(replies));
            outcome
        }
        Job::Write { unit, request, read_back, deadline, done, class: _ } => {
            let ask = Ask::Write { request, deadline };
            let (result, outcome) = match line.transact(unit, &ask).await {
                Err(Failure::Expired) => (WriteResult::Expired, Ok(())),
                Err(Failure::Fault(fault)) => (WriteResult::Failed(fault.into()), Err(fault)),
                Ok(_) => match read_back {
                    None => (WriteResult::Written { read_back: None }, Ok(())),
                    Some(request) => {
                        let reply = read(line, unit, request).await;
                        let outcome = reply.as_ref().map(|_| ()).map_err(|fault| *fault);
                        let read_back = Some(reply.map_err(Cause::from));
                        (WriteResult::Written { read_back }, outcome)
                    }
                },
            };
            drop(done.send(result));
            outcome
        }
        Job::Transact { done, .. } => {
            drop(done.send(Err(Fault::NoLink)));
            Ok(())
        }
        Job::Take { granted, .. } => {
            granted.send(()).ok();
            Ok(())
        }
    }
}

/// Reads once.
pub(super) async fn read(
    line: &mut Line,
    unit: UnitId,
    request: ReadRequest,
) -> Result<ReadReply, Fault> {
    match line.transact(unit, &Ask::Read(request)).await {
        Ok(Reply::Read(reply)) => Ok(reply),
        // A read has no deadline, and its answer is made of the request's own table.
        Ok(Reply::Written) | Err(Failure::Expired) => Err(Fault::Malformed),
        Err(Failure::Fault(fault)) => Err(fault),
    }
}
