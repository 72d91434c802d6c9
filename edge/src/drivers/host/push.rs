//! What devices push: known devices only, and answered once it is durable.
//!
//! # Invariants
//!
//! - 2.04 leaves only after the samples are durable; a device that hears anything else, or nothing,
//!   may send the same again.
//! - A peer that is no device, and a path that its profile does not push, touch nothing.
//! - At most [`UNDER_WAY_MAX`] pushes are under way; what comes beyond is told to come back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_model::DeviceName;
use fieldgate_rules::profile::Profile;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ask::resolve;
use super::{Payload, PayloadFrame, Taken};
use crate::buffer::{Buffer, Intake};
use crate::clock::Clock;
use crate::config::{Config, DeviceConfig};
use crate::drivers::DeviceIndex;
use crate::drivers::coap::{Code, Incoming, Method, PskIdentity};

/// Pushes that wait for the disk together: they share a commit, and each holds a payload.
const UNDER_WAY_MAX: usize = 256;
/// How long a device waits for the disk before it is told to come back; shorter than it takes until
/// it gives up by itself (RFC 7252, section 4.8.2).
const STORE_MAX: Duration = Duration::from_secs(20);
/// A device that may push.
#[derive(Debug, Clone)]
pub struct PushDevice {
    /// Its place in the configuration.
    pub index: DeviceIndex,
    /// Its name.
    pub name: DeviceName,
    /// Its type.
    pub profile: Arc<Profile>,
    /// Where it is; nobody else is it, unless it has a key.
    pub at: Option<SocketAddr>,
    /// Its name by its key, if it has one: then it is heard by that alone.
    pub identity: Option<PskIdentity>,
}

/// What the task needs.
#[derive(Debug)]
pub struct PushSetup {
    /// Who may push.
    pub devices: Vec<PushDevice>,
    /// Where it goes; the engine.
    pub payloads: mpsc::Sender<PayloadFrame>,
    /// Where it must be durable.
    pub buffer: Buffer,
    /// What it counts.
    pub counters: watch::Sender<PushCounters>,
    /// The clock.
    pub clock: Clock,
}

/// What was pushed since start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PushCounters {
    /// Stored, and answered so.
    pub stored: u64,
    /// Of peers that are no device.
    pub unknown_peers: u64,
    /// To paths that the device's profile does not push.
    pub unknown_paths: u64,
    /// With a payload that says nothing.
    pub malformed: u64,
    /// Told to come back: too many at a time, or no room on disk.
    pub put_off: u64,
}

/// How a push ended.
#[derive(Debug, Clone, Copy)]
enum Ended {
    Stored,
    Malformed,
    PutOff,
}

/// Takes what devices push until the endpoints are closed.
pub async fn serve(setup: PushSetup, mut incoming: mpsc::Receiver<Incoming>) {
    let mut under_way: JoinSet<Ended> = JoinSet::new();
    loop {
        tokio::select! {
            Some(ended) = under_way.join_next() => {
                // One that panicked has answered with 5.00 as it fell.
                if let Ok(ended) = ended {
                    setup.counters.send_modify(|counters| counters.count(ended));
                }
            }
            request = incoming.recv() => match request {
                Some(request) => setup.take(request, &mut under_way),
                None => return,
            },
        }
    }
}

impl PushDevice {
    /// The device at this place of the configuration, if it is at a host and its profile has something
    /// that is pushed. A name that has no address when the daemon starts is that of nobody.
    pub async fn of(index: usize, device: &DeviceConfig, config: &Config) -> Option<Self> {
        let host = config.hosts.get(device.place.host()?)?;
        if !device.profile.resources.iter().any(|resource| resource.push) {
            return None;
        }
        let (name, profile) = (device.name.clone(), Arc::clone(&device.profile));
        let identity = host.psk.as_ref().map(|psk| PskIdentity::new(psk.identity.as_bytes()));
        let at = resolve(host).await;
        if at.is_none() && identity.is_none() {
            let hint = "name it by its address";
            tracing::error!(device = %name, host = host.host, hint, "has no address, and may not push");
            return None;
        }
        Some(Self { index: DeviceIndex(index), name, profile, at, identity })
    }
}

