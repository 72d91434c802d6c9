//! The turns of a bus: one thing happens, schedule and line are told, and what they want is done.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use fieldgate_modbus::client::Ticket;
use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_model::Millis;
use fieldgate_rules::schedule::{
    JOBS_MAX, PollDevice, PollEffect, PollSlot, Schedule, ScheduleOptions,
};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::sleep;

use super::device::{Device, timeout_of};
use super::flying::{Flying, Whose};
use super::job::Jobs;
use super::taking::Taking;
use super::tell::Teller;
use super::wire::{Change, Wire, WireEvent, WireSetup};
use super::{BusChannels, BusDevice, BusSetup};
use crate::clock::Clock;
use crate::config::Endpoint;
use crate::drivers::{Frame, Job, jitter};

/// Rounds in which schedule and line may call each other in one turn; what is left over waits for
/// the next, behind what has come in the meantime.
const ROUNDS_MAX: usize = 32;

/// What happened.
pub(super) enum Event {
    Wire(WireEvent),
    /// `None` if nobody is left who could ask.
    Job(Option<Job>),
    Released,
    Due,
}

/// The shell of one bus.
pub(super) struct Bus {
    devices: Vec<Device>,
    /// For units that no device has.
    timeout: Millis,
    close_after_cycle: bool,
    schedule: Schedule,
    wire: Wire,
    jobs: Jobs,
    /// Handed out by the schedule, and not on the wire yet.
    queue: VecDeque<Flying>,
    /// On the wire.
    flying: Vec<(Ticket, Flying)>,
    last_ticket: u64,
    taking: Taking,
    teller: Teller,
    jobs_in: mpsc::Receiver<Job>,
    frames: mpsc::Sender<Frame>,
    clock: Clock,
}

impl Bus {
    pub(super) fn new(setup: BusSetup, channels: BusChannels, clock: Clock) -> Self {
        let in_flight_max = match setup.endpoint {
            Endpoint::ModbusTcp { in_flight, .. } => in_flight,
            Endpoint::ModbusRtu(_)
            | Endpoint::ModbusAscii(_)
            | Endpoint::ModbusRtuOverTcp { .. } => 1,
        };
        let options = ScheduleOptions {
            dead_share: setup.dead_share,
            in_flight_max,
            per_unit_in_flight: in_flight_max,
        };
        let mut wire = Wire::new(WireSetup {
            endpoint: setup.endpoint,
            patience: setup.timeout,
            pause: setup.pause,
            purpose: format!("bus `{}`", setup.name),
        });
        wire.show(setup.name, channels.tap);
        let now = clock.now();
        let (link, times) = (setup.link, setup.times);
        let device = |device: BusDevice| {
            let (every, timeout) = (device.every, device.timeout);
            let device = Device::new(device, link, times, now);
            let (unit, requests) = (device.unit, device.classes());
            (PollDevice { unit, every, requests, timeout }, device)
        };
        let (polled, devices) = setup.devices.into_iter().map(device).unzip();
        Self {
            devices,
            timeout: setup.timeout,
            close_after_cycle: setup.close_after_cycle,
            schedule: Schedule::resume(polled, options, now),
            wire,
            jobs: Jobs::default(),
            queue: VecDeque::new(),
            flying: Vec::new(),
            last_ticket: 0,
            taking: Taking::No,
            teller: Teller::new(channels.status),
            jobs_in: channels.jobs,
            frames: channels.frames,
            clock,
        }
    }

    /// The next thing that happens; `None` to stop.
    pub(super) async fn select(&mut self) -> Option<Event> {
        if self.frames.is_closed() || matches!(self.taking, Taking::Ended) {
            return None;
        }
        let now = self.clock.now();
        let wait = self.poll_timeout(now).map(|at| Duration::from_millis(at.since(now).0));
        let due = async {
            match wait {
                // A timer would round up to the next millisecond, between any two requests.
                Some(Duration::ZERO) => {}
                Some(wait) => sleep(wait).await,
                None => pending().await,
            }
        };
        let takes_jobs = self.takes_jobs();
        Some(tokio::select! {
            biased;
            event = self.wire.event() => Event::Wire(event),
            job = self.jobs_in.recv(), if takes_jobs => Event::Job(job),
            () = self.taking.released() => Event::Released,
            () = due => Event::Due,
        })
    }

