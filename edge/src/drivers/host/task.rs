//! The turns of a host: one thing happens, the schedule is told, and what it wants is done.

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use fieldgate_modbus::fault::Fault;
use fieldgate_model::Millis;
use fieldgate_rules::schedule::{
    Flight, JOBS_MAX, JobId, PollDevice, PollEffect, PollSlot, Schedule, ScheduleOptions,
};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::ask::{Answered, Failed, ask, payload};
use super::job::{HostJob, Jobs, Step};
use super::slot::Slot;
use super::tell::Teller;
use super::{Endpoints, HostChannels, HostSetup, PayloadFrame};
use crate::clock::Clock;
use crate::config::HostConfig;
use crate::drivers::coap::{CoapRequest, CoapResponse, Loss, Notification};
use crate::drivers::{NO_UNIT, jitter};

/// Percent of a host's own time that its silence may take: nobody else is there, and more often than
/// every half minute the breaker does not ask.
const DEAD_SHARE: u8 = 50;
/// What observations may have said before the host looks: what comes faster waits in the endpoint,
/// where the newest counts.
const NEWS_MAX: usize = 64;

/// What happened.
pub(super) enum Event {
    Landed(Landed),
    News(News),
    /// `None` if nobody is left who could ask.
    Job(Option<HostJob>),
    Due,
}

/// A request that ended.
pub(super) struct Landed {
    flight: Flight,
    whose: Whose,
    answered: Answered,
}

#[derive(Debug, Clone, Copy)]
enum Whose {
    Poll { slot: usize, request: usize },
    Job { id: JobId, step: usize },
}

/// What an observation said.
pub(super) struct News {
    slot: usize,
    resource: usize,
    said: Said,
}

enum Said {
    Fresh(CoapResponse),
    Lost { can_be_observed: bool, why: String },
}

/// The shell of one host.
pub(super) struct Host {
    config: HostConfig,
    /// Where it was found last; always, if it is an address.
    peer: Option<SocketAddr>,
    slots: Vec<Slot>,
    /// How long a device may take to answer a job: as long as the most patient one here.
    timeout: Millis,
    schedule: Schedule,
    jobs: Jobs,
    flights: JoinSet<Landed>,
    observations: JoinSet<()>,
    news: mpsc::Sender<News>,
    news_in: mpsc::Receiver<News>,
    teller: Teller,
    jobs_in: mpsc::Receiver<HostJob>,
    payloads: mpsc::Sender<PayloadFrame>,
    endpoints: Endpoints,
    clock: Clock,
}

impl Host {
    pub(super) fn new(
        setup: HostSetup,
        channels: HostChannels,
        endpoints: Endpoints,
        clock: Clock,
    ) -> Self {
        let now = clock.now();
        let devices = setup.devices.iter().enumerate();
        let slots: Vec<Slot> =
            devices.flat_map(|(place, device)| Slot::of(place, device)).collect();
        let polled = slots.iter().map(|slot| PollDevice {
            unit: NO_UNIT,
            every: slot.every,
            requests: slot.classes(),
            timeout: slot.timeout,
        });
        let options = ScheduleOptions { dead_share: DEAD_SHARE, ..ScheduleOptions::default() };
        let schedule = Schedule::resume(polled.collect(), options, now);
        let (news, news_in) = mpsc::channel(NEWS_MAX);
        let teller = Teller::new(channels.status);
        if slots.is_empty() {
            // Its devices only push: there is nothing to be reached.
            teller.link(true);
        }
        Self {
            peer: None,
            config: setup.host,
            timeout: setup.devices.iter().map(|its| its.timeout).max().unwrap_or(Millis(0)),
            slots,
            schedule,
            jobs: Jobs::default(),
            flights: JoinSet::new(),
            observations: JoinSet::new(),
            news,
            news_in,
            teller,
            jobs_in: channels.jobs,
            payloads: channels.payloads,
            endpoints,
            clock,
        }
    }