impl PushSetup {
    fn take(&self, request: Incoming, under_way: &mut JoinSet<Ended>) {
        let Incoming { peer, identity, request, reply, .. } = request;
        let known = match &identity {
            Some(identity) => self.devices_with(identity),
            None => self.devices_of(peer),
        };
        let count = |count: fn(&mut PushCounters)| self.counters.send_modify(count);
        if known.is_empty() {
            count(|counters| counters.unknown_peers += 1);
            return reply.send(Code::FORBIDDEN);
        }
        if !matches!(request.method, Method::Post | Method::Put) {
            return reply.send(Code::METHOD_NOT_ALLOWED);
        }
        let Some((device, resource)) = find(&known, &request.path) else {
            count(|counters| counters.unknown_paths += 1);
            return reply.send(Code::NOT_FOUND);
        };
        if under_way.len() >= UNDER_WAY_MAX {
            count(|counters| counters.put_off += 1);
            return reply.send(Code::UNAVAILABLE);
        }
        let format = request.content_format.map(|format| format.0);
        let payload = Payload { format, bytes: request.payload };
        let (taken, is_taken) = oneshot::channel();
        let frame = PayloadFrame {
            device: device.index,
            at: self.clock.now(),
            answers: vec![(resource, Ok(payload))],
            taken: Some(taken),
        };
        if self.payloads.try_send(frame).is_err() {
            count(|counters| counters.put_off += 1);
            return reply.send(Code::UNAVAILABLE);
        }
        let (buffer, name) = (self.buffer.clone(), device.name.clone());
        under_way.spawn(async move {
            let stored = timeout(STORE_MAX, store(is_taken, buffer)).await;
            let (code, ended) = match stored {
                Ok(Ok(())) => (Code::CHANGED, Ended::Stored),
                Ok(Err(Some(why))) => {
                    tracing::warn!(device = %name, why, "a push that says nothing");
                    (Code::BAD_REQUEST, Ended::Malformed)
                }
                Ok(Err(None)) | Err(_) => (Code::UNAVAILABLE, Ended::PutOff),
            };
            reply.send(code);
            ended
        });
    }

    fn devices_with(&self, identity: &PskIdentity) -> Vec<&PushDevice> {
        self.devices.iter().filter(|its| its.identity.as_ref() == Some(identity)).collect()
    }

    /// The devices of a peer without a key: those of its address and port, or else those of its
    /// address alone, since most devices send from any port.
    fn devices_of(&self, peer: SocketAddr) -> Vec<&PushDevice> {
        let ip = peer.ip().to_canonical();
        let is_here = |its: &&PushDevice| {
            its.identity.is_none() && its.at.is_some_and(|at| at.ip().to_canonical() == ip)
        };
        let of_ip: Vec<&PushDevice> = self.devices.iter().filter(is_here).collect();
        let is_its_port = |its: &&PushDevice| its.at.is_some_and(|at| at.port() == peer.port());
        let of_port: Vec<&PushDevice> = of_ip.iter().copied().filter(is_its_port).collect();
        if of_port.is_empty() { of_ip } else { of_port }
    }
}

/// The device and the resource that a path means. Where several devices share an address, the first
/// segment names the device.
fn find<'a>(known: &[&'a PushDevice], path: &[String]) -> Option<(&'a PushDevice, usize)> {
    let place = |device: &PushDevice, path: &[String]| {
        let resources = device.profile.resources.iter();
        resources.clone().position(|its| its.push && its.segments() == path)
    };
    if let [first, rest @ ..] = path
        && let Some(device) = known.iter().find(|device| device.name.as_str() == first)
        && let Some(resource) = place(device, rest)
    {
        return Some((device, resource));
    }
    let mut found = known.iter().filter_map(|device| Some((*device, place(device, path)?)));
    let first = found.next()?;
    // Which of two it is nobody can tell.
    found.next().is_none().then_some(first)
}

/// Ends when what was taken is durable; an error tells what was wrong with it, or nothing if there
/// was no room for it.
async fn store(is_taken: oneshot::Receiver<Taken>, buffer: Buffer) -> Result<(), Option<String>> {
    match is_taken.await {
        // The samples are before this in the buffer's queue, so they are durable with it.
        Ok(Taken::Stored) => buffer.append_durably(Intake::default()).await.map_err(|_| None),
        Ok(Taken::Refused { why }) => Err(Some(why)),
        Err(_) => Err(None),
    }
}

impl PushCounters {
    fn count(&mut self, ended: Ended) {
        match ended {
            Ended::Stored => self.stored += 1,
            Ended::Malformed => self.malformed += 1,
            Ended::PutOff => self.put_off += 1,
        }
    }
}
