//! One device's place in the schedule: its slots, its cycle, its circuit breaker.

use fieldgate_model::Millis;

use fieldgate_modbus::fault::Fault;

use super::{BreakerState, PollDevice, PollSnapshot};

/// First pause of a silent unit. A device that reboots is back within a few seconds.
const PROBE_AFTER_MIN: Millis = Millis(1_000);
/// Longest pause of a silent unit, so that one that comes back is noticed within half a minute.
const PROBE_AFTER_MAX: Millis = Millis(30_000);
/// How soon a slow poll that the link failed is tried again: about as often as the link itself.
const AGAIN_AFTER: Millis = Millis(10_000);

#[derive(Debug)]
pub(super) struct Device {
    pub(super) spec: PollDevice,
    /// The slot that the running cycle fills, or else the next one.
    pub(super) due: Millis,
    /// Another attempt between two slots, because the link failed the last one.
    again_at: Option<Millis>,
    /// Not before, for what it lost.
    pub(super) pause_until: Millis,
    probe_after: Millis,
    /// Where the next cycle starts.
    first: usize,
    cycle: Option<Cycle>,
    pub(super) known: PollSnapshot,
}

#[derive(Debug)]
struct Cycle {
    started: Millis,
    asked: usize,
    lost: Millis,
    gave_data: bool,
}

/// What an answer means for its cycle.
pub(super) enum Verdict {
    GoOn,
    Done,
    Cut(Fault),
}

impl Device {
    pub(super) fn new(mut spec: PollDevice, due: Millis) -> Self {
        // An interval of nothing has no slots, and no time at all to answer is no question.
        spec.every = spec.every.max(Millis(1));
        spec.timeout = spec.timeout.max(Millis(1));
        Self {
            spec,
            due,
            again_at: None,
            pause_until: Millis(0),
            probe_after: PROBE_AFTER_MIN,
            first: 0,
            cycle: None,
            known: PollSnapshot::default(),
        }
    }

    /// When the cycle in progress began.
    pub(super) fn asking_since(&self) -> Option<Millis> {
        self.cycle.as_ref().map(|cycle| cycle.started)
    }

    /// When a cycle should begin next, were there nobody else.
    pub(super) fn next_at(&self) -> Millis {
        self.again_at.map_or(self.due, |again_at| again_at.min(self.due))
    }

    /// Moves to the slot that holds `now` and counts those that passed.
    pub(super) fn catch_up(&mut self, now: Millis) {
        let passed = now.since(self.due).0 / self.spec.every.0;
        if self.known.breaker == BreakerState::Closed && self.pause_until <= self.due {
            self.known.missed += passed;
        } else {
            self.known.withheld += passed;
        }
        self.due = self.due + Millis(passed * self.spec.every.0);
    }

    /// The index of the request to make, opening a cycle if none is open.
    pub(super) fn next_request(&mut self, now: Millis) -> usize {
        if self.cycle.is_none() {
            self.catch_up(now);
            if self.known.breaker == BreakerState::Open {
                self.known.probes += 1;
            }
        }
        let fresh = Cycle { started: now, asked: 0, lost: Millis(0), gave_data: false };
        let cycle = self.cycle.get_or_insert(fresh);
        let index = (self.first + cycle.asked) % self.spec.requests.len();
        cycle.asked += 1;
        index
    }

    /// Books an answer and says what it means for the cycle.
    pub(super) fn judge(
        &mut self,
        answer: Result<(), Fault>,
        index: usize,
        spent: Millis,
        now: Millis,
    ) -> Verdict {
        let cycle = self.cycle.as_mut().expect("a transaction is part of a cycle");
        let Err(fault) = answer else {
            cycle.gave_data = true;
            self.known.last_good_at = Some(now);
            self.close_breaker();
            return self.go_on();
        };
        self.known.count(fault);
        cycle.lost = cycle.lost + wasted(fault, spent, self.spec.timeout);
        if cycle.lost >= self.spec.timeout {
            self.known.breaker = BreakerState::Open;
            self.pause_until = now + self.probe_after;
            self.probe_after = Millis(self.probe_after.0 * 2).min(PROBE_AFTER_MAX);
        } else if is_sign_of_life(fault) {
            self.close_breaker();
        }
        match self.known.breaker {
            BreakerState::Open => {
                self.first = (index + 1) % self.spec.requests.len();
                Verdict::Cut(fault)
            }
            BreakerState::Untried | BreakerState::Closed => self.go_on(),
        }
    }

    fn close_breaker(&mut self) {
        self.known.breaker = BreakerState::Closed;
        self.probe_after = PROBE_AFTER_MIN;
    }

    fn go_on(&mut self) -> Verdict {
        if self.cycle.as_ref().is_some_and(|cycle| cycle.asked < self.spec.requests.len()) {
            return Verdict::GoOn;
        }
        self.first = 0;
        Verdict::Done
    }

    /// Closes the books of a cycle and gives what it lost.
    pub(super) fn end_cycle(&mut self, rest: Option<Fault>, now: Millis) -> Millis {
        self.known.polls += 1;
        // An attempt between two slots leaves the next one where it is.
        if self.due <= self.asking_since().unwrap_or(now) {
            self.due = self.due + self.spec.every;
        }
        let failed_for_link = matches!(rest, Some(Fault::NoLink | Fault::LinkLost));
        let again_at = failed_for_link.then_some(now + AGAIN_AFTER);
        self.again_at = again_at.filter(|again_at| *again_at < self.due);
        let Some(cycle) = self.cycle.take() else {
            return Millis(0);
        };
        self.known.good += u64::from(cycle.gave_data);
        self.known.last_duration = now.since(cycle.started);
        cycle.lost
    }
}

/// What of `spent` gave nothing. A gateway that reports its device silent (10, 11) has waited for it
/// as we would have; any other exception is an answer, and a link that cannot be opened has its own
/// back-off.
fn wasted(fault: Fault, spent: Millis, timeout: Millis) -> Millis {
    match fault {
        Fault::NoAnswer => spent.max(timeout),
        Fault::Exception(0x0A | 0x0B) | Fault::LinkLost | Fault::Malformed | Fault::Checksum => {
            spent
        }
        Fault::Exception(_) | Fault::NoLink => Millis(0),
    }
}

/// Whether it came from the unit. What is not Modbus came from something that is alive, too.
fn is_sign_of_life(fault: Fault) -> bool {
    match fault {
        Fault::NoAnswer | Fault::NoLink | Fault::LinkLost | Fault::Exception(0x0A | 0x0B) => false,
        Fault::Malformed | Fault::Checksum | Fault::Exception(_) => true,
    }
}

impl PollSnapshot {
    fn count(&mut self, fault: Fault) {
        match fault {
            Fault::NoAnswer => self.no_answer += 1,
            Fault::NoLink | Fault::LinkLost => self.link += 1,
            Fault::Malformed | Fault::Checksum => self.malformed += 1,
            Fault::Exception(code) => *self.exceptions.entry(code).or_default() += 1,
        }
    }
}
