//! When to ask which device of one bus: a schedule that a dead or lying device cannot spoil.
//!
//! A bus is strictly serial: one transaction at a time. The shell asks for effects, carries out
//! the [`PollEffect::Transact`] it finds, reports with [`Poller::handle_answer`], and between two
//! transactions may do a job of its own if [`Poller::may_interrupt`] agrees.
//!
//! # Invariants
//!
//! - At most one transaction is in flight.
//! - A device starts on the grid `first + n × every`. Slots that passed are counted and left out,
//!   never made up for in a bunch.
//! - A slot that was lost for want of a link is tried again before the next one, if that is far.
//! - Time on the bus that gave nothing is paid back by whoever took it: after losing `t` a device
//!   is not asked for `9 t`, and no unit known to be silent is asked for `9 t` by anyone, so that
//!   silent units together take at most a tenth of the bus.
//! - A request that brings silence does not hide those behind it: the next attempt starts there.

mod device;

use std::collections::{BTreeMap, VecDeque};

use fieldgate_modbus::fault::Fault;
use fieldgate_model::Millis;

use self::device::{Device, Verdict};
use fieldgate_modbus::register::ReadRequest;

/// Devices start spread over at most this long, so that a bus of slow polls still shows its first
/// values soon.
const SPREAD_MAX: Millis = Millis(1_000);
/// What lost time costs, in multiples of itself: 1 part lost to 9 parts free is a tenth.
const PAY_BACK: u64 = 9;
/// First pause after a link could not be opened.
const RECONNECT_AFTER_MIN: Millis = Millis(200);
/// Longest pause between attempts to open a link: a switch that restarts is found soon, and a
/// refusing host sees six attempts a minute.
const RECONNECT_AFTER_MAX: Millis = Millis(10_000);
/// Links in a row that broke without one answer before this counts as having no link. One may
/// be the fault of one unit; two are the host's.
const BARREN_LINKS_MAX: u8 = 2;
/// Jobs in a row while a poll is due. Jobs go first, but a flood of them must not stop polling.
const JOBS_IN_A_ROW_MAX: u8 = 4;

/// Place of a device on its bus, in the order given to [`Poller::resume`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PollSlot(pub usize);

/// A device as the schedule sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollDevice {
    /// The interval between two cycles.
    pub every: Millis,
    /// What one cycle asks, in this order. A device without requests is never polled.
    pub requests: Vec<ReadRequest>,
    /// How long one transaction may take.
    pub timeout: Millis,
}

/// How much of the random half of a pause to wait, from 0 to 255; drawn by the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Jitter(pub u8);

/// What the shell is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollEffect {
    /// Ask, and report with [`Poller::handle_answer`]. Opening the link is part of it.
    Transact {
        /// Which device.
        device: PollSlot,
        /// Place of the request in [`PollDevice::requests`].
        index: usize,
    },
    /// A cycle is over; requests that were not made failed for `rest`.
    CycleDone {
        /// Which device.
        device: PollSlot,
        /// Why the rest of the cycle was not asked, if it was not.
        rest: Option<Fault>,
    },
}

/// What the circuit breaker of a unit thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BreakerState {
    /// Not asked yet, or no answer that says anything about it.
    #[default]
    Untried,
    /// It answers; it is asked at its own rate.
    Closed,
    /// It is silent; it gets one probe at a time, ever more rarely.
    Open,
}

/// What is known of one device's polling, since start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PollSnapshot {
    /// Cycles that ended, in whatever way.
    pub polls: u64,
    /// Cycles in which at least one request gave data.
    pub good: u64,
    /// Slots left out because the bus was busy.
    pub missed: u64,
    /// Slots left out because the device is not answering.
    pub withheld: u64,
    /// Cycles that were a probe of a silent unit.
    pub probes: u64,
    /// Requests without an answer in time.
    pub no_answer: u64,
    /// Requests, or whole cycles, without a link.
    pub link: u64,
    /// Requests answered with what is not Modbus.
    pub malformed: u64,
    /// Requests refused, by exception code.
    pub exceptions: BTreeMap<u8, u64>,
    /// When data last arrived.
    pub last_good_at: Option<Millis>,
    /// How long the last cycle took on the bus.
    pub last_duration: Millis,
    /// What the breaker thinks.
    pub breaker: BreakerState,
}

