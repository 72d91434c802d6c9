//! A transaction between the schedule, which counts it as in flight, and the line.

use fieldgate_modbus::register::UnitId;
use fieldgate_modbus::request::Request;
use fieldgate_model::Millis;
use fieldgate_rules::schedule::{Flight, JobId};

/// A transaction that the schedule counts as in flight.
pub(super) struct Flying {
    pub(super) flight: Flight,
    pub(super) whose: Whose,
    pub(super) unit: UnitId,
    pub(super) request: Request,
    /// How long its answer may take.
    pub(super) timeout: Millis,
    /// Not to be sent from this moment on.
    pub(super) deadline: Option<Millis>,
    /// The link may turn out to have been closed for idling; a read is then asked again, once.
    pub(super) may_retry: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Whose {
    Poll { place: usize, index: usize },
    Job { id: JobId, step: usize },
}