    /// The next thing that happens; `None` to stop.
    pub(super) async fn select(&mut self) -> Option<Event> {
        let now = self.clock.now();
        let due = [self.schedule.poll_timeout(), self.teller.poll_timeout()];
        let wait = due.into_iter().flatten().min();
        let wait = wait.map(|at| Duration::from_millis(at.since(now).0));
        let takes_jobs = self.jobs.len() < JOBS_MAX;
        loop {
            return Some(tokio::select! {
                landed = self.flights.join_next(), if !self.flights.is_empty() => {
                    // A request that panicked is a fault of ours; the daemon stops by name.
                    Event::Landed(landed?.ok()?)
                }
                Some(news) = self.news_in.recv() => Event::News(news),
                job = self.jobs_in.recv(), if takes_jobs => Event::Job(job),
                () = self.payloads.closed() => return None,
                _ = self.observations.join_next(), if !self.observations.is_empty() => continue,
                () = async {
                    match wait {
                        Some(wait) => sleep(wait).await,
                        None => pending().await,
                    }
                } => Event::Due,
            });
        }
    }

    /// Takes in what happened; `false` once nobody is left who could ask.
    pub(super) fn apply(&mut self, event: Event) -> bool {
        let now = self.clock.now();
        match event {
            Event::Landed(landed) => self.land(landed, now),
            Event::News(news) => self.hear(news, now),
            Event::Job(None) => return false,
            Event::Job(Some(job)) => {
                let (id, spec) = self.jobs.add(job, self.timeout);
                if self.schedule.handle_job(id, spec, now).is_err() {
                    self.jobs.finish(id, Some(Fault::NoLink));
                }
            }
            Event::Due => {}
        }
        self.turn(now);
        self.teller.tell(&self.schedule, now);
        true
    }

    /// Does what the schedule wants until it wants nothing more.
    fn turn(&mut self, now: Millis) {
        self.obey_all(now);
        self.schedule.handle_timeout(now);
        self.obey_all(now);
    }

    fn obey_all(&mut self, now: Millis) {
        while let Some(effect) = self.schedule.poll_effect() {
            self.obey(effect, now);
        }
    }

    fn obey(&mut self, effect: PollEffect, now: Millis) {
        match effect {
            PollEffect::Transact { flight, device: PollSlot(slot), index: request } => {
                let its = &self.slots[slot];
                let (_, ask) = its.ask(request);
                let request_out = ask.request(now + its.timeout);
                self.send(flight, Whose::Poll { slot, request }, request_out);
            }
            PollEffect::RunJob { flight, job, step } => self.run(flight, job, step, now),
            PollEffect::CycleDone { device: PollSlot(slot), rest } => {
                let frame = self.slots[slot].end_cycle(rest, now);
                self.deliver(frame);
                self.teller.cycle(&self.slots, slot, self.schedule.snapshot(PollSlot(slot)));
            }
            PollEffect::CycleDropped { device: PollSlot(slot) } => self.slots[slot].drop_cycle(),
            PollEffect::Replanned { device: PollSlot(slot) } => self.slots[slot].take_plan(),
            PollEffect::JobDone { job, rest } => {
                self.jobs.finish(job, rest);
                self.teller.job_done();
            }
            PollEffect::JobExpired { job } => self.jobs.expire(job),
            // Nobody can take a host: who asks it directly asks beside the gateway.
            PollEffect::Held => self.schedule.handle_release(),
        }
    }

    fn run(&mut self, flight: Flight, id: JobId, step: usize, now: Millis) {
        let whose = Whose::Job { id, step };
        match self.jobs.step(id, step) {
            None => self.schedule.handle_unsent(flight, now),
            Some(Step::Ask(ask)) => self.send(flight, whose, ask.request(now + self.timeout)),
            Some(Step::Write { write, deadline }) => {
                // This is the last moment to look, and the endpoint repeats nothing behind it.
                let moment = self.clock.now();
                if deadline.is_some_and(|deadline| moment >= deadline) {
                    return self.schedule.handle_unsent(flight, now);
                }
                let until = moment + self.timeout;
                let until = deadline.map_or(until, |deadline| deadline.min(until));
                self.send(flight, whose, write.request(until));
            }
        }
    }

