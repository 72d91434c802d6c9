//! The task of one CoAP host: it polls the resources of its devices, observes those that can be, and
//! does the jobs it is given.
//!
//! [`fieldgate_rules::schedule`] decides when to ask what, as it does on a Modbus bus; one endpoint
//! carries the requests of all hosts. A host has a schedule of its own, since over UDP nobody waits
//! for another host: one that is dead costs its neighbours nothing.
//!
//! # Invariants
//!
//! - The task sleeps unless something is due or has come.
//! - At most one request of the schedule is under way to a host (RFC 7252, section 4.7).
//! - What is observed is not polled, and what is no longer observed is polled from the next slot on.
//! - A write leaves at most once, and not at or after its deadline; nor is it repeated after that.

mod ask;
mod job;
mod push;
mod slot;
mod task;
mod tell;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use fieldgate_model::Millis;
use fieldgate_rules::profile::Profile;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

pub use self::ask::Ask;
pub(crate) use self::ask::resolve;
pub use self::job::{HostJob, HostWrite, HostWriteResult};
pub use self::push::{PushCounters, PushDevice, PushSetup, serve};

use self::task::Host;
use super::coap::{
    Endpoint, EndpointOptions, Incoming, KeyReference, OpenError, PskDevice, PskIdentity, Security,
};
use super::{BusStatus, DeviceIndex, DeviceStatus, LinkState, Tapped};
use crate::clock::Clock;
use crate::config::{DeviceConfig, HostConfig, KeyPlace};

/// What a host needs to know.
#[derive(Debug, Clone)]
pub struct HostSetup {
    /// Its URL.
    pub name: Arc<str>,
    /// Where it is.
    pub host: HostConfig,
    /// Who is there.
    pub devices: Vec<HostDevice>,
}

/// A device at a host.
#[derive(Debug, Clone)]
pub struct HostDevice {
    /// Its place in the configuration.
    pub index: DeviceIndex,
    /// Its type.
    pub profile: Arc<Profile>,
    /// The interval between two polls of what has none of its own.
    pub every: Millis,
    /// How long an answer of it may take.
    pub timeout: Millis,
}

/// Where a host is told and tells.
#[derive(Debug)]
pub struct HostChannels {
    /// What it is to do; it ends when this is closed.
    pub jobs: mpsc::Receiver<HostJob>,
    /// Where what it learns goes. When it is full that is thrown away and counted; when it is closed
    /// the host ends.
    pub payloads: mpsc::Sender<PayloadFrame>,
    /// How it is.
    pub status: watch::Sender<BusStatus>,
}

/// How to reach a running host.
#[derive(Debug, Clone)]
pub struct HostHandle {
    /// What it is to do.
    pub jobs: mpsc::Sender<HostJob>,
    /// How it is.
    pub status: watch::Receiver<BusStatus>,
}

/// What resources of one device answered, or what it sent.
#[derive(Debug)]
pub struct PayloadFrame {
    /// Which device.
    pub device: DeviceIndex,
    /// When the last of it arrived.
    pub at: Millis,
    /// By place of the resource in the profile.
    pub answers: Vec<(usize, Result<Payload, fieldgate_model::Cause>)>,
    /// Who waits to hear what became of it; for what a device sent unasked.
    pub taken: Option<oneshot::Sender<Taken>>,
}

/// A payload as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// What it says of its format.
    pub format: Option<u16>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What became of a payload that a device sent unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// Its samples are in the buffer, and durable with the next flush.
    Stored,
    /// There is nothing in it that can be used; nothing was stored.
    Refused {
        /// Why, for people.
        why: String,
    },
}

/// The endpoints that carry what all hosts say: one an address family, plain and with DTLS.
#[derive(Debug, Clone, Default)]
pub struct Endpoints {
    plain: Pair,
    secured: Pair,
}

#[derive(Debug, Clone, Default)]
struct Pair {
    v4: Option<Endpoint>,
    v6: Option<Endpoint>,
}

/// What the endpoints are opened with.
#[derive(Debug)]
pub struct EndpointsSetup<'a> {
    /// Where devices push to; where nobody listens, a port of the system's choice does.
    pub listen: Option<SocketAddr>,
    /// The same with DTLS.
    pub listen_secure: Option<SocketAddr>,
    /// Who may push without DTLS.
    pub known: BTreeSet<IpAddr>,
    /// The keys of those that have one.
    pub keys: Vec<PskDevice>,
    /// Where their datagrams are shown.
    pub tap: &'a broadcast::Sender<Arc<Tapped>>,
    /// Where what is pushed goes.
    pub incoming: &'a mpsc::Sender<Incoming>,
}

impl HostDevice {
    /// The device as it was configured.
    pub fn new(index: DeviceIndex, config: &DeviceConfig) -> Self {
        let (every, timeout) = (config.every, config.timeout);
        Self { index, profile: Arc::clone(&config.profile), every, timeout }
    }
}

