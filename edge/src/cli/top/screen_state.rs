//! What the live screen shows, and what keys do to it.

use fieldgate_model::UtcMillis;

use crate::cli::format::{age, duration};
use crate::socket::message::{SignalNow, Status};

/// Rows that a page moves: about what is seen of a list.
const PAGE: usize = 8;

/// A key that means something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    End,
    Up,
    Down,
    PageUp,
    PageDown,
    NextList,
    Help,
}

/// The list that the arrows move in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Devices,
    Signals,
}

/// Everything that is on the screen.
#[derive(Debug)]
pub(super) struct Screen {
    status: Status,
    /// When the status was taken, from which ages count.
    now: UtcMillis,
    signals: Vec<SignalNow>,
    device: usize,
    signal: usize,
    list: List,
    has_help: bool,
    /// Why the gateway does not answer; what is shown is old then.
    lost: Option<String>,
}

impl Screen {
    pub(super) const fn new(status: Status, now: UtcMillis) -> Self {
        Self {
            status,
            now,
            signals: Vec::new(),
            device: 0,
            signal: 0,
            list: List::Devices,
            has_help: false,
            lost: None,
        }
    }

    pub(super) const fn status(&self) -> &Status {
        &self.status
    }

    /// How long ago this time was.
    pub(super) fn age(&self, at: Option<&str>) -> String {
        at.and_then(|at| age(at, self.now)).map_or_else(|| "-".to_owned(), duration)
    }

    pub(super) fn signals(&self) -> &[SignalNow] {
        &self.signals
    }

    pub(super) const fn device_place(&self) -> usize {
        self.device
    }

    pub(super) const fn signal_place(&self) -> usize {
        self.signal
    }

    pub(super) const fn list(&self) -> List {
        self.list
    }

    pub(super) const fn has_help(&self) -> bool {
        self.has_help
    }

    pub(super) fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// The name of the device whose signals are shown.
    pub(super) fn selected(&self) -> Option<&str> {
        self.status.devices.get(self.device).map(|device| device.device.as_str())
    }

    /// Shows the signals of this device; whether there is one.
    pub(super) fn select(&mut self, name: &str) -> bool {
        let place = self.status.devices.iter().position(|device| device.device == name);
        self.device = place.unwrap_or(self.device);
        place.is_some()
    }

    pub(super) fn handle_status(&mut self, status: Status, now: UtcMillis) {
        self.now = now;
        let selected = self.selected().map(str::to_owned);
        self.status = status;
        self.lost = None;
        let last = self.status.devices.len().saturating_sub(1);
        self.device = self.device.min(last);
        // After a reload the device may stand elsewhere.
        if let Some(name) = selected {
            self.select(&name);
        }
    }

    pub(super) fn handle_signals(&mut self, signals: Vec<SignalNow>) {
        self.signal = self.signal.min(signals.len().saturating_sub(1));
        self.signals = signals;
    }

    pub(super) fn handle_lost(&mut self, why: String) {
        self.lost = Some(why);
    }

    /// Does what a key means; whether it ends the screen.
    pub(super) fn handle_key(&mut self, key: Key) -> bool {
        if self.has_help && key != Key::End {
            self.has_help = false;
            return false;
        }
        match key {
            Key::End => return true,
            Key::Help => self.has_help = true,
            Key::NextList => {
                self.list = match self.list {
                    List::Devices => List::Signals,
                    List::Signals => List::Devices,
                };
            }
            Key::Up => self.step(|place| place.saturating_sub(1)),
            Key::Down => self.step(|place| place + 1),
            Key::PageUp => self.step(|place| place.saturating_sub(PAGE)),
            Key::PageDown => self.step(|place| place + PAGE),
        }
        false
    }

    fn step(&mut self, to: impl Fn(usize) -> usize) {
        let (place, count) = match self.list {
            List::Devices => (&mut self.device, self.status.devices.len()),
            List::Signals => (&mut self.signal, self.signals.len()),
        };
        let next = to(*place).min(count.saturating_sub(1));
        let has_moved = *place != next;
        *place = next;
        if has_moved && self.list == List::Devices {
            self.signal = 0;
        }
    }
}
