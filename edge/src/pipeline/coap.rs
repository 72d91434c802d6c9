//! The part of the composition that speaks CoAP: endpoints, a task a host, and the task of pushes.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use super::{JOBS_MAX, PipelineError};
use crate::buffer::Buffer;
use crate::clock::Clock;
use crate::config::Config;
use crate::drivers::coap::Incoming;
use crate::drivers::host::{
    self, Endpoints, EndpointsSetup, HostChannels, HostDevice, HostHandle, HostSetup, PayloadFrame,
    PushCounters, PushDevice, PushSetup,
};
use crate::drivers::{DeviceIndex, TAPPED_MAX, Tapped};

/// Pushes that may wait to be looked at; the endpoint tells what comes beyond to come back.
const INCOMING_MAX: usize = 256;

/// What speaks `CoAP`.
pub(super) struct Coap {
    pub(super) hosts: Vec<HostHandle>,
    /// `None` if the configuration has nothing of it: no socket is opened then.
    pub(super) endpoints: Option<Endpoints>,
    pub(super) tap: broadcast::Sender<Arc<Tapped>>,
    pub(super) pushes: watch::Receiver<PushCounters>,
}

impl Coap {
    pub(super) async fn start(
        config: &Config,
        payloads: &mpsc::Sender<PayloadFrame>,
        buffer: &Buffer,
        clock: Clock,
        tasks: &mut JoinSet<()>,
    ) -> Result<Self, PipelineError> {
        let listens = config.coap.listen.is_some() || config.coap.listen_secure.is_some();
        let tap = broadcast::Sender::new(TAPPED_MAX);
        let (counters, pushes) = watch::channel(PushCounters::default());
        if config.hosts.is_empty() && !listens {
            return Ok(Self { hosts: Vec::new(), endpoints: None, tap, pushes });
        }
        let (incoming, incoming_out) = mpsc::channel::<Incoming>(INCOMING_MAX);
        let mut senders = Vec::new();
        for (index, device) in config.devices.iter().enumerate() {
            senders.extend(PushDevice::of(index, device, config).await);
        }
        let mut keys = Vec::new();
        for host in &config.hosts {
            keys.extend(host::key_of(host).await);
        }
        let plain = senders.iter().filter(|device| device.identity.is_none());
        let known = plain.filter_map(|device| Some(device.at?.ip().to_canonical())).collect();
        let (listen, listen_secure) = (config.coap.listen, config.coap.listen_secure);
        let setup =
            EndpointsSetup { listen, listen_secure, known, keys, tap: &tap, incoming: &incoming };
        let endpoints = Endpoints::open(&setup)?;
        drop(incoming);
        let mut hosts = Vec::new();
        for (place, host) in config.hosts.iter().enumerate() {
            let at_it = config.devices.iter().enumerate();
            let at_it = at_it.filter(|(_, device)| device.place.host() == Some(place));
            let device = |(index, device)| HostDevice::new(DeviceIndex(index), device);
            let (name, devices) = (host.url().into(), at_it.map(device).collect());
            let setup = HostSetup { name, host: host.clone(), devices };
            let (channels, handle) = HostChannels::new(&setup, JOBS_MAX, payloads.clone());
            hosts.push(handle);
            tasks.spawn(host::run(setup, channels, endpoints.clone(), clock));
        }
        if listens {
            let (payloads, buffer) = (payloads.clone(), buffer.clone());
            let setup = PushSetup { devices: senders, payloads, buffer, counters, clock };
            tasks.spawn(host::serve(setup, incoming_out));
        }
        Ok(Self { hosts, endpoints: Some(endpoints), tap, pushes })
    }
}
