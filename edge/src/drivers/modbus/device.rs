//! One device of a bus: what a cycle asks of it, what the cycle has brought, and what that teaches
//! about the next one.
//!
//! # Invariants
//!
//! - Indices mean the requests that the schedule was given last and has put into force.
//! - A frame has an answer, or its reason, for everything that is wanted.

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{ReadReply, ReadRequest, UnitId};
use fieldgate_model::{Cause, Millis};
use fieldgate_rules::plan::{LearnedPlan, LearnedTimes, LinkCost};
use fieldgate_rules::schedule::Class;

use super::{BusDevice, PollRequest};
use crate::drivers::{DeviceIndex, Frame};

pub(super) struct Device {
    index: DeviceIndex,
    pub(super) unit: UnitId,
    pub(super) timeout: Millis,
    wanted: Vec<PollRequest>,
    plan: LearnedPlan,
    /// As the schedule counts them.
    requests: Vec<ReadRequest>,
    /// By request: what the running cycle has brought.
    replies: Vec<Option<Result<ReadReply, Cause>>>,
}

impl Device {
    pub(super) fn new(device: BusDevice, link: LinkCost, times: LearnedTimes, now: Millis) -> Self {
        let BusDevice { index, unit, timeout, wanted, reading, holes, .. } = device;
        let reads = wanted.iter().map(|poll| poll.request).collect();
        let plan = LearnedPlan::resume(reads, link, reading, holes, times, now);
        let mut device =
            Self { index, unit, timeout, wanted, plan, requests: Vec::new(), replies: Vec::new() };
        device.take_plan();
        device
    }

    /// The plan as the schedule is to be given it: what an alarm watches has its class.
    pub(super) fn classes(&self) -> Vec<Class> {
        let class = |request: &ReadRequest| {
            let brought = self.wanted.iter().filter(|want| request.holds(want.request));
            brought.map(|want| want.class).min().unwrap_or(Class::Poll)
        };
        self.plan.requests().iter().map(class).collect()
    }

    /// The schedule has put the plan into force.
    pub(super) fn take_plan(&mut self) {
        self.requests = self.plan.requests().to_vec();
        self.replies = self.requests.iter().map(|_| None).collect();
    }

    pub(super) fn request(&self, index: usize) -> ReadRequest {
        self.requests[index]
    }

    /// Keeps an answer; a later one to the same request counts.
    pub(super) fn note(&mut self, index: usize, reply: Result<ReadReply, Fault>, now: Millis) {
        let outcome = reply.as_ref().map(|_| ()).map_err(|fault| *fault);
        self.plan.handle_reply(self.requests[index], outcome, now);
        self.replies[index] = Some(reply.map_err(Cause::from));
    }

    pub(super) fn drop_cycle(&mut self) {
        self.replies.fill(None);
    }

    /// What the cycle has brought, and whether the next one asks something else. What was not asked
    /// for failed for `rest`.
    pub(super) fn end_cycle(&mut self, rest: Option<Fault>, at: Millis) -> (Frame, bool) {
        // Without a rest every request has its reply.
        let missing = rest.map_or(Cause::NoAnswer, Cause::from);
        let replies = self.replies.iter_mut().map(Option::take);
        let replies = replies.map(|reply| reply.unwrap_or(Err(missing)));
        let asked = self.requests.iter().copied().zip(replies);
        let refused = self.plan.refused().iter();
        let refused = refused.map(|(request, code)| (*request, Err(Cause::Exception(*code))));
        let replies = asked.chain(refused).collect();
        let is_other = self.plan.handle_cycle(at);
        let learned = self.plan.poll_news().cloned();
        (Frame { device: self.index, at, replies, learned }, is_other)
    }
}

/// How long a unit may take to answer a job. Several devices may be one unit; the most patient one
/// counts, because an answer that is given up comes all the same and is in the way of the next.
pub(super) fn timeout_of(devices: &[Device], unit: UnitId, fallback: Millis) -> Millis {
    let same = devices.iter().filter(|device| device.unit == unit);
    same.map(|device| device.timeout).max().unwrap_or(fallback)
}