/// The schedule of one bus.
#[derive(Debug)]
pub struct Poller {
    devices: Vec<Device>,
    link: Link,
    in_flight: Option<InFlight>,
    /// No unit known to be silent is asked before.
    probe_at: Millis,
    /// No unit never heard of is asked before.
    first_try_at: Millis,
    jobs_in_a_row: u8,
    effects: VecDeque<PollEffect>,
}

#[derive(Debug)]
struct InFlight {
    device: usize,
    index: usize,
    since: Millis,
}

#[derive(Debug)]
enum Link {
    /// Open, or as far as known it can be opened.
    Usable { barren: u8 },
    /// It could not be opened.
    Down { retry_at: Millis, retry_after: Millis },
}

impl Poller {
    /// The schedule of a bus whose daemon starts at `now`.
    pub fn resume(devices: Vec<PollDevice>, now: Millis) -> Self {
        let count = devices.len().max(1) as u64;
        let place = |(place, spec): (u64, PollDevice)| {
            let spread = spec.every.min(SPREAD_MAX);
            Device::new(spec, now + Millis(spread.0 * place / count))
        };
        Self {
            devices: (0..).zip(devices).map(place).collect(),
            link: Link::Usable { barren: 0 },
            in_flight: None,
            probe_at: now,
            first_try_at: now,
            jobs_in_a_row: 0,
            effects: VecDeque::new(),
        }
    }

    /// The transaction in flight ended.
    pub fn handle_answer(&mut self, answer: Result<(), Fault>, now: Millis, jitter: Jitter) {
        let Some(InFlight { device: place, index, since }) = self.in_flight.take() else {
            return;
        };
        self.judge_link(answer, now, jitter);
        let spent = now.since(since);
        let verdict = self.devices[place].judge(answer, index, spent, now);
        if self.link_is_down(now) {
            self.end_all_cycles(now);
            return;
        }
        match verdict {
            Verdict::GoOn => {}
            Verdict::Done => self.end_cycle(place, None, now),
            Verdict::Cut(fault) => self.end_cycle(place, Some(fault), now),
        }
    }

    /// The shell did a transaction of its own, with this outcome.
    pub fn handle_job(&mut self, outcome: Result<(), Fault>, now: Millis, jitter: Jitter) {
        self.jobs_in_a_row = self.jobs_in_a_row.saturating_add(1);
        self.judge_link(outcome, now, jitter);
        if self.link_is_down(now) {
            self.end_all_cycles(now);
        }
    }

    /// Starts what is due, if the bus is free.
    pub fn handle_timeout(&mut self, now: Millis) {
        if self.in_flight.is_some() {
            return;
        }
        self.jobs_in_a_row = 0;
        if let Link::Down { retry_at, .. } = self.link {
            self.skip_due(now, retry_at);
            if now < retry_at {
                return;
            }
        }
        let Some((_, place)) = self.ready().filter(|(at, _)| *at <= now) else {
            return;
        };
        let index = self.devices[place].next_request(now);
        self.in_flight = Some(InFlight { device: place, index, since: now });
        self.effects.push_back(PollEffect::Transact { device: PollSlot(place), index });
    }

