//! What a host tells of itself while it runs.

use fieldgate_modbus::client::LineCounters;
use fieldgate_modbus::fault::Fault;
use fieldgate_model::Millis;
use fieldgate_rules::schedule::{BusLoad, PollSnapshot, Schedule};
use tokio::sync::watch;

use super::Payload;
use super::ask::Failed;
use super::slot::Slot;
use crate::drivers::{BusStatus, LinkState};

/// How often the counters are shown.
const SHOW_EVERY: Millis = Millis::from_secs(1);

/// The host's voice: its status, and the log.
#[derive(Debug)]
pub(super) struct Teller {
    status: watch::Sender<BusStatus>,
    counters: LineCounters,
    /// By slot, as the schedule knew it last.
    polled: Vec<PollSnapshot>,
    show_at: Millis,
    /// There is more to show, or what is shown grows old.
    is_behind: bool,
}

impl Teller {
    pub(super) fn new(status: watch::Sender<BusStatus>) -> Self {
        let counters = LineCounters::default();
        Self { status, counters, polled: Vec::new(), show_at: Millis(0), is_behind: false }
    }

    pub(super) fn name(&self) -> String {
        self.status.borrow().name.clone()
    }

    pub(super) fn asked(&mut self) {
        self.counters.requests += 1;
    }

    /// A request ended.
    pub(super) fn answered(&mut self, outcome: &Result<Payload, Failed>) {
        let trouble = match outcome {
            Ok(_) => {
                self.counters.answers += 1;
                None
            }
            Err(failed) => {
                match failed.fault {
                    Fault::NoAnswer => self.counters.timeouts += 1,
                    Fault::NoLink | Fault::LinkLost => self.counters.links_lost += 1,
                    Fault::Checksum | Fault::Malformed => self.counters.malformed += 1,
                    Fault::Exception(code) => {
                        *self.counters.exceptions.entry(code).or_default() += 1;
                    }
                }
                matches!(failed.fault, Fault::NoLink).then(|| failed.why.clone())
            }
        };
        self.status.send_if_modified(|status| {
            let is_other = status.trouble != trouble;
            status.trouble = trouble;
            is_other
        });
    }

    pub(super) fn job_done(&self) {
        self.status.send_modify(|status| status.jobs += 1);
    }

    /// Something was thrown away, since the engine did not take it.
    pub(super) fn skipped(&self) {
        self.status.send_modify(|status| status.frames_skipped += 1);
    }

    /// A cycle of a slot ended. Of several slots of one device the sum is shown.
    pub(super) fn cycle(&mut self, slots: &[Slot], slot: usize, polled: Option<&PollSnapshot>) {
        self.polled.resize(slots.len(), PollSnapshot::default());
        if let Some(polled) = polled {
            self.polled[slot].clone_from(polled);
        }
        let device = slots[slot].device;
        let its = (0..).zip(slots).filter(|(_, slot)| slot.device == device);
        let snapshots: Vec<&PollSnapshot> =
            its.filter_map(|(place, _): (usize, _)| self.polled.get(place)).collect();
        let sum = sum(&snapshots);
        self.status.send_modify(|status| {
            let Some(known) = status.devices.get_mut(device) else { return };
            let last_good_at = known.polled.last_good_at.max(sum.last_good_at);
            known.polled = PollSnapshot { last_good_at, ..sum };
        });
    }

    /// A device has said something by itself.
    pub(super) fn notified(&self, slots: &[Slot], slot: usize, now: Millis) {
        let device = slots[slot].device;
        self.status.send_modify(|status| {
            if let Some(known) = status.devices.get_mut(device) {
                known.notifications += 1;
                known.polled.last_good_at = Some(now);
            }
        });
        self.observed(slots, slot);
    }

    /// How many resources of a device tell of their changes by themselves.
    pub(super) fn observed(&self, slots: &[Slot], slot: usize) {
        let device = slots[slot].device;
        let its = slots.iter().filter(|slot| slot.device == device);
        let observed = its.map(Slot::observed).sum();
        self.status.send_modify(|status| {
            if let Some(known) = status.devices.get_mut(device) {
                known.observed = observed;
            }
        });
    }

    /// Whether the host can be reached, as far as is known since the last answer.
    pub(super) fn link(&self, is_usable: bool) {
        let state = if is_usable { LinkState::Up } else { LinkState::Down };
        let before = self.status.borrow().link;
        if state == before {
            return;
        }
        self.status.send_modify(|status| status.link = state);
        let status = self.status.borrow();
        if is_usable {
            tracing::info!(host = status.name, "is reached");
        } else {
            let why = status.trouble.as_deref().unwrap_or("unknown");
            tracing::warn!(host = status.name, why, "is not reached");
        }
    }

    /// When [`Teller::tell`] is due though nothing happens; never, once all is told.
    pub(super) fn poll_timeout(&self) -> Option<Millis> {
        self.is_behind.then_some(self.show_at)
    }

    /// Shows counters and load, but not at every turn.
    pub(super) fn tell(&mut self, schedule: &Schedule, now: Millis) {
        if now < self.show_at {
            self.is_behind = true;
            return;
        }
        self.show_at = now + SHOW_EVERY;
        let load = schedule.load(now);
        // What the last minute was full of falls out of it while nothing happens.
        self.is_behind = load != BusLoad::default();
        self.status.send_modify(|status| {
            status.counters.clone_from(&self.counters);
            status.load = load;
        });
    }
}

fn sum(all: &[&PollSnapshot]) -> PollSnapshot {
    let mut sum = PollSnapshot::default();
    for its in all {
        sum.polls += its.polls;
        sum.good += its.good;
        sum.missed += its.missed;
        sum.withheld += its.withheld;
        sum.probes += its.probes;
        sum.no_answer += its.no_answer;
        sum.link += its.link;
        sum.malformed += its.malformed;
        for (code, count) in &its.exceptions {
            *sum.exceptions.entry(*code).or_default() += count;
        }
        sum.last_good_at = sum.last_good_at.max(its.last_good_at);
        sum.last_duration = sum.last_duration.max(its.last_duration);
        sum.breaker = its.breaker;
    }
    sum
}