    fn send(&mut self, flight: Flight, whose: Whose, request: CoapRequest) {
        self.teller.asked();
        let asked = ask(self.endpoints.clone(), self.config.clone(), self.peer, request);
        self.flights.spawn(async move { Landed { flight, whose, answered: asked.await } });
    }

    fn land(&mut self, landed: Landed, now: Millis) {
        let Landed { flight, whose, answered: Answered { peer, outcome } } = landed;
        self.peer = peer;
        self.teller.answered(&outcome);
        let verdict = outcome.as_ref().map(|_| ()).map_err(|failed| failed.fault);
        let brought = outcome.map_err(|failed: Failed| failed.cause);
        match whose {
            Whose::Job { id, step } => self.jobs.note(id, step, brought),
            Whose::Poll { slot, request } => {
                let its = &mut self.slots[slot];
                let (resource, _) = its.ask(request);
                let is_good = brought.is_ok();
                its.note(request, brought);
                if is_good && its.is_to_be_observed(resource, now) {
                    self.observe(slot, resource, now);
                }
            }
        }
        self.schedule.handle_answer(flight, verdict, now, jitter(verdict));
        self.teller.link(self.schedule.link_is_usable());
    }

    /// Asks a resource to tell of its changes; what it says comes as news.
    fn observe(&mut self, slot: usize, resource: usize, now: Millis) {
        let its = &self.slots[slot];
        let (patience, news) = (its.timeout, self.news.clone());
        let request = its.ask_of(resource).request(now + patience);
        let (endpoints, is_secure) = (self.endpoints.clone(), self.config.psk.is_some());
        let Some(peer) = self.peer else { return };
        self.observations.spawn(async move {
            let lost = |why: String| Said::Lost { can_be_observed: true, why };
            let begun = match endpoints.to(peer, is_secure) {
                Some(endpoint) => endpoint.observe(peer, request, patience).await,
                None => return,
            };
            let mut observation = match begun {
                Ok(observation) => observation,
                Err(error) => {
                    let said = lost(error.to_string());
                    return drop(news.send(News { slot, resource, said }).await);
                }
            };
            loop {
                let said = match observation.next().await {
                    Some(Notification::Fresh(response)) => Said::Fresh(response),
                    Some(Notification::Lost(why)) => {
                        Said::Lost { can_be_observed: can_be_observed(why), why: why.to_string() }
                    }
                    None => lost("the endpoint is closed".to_owned()),
                };
                let is_over = matches!(said, Said::Lost { .. });
                if news.send(News { slot, resource, said }).await.is_err() || is_over {
                    return;
                }
            }
        });
    }

    fn hear(&mut self, news: News, now: Millis) {
        let News { slot, resource, said } = news;
        let its = &mut self.slots[slot];
        let is_other = match said {
            Said::Fresh(response) => match payload(response) {
                Ok(payload) => {
                    let frame = its.notified(resource, payload, now);
                    let is_other = its.begin_observed(resource);
                    self.teller.notified(&self.slots, slot, now);
                    self.deliver(frame);
                    is_other
                }
                // Its loss follows.
                Err(_) => false,
            },
            Said::Lost { can_be_observed, why } => {
                let path = its.ask_of(resource).path.join("/");
                let is_other = its.end_observed(resource, can_be_observed, now);
                let name = self.teller.name();
                tracing::info!(host = name, path, why, "not observed, polled instead");
                self.teller.observed(&self.slots, slot);
                is_other
            }
        };
        if is_other {
            let classes = self.slots[slot].classes();
            self.schedule.handle_requests(PollSlot(slot), classes, now);
        }
    }

    /// Gives what was learnt to the engine.
    fn deliver(&mut self, frame: PayloadFrame) {
        match self.payloads.try_send(frame) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => self.teller.skipped(),
        }
    }
}

/// Whether it is worth asking again as soon as the device answers.
const fn can_be_observed(loss: Loss) -> bool {
    match loss {
        Loss::NotObservable => false,
        Loss::Refused(_) | Loss::Failed(_) => true,
    }
}
