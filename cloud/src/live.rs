//! The newest values, kept in memory for screens: who sees them, and who is being watched.
//!
//! # Invariants
//!
//! - Publishing never waits: a viewer that is too slow misses updates and gets the newest values
//!   again.
//! - A value never goes back: within a boot the later time wins, and the committed form of a sample
//!   replaces its provisional one.
//! - A gateway is watched exactly while a [`Watching`] of it lives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fieldgate_model::{
    AlarmTransition, BootId, Catalogue, CatalogueSignal, GatewayId, Millis, Quality, Sample,
    SignalIndex, TenantId, UtcMillis, Value,
};
use tokio::sync::{broadcast, watch};

use crate::store::query::SignalKey;

/// Updates that a viewer may lag behind: some seconds of a busy instance.
const NEWS_MAX: usize = 512;

/// What ingest has just seen.
#[derive(Debug, Clone)]
pub struct LiveUpdate {
    /// Whose.
    pub tenant: TenantId,
    /// From where.
    pub gateway: GatewayId,
    /// It is not committed yet, and may be lost with the gateway's memory.
    pub provisional: bool,
    /// UTC minus monotonic time, if known.
    pub utc_offset: Option<UtcMillis>,
    /// The boot whose monotonic clock its times are on.
    pub boot: BootId,
    /// What the samples' indices point into.
    pub catalogue: Arc<Catalogue>,
    /// The samples.
    pub samples: Vec<Sample>,
    /// The alarm transitions.
    pub alarms: Vec<AlarmTransition>,
}

/// The newest sample of a signal.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveSample {
    /// Which signal.
    pub key: SignalKey,
    /// What its catalogue says of it.
    pub signal: CatalogueSignal,
    /// Its raw value.
    pub value: Option<Value>,
    /// How far it can be trusted.
    pub quality: Quality,
    /// Its time, if UTC is known.
    pub at: Option<UtcMillis>,
    /// It is not committed yet.
    pub provisional: bool,
    boot: BootId,
    monotonic: Millis,
}

/// What an update changed.
#[derive(Debug)]
pub struct LiveNews {
    /// From where.
    pub gateway: GatewayId,
    /// The values that became the newest.
    pub samples: Vec<Arc<LiveSample>>,
    /// The alarm transitions.
    pub alarms: Vec<AlarmTransition>,
    /// They are not committed yet.
    pub provisional: bool,
    /// Times in its history have changed: whoever shows it reads it again.
    pub restamped: bool,
}

type Newest = BTreeMap<SignalKey, Arc<LiveSample>>;

/// The newest values of every gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Live {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    newest_by_gateway: watch::Sender<BTreeMap<GatewayId, Newest>>,
    connected: watch::Sender<BTreeMap<GatewayId, bool>>,
    watchers: watch::Sender<BTreeMap<GatewayId, usize>>,
    watched: watch::Sender<BTreeSet<GatewayId>>,
    news: broadcast::Sender<Arc<LiveNews>>,
}

/// Somebody looks at a gateway for as long as this lives.
#[derive(Debug)]
pub struct Watching {
    gateway: GatewayId,
    shared: Arc<Shared>,
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

impl Live {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                newest_by_gateway: watch::Sender::default(),
                connected: watch::Sender::default(),
                watchers: watch::Sender::default(),
                watched: watch::Sender::default(),
                news: broadcast::Sender::new(NEWS_MAX),
            }),
        }
    }

    /// Takes what ingest has just seen. Never waits.
    pub fn publish(&self, update: LiveUpdate) {
        let candidates = candidates(&update);
        let mut samples = Vec::new();
        self.shared.newest_by_gateway.send_modify(|by_gateway| {
            let newest = by_gateway.entry(update.gateway.clone()).or_default();
            for candidate in candidates {
                if newest.get(&candidate.key).is_none_or(|known| supersedes(&candidate, known)) {
                    let candidate = Arc::new(candidate);
                    newest.insert(candidate.key.clone(), Arc::clone(&candidate));
                    samples.push(candidate);
                }
            }
        });
        if samples.is_empty() && update.alarms.is_empty() {
            return;
        }
        let LiveUpdate { gateway, alarms, provisional, .. } = update;
        // Fails only if nobody looks.
        let restamped = false;
        let news = LiveNews { gateway, samples, alarms, provisional, restamped };
        drop(self.shared.news.send(Arc::new(news)));
    }

    /// Tells that times in a gateway's history have changed.
    pub fn restamped(&self, gateway: &GatewayId) {
        let (gateway, samples, alarms) = (gateway.clone(), Vec::new(), Vec::new());
        let news = LiveNews { gateway, samples, alarms, provisional: false, restamped: true };
        // Fails only if nobody looks.
        drop(self.shared.news.send(Arc::new(news)));
    }

    /// The newest values of a gateway that arrived since this process started.
    pub fn latest(&self, gateway: &GatewayId) -> Vec<Arc<LiveSample>> {
        let by_gateway = self.shared.newest_by_gateway.borrow();
        by_gateway.get(gateway).map(|newest| newest.values().cloned().collect()).unwrap_or_default()
    }

    /// What changes from here on, of every gateway.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<LiveNews>> {
        self.shared.news.subscribe()
    }

    /// Notes whether a gateway has a connection.
    pub fn set_connected(&self, gateway: &GatewayId, connected: bool) {
        self.shared.connected.send_modify(|known| {
            known.insert(gateway.clone(), connected);
        });
    }

    /// Whether a gateway has a connection; `None` if nobody has said so since the start.
    pub fn is_connected(&self, gateway: &GatewayId) -> Option<bool> {
        self.shared.connected.borrow().get(gateway).copied()
    }

    /// Marks a gateway as watched while the answer lives.
    pub fn watch(&self, gateway: &GatewayId) -> Watching {
        self.shared.count(gateway, true);
        Watching { gateway: gateway.clone(), shared: Arc::clone(&self.shared) }
    }

    /// The gateways that somebody looks at.
    pub fn watched(&self) -> watch::Receiver<BTreeSet<GatewayId>> {
        self.shared.watched.subscribe()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.shared.count(&self.gateway, false);
    }
}

