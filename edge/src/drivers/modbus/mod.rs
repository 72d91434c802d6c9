//! The task of one Modbus bus: it owns the line, and polls all units behind it in turn.
//!
//! [`fieldgate_rules::schedule`] decides when to ask whom, [`fieldgate_modbus::client`] what goes
//! over the line and what came back; here the two are given a link, a clock and a queue of jobs.
//!
//! # Invariants
//!
//! - The task sleeps unless something is due: an idle bus costs nothing.
//! - A link is shared by all units; the silence of one does not close it.
//! - A write reaches the wire at most once, and not at or after its deadline.

mod bus;
mod device;
pub mod direct;
mod flying;
mod job;
mod link;
mod lock;
mod port;
mod rs485;
mod taking;
mod tell;
mod timing;
mod wire;

use std::sync::Arc;

use fieldgate_modbus::register::{ReadRequest, UnitId};
use fieldgate_model::Millis;
use fieldgate_rules::plan::{HoleMap, LearnedTimes, LinkCost, ReadRules};
use fieldgate_rules::profile::Profile;
use fieldgate_rules::schedule::Class;
use tokio::sync::{broadcast, mpsc, watch};

pub use self::link::OpenError;
pub use self::lock::Holder;
pub use self::port::PortError;

use self::bus::Bus;
use super::{BusHandle, BusStatus, DeviceIndex, Frame, Job, TAPPED_MAX, Tapped};
use crate::clock::Clock;
use crate::config::{BusConfig, DeviceConfig, Endpoint};

/// What a bus needs to know.
#[derive(Debug, Clone)]
pub struct BusSetup {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// What it is.
    pub endpoint: Endpoint,
    /// How long opening the link may take, and how long a unit may take to answer that no device
    /// here has.
    pub timeout: Millis,
    /// Quiet time between an answer and the next request, beside what the line needs.
    pub pause: Millis,
    /// Most of the bus's time that silent units may take, in percent.
    pub dead_share: u8,
    /// Close the link whenever nothing is due.
    pub close_after_cycle: bool,
    /// What a request costs there, for the plans.
    pub link: LinkCost,
    /// When what a device refuses is tried again.
    pub times: LearnedTimes,
    /// Who is on it.
    pub devices: Vec<BusDevice>,
}

impl BusSetup {
    /// The bus as it was configured, with these devices on it.
    pub fn new(config: &BusConfig, devices: Vec<BusDevice>) -> Self {
        Self {
            name: config.name.as_str().into(),
            endpoint: config.endpoint.clone(),
            timeout: config.timeout,
            pause: config.pause,
            dead_share: config.dead_share,
            close_after_cycle: config.close_after_cycle,
            link: config.cost(),
            times: LearnedTimes::default(),
            devices,
        }
    }
}

/// One read that a poll must bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollRequest {
    /// What to read.
    pub request: ReadRequest,
    /// [`Class::AlarmSignal`] if an alarm watches a signal in it, or else [`Class::Poll`].
    pub class: Class,
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
    /// How long it may take to answer.
    pub timeout: Millis,
    /// What one poll must bring, each element in one answer and with its class.
    pub wanted: Vec<PollRequest>,
    /// How it wants to be read.
    pub reading: ReadRules,
    /// What it has taught before.
    pub holes: HoleMap,
}

/// Where a bus is told and tells.
#[derive(Debug)]
pub struct BusChannels {
    /// What it is to do; it ends when this is closed.
    pub jobs: mpsc::Receiver<Job>,
    /// Where its polls go. When it is full a poll is thrown away and counted; when it is closed
    /// the bus ends.
    pub frames: mpsc::Sender<Frame>,
    /// How it is.
    pub status: watch::Sender<BusStatus>,
    /// What goes over its line.
    pub tap: broadcast::Sender<Arc<Tapped>>,
}

impl BusDevice {
    /// The device as it was configured, with this unit id, and what it has taught so far.
    pub fn new(index: DeviceIndex, config: &DeviceConfig, unit: UnitId, holes: HoleMap) -> Self {
        let (every, timeout) = (config.every, config.timeout);
        let reading = config.profile.reading.clone();
        let wanted = wanted_of(&config.profile);
        Self { index, unit, every, timeout, wanted, reading, holes }
    }
}

impl BusChannels {
    /// The channels of a bus, and the other ends of them. So many jobs may wait.
    pub fn new(
        setup: &BusSetup,
        jobs_max: usize,
        frames: mpsc::Sender<Frame>,
    ) -> (Self, BusHandle) {
        let (jobs, jobs_out) = mpsc::channel(jobs_max);
        let (status, shown) = watch::channel(BusStatus::new(setup));
        let tap = broadcast::Sender::new(TAPPED_MAX);
        let handle = BusHandle { jobs, status: shown, tap: tap.clone() };
        (Self { jobs: jobs_out, frames, status, tap }, handle)
    }
}

/// What one poll of a device must bring; what its alarms watch has their class.
fn wanted_of(profile: &Profile) -> Vec<PollRequest> {
    let class = |request: ReadRequest| {
        if profile.is_watched(request) { Class::AlarmSignal } else { Class::Poll }
    };
    let poll = |request| PollRequest { class: class(request), request };
    profile.wanted().into_iter().map(poll).collect()
}

/// Runs the bus until its jobs are closed or nobody takes its frames any more.
///
/// What is under way is finished before the task ends, so that no write is cut off at its answer.
pub async fn run(setup: BusSetup, channels: BusChannels, clock: Clock) {
    let mut bus = Bus::new(setup, channels, clock);
    while let Some(event) = bus.select().await {
        bus.apply(event);
    }
}
