//! The resources of a device that share an interval: which of them a cycle asks, and what it brought.
//!
//! # Invariants
//!
//! - Indices mean the resources that the schedule was given last and has put into force.
//! - A frame has a payload, or its reason, for everything that was to be asked.

use std::collections::BTreeMap;

use fieldgate_modbus::fault::Fault;
use fieldgate_model::{Cause, Millis};
use fieldgate_rules::schedule::Class;

use super::job::cause_of;
use super::{Ask, HostDevice, Payload, PayloadFrame};
use crate::drivers::DeviceIndex;

/// How long a resource is only polled after its device has said that it cannot be observed: it may
/// have been updated meanwhile, and asking costs one exchange.
const OBSERVE_AGAIN_AFTER: Millis = Millis::from_secs(600);

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) index: DeviceIndex,
    /// Place of its device at the host.
    pub(super) device: usize,
    pub(super) every: Millis,
    pub(super) timeout: Millis,
    resources: Vec<Asked>,
    /// Places in `resources`, as the schedule counts them.
    requests: Vec<usize>,
    /// By request: what the running cycle has brought.
    replies: Vec<Option<Result<Payload, Cause>>>,
}

/// A resource that is polled or observed.
#[derive(Debug)]
struct Asked {
    /// Its place in the profile.
    place: usize,
    ask: Ask,
    class: Class,
    watching: Watching,
}

/// Whether a resource tells of its changes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watching {
    /// Nobody wants that.
    No,
    /// To be tried with the next good answer from then on.
    From(Millis),
    /// Asked for; it is polled until it begins.
    Begun,
    /// It does.
    Yes,
}

impl Slot {
    /// The slots of a device: one an interval. What the device pushes is in none.
    pub(super) fn of(device: usize, of: &HostDevice) -> Vec<Self> {
        let mut resources_by_interval: BTreeMap<Millis, Vec<Asked>> = BTreeMap::new();
        for (place, resource) in of.profile.resources.iter().enumerate() {
            if resource.push {
                continue;
            }
            let is_watched = of.profile.watches_resource(place);
            let class = if is_watched { Class::AlarmSignal } else { Class::Poll };
            let watching = if resource.observe { Watching::From(Millis(0)) } else { Watching::No };
            let every = resource.every.unwrap_or(of.every);
            let asked = Asked { place, ask: Ask::of(resource), class, watching };
            resources_by_interval.entry(every).or_default().push(asked);
        }
        let slot = |(every, resources): (Millis, Vec<Asked>)| {
            let (index, timeout) = (of.index, of.timeout);
            let (requests, replies) = (Vec::new(), Vec::new());
            let mut slot = Self { index, device, every, timeout, resources, requests, replies };
            slot.take_plan();
            slot
        };
        resources_by_interval.into_iter().map(slot).collect()
    }

    /// The plan as the schedule is to be given it.
    pub(super) fn classes(&self) -> Vec<Class> {
        self.polled().map(|(_, asked)| asked.class).collect()
    }

    fn polled(&self) -> impl Iterator<Item = (usize, &Asked)> {
        let all = self.resources.iter().enumerate();
        all.filter(|(_, asked)| asked.watching != Watching::Yes)
    }

    /// The schedule has put the plan into force.
    pub(super) fn take_plan(&mut self) {
        self.requests = self.polled().map(|(place, _)| place).collect();
        self.replies = self.requests.iter().map(|_| None).collect();
    }

    /// What a request of the schedule asks, and the place of its resource here.
    pub(super) fn ask(&self, request: usize) -> (usize, &Ask) {
        let place = self.requests[request];
        (place, &self.resources[place].ask)
    }

    /// What a resource here is asked.
    pub(super) fn ask_of(&self, resource: usize) -> &Ask {
        &self.resources[resource].ask
    }

    /// Keeps an answer; a later one to the same request counts.
    pub(super) fn note(&mut self, request: usize, reply: Result<Payload, Cause>) {
        self.replies[request] = Some(reply);
    }

    pub(super) fn drop_cycle(&mut self) {
        self.replies.fill(None);
    }

    /// What the cycle has brought. What was not asked for failed for `rest`.
    pub(super) fn end_cycle(&mut self, rest: Option<Fault>, at: Millis) -> PayloadFrame {
        let missing = rest.map_or(Cause::NoAnswer, cause_of);
        let places = self.requests.iter().map(|place| self.resources[*place].place);
        let replies = self.replies.iter_mut().map(|reply| reply.take().unwrap_or(Err(missing)));
        let answers = places.zip(replies).collect();
        PayloadFrame { device: self.index, at, answers, taken: None }
    }

    /// What one resource says by itself.
    pub(super) fn notified(&self, resource: usize, payload: Payload, at: Millis) -> PayloadFrame {
        let answers = vec![(self.resources[resource].place, Ok(payload))];
        PayloadFrame { device: self.index, at, answers, taken: None }
    }

    /// Whether a resource that has just answered is to be observed from here on.
    pub(super) fn is_to_be_observed(&mut self, resource: usize, now: Millis) -> bool {
        let watching = &mut self.resources[resource].watching;
        let is_due = matches!(watching, Watching::From(from) if *from <= now);
        if is_due {
            *watching = Watching::Begun;
        }
        is_due
    }

    /// A notification came; whether the resource is not to be polled any more.
    pub(super) fn begin_observed(&mut self, resource: usize) -> bool {
        std::mem::replace(&mut self.resources[resource].watching, Watching::Yes) != Watching::Yes
    }

    /// No notification will come; whether the resource is to be polled again.
    pub(super) fn end_observed(&mut self, resource: usize, can_be: bool, now: Millis) -> bool {
        let from = if can_be { now } else { now + OBSERVE_AGAIN_AFTER };
        let watching = &mut self.resources[resource].watching;
        std::mem::replace(watching, Watching::From(from)) == Watching::Yes
    }

    /// Nothing tells of its changes any more; whether anything did, and is to be polled again.
    pub(super) fn forget_observed(&mut self, now: Millis) -> bool {
        let observed = self.observed();
        for asked in &mut self.resources {
            if matches!(asked.watching, Watching::Yes | Watching::Begun) {
                asked.watching = Watching::From(now);
            }
        }
        observed > 0
    }

    /// How many resources tell of their changes by themselves.
    pub(super) fn observed(&self) -> usize {
        self.resources.iter().filter(|asked| asked.watching == Watching::Yes).count()
    }
}
