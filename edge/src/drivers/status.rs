//! What a bus tells of itself.

use fieldgate_modbus::register::UnitId;
use fieldgate_model::Millis;
use fieldgate_rules::poll::PollSnapshot;

use super::DeviceIndex;

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
    /// Its devices, in the order in which the bus was given them.
    pub devices: Vec<DeviceStatus>,
}

/// What a bus tells of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceStatus {
    /// Which device.
    pub index: DeviceIndex,
    /// Its unit id.
    pub unit: UnitId,
    /// Its counters.
    pub polled: PollSnapshot,
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
