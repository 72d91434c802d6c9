//! One device's place in the schedule: its slots, its plan, its cycle.

use std::collections::VecDeque;

use fieldgate_modbus::exception::Policy;
use fieldgate_modbus::fault::Fault;
use fieldgate_model::Millis;

use super::known::PollSnapshot;
use super::work::{Class, PollDevice};

/// How soon a slow poll that the link failed is tried again: about as often as the link itself.
const AGAIN_AFTER: Millis = Millis(10_000);
/// How long a device that is busy (exceptions 5 and 6) is left alone: a drive that stores its
/// parameters takes about that long.
pub(super) const BUSY_PAUSE: Millis = Millis(500);
/// Requests asked again in one cycle, or in one job, because the device was busy; after that busy
/// is the answer.
pub(super) const BUSY_RETRIES_MAX: u8 = 3;

#[derive(Debug)]
pub(super) struct Device {
    /// Index of its unit.
    pub(super) unit: usize,
    pub(super) timeout: Millis,
    every: Millis,
    requests: Vec<Class>,
    /// Indices of the requests, the urgent ones first.
    order: Vec<usize>,
    /// The plan that comes into force with the end of the cycle.
    next_plan: Option<Vec<Class>>,
    /// The slot that the running cycle fills, or else the next one.
    pub(super) due: Millis,
    /// Another attempt between two slots, because the link failed the last one.
    again_at: Option<Millis>,
    /// Place in the order where the next cycle starts.
    first: usize,
    pub(super) cycle: Option<Cycle>,
    pub(super) known: PollSnapshot,
}

#[derive(Debug)]
pub(super) struct Cycle {
    pub(super) started: Millis,
    pub(super) in_flight: usize,
    /// Requests asked of the order, from `first` on.
    asked: usize,
    /// Indices to be asked again, because the device was busy, and from when on.
    busy: VecDeque<usize>,
    busy_until: Millis,
    retries: u8,
    /// Where the next cycle should start for the sake of those behind a request that wastes time.
    next_first: Option<usize>,
    gave_data: bool,
    pub(super) ending: Ending,
}

/// How a cycle ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// When everything was asked.
    Whole,
    /// With the answers that are on their way.
    Cut(Fault),
    /// Without a result.
    Dropped,
}

/// What a device wants to ask next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    /// Not before.
    pub(super) at: Millis,
    /// What it waits for since.
    pub(super) since: Millis,
    pub(super) class: Class,
}

impl Device {
    pub(super) fn new(spec: PollDevice, unit: usize, due: Millis) -> Self {
        let mut device = Self {
            unit,
            // An interval of nothing has no slots, and no time at all to answer is no question.
            timeout: spec.timeout.max(Millis(1)),
            every: spec.every.max(Millis(1)),
            requests: Vec::new(),
            order: Vec::new(),
            next_plan: None,
            due,
            again_at: None,
            first: 0,
            cycle: None,
            known: PollSnapshot::default(),
        };
        device.put_in_force(spec.requests);
        device
    }

    /// Takes a plan; whether it is in force already.
    pub(super) fn plan(&mut self, requests: Vec<Class>, now: Millis) -> bool {
        if self.cycle.is_some() {
            self.next_plan = Some(requests);
            return false;
        }
        if self.requests.is_empty() {
            // Nobody missed the slots of a device that had nothing to ask.
            self.skip_slots(now);
        }
        self.put_in_force(requests);
        true
    }

    fn put_in_force(&mut self, requests: Vec<Class>) {
        self.order = (0..requests.len()).collect();
        self.order.sort_by_key(|index| requests[*index]);
        self.requests = requests;
        self.first = 0;
    }

    pub(super) fn is_polled(&self) -> bool {
        !self.requests.is_empty()
    }

    /// What to ask next, were there nobody else; `None` if nothing is left of the cycle.
    pub(super) fn wish(&self) -> Option<Wish> {
        let class = |place: usize| Some(self.requests[*self.order.get(place)?]);
        let Some(cycle) = &self.cycle else {
            let at = self.again_at.map_or(self.due, |again_at| again_at.min(self.due));
            return Some(Wish { at, since: at, class: class(self.first)? });
        };
        let since = self.due.min(cycle.started);
        if cycle.ending != Ending::Whole {
            None
        } else if let Some(index) = cycle.busy.front() {
            Some(Wish { at: cycle.busy_until, since, class: self.requests[*index] })
        } else if cycle.asked < self.order.len() {
            let place = (self.first + cycle.asked) % self.order.len();
            Some(Wish { at: cycle.started, since, class: class(place)? })
        } else {
            None
        }
    }