    pub(super) fn apply(&mut self, event: Event) {
        let now = self.clock.now();
        match event {
            Event::Wire(event) => {
                self.apply_wire(event, now);
                // A line that never stops talking is always first, and must hold up nothing else.
                self.wire.handle_timeout(now);
                if self.takes_jobs()
                    && let Ok(job) = self.jobs_in.try_recv()
                {
                    self.take_in(job, now);
                }
            }
            Event::Job(Some(job)) => self.take_in(job, now),
            Event::Job(None) => {
                let is_held = self.taking.since().is_some();
                self.taking = if is_held { Taking::Ended } else { Taking::Ending };
                self.schedule.handle_hold(now);
            }
            Event::Released => self.release(),
            Event::Due => {
                if self.taking.ends().is_some_and(|at| at <= now) {
                    tracing::warn!(bus = self.teller.name(), "the line was not given back in time");
                    self.release();
                }
                self.wire.handle_timeout(now);
            }
        }
        self.turn(now);
        self.teller.link(self.taking.since(), self.schedule.link_is_usable(), self.wire.is_open());
        self.teller.line(self.wire.counters(), || self.schedule.load(now), now);
    }

    fn takes_jobs(&self) -> bool {
        !self.taking.is_final() && self.jobs.len() < JOBS_MAX
    }

    fn poll_timeout(&self, now: Millis) -> Option<Millis> {
        let held = self.queue.front().filter(|_| self.wire.may_send(now));
        let held = held.and_then(|flying| self.held_until(flying, now));
        let (schedule, wire) = (self.schedule.poll_timeout(), self.wire.poll_timeout());
        let times = [schedule, wire, self.taking.ends(), self.teller.poll_timeout(), held];
        times.into_iter().flatten().min()
    }

    /// Until when a transaction with a deadline is kept here for the sake of its unit's late answer:
    /// once it is handed to the line nobody can look at its deadline any more.
    fn held_until(&self, flying: &Flying, now: Millis) -> Option<Millis> {
        let deadline = flying.deadline?;
        Some(self.wire.held_until(flying.unit, now)?.min(deadline))
    }

    fn apply_wire(&mut self, event: WireEvent, now: Millis) {
        match self.wire.apply(event, now) {
            Change::None | Change::Lost => {}
            Change::Opened => self.teller.opened(),
            Change::Refused(error) => {
                self.teller.refused(&error);
                for flying in std::mem::take(&mut self.queue) {
                    self.settle(flying, Err(Fault::NoLink), now);
                }
            }
        }
    }

    fn take_in(&mut self, job: Job, now: Millis) {
        let is_taken = !matches!(self.taking, Taking::No);
        let (devices, fallback) = (&self.devices, self.timeout);
        match self.jobs.add(job, |unit| timeout_of(devices, unit, fallback)) {
            // Nobody waits ten minutes without a word.
            Ok((id, _)) if is_taken => self.jobs.finish(id, Some(Fault::NoLink)),
            Ok((id, spec)) => {
                if self.schedule.handle_job(id, spec, now).is_err() {
                    self.jobs.finish(id, Some(Fault::NoLink));
                }
            }
            // One has it already: who asked sees that nobody granted it.
            Err(_) if is_taken => {}
            Err(taker) => {
                self.taking = Taking::Asked(taker);
                self.schedule.handle_hold(now);
            }
        }
    }

    /// Lets schedule and line have their way with each other until both wait for something.
    fn turn(&mut self, now: Millis) {
        for _ in 0..ROUNDS_MAX {
            // A cycle's end may bring another plan, which must be known before the next one begins.
            let mut moved = self.obey_all(now);
            self.schedule.handle_timeout(now);
            moved |= self.obey_all(now);
            moved |= self.send(now);
            while let Some((ticket, outcome)) = self.wire.poll_done(now) {
                let place = self.flying.iter().position(|(known, _)| *known == ticket);
                if let Some(place) = place {
                    let (_, flying) = self.flying.swap_remove(place);
                    self.settle(flying, outcome, now);
                }
                moved = true;
            }
            if !moved {
                break;
            }
        }
        let is_idle = self.queue.is_empty() && self.flying.is_empty();
        if self.close_after_cycle && is_idle && self.wire.is_open() {
            self.wire.close(now);
        }
    }

    fn obey_all(&mut self, now: Millis) -> bool {
        let mut moved = false;
        while let Some(effect) = self.schedule.poll_effect() {
            self.obey(effect, now);
            moved = true;
        }
        moved
    }