    /// When to call [`Poller::handle_timeout`] next; never while a transaction is in flight.
    pub fn poll_timeout(&self) -> Option<Millis> {
        if self.in_flight.is_some() {
            return None;
        }
        self.ready().map(|(at, _)| at)
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<PollEffect> {
        self.effects.pop_front()
    }

    /// Whether the shell may do a job of its own.
    pub fn may_interrupt(&self, now: Millis) -> bool {
        let poll_is_due = self.poll_timeout().is_some_and(|at| at <= now);
        self.in_flight.is_none() && !(poll_is_due && self.jobs_in_a_row >= JOBS_IN_A_ROW_MAX)
    }

    /// What is known of one device; `None` if there is no such device.
    pub fn snapshot(&self, device: PollSlot) -> Option<&PollSnapshot> {
        self.devices.get(device.0).map(|device| &device.known)
    }

    /// Whether the link is in use, or is going to be tried at the next poll.
    pub fn link_is_usable(&self) -> bool {
        matches!(self.link, Link::Usable { .. })
    }

    fn judge_link(&mut self, outcome: Result<(), Fault>, now: Millis, jitter: Jitter) {
        let fault = outcome.err();
        self.link = match (fault, &self.link) {
            (None | Some(Fault::Exception(_) | Fault::Malformed | Fault::Checksum), _)
            | (Some(Fault::NoAnswer), Link::Down { .. }) => Link::Usable { barren: 0 },
            (Some(Fault::NoAnswer), Link::Usable { barren }) => Link::Usable { barren: *barren },
            (Some(Fault::LinkLost), Link::Usable { barren }) if barren + 1 < BARREN_LINKS_MAX => {
                Link::Usable { barren: barren + 1 }
            }
            (Some(Fault::NoLink | Fault::LinkLost), Link::Usable { .. }) => {
                Link::down(RECONNECT_AFTER_MIN, now, jitter)
            }
            (Some(Fault::NoLink | Fault::LinkLost), Link::Down { retry_after, .. }) => {
                let after = Millis(retry_after.0 * 2).min(RECONNECT_AFTER_MAX);
                Link::down(after, now, jitter)
            }
        };
    }

    fn link_is_down(&self, now: Millis) -> bool {
        match self.link {
            Link::Usable { .. } => false,
            Link::Down { retry_at, .. } => now < retry_at,
        }
    }

    /// The device to serve next, and from when on.
    fn ready(&self) -> Option<(Millis, usize)> {
        let link_at = match self.link {
            Link::Usable { .. } => Millis(0),
            Link::Down { retry_at, .. } => retry_at,
        };
        let ready = |(place, device): (usize, &Device)| {
            let gate = match device.known.breaker {
                BreakerState::Untried => self.first_try_at,
                BreakerState::Closed => Millis(0),
                BreakerState::Open => self.probe_at,
            };
            let own = device.next_at().max(device.pause_until);
            let at = match device.asking_since() {
                Some(started) => device.due.min(started),
                None if device.due < link_at => device.due,
                None => own.max(gate).max(link_at),
            };
            // Among those that wait for the same gate, the one that waits longest.
            (!device.spec.requests.is_empty()).then_some((at, own, place))
        };
        let first = self.devices.iter().enumerate().filter_map(ready).min();
        first.map(|(at, _, place)| (at, place))
    }

    /// Cycles that fall into the time without a link end at once, each at its own rate, so that
    /// everyone learns of it.
    fn skip_due(&mut self, now: Millis, retry_at: Millis) {
        for place in 0..self.devices.len() {
            let device = &mut self.devices[place];
            if device.due <= now && device.due < retry_at && !device.spec.requests.is_empty() {
                device.catch_up(now);
                device.known.link += 1;
                self.end_cycle(place, Some(Fault::NoLink), now);
            }
        }
    }

    fn end_all_cycles(&mut self, now: Millis) {
        for place in 0..self.devices.len() {
            if self.devices[place].asking_since().is_some() {
                self.end_cycle(place, Some(Fault::NoLink), now);
            }
        }
    }

    fn end_cycle(&mut self, place: usize, rest: Option<Fault>, now: Millis) {
        let device = &mut self.devices[place];
        let lost = device.end_cycle(rest, now);
        self.effects.push_back(PollEffect::CycleDone { device: PollSlot(place), rest });
        if lost == Millis(0) {
            return;
        }
        let pay_back = now + Millis(lost.0 * PAY_BACK);
        device.pause_until = device.pause_until.max(pay_back);
        match device.known.breaker {
            BreakerState::Closed => {}
            BreakerState::Open => {
                self.probe_at = self.probe_at.max(pay_back);
                self.first_try_at = self.first_try_at.max(now + lost);
            }
            BreakerState::Untried => self.first_try_at = self.first_try_at.max(now + lost),
        }
    }
}

impl Link {
    /// Half of the pause is certain and half is chance, so that gateways that lost the same host
    /// do not all come back in the same moment.
    fn down(retry_after: Millis, now: Millis, jitter: Jitter) -> Self {
        let half = retry_after.0 / 2;
        let pause = half + half * u64::from(jitter.0) / u64::from(u8::MAX);
        Self::Down { retry_at: now + Millis(pause), retry_after }
    }
}

#[cfg(test)]
mod tests;
