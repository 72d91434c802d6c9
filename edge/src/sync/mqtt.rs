//! The MQTT client: a transport that may lose anything at any time, and is not asked for more.
//!
//! # Invariants
//!
//! - Each connection has a client of its own: one that is reused publishes what an old connection
//!   had queued before we have said Hello, and drops what it held unacknowledged.
//! - A PUBACK means nothing here. Custody passes with our own Ack.
//! - Nothing waits for room in the client: what does not fit is not sent, and the machine's timer
//!   sends it again.

use std::time::Duration;

use fieldgate_model::{GatewayId, Millis};
use fieldgate_protocol::Reconnect;
use fieldgate_wire::{DownKind, MESSAGE_BYTES_MAX, UpKind, down_filter, parse_down, up_topic};
use rumqttc::Transport;
use rumqttc::{AsyncClient, ConnectReturnCode, Event, EventLoop, MqttOptions, Packet, QoS};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::credentials::Credentials;
use super::trust::{self, TrustError};
use crate::clock::{Clock, ClockStatus};
use crate::config::CloudUrl;

/// Messages the client may hold: the sender's window of 16, and as many of everything else.
const QUEUE_MAX: usize = 32;
/// Events that may wait for the uplink.
const EVENTS_MAX: usize = 64;
/// Longest packet either way: the longest message and its topic.
const PACKET_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 1024;
/// Short enough to keep any NAT's mapping, long enough to cost nothing.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// TCP, TLS and CONNACK together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// What the transport tells.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// Connected and subscribed; publish through this.
    Up(Publisher),
    /// The connection is gone.
    Down,
    /// The cloud says something.
    Message(DownKind, Vec<u8>),
}

/// Publishes on one connection.
#[derive(Debug, Clone)]
pub(super) struct Publisher {
    client: AsyncClient,
    gateway: GatewayId,
}

impl Publisher {
    /// Publishes unless the client is full; says whether it did.
    pub(super) fn publish(&self, kind: UpKind, payload: Vec<u8>) -> bool {
        if payload.len() > MESSAGE_BYTES_MAX {
            tracing::error!(
                kind = kind.as_str(),
                bytes = payload.len(),
                "message too long, not sent"
            );
            return false;
        }
        let qos = match kind {
            UpKind::Present => QoS::AtMostOnce,
            UpKind::Hello | UpKind::Batch | UpKind::Catalogue | UpKind::Answer => QoS::AtLeastOnce,
        };
        self.client.try_publish(up_topic(&self.gateway, kind), qos, false, payload).is_ok()
    }

    /// Says goodbye, so that the cloud need not wait for a timeout.
    pub(super) fn disconnect(&self) {
        if self.client.try_disconnect().is_err() {
            tracing::debug!("no room for a goodbye");
        }
    }
}

/// How to reach the cloud.
pub(super) struct LinkSetup {
    pub(super) url: CloudUrl,
    pub(super) credentials: Credentials,
    /// Whether anyone has set the clock yet.
    pub(super) clock: watch::Receiver<ClockStatus>,
}

/// Keeps a connection for as long as `events` has a reader. A message on `rebuild` ends the
/// connection in force.
pub(super) async fn run(
    setup: LinkSetup,
    events: mpsc::Sender<LinkEvent>,
    mut rebuild: mpsc::Receiver<()>,
) {
    let clock = Clock;
    let mut reconnect = Reconnect::default();
    loop {
        let ended = match options(&setup) {
            Err(error) => Err(crate::telemetry::chain(&error)),
            Ok(options) => {
                let (client, mut connection) = AsyncClient::new(options, QUEUE_MAX);
                let publisher = Publisher { client, gateway: setup.credentials.gateway.clone() };
                tokio::select! {
                    ended = serve(publisher, &mut connection, &events, &mut reconnect) => ended,
                    Some(()) = rebuild.recv() => Err("it was silent for too long".to_owned()),
                }
            }
        };
        match ended {
            Ok(()) => return,
            Err(reason) => tracing::warn!(reason, "not connected to the cloud"),
        }
        if events.send(LinkEvent::Down).await.is_err() {
            return;
        }
        sleep(jittered(reconnect.handle_down(clock.now()))).await;
        // A wish for a rebuild that came meanwhile is fulfilled by the next client.
        while rebuild.try_recv().is_ok() {}
    }
}

pub(super) const fn events_max() -> usize {
    EVENTS_MAX
}

/// One connection from CONNECT to its end. `Ok` when nobody listens any more.
async fn serve(
    publisher: Publisher,
    connection: &mut EventLoop,
    events: &mpsc::Sender<LinkEvent>,
    reconnect: &mut Reconnect,
) -> Result<(), String> {
    loop {
        let event = match timeout(CONNECT_TIMEOUT + KEEP_ALIVE * 2, connection.poll()).await {
            Ok(Ok(event)) => event,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("the connection hangs".to_owned()),
        };
        let event = match event {
            Event::Incoming(Packet::ConnAck(ack)) if ack.code == ConnectReturnCode::Success => {
                reconnect.handle_up(Clock.now());
                let filter = down_filter(&publisher.gateway);
                publisher
                    .client
                    .try_subscribe(filter, QoS::AtLeastOnce)
                    .map_err(|error| error.to_string())?;
                continue;
            }
            Event::Incoming(Packet::SubAck(_)) => LinkEvent::Up(publisher.clone()),
            // An old word of anybody: ours are never retained.
            Event::Incoming(Packet::Publish(publish)) if publish.retain => {
                tracing::warn!(topic = publish.topic, "a retained message is not for us");
                continue;
            }
            Event::Incoming(Packet::Publish(publish)) => match parse_down(&publish.topic) {
                Ok((gateway, kind)) if gateway == publisher.gateway => {
                    LinkEvent::Message(kind, publish.payload.to_vec())
                }
                Ok(_) | Err(_) => {
                    tracing::warn!(topic = publish.topic, "a message that is not for us");
                    continue;
                }
            },
            Event::Incoming(_) | Event::Outgoing(_) => continue,
        };
        if events.send(event).await.is_err() {
            return Ok(());
        }
    }
}

fn options(setup: &LinkSetup) -> Result<MqttOptions, TrustError> {
    let id = setup.credentials.gateway.as_str();
    let mut options = MqttOptions::new(id, setup.url.host.clone(), setup.url.port);
    options
        .set_credentials(id, setup.credentials.secret.clone())
        .set_clean_session(true)
        .set_keep_alive(KEEP_ALIVE)
        .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
    if setup.url.tls {
        let trusted = trust::believing(&setup.credentials.ca, setup.clock.clone())?;
        options.set_transport(Transport::Tls(trusted));
    }
    Ok(options)
}

/// Between three quarters and five quarters of `delay`: a thousand gateways that lost their cloud
/// together must not come back together.
fn jittered(delay: Millis) -> Duration {
    Duration::from_millis(delay.0 * 3 / 4 + random_share(Millis(delay.0 / 2)).0)
}

/// A random part of `whole`.
pub(super) fn random_share(whole: Millis) -> Millis {
    let mut bytes = [0; 2];
    // Without randomness the middle has to do.
    let random =
        if getrandom::fill(&mut bytes).is_ok() { u16::from_be_bytes(bytes) } else { u16::MAX / 2 };
    Millis(whole.0 * u64::from(random) / u64::from(u16::MAX))
}
