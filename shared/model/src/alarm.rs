//! Alarms as they are told: which one, which occurrence, what state now.

use alloc::string::String;

use crate::{DeviceName, SignalName};

/// One alarm of one device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlarmKey {
    /// The device.
    pub device: DeviceName,
    /// The alarm's name in the profile.
    pub alarm: SignalName,
}

/// How urgently a person should look (ISA-18.2 priority classes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Low,
    /// Look today.
    Medium,
    /// Look within minutes.
    High,
    /// Look this instant.
    Urgent,
}

impl Severity {
    /// The word for it in profiles, the API and on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }
}

/// The process side of the ISA-18.2 states; acknowledging and shelving join it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmState {
    /// The condition is false.
    Normal,
    /// The condition is true.
    Active,
}

impl AlarmState {
    /// The word for it in the API and on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Active => "active",
        }
    }
}

/// An alarm changed its state.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmTransition {
    /// Which alarm.
    pub key: AlarmKey,
    /// Counts how often the condition became true. A restart in between does not count.
    pub occurrence: u64,
    /// Counts the transitions of this alarm, so that two views of it can be ordered.
    pub transition: u64,
    /// The state after it.
    pub state: AlarmState,
    /// How urgent it is.
    pub severity: Severity,
    /// The signal that was watched.
    pub signal: SignalName,
    /// Its engineering value at the transition.
    pub value: f64,
    /// The limit it crossed, in the same unit.
    pub limit: f64,
    /// The rendered message.
    pub message: String,
}
