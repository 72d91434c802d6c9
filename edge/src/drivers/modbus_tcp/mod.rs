//! The task of one Modbus TCP bus: it owns the link, and polls all units behind it in turn.
//!
//! [`fieldgate_rules::poll`] decides when to ask whom; here it is done.
//!
//! # Invariants
//!
//! - One transaction at a time, polls and jobs together.
//! - The task sleeps unless something is due: an idle bus costs nothing.

mod job;
mod link;

use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{ReadReply, ReadRequest, UnitId};
use fieldgate_model::{Cause, Millis};
use fieldgate_rules::poll::{Jitter, PollDevice, PollEffect, PollSlot, PollSnapshot, Poller};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use self::link::{Endpoint, Line};
use super::{BusStatus, DeviceIndex, DeviceStatus, Frame, Job, LinkState};
use crate::clock::Clock;

/// What a bus needs to know.
#[derive(Debug, Clone)]
pub struct BusSetup {
    /// Its name in the configuration, for the log.
    pub name: String,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How long opening the link may take, and how long a transaction on it.
    pub timeout: Millis,
    /// Who is on it.
    pub devices: Vec<BusDevice>,
}

/// A device on a bus.
#[derive(Debug, Clone)]
pub struct BusDevice {
    /// Its place in the configuration.
    pub index: DeviceIndex,
    /// Its unit id.
    pub unit: UnitId,
    /// The interval between two polls.
    pub every: Millis,
    /// What one poll asks.
    pub requests: Vec<ReadRequest>,
}

impl BusStatus {
    /// The status of a bus that has not started.
    pub fn new(setup: &BusSetup) -> Self {
        let status = |device: &BusDevice| DeviceStatus {
            index: device.index,
            unit: device.unit,
            polled: PollSnapshot::default(),
        };
        Self {
            name: setup.name.clone(),
            link: LinkState::Untried,
            trouble: None,
            frames_skipped: 0,
            jobs: 0,
            devices: setup.devices.iter().map(status).collect(),
        }
    }
}

/// Runs the bus until `jobs` is closed or nobody takes `frames` any more.
///
/// `frames` that are full lose the frame and count it; polling goes on. The transaction under way
/// is finished before the task ends, so that no write is cut off at its answer: that takes at most
/// three times the timeout.
pub async fn run(
    setup: BusSetup,
    jobs: mpsc::Receiver<Job>,
    frames: mpsc::Sender<Frame>,
    status: watch::Sender<BusStatus>,
    clock: Clock,
) {
    let mut bus = Bus::new(setup, jobs, frames, status, clock);
    while let Some(event) = bus.select().await {
        bus.apply(event);
    }
}

/// A transaction or a job under way; it holds the line and hands it back.
type Operation = Pin<Box<dyn Future<Output = Event> + Send>>;

enum Event {
    Due,
    Job(Job),
    Answered { line: Line, place: usize, index: usize, reply: Result<ReadReply, Fault> },
    JobDone { line: Line, outcome: Result<(), Fault> },
}

enum Activity {
    Idle(Line),
    Busy(Operation),
    /// Only while one of the others takes its place.
    Changing,
}

struct Bus {
    devices: Vec<BusDevice>,
    /// By device, by request: what the running cycle has brought.
    replies: Vec<Vec<Option<Result<ReadReply, Cause>>>>,
    poller: Poller,
    activity: Activity,
    jobs: mpsc::Receiver<Job>,
    frames: mpsc::Sender<Frame>,
    status: watch::Sender<BusStatus>,
    clock: Clock,
}

impl Bus {
    fn new(
        setup: BusSetup,
        jobs: mpsc::Receiver<Job>,
        frames: mpsc::Sender<Frame>,
        status: watch::Sender<BusStatus>,
        clock: Clock,
    ) -> Self {
        let timeout = Duration::from_millis(setup.timeout.0);
        let endpoint = Endpoint { host: setup.host, port: setup.port, timeout };
        let poll_device = |device: &BusDevice| PollDevice {
            every: device.every,
            requests: device.requests.clone(),
            timeout: setup.timeout,
        };
        let none_yet = |device: &BusDevice| device.requests.iter().map(|_| None).collect();
        Self {
            replies: setup.devices.iter().map(none_yet).collect(),
            poller: Poller::resume(setup.devices.iter().map(poll_device).collect(), clock.now()),
            devices: setup.devices,
            activity: Activity::Idle(Line { endpoint, clock, link: None }),
            jobs,
            frames,
            status,
            clock,
        }
    }

