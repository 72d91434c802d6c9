//! What a bus tells of itself.

use fieldgate_modbus::client::LineCounters;
use fieldgate_modbus::register::UnitId;
use fieldgate_model::Millis;
use fieldgate_rules::schedule::{BusLoad, PollSnapshot};

use super::DeviceIndex;
use super::modbus::{BusDevice, BusSetup};

/// What a bus tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Whether it can be reached.
    pub link: LinkState,
    /// Why it could not be reached when last tried, in words; `None` if it was.
    pub trouble: Option<String>,
    /// Polls that were thrown away because the engine did not take them, since start.
    pub frames_skipped: u64,
    /// Jobs done, since start.
    pub jobs: u64,
    /// What its line has done right and wrong since start, a second old at most.
    pub counters: LineCounters,
    /// How full it has been, as old as that.
    pub load: BusLoad,
    /// Its devices, in the order in which the bus was given them.
    pub devices: Vec<DeviceStatus>,
}

impl BusStatus {
    /// The status of a bus that has not started.
    pub fn new(setup: &BusSetup) -> Self {
        let status = |device: &BusDevice| DeviceStatus::new(device.index, device.unit);
        Self {
            name: setup.name.to_string(),
            link: LinkState::Untried,
            trouble: None,
            frames_skipped: 0,
            jobs: 0,
            counters: LineCounters::default(),
            load: BusLoad::default(),
            devices: setup.devices.iter().map(status).collect(),
        }
    }
}

/// What a bus tells of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceStatus {
    /// Which device.
    pub index: DeviceIndex,
    /// Its unit id; [`super::NO_UNIT`] at a host.
    pub unit: UnitId,
    /// Its counters.
    pub polled: PollSnapshot,
    /// Resources that tell of their changes by themselves.
    pub observed: usize,
    /// What they have told, since start.
    pub notifications: u64,
}

impl DeviceStatus {
    /// The status of a device that was not asked yet.
    pub fn new(index: DeviceIndex, unit: UnitId) -> Self {
        Self { index, unit, polled: PollSnapshot::default(), observed: 0, notifications: 0 }
    }
}

/// Whether a bus can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Not tried yet.
    Untried,
    /// It was reached when last tried.
    Up,
    /// It was not.
    Down,
    /// Somebody took the line; nothing is polled.
    Taken {
        /// Since when, monotonic.
        since: Millis,
    },
}