    /// Moves to the slot that holds `now` and gives how many passed.
    pub(super) fn skip_slots(&mut self, now: Millis) -> u64 {
        let passed = now.since(self.due).0 / self.every.0;
        self.due = self.due + Millis(passed * self.every.0);
        passed
    }

    pub(super) fn open_cycle(&mut self, now: Millis) {
        self.cycle = Some(Cycle {
            started: now,
            in_flight: 0,
            asked: 0,
            busy: VecDeque::new(),
            busy_until: now,
            retries: 0,
            next_first: None,
            gave_data: false,
            ending: Ending::Whole,
        });
    }

    /// Takes what [`Device::wish`] wished for and gives its index.
    pub(super) fn ask(&mut self) -> usize {
        let cycle = self.cycle.as_mut().expect("whoever asks has opened a cycle");
        cycle.in_flight += 1;
        cycle.busy.pop_front().unwrap_or_else(|| {
            let place = (self.first + cycle.asked) % self.order.len();
            cycle.asked += 1;
            self.order[place]
        })
    }

    /// Books an answer, and the time it wasted.
    pub(super) fn book(
        &mut self,
        outcome: Result<(), Fault>,
        index: usize,
        wasted: Millis,
        now: Millis,
    ) {
        let cycle = self.cycle.as_mut().expect("a transaction is part of a cycle");
        cycle.in_flight -= 1;
        match outcome {
            Ok(()) => {
                cycle.gave_data = true;
                self.known.last_good_at = Some(now);
            }
            Err(fault) => {
                self.known.count(fault);
                // A read that was only acknowledged has brought nothing, and does no harm twice.
                let is_busy =
                    matches!(fault.policy(), Some(Policy::AwaitCompletion | Policy::RetryLater));
                if is_busy && cycle.retries < BUSY_RETRIES_MAX {
                    cycle.retries += 1;
                    cycle.busy.push_back(index);
                    cycle.busy_until = now + BUSY_PAUSE;
                }
            }
        }
        if wasted > Millis(0) {
            let place = self.order.iter().position(|at| *at == index).unwrap_or(0);
            cycle.next_first = Some((place + 1) % self.order.len());
        }
    }

    /// The rest of an open cycle is not asked.
    pub(super) fn cut(&mut self, ending: Ending) {
        if let Some(cycle) = self.cycle.as_mut().filter(|cycle| cycle.ending == Ending::Whole) {
            cycle.ending = ending;
        }
    }

    /// How the cycle ended, if it has just come to its end.
    pub(super) fn ended(&self) -> Option<Ending> {
        let cycle = self.cycle.as_ref().filter(|cycle| cycle.in_flight == 0)?;
        (cycle.ending != Ending::Whole || self.wish().is_none()).then_some(cycle.ending)
    }

    /// Closes the books of a cycle, or of a slot that had none; whether another plan is in force.
    pub(super) fn close_cycle(&mut self, ending: Ending, now: Millis) -> bool {
        self.known.polls += 1;
        // An attempt between two slots leaves the next one where it is.
        if self.due <= self.cycle.as_ref().map_or(now, |cycle| cycle.started) {
            self.due = self.due + self.every;
        }
        let failed_for_link = matches!(ending, Ending::Cut(Fault::NoLink | Fault::LinkLost));
        let again_at = failed_for_link.then_some(now + AGAIN_AFTER);
        self.again_at = again_at.filter(|again_at| *again_at < self.due);
        if let Some(cycle) = self.cycle.take() {
            self.known.good += u64::from(cycle.gave_data && ending != Ending::Dropped);
            self.known.last_duration = now.since(cycle.started);
            match (cycle.next_first, ending) {
                (Some(first), _) => self.first = first,
                (None, Ending::Whole) => self.first = 0,
                (None, Ending::Cut(_) | Ending::Dropped) => {}
            }
        }
        let plan = self.next_plan.take();
        let is_replanned = plan.is_some();
        if let Some(plan) = plan {
            self.put_in_force(plan);
        }
        is_replanned
    }
}
