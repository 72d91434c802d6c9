//! What a bus tells of itself while it runs.

use fieldgate_modbus::client::LineCounters;
use fieldgate_model::Millis;
use fieldgate_rules::schedule::{BusLoad, PollSlot, PollSnapshot};
use tokio::sync::watch;

use super::OpenError;
use crate::drivers::{BusStatus, LinkState};

/// How often the counters of the line are shown.
const SHOW_EVERY: Millis = Millis::from_secs(1);

/// The bus's voice: its status, and the log.
#[derive(Debug)]
pub(super) struct Teller {
    status: watch::Sender<BusStatus>,
    show_at: Millis,
    /// There is more to show, or what is shown grows old.
    is_behind: bool,
}

impl Teller {
    pub(super) fn new(status: watch::Sender<BusStatus>) -> Self {
        Self { status, show_at: Millis(0), is_behind: false }
    }

    pub(super) fn name(&self) -> String {
        self.status.borrow().name.clone()
    }

    pub(super) fn opened(&self) {
        self.status.send_modify(|status| status.trouble = None);
    }

    pub(super) fn refused(&self, error: &OpenError) {
        let words = format!("{}; {}", crate::telemetry::chain(error), error.hint());
        self.status.send_modify(|status| status.trouble = Some(words));
    }

    pub(super) fn job_done(&self) {
        self.status.send_modify(|status| status.jobs += 1);
    }

    /// A cycle ended, and its frame was thrown away or not.
    pub(super) fn cycle(&self, slot: PollSlot, polled: Option<&PollSnapshot>, is_skipped: bool) {
        self.status.send_modify(|status| {
            status.frames_skipped += u64::from(is_skipped);
            if let (Some(device), Some(polled)) = (status.devices.get_mut(slot.0), polled) {
                device.polled.clone_from(polled);
            }
        });
    }

    /// How the link is: taken since when, usable, open.
    pub(super) fn link(&self, taken: Option<Millis>, is_usable: bool, is_open: bool) {
        let before = self.status.borrow().link;
        let state = match (taken, is_usable, is_open) {
            (Some(since), ..) => LinkState::Taken { since },
            (None, false, _) => LinkState::Down,
            (None, true, true) => LinkState::Up,
            // Closed for a moment; that says nothing about the host.
            (None, true, false) => match before {
                LinkState::Taken { .. } => LinkState::Untried,
                LinkState::Untried | LinkState::Up | LinkState::Down => before,
            },
        };
        if state == before {
            return;
        }
        self.status.send_modify(|status| status.link = state);
        let status = self.status.borrow();
        match state {
            LinkState::Up => tracing::info!(bus = status.name, "link is up"),
            LinkState::Down => {
                let why = status.trouble.as_deref().unwrap_or("the other end closed it");
                tracing::warn!(bus = status.name, why, "link is down");
            }
            LinkState::Untried | LinkState::Taken { .. } => {}
        }
    }

    /// When [`Teller::line`] is due though nothing happens on the line; never, once all is told.
    pub(super) fn poll_timeout(&self) -> Option<Millis> {
        self.is_behind.then_some(self.show_at)
    }

    /// Shows the counters of the line, but not at every turn.
    pub(super) fn line(
        &mut self,
        counters: &LineCounters,
        load: impl FnOnce() -> BusLoad,
        now: Millis,
    ) {
        if now < self.show_at {
            self.is_behind = true;
            return;
        }
        self.show_at = now + SHOW_EVERY;
        let load = load();
        // What the last minute was full of falls out of it while nothing happens.
        self.is_behind = load != BusLoad::default();
        self.status.send_modify(|status| {
            status.counters.clone_from(counters);
            status.load = load;
        });
    }
}

#[cfg(test)]
mod tests {
    use fieldgate_rules::schedule::Permille;

    use super::*;

    #[test]
    fn a_bus_that_falls_idle_is_shown_until_it_is_shown_as_idle() {
        let status = BusStatus {
            name: "cabinet".to_owned(),
            link: LinkState::Untried,
            trouble: None,
            frames_skipped: 0,
            jobs: 0,
            counters: LineCounters::default(),
            load: BusLoad::default(),
            devices: Vec::new(),
        };
        let (status, shown) = watch::channel(status);
        let mut teller = Teller::new(status);
        let idle = BusLoad::default();
        let busy = BusLoad { busy: Permille(7), ..idle };
        for (at, load, shown_load, due) in [
            (10, idle, idle, None),
            // Too soon to be shown, and not forgotten.
            (20, busy, idle, Some(Millis(1_010))),
            (1_010, busy, busy, Some(Millis(2_010))),
            (2_010, idle, idle, None),
        ] {
            teller.line(&LineCounters::default(), || load, Millis(at));
            assert_eq!((shown.borrow().load, teller.poll_timeout()), (shown_load, due), "{at}");
        }
    }
}
