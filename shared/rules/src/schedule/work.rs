//! What a bus is asked to do: polls, jobs, and the effects by which the schedule hands them out.

use fieldgate_model::Millis;

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::UnitId;

/// How urgent a transaction is, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A write that makes the plant safe; not even the dead budget holds it back.
    SafetyWrite,
    /// What a person or the cloud asked for.
    Command,
    /// A poll of a signal that an alarm watches.
    AlarmSignal,
    /// Any other poll.
    Poll,
    /// What can wait: the history in a device's memory, a second look at a hole.
    Backfill,
}

impl Class {
    /// All classes, the most urgent first.
    pub const ALL: [Self; 5] =
        [Self::SafetyWrite, Self::Command, Self::AlarmSignal, Self::Poll, Self::Backfill];

    /// The name of the class in statistics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SafetyWrite => "safety_write",
            Self::Command => "command",
            Self::AlarmSignal => "alarm_signal",
            Self::Poll => "poll",
            Self::Backfill => "backfill",
        }
    }

    /// Its place in [`Class::ALL`].
    pub(super) const fn rank(self) -> usize {
        self as usize
    }
}

/// What holds for the whole bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduleOptions {
    /// Percent of the bus that silent units may take together, 1 to 100.
    pub dead_share: u8,
    /// Transactions at once; 1 on a serial line.
    pub in_flight_max: usize,
    /// How many of them may be with one unit.
    pub per_unit_in_flight: usize,
}

impl Default for ScheduleOptions {
    fn default() -> Self {
        Self { dead_share: 10, in_flight_max: 1, per_unit_in_flight: 1 }
    }
}

/// Place of a device on its bus, in the order given to `Schedule::resume`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PollSlot(pub usize);

/// One transaction in flight; a number is never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flight(pub u64);

/// A job; its number is the shell's, and unique among the jobs that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// How much of the random half of a pause to wait, from 0 to 255; drawn by the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Jitter(pub u8);

/// A device as the schedule sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollDevice {
    /// Whom to ask. Devices of one unit share its circuit breaker.
    pub unit: UnitId,
    /// The interval between two cycles.
    pub every: Millis,
    /// What one cycle asks, by class and then in this order; what a request says is the shell's
    /// affair. A device without requests is never polled.
    pub requests: Vec<Class>,
    /// How long one transaction may take.
    pub timeout: Millis,
}

/// A job as the schedule sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobSpec {
    /// How urgent it is.
    pub class: Class,
    /// Whom it concerns.
    pub unit: UnitId,
    /// How many transactions it takes, one step each; none counts as one.
    pub transactions: usize,
    /// How long one of them may take.
    pub timeout: Millis,
    /// From this moment on it is not begun any more.
    pub not_after: Option<Millis>,
    /// From its first step to its last nothing else is in flight to its unit; its steps build on
    /// each other, so that the first fault ends it. Writes are exclusive.
    pub exclusive: bool,
}

/// What the shell is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollEffect {
    /// Ask, and report with `Schedule::handle_answer`. Opening the link is part of it. An index
    /// that comes twice in a cycle was busy at first: the later answer counts.
    Transact {
        /// To be named in the report.
        flight: Flight,
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
    /// A cycle gave way to a hold before its end; what it has brought is not to be delivered.
    CycleDropped {
        /// Which device.
        device: PollSlot,
    },
    /// From here on the indices of this device are those of the requests given last.
    Replanned {
        /// Which device.
        device: PollSlot,
    },
    /// Do one transaction of a job, and report with `Schedule::handle_answer`. A step that comes
    /// twice was busy at first: the later answer counts.
    RunJob {
        /// To be named in the report.
        flight: Flight,
        /// Which job.
        job: JobId,
        /// Which of its transactions, from 0.
        step: usize,
    },
    /// A job is over; steps that were not made failed for `rest`, or nobody wanted them.
    JobDone {
        /// Which job.
        job: JobId,
        /// Why the rest of its steps was not made, if a fault was why.
        rest: Option<Fault>,
    },
    /// A job's time had passed before it touched the wire.
    JobExpired {
        /// Which job.
        job: JobId,
    },
    /// Nothing is in flight, and nothing starts until `Schedule::handle_release`.
    Held,
}
