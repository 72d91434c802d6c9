//! Which transaction goes next on one bus: a schedule that a dead or lying device cannot spoil.

mod known;
mod load;
mod work;

use std::collections::VecDeque;

use fieldgate_modbus::fault::Fault;
use fieldgate_model::Millis;
use thiserror::Error;

pub use self::known::{BreakerState, PollSnapshot};
pub use self::load::{BusLoad, Permille};
pub use self::work::{
    Class, Flight, Jitter, JobId, JobSpec, PollDevice, PollEffect, PollRequest, PollSlot,
    ScheduleOptions,
};

use self::load::Minute;

/// A job that was refused: as many as can wait are waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the bus has {JOBS_MAX} jobs waiting")]
pub struct Full;

/// Jobs that may wait. Each is a question that somebody waits at; 64 of them at 50 ms are three
/// seconds of a slow line.
pub const JOBS_MAX: usize = 64;

/// The schedule of one bus.
#[derive(Debug)]
pub struct Schedule {
    options: ScheduleOptions,
    known: Vec<PollSnapshot>,
    minute: Minute,
    effects: VecDeque<PollEffect>,
}

impl Schedule {
    /// The schedule of a bus whose daemon starts at `now`.
    pub fn resume(devices: Vec<PollDevice>, options: ScheduleOptions, now: Millis) -> Self {
        let known = devices.iter().map(|_| PollSnapshot::default()).collect();
        Self { options, known, minute: Minute::new(now), effects: VecDeque::new() }
    }

    /// Somebody wants something done. It ends once: by [`PollEffect::JobDone`], by
    /// [`PollEffect::JobExpired`], or refused here.
    pub fn handle_job(&mut self, _job: JobId, _spec: JobSpec, _now: Millis) -> Result<(), Full> {
        Err(Full)
    }

    /// The rest of a job is of no use to anyone: it ends, if need be after its step in flight.
    pub fn handle_job_end(&mut self, _job: JobId, _now: Millis) {}

    /// The transaction in flight ended.
    pub fn handle_answer(
        &mut self,
        _flight: Flight,
        _outcome: Result<(), Fault>,
        _now: Millis,
        _jitter: Jitter,
    ) {
    }

    /// The transaction did not touch the wire: its time had passed when the link was open at last.
    /// A job ends by that.
    pub fn handle_unsent(&mut self, _flight: Flight, _now: Millis) {}

    /// Somebody takes the whole bus: what is in flight ends, and then [`PollEffect::Held`] follows.
    pub fn handle_hold(&mut self, _now: Millis) {}

    /// The bus is given back.
    pub fn handle_release(&mut self, _now: Millis) {}

    /// A device has another plan. A cycle that is open ends by the plan it began with;
    /// [`PollEffect::Replanned`] says from when on the new one holds.
    pub fn handle_requests(
        &mut self,
        _device: PollSlot,
        _requests: Vec<PollRequest>,
        _now: Millis,
    ) {
    }

    /// Starts what is due, as far as there is room.
    pub fn handle_timeout(&mut self, _now: Millis) {}

    /// When to call [`Schedule::handle_timeout`] next; to be asked again after every other call.
    pub fn poll_timeout(&self) -> Option<Millis> {
        None
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<PollEffect> {
        self.effects.pop_front()
    }

    /// What is known of one device; `None` if there is no such device.
    pub fn snapshot(&self, device: PollSlot) -> Option<&PollSnapshot> {
        self.known.get(device.0)
    }

    /// How full the bus has been over the last minute.
    pub fn load(&self, now: Millis) -> BusLoad {
        self.minute.load(self.options.in_flight_max, now)
    }

    /// Whether the link is in use, or is going to be tried at the next poll.
    pub fn link_is_usable(&self) -> bool {
        true
    }
}