impl HostChannels {
    /// The channels of a host, and the other ends of them. So many jobs may wait.
    pub fn new(
        setup: &HostSetup,
        jobs_max: usize,
        payloads: mpsc::Sender<PayloadFrame>,
    ) -> (Self, HostHandle) {
        let (jobs, jobs_out) = mpsc::channel(jobs_max);
        let (status, shown) = watch::channel(status_of(setup));
        (Self { jobs: jobs_out, payloads, status }, HostHandle { jobs, status: shown })
    }
}

/// The status of a host that has not started.
fn status_of(setup: &HostSetup) -> BusStatus {
    let device = |device: &HostDevice| DeviceStatus::new(device.index, super::NO_UNIT);
    BusStatus {
        name: setup.name.to_string(),
        link: LinkState::Untried,
        trouble: None,
        frames_skipped: 0,
        jobs: 0,
        counters: fieldgate_modbus::client::LineCounters::default(),
        load: fieldgate_rules::schedule::BusLoad::default(),
        devices: setup.devices.iter().map(device).collect(),
    }
}

impl Endpoints {
    /// Opens an endpoint for each address family that the machine has, and with DTLS if there is a key.
    pub fn open(setup: &EndpointsSetup<'_>) -> Result<Self, OpenError> {
        let plain = Pair::open(setup, setup.listen, &Security::None)?;
        if setup.keys.is_empty() {
            return Ok(Self { plain, secured: Pair::default() });
        }
        let security = Security::Psk(setup.keys.clone());
        Ok(Self { plain, secured: Pair::open(setup, setup.listen_secure, &security)? })
    }

    /// The endpoint that reaches this peer, with DTLS or without.
    pub(super) fn to(&self, peer: SocketAddr, is_secure: bool) -> Option<&Endpoint> {
        let pair = if is_secure { &self.secured } else { &self.plain };
        if peer.is_ipv4() { pair.v4.as_ref() } else { pair.v6.as_ref() }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.plain.iter().chain(self.secured.iter())
    }
}

impl Pair {
    fn open(
        setup: &EndpointsSetup<'_>,
        listen: Option<SocketAddr>,
        security: &Security,
    ) -> Result<Self, OpenError> {
        let any = |ip: IpAddr| SocketAddr::new(ip, 0);
        let open = |own: Option<SocketAddr>, ip: IpAddr| {
            let mut options = EndpointOptions::new(NAME, own.unwrap_or_else(|| any(ip)));
            options.security = security.clone();
            options.tap = Some(setup.tap.clone());
            options.known.clone_from(&setup.known);
            Endpoint::open(options, own.map(|_| setup.incoming.clone()))
        };
        let v4 = open(listen.filter(SocketAddr::is_ipv4), Ipv4Addr::UNSPECIFIED.into());
        let v6 = open(listen.filter(SocketAddr::is_ipv6), Ipv6Addr::UNSPECIFIED.into());
        match (v4, v6) {
            // A machine may have one family alone; where it is to listen it must have it.
            (Ok(v4), Ok(v6)) => Ok(Self { v4: Some(v4), v6: Some(v6) }),
            (Ok(v4), Err(_)) if listen.is_none_or(|listen| listen.is_ipv4()) => {
                Ok(Self { v4: Some(v4), v6: None })
            }
            (Err(_), Ok(v6)) if listen.is_none_or(|listen| listen.is_ipv6()) => {
                Ok(Self { v4: None, v6: Some(v6) })
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.v4.iter().chain(&self.v6)
    }
}

/// The key of a host, if it has one and is found; what is wrong with it stands in the log.
pub async fn key_of(host: &HostConfig) -> Option<PskDevice> {
    let psk = host.psk.as_ref()?;
    let reference = match &psk.key {
        KeyPlace::File(path) => KeyReference::File(path.clone()),
        KeyPlace::Environment(name) => KeyReference::Environment(name.clone()),
        KeyPlace::Credential(name) => KeyReference::Credential(name.clone()),
    };
    match reference.read() {
        Ok(key) => {
            let identity = PskIdentity::new(psk.identity.as_bytes());
            Some(PskDevice { peer: resolve(host).await, identity, key })
        }
        Err(error) => {
            let (host, hint) = (host.url(), error.hint());
            tracing::error!(host, error = crate::telemetry::chain(&error), hint, "has no key");
            None
        }
    }
}

/// What the endpoints are called in a trace.
pub const NAME: &str = "coap";

/// Runs the host until its jobs are closed or nobody takes what it learns any more.
pub async fn run(setup: HostSetup, channels: HostChannels, endpoints: Endpoints, clock: Clock) {
    let mut host = Host::new(setup, channels, endpoints, clock);
    while let Some(event) = host.select().await {
        if !host.apply(event) {
            return;
        }
    }
}
