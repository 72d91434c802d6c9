//! What a schedule knows of a device's polling, to be shown.

use std::collections::BTreeMap;

use fieldgate_modbus::fault::Fault;
use fieldgate_model::Millis;

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
    /// Slots left out because the bus was busy or held.
    pub missed: u64,
    /// Slots left out because the device is not answering, or has wasted time.
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
    /// What the breaker of its unit thinks.
    pub breaker: BreakerState,
}

impl PollSnapshot {
    pub(super) fn count(&mut self, fault: Fault) {
        match fault {
            Fault::NoAnswer => self.no_answer += 1,
            Fault::NoLink | Fault::LinkLost => self.link += 1,
            Fault::Malformed | Fault::Checksum => self.malformed += 1,
            Fault::Exception(code) => *self.exceptions.entry(code).or_default() += 1,
        }
    }
}