    /// The next thing that happens; `None` to stop.
    async fn select(&mut self) -> Option<Event> {
        if let Activity::Busy(operation) = &mut self.activity {
            return Some(operation.await);
        }
        if self.frames.is_closed() {
            return None;
        }
        let now = self.clock.now();
        let wait = self.poller.poll_timeout().map(|at| Duration::from_millis(at.since(now).0));
        let due = async {
            match wait {
                // A timer would round up to the next millisecond, between any two requests.
                Some(Duration::ZERO) => {}
                Some(wait) => sleep(wait).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            job = self.jobs.recv(), if self.poller.may_interrupt(now) => job.map(Event::Job),
            () = due => Some(Event::Due),
        }
    }

    fn apply(&mut self, event: Event) {
        let now = self.clock.now();
        match event {
            Event::Due => self.poller.handle_timeout(now),
            Event::Job(job) => self.begin(|mut line| {
                Box::pin(async move {
                    let outcome = job::carry_out(&mut line, job).await;
                    Event::JobDone { line, outcome }
                })
            }),
            Event::JobDone { line, outcome } => {
                self.activity = Activity::Idle(line);
                self.poller.handle_job(outcome, now, jitter(outcome));
                self.status.send_modify(|status| status.jobs += 1);
                self.note_link();
            }
            Event::Answered { line, place, index, reply } => {
                self.activity = Activity::Idle(line);
                let outcome = reply.as_ref().map(|_| ()).map_err(|fault| *fault);
                self.replies[place][index] = Some(reply.map_err(Cause::from));
                self.poller.handle_answer(outcome, now, jitter(outcome));
                self.note_link();
            }
        }
        while let Some(effect) = self.poller.poll_effect() {
            match effect {
                PollEffect::Transact { device, index } => self.ask(device.0, index),
                PollEffect::CycleDone { device, rest } => self.deliver(device, rest, now),
            }
        }
    }

    /// Hands the line to an operation.
    fn begin(&mut self, operation: impl FnOnce(Line) -> Operation) {
        self.activity = match std::mem::replace(&mut self.activity, Activity::Changing) {
            Activity::Idle(line) => Activity::Busy(operation(line)),
            Activity::Busy(_) | Activity::Changing => {
                unreachable!("the schedule has one transaction in flight at most")
            }
        };
    }

    fn ask(&mut self, place: usize, index: usize) {
        let unit = self.devices[place].unit;
        let request = self.devices[place].requests[index];
        self.begin(|mut line| {
            Box::pin(async move {
                let reply = job::read(&mut line, unit, request).await;
                Event::Answered { line, place, index, reply }
            })
        });
    }

    /// Gives a finished cycle to the engine.
    fn deliver(&mut self, slot: PollSlot, rest: Option<Fault>, at: Millis) {
        let device = &self.devices[slot.0];
        // Without a rest every request has its reply.
        let missing = rest.map_or(Cause::NoAnswer, Cause::from);
        let replies = self.replies[slot.0].iter_mut().map(Option::take);
        let replies =
            device.requests.iter().copied().zip(replies.map(|reply| reply.unwrap_or(Err(missing))));
        let frame = Frame { device: device.index, at, replies: replies.collect() };
        let skipped = match self.frames.try_send(frame) {
            Ok(()) => 0,
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => 1,
        };
        let polled = self.poller.snapshot(slot);
        self.status.send_modify(|status| {
            status.frames_skipped += skipped;
            if let (Some(device), Some(polled)) = (status.devices.get_mut(slot.0), polled) {
                device.polled.clone_from(polled);
            }
        });
    }

    fn note_link(&mut self) {
        let is_open = match &self.activity {
            Activity::Idle(line) => line.link.is_some(),
            Activity::Busy(_) | Activity::Changing => false,
        };
        let is_usable = self.poller.link_is_usable();
        let before = self.status.borrow().link;
        let state = match (is_usable, is_open) {
            (false, _) => LinkState::Down,
            (true, true) => LinkState::Up,
            // Dropped for the sake of one unit; that says nothing about the host.
            (true, false) => before,
        };
        if state == before {
            return;
        }
        self.status.send_modify(|status| status.link = state);
        let status = self.status.borrow();
        match state {
            LinkState::Up => tracing::info!(bus = status.name, "link is up"),
            LinkState::Down => tracing::warn!(bus = status.name, "link is down"),
            LinkState::Untried | LinkState::Taken { .. } => {}
        }
    }
}

/// Chance for a back-off; nothing but a failure uses it.
fn jitter(outcome: Result<(), Fault>) -> Jitter {
    let mut byte = [u8::MAX / 2];
    if outcome.is_err() && getrandom::fill(&mut byte).is_err() {
        return Jitter(u8::MAX / 2);
    }
    Jitter(byte[0])
}
