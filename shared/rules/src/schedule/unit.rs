//! One unit of a bus: its circuit breaker, and how far its word is good.

use fieldgate_modbus::exception::Policy;
use fieldgate_modbus::fault::Fault;
use fieldgate_model::Millis;

use super::known::BreakerState;
use super::work::JobId;

/// First pause of a silent unit. A device that reboots is back within a few seconds.
const PROBE_AFTER_MIN: Millis = Millis(1_000);
/// Longest pause of a silent unit, so that one that comes back is noticed within half a minute.
const PROBE_AFTER_MAX: Millis = Millis(30_000);

#[derive(Debug)]
pub(super) struct Unit {
    pub(super) breaker: BreakerState,
    /// It is not polled before.
    pub(super) pause_until: Millis,
    /// Until then it is on probation: it has wasted time, and asks at the expense of the budget.
    pub(super) trusted_at: Millis,
    pub(super) in_flight: usize,
    /// The exclusive job that has begun and is not over.
    pub(super) locked_by: Option<JobId>,
    probe_after: Millis,
    /// Wasted since it was last given a clean sheet.
    lost: Millis,
    mark: Mark,
}

/// What had happened to a unit when a transaction began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    answers: u64,
    openings: u64,
}

/// A transaction that ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) outcome: Result<(), Fault>,
    pub(super) spent: Millis,
    pub(super) timeout: Millis,
    /// Nothing else was in flight.
    pub(super) was_alone: bool,
    pub(super) mark: Mark,
}

impl Unit {
    pub(super) fn new() -> Self {
        Self {
            breaker: BreakerState::Untried,
            pause_until: Millis(0),
            trusted_at: Millis(0),
            in_flight: 0,
            locked_by: None,
            probe_after: PROBE_AFTER_MIN,
            lost: Millis(0),
            mark: Mark::default(),
        }
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    /// What was lost before does not count against the unit any more.
    pub(super) fn wipe(&mut self) {
        self.lost = Millis(0);
    }

    /// Books an outcome and gives the time that it wasted. `probation` is what such a waste costs.
    pub(super) fn judge(
        &mut self,
        ended: Ended,
        probation: impl Fn(Millis) -> Millis,
        now: Millis,
    ) -> Millis {
        let Err(fault) = ended.outcome else {
            self.mark.answers += 1;
            self.close();
            return Millis(0);
        };
        let wasted = wasted(fault, ended);
        self.lost = self.lost + wasted;
        if wasted > Millis(0) {
            self.trusted_at = self.trusted_at.max(now) + probation(wasted);
        }
        // Whoever has answered since is not silent, and several questions into one silence are one.
        let is_old_news = self.mark != ended.mark;
        if !is_old_news && (is_silence(fault) || self.lost >= ended.timeout) {
            self.breaker = BreakerState::Open;
            self.mark.openings += 1;
            self.pause_until = now + self.probe_after;
            self.probe_after = Millis(self.probe_after.0 * 2).min(PROBE_AFTER_MAX);
        } else if is_sign_of_life(fault) {
            self.close();
        }
        wasted
    }

    fn close(&mut self) {
        self.breaker = BreakerState::Closed;
        self.pause_until = Millis(0);
        self.probe_after = PROBE_AFTER_MIN;
    }
}

/// Whether the unit said nothing, as far as anyone knows: a gateway may say so.
pub(super) fn is_silence(fault: Fault) -> bool {
    fault == Fault::NoAnswer || fault.policy() == Some(Policy::TreatAsSilent)
}

/// Whether it came from the unit. What is not Modbus came from something that is alive, too.
fn is_sign_of_life(fault: Fault) -> bool {
    !is_silence(fault) && !matches!(fault, Fault::NoLink | Fault::LinkLost)
}

/// What of the time spent gave nothing. A gateway that reports its device silent has waited for it
/// as we would have; any other exception is an answer; a link that cannot be opened has its own
/// back-off; and whose fault a broken link is nobody knows if several were asked.
fn wasted(fault: Fault, ended: Ended) -> Millis {
    match fault {
        Fault::NoAnswer => ended.spent.max(ended.timeout),
        Fault::LinkLost if !ended.was_alone => Millis(0),
        Fault::LinkLost | Fault::Malformed | Fault::Checksum => ended.spent,
        Fault::Exception(_) if is_silence(fault) => ended.spent,
        Fault::Exception(_) | Fault::NoLink => Millis(0),
    }
}