    fn obey(&mut self, effect: PollEffect, now: Millis) {
        match effect {
            PollEffect::Transact { flight, device: PollSlot(place), index } => {
                let device = &self.devices[place];
                self.queue.push_back(Flying {
                    flight,
                    whose: Whose::Poll { place, index },
                    unit: device.unit,
                    request: Request::Read(device.request(index)),
                    timeout: device.timeout,
                    deadline: None,
                    may_retry: true,
                });
            }
            PollEffect::RunJob { flight, job, step } => match self.jobs.step(job, step) {
                None => self.schedule.handle_unsent(flight, now),
                Some(todo) => self.queue.push_back(Flying {
                    flight,
                    whose: Whose::Job { id: job, step },
                    unit: todo.unit,
                    may_retry: matches!(todo.request, Request::Read(_)),
                    request: todo.request,
                    timeout: timeout_of(&self.devices, todo.unit, self.timeout),
                    deadline: todo.deadline,
                }),
            },
            PollEffect::CycleDone { device, rest } => self.deliver(device, rest, now),
            PollEffect::CycleDropped { device: PollSlot(place) } => {
                self.devices[place].drop_cycle();
            }
            PollEffect::Replanned { device: PollSlot(place) } => self.devices[place].take_plan(),
            PollEffect::JobDone { job, rest } => {
                self.jobs.finish(job, rest);
                self.teller.job_done();
            }
            PollEffect::JobExpired { job } => self.jobs.expire(job),
            PollEffect::Held => self.hold(now),
        }
    }

    /// Sends what the line takes, opening it if need be; whether anything left the queue.
    fn send(&mut self, now: Millis) -> bool {
        if !self.queue.is_empty() {
            self.wire.open();
        }
        let mut moved = false;
        while self.wire.may_send(now) {
            let Some(mut flying) = self.queue.pop_front() else { break };
            // The turn may have begun some time ago, and this is the last moment to look.
            if flying.deadline.is_some_and(|deadline| self.clock.now() >= deadline) {
                self.schedule.handle_unsent(flying.flight, now);
                moved = true;
                continue;
            }
            if self.held_until(&flying, now).is_some() {
                self.queue.push_front(flying);
                break;
            }
            moved = true;
            self.last_ticket += 1;
            let ticket = Ticket(self.last_ticket);
            flying.may_retry &= self.wire.is_proven();
            let Flying { unit, request, timeout, .. } = &flying;
            match self.wire.send(ticket, *unit, request, *timeout, now) {
                Ok(()) => self.flying.push((ticket, flying)),
                Err(fault) => self.settle(flying, Err(fault), now),
            }
        }
        moved
    }

    /// Keeps what a transaction brought, and tells the schedule.
    fn settle(&mut self, mut flying: Flying, brought: Result<Reply, Fault>, now: Millis) {
        if flying.may_retry && brought == Err(Fault::LinkLost) {
            // A server may close a link that idles between two polls, and the next request only
            // finds out. Nothing was heard, so a read may be asked again; a write may have been
            // carried out.
            flying.may_retry = false;
            self.queue.push_front(flying);
            return;
        }
        let outcome = brought.as_ref().map(|_| ()).map_err(|fault| *fault);
        match flying.whose {
            Whose::Job { id, step } => self.jobs.note(id, step, brought),
            Whose::Poll { place, index } => {
                let reply = match brought {
                    Ok(Reply::Read(reply)) => Ok(reply),
                    // The client answers a read with a read.
                    Ok(Reply::Written | Reply::ServerId(_) | Reply::DeviceId(_)) => {
                        Err(Fault::Malformed)
                    }
                    Err(fault) => Err(fault),
                };
                self.devices[place].note(index, reply, now);
            }
        }
        self.schedule.handle_answer(flying.flight, outcome, now, jitter(outcome));
    }

    /// Gives a finished cycle to the engine.
    fn deliver(&mut self, slot: PollSlot, rest: Option<Fault>, at: Millis) {
        let device = &mut self.devices[slot.0];
        let (frame, is_other) = device.end_cycle(rest, at);
        if is_other {
            self.schedule.handle_requests(slot, device.classes(), at);
        }
        let is_skipped = match self.frames.try_send(frame) {
            Ok(()) => false,
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => true,
        };
        self.teller.cycle(slot, self.schedule.snapshot(slot), is_skipped);
    }

    /// Nothing is in flight, and nothing will be until the line is given back.
    fn hold(&mut self, now: Millis) {
        match std::mem::replace(&mut self.taking, Taking::Ended) {
            Taking::Asked(taker) => {
                self.wire.close(now);
                self.taking = Taking::Taken { released: taker.released, since: now };
                tracing::info!(bus = self.teller.name(), "the line is taken");
                if taker.granted.send(()).is_err() {
                    return self.release();
                }
                // Who asked before waits as little for the line to come back as who asks later.
                for job in self.jobs.end_all(Fault::NoLink) {
                    self.schedule.handle_job_end(job);
                }
            }
            Taking::Ending | Taking::Ended => {}
            other @ (Taking::No | Taking::Taken { .. }) => self.taking = other,
        }
    }

    fn release(&mut self) {
        tracing::info!(bus = self.teller.name(), "the line is given back");
        self.taking = Taking::No;
        self.schedule.handle_release();
    }
}
