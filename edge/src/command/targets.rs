//! What can be written to: devices and their buses, whose turn it is, and what each took before.
//!
//! # Invariants
//!
//! - A unit takes one write at a time, under whatever device names, so that two that change bits of
//!   one register cannot undo each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_model::{DeviceName, Millis, SignalName};
use fieldgate_rules::signal::{SignalSpec, WriteSpec};
use fieldgate_rules::write::{Method, methods};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, watch};
use tokio::time::timeout;

use super::error::WriteError;
use crate::clock::Clock;
use crate::config::DeviceConfig;
use crate::drivers::Job;
use crate::drivers::host::HostJob;

/// Which function code each signal took last, by device and signal.
type MethodBySignal = BTreeMap<(DeviceName, SignalName), Method>;

/// The devices, and the buses and hosts they are on.
#[derive(Debug, Clone)]
pub struct Targets {
    /// In the order of the configuration.
    pub devices: Arc<[DeviceConfig]>,
    /// In the order of the configuration.
    pub buses: Arc<[mpsc::Sender<Job>]>,
    /// In the order of the configuration.
    pub hosts: Arc<[mpsc::Sender<HostJob>]>,
    /// One permit a device: whose turn it is to write. Of several devices that are one unit the
    /// first one's counts for all.
    turns: Arc<[Semaphore]>,
    /// What devices took when there was a choice. Kept while the daemon runs and not longer: a
    /// device may be exchanged meanwhile, and asking once more costs one answer.
    taken: Arc<watch::Sender<MethodBySignal>>,
}

impl Targets {
    /// Devices and buses as the configuration orders them; nobody has written yet.
    pub fn new(
        devices: Arc<[DeviceConfig]>,
        buses: Arc<[mpsc::Sender<Job>]>,
        hosts: Arc<[mpsc::Sender<HostJob>]>,
    ) -> Self {
        let turns = devices.iter().map(|_| Semaphore::new(1)).collect();
        let taken = Arc::new(watch::Sender::new(BTreeMap::new()));
        Self { devices, buses, hosts, turns, taken }
    }

    /// The device and signal of these names.
    pub(super) fn find(
        &self,
        device: &DeviceName,
        signal: &SignalName,
    ) -> Result<(&DeviceConfig, &SignalSpec), WriteError> {
        let no_device = || WriteError::NoDevice { device: device.clone() };
        let no_signal = || WriteError::NoSignal { device: device.clone(), signal: signal.clone() };
        let found = self.devices.iter().find(|known| known.name == *device);
        let found = found.ok_or_else(no_device)?;
        let (_, spec) = found.profile.signal(signal).ok_or_else(no_signal)?;
        Ok((found, spec))
    }

    /// The ways to write a signal, the one that the device took before first.
    pub(super) fn methods(
        &self,
        device: &DeviceConfig,
        spec: &SignalSpec,
        rule: WriteSpec,
    ) -> Result<Vec<Method>, WriteError> {
        let mut methods = methods(&spec.source, rule).map_err(WriteError::Encode)?;
        let key = (device.name.clone(), spec.name.clone());
        let taken = self.taken.borrow().get(&key).copied();
        methods.sort_by_key(|method| Some(*method) != taken);
        Ok(methods)
    }

    pub(super) fn remember(
        &self,
        device: &DeviceConfig,
        spec: &SignalSpec,
        method: Method,
        choices: usize,
    ) {
        if choices > 1 {
            let key = (device.name.clone(), spec.name.clone());
            self.taken.send_if_modified(|taken| taken.insert(key, method) != Some(method));
        }
    }

    /// Waits until nobody else writes to the device's unit.
    pub(super) async fn turn(
        &self,
        device: &DeviceConfig,
        deadline: Option<Millis>,
    ) -> Result<SemaphorePermit<'_>, WriteError> {
        let is_same = |other: &DeviceConfig| other.place == device.place;
        let place = self.devices.iter().position(is_same).ok_or(WriteError::Stopped)?;
        let turn = self.turns.get(place).ok_or(WriteError::Stopped)?;
        within(deadline, turn.acquire()).await?.map_err(|_| WriteError::Stopped)
    }
}

/// What `work` gives before the deadline; after it, [`WriteError::Expired`].
pub(super) async fn within<T>(
    deadline: Option<Millis>,
    work: impl Future<Output = T>,
) -> Result<T, WriteError> {
    match deadline {
        None => Ok(work.await),
        Some(deadline) => {
            let left = Duration::from_millis(deadline.since(Clock.now()).0);
            timeout(left, work).await.map_err(|_| WriteError::Expired)
        }
    }
}