impl Shared {
    fn count(&self, gateway: &GatewayId, more: bool) {
        self.watchers.send_modify(|watchers| {
            let before = watchers.get(gateway).copied().unwrap_or_default();
            let after = if more { before + 1 } else { before.saturating_sub(1) };
            match after {
                0 => watchers.remove(gateway),
                _ => watchers.insert(gateway.clone(), after),
            };
            // Inside, so that two changes cannot overtake each other on the way to the set.
            self.watched.send_if_modified(|watched| match after {
                0 => watched.remove(gateway),
                _ => watched.insert(gateway.clone()),
            });
        });
    }
}

/// The newest sample of each signal in an update.
fn candidates(update: &LiveUpdate) -> Vec<LiveSample> {
    let mut newest: BTreeMap<SignalIndex, &Sample> = BTreeMap::new();
    for sample in &update.samples {
        let known = newest.entry(sample.signal).or_insert(sample);
        if sample.at >= known.at {
            *known = sample;
        }
    }
    let named = newest.into_iter().filter_map(|(index, sample)| {
        let (device, signal) = update.catalogue.get(index)?;
        Some(LiveSample {
            key: SignalKey { device: device.name.clone(), signal: signal.name.clone() },
            signal: signal.clone(),
            value: sample.value.clone(),
            quality: sample.quality,
            at: update.utc_offset.map(|offset| offset + sample.at),
            provisional: update.provisional,
            boot: update.boot,
            monotonic: sample.at,
        })
    });
    named.collect()
}

fn supersedes(candidate: &LiveSample, known: &LiveSample) -> bool {
    if candidate.boot == known.boot {
        return match candidate.monotonic.cmp(&known.monotonic) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal => known.provisional && !candidate.provisional,
            std::cmp::Ordering::Less => false,
        };
    }
    match (candidate.at, known.at) {
        (Some(candidate), Some(known)) => candidate > known,
        // A provisional value is of the running boot; a committed one may be old backlog.
        (None, _) | (_, None) => candidate.provisional || !known.provisional,
    }
}

#[cfg(test)]
mod tests {
    use fieldgate_model::{CatalogueDevice, DeviceName, Scale, SignalName, ValueKind};

    use super::*;

    fn update(boot: u8, at: u64, value: i64, provisional: bool) -> LiveUpdate {
        let signal = CatalogueSignal {
            name: SignalName::new("level").expect("a name"),
            kind: ValueKind::Int,
            unit: "m".into(),
            scale: Scale::IDENTITY,
            writable: false,
        };
        let name = DeviceName::new("tank").expect("a name");
        let device = CatalogueDevice { name, profile: "tank@1".into(), signals: vec![signal] };
        LiveUpdate {
            tenant: TenantId::new("acme").expect("an id"),
            gateway: GatewayId::new("g1").expect("an id"),
            provisional,
            utc_offset: (boot != 9).then_some(UtcMillis(i64::from(boot) * 1_000_000)),
            boot: BootId([boot; 16]),
            catalogue: Arc::new(Catalogue { devices: vec![device] }),
            samples: vec![Sample {
                signal: SignalIndex(0),
                at: Millis(at),
                value: Some(Value::Int(value)),
                quality: Quality::Good,
            }],
            alarms: Vec::new(),
        }
    }

    #[test]
    fn a_value_never_goes_back() {
        let live = Live::new();
        for (update, expected) in [
            (update(1, 100, 1, true), 1),
            (update(1, 50, 2, false), 1),
            (update(1, 100, 3, true), 1),
            (update(1, 100, 4, false), 4),
            (update(1, 101, 5, true), 5),
            (update(2, 1, 6, false), 6),
            (update(1, 900, 7, false), 6),
            (update(9, 1, 8, true), 8),
            (update(2, 5000, 9, false), 8),
        ] {
            let gateway = update.gateway.clone();
            live.publish(update);
            let latest = live.latest(&gateway);
            assert_eq!(latest[0].value, Some(Value::Int(expected)));
        }
    }

    #[test]
    fn a_gateway_is_watched_exactly_while_somebody_looks() {
        let live = Live::new();
        let gateway = GatewayId::new("g1").expect("an id");
        let watched = live.watched();
        let one = live.watch(&gateway);
        let two = live.watch(&gateway);
        assert!(watched.borrow().contains(&gateway));
        drop(one);
        assert!(watched.borrow().contains(&gateway));
        drop(two);
        assert!(watched.borrow().is_empty());
    }
}
