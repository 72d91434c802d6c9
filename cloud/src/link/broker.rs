//! The link as a client of any MQTT 3.1.1 broker, which then stands inside the trust boundary: its
//! access rules alone make a topic say who has published.
//!
//! # Invariants
//!
//! - Nothing outlives a broker session: each connection has its own client, so what the library
//!   would keep for a session that the broker has forgotten is never trusted. The database re-sends.
//! - A broker that is away makes no caller wait: its downlinks are dropped and counted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fieldgate_wire::{MESSAGE_BYTES_MAX, UP_FILTER, down_topic, parse_up};
use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS, SubscribeReasonCode, TlsConfiguration,
    Transport,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::{DOWNS_MAX, Down, DropReason, EVENTS_MAX, LinkEvent, LinkHandle, LinkMetrics, Qos, Up};
use crate::identity::{crypto_provider, new_secret};

/// First wait after a failure, and the longest: neither a storm nor a broker that is missed.
const BACK_OFF_MIN: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// A dead line is noticed within two of these.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Packets read from the broker. Far above our messages, so that a stranger's large one is dropped
/// by us: the library would reconnect at each.
const PACKET_BYTES_MAX: usize = 256 * 1024;

/// `QoS` 1 downlinks that the broker may have unacknowledged: half of what the smallest allows.
const INFLIGHT_MAX: u16 = 100;

/// Requests that may wait for the client.
const REQUESTS_MAX: usize = 64;

/// Why a broker cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Not `mqtt://` or `mqtts://` with a host and, maybe, a port. The text may hold a password.
    #[error("broker is not of the form `mqtt[s]://[USER:PASSWORD@]HOST[:PORT]`")]
    Url,
    /// The file with the broker's authority cannot be read as PEM.
    #[error("cannot read authority `{}`", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// TLS cannot be set up with that authority.
    #[error("cannot use the broker's authority")]
    Tls(#[source] rustls::Error),
    /// `mqtts://` without an authority to check the broker by.
    #[error("`mqtts` needs the file of the broker's authority")]
    NoAuthority,
}

/// Where a broker is and how to log in.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    host: String,
    port: u16,
    is_tls: bool,
    login: Option<(String, String)>,
}

impl BrokerAddress {
    /// Reads `mqtt[s]://[USER:PASSWORD@]HOST[:PORT]`; user and password as they stand, an `@` in
    /// the password included.
    pub fn parse(url: &str) -> Result<Self, BrokerError> {
        let (scheme, rest) = url.split_once("://").ok_or(BrokerError::Url)?;
        let (is_tls, default_port) = match scheme {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            _ => return Err(BrokerError::Url),
        };
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login.split_once(':').ok_or(BrokerError::Url)?), place),
            None => (None, rest),
        };
        let place = place.trim_end_matches('/');
        let (host, port) = match place.rsplit_once(':') {
            // A colon inside brackets belongs to an IPv6 address.
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| BrokerError::Url)?)
            }
            Some(_) | None => (place, default_port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(['/', ' ', '[', ']']) {
            return Err(BrokerError::Url);
        }
        let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
        Ok(Self { host: host.to_owned(), port, is_tls, login })
    }

    /// Logs in with these instead of what the URL says, so that no password is on a command line.
    #[must_use]
    pub fn with_login(mut self, user: String, password: String) -> Self {
        self.login = Some((user, password));
        self
    }
}

/// A client of one broker; [`Broker::run`] serves it.
pub struct Broker {
    options: MqttOptions,
    events: mpsc::Sender<LinkEvent>,
    down: mpsc::Receiver<Down>,
    metrics: Arc<LinkMetrics>,
}

/// How a broker session ended.
enum Ended {
    /// The service stops.
    Stopped,
    /// To be tried again.
    Failed(String),
}

impl Broker {
    /// Prepares the client; `authority` is a PEM file, and `mqtts` needs one.
    pub fn new(
        address: BrokerAddress,
        authority: Option<&Path>,
        metrics: Arc<LinkMetrics>,
    ) -> Result<(Self, LinkHandle), BrokerError> {
        let (events, events_out) = mpsc::channel(EVENTS_MAX);
        let (down_in, down) = mpsc::channel(DOWNS_MAX);
        let options = options(address, authority)?;
        let handle = LinkHandle { events: events_out, down: down_in };
        Ok((Self { options, events, down, metrics }, handle))
    }

    /// Keeps a client connected until every sender of the handle's `down`, or `events`, is gone.
    pub async fn run(mut self) {
        let mut back_off = BACK_OFF_MIN;
        loop {
            let started_at = Instant::now();
            let Ended::Failed(error) = self.run_session().await else {
                return;
            };
            if started_at.elapsed() > BACK_OFF_MAX {
                back_off = BACK_OFF_MIN;
            }
            tracing::warn!(%error, retry_secs = back_off.as_secs(), "lost the broker");
            if self.drop_downs_for(back_off).await.is_err() {
                return;
            }
            back_off = (back_off * 2).min(BACK_OFF_MAX);
        }
    }

    /// One client from its first packet to its first error.
    async fn run_session(&mut self) -> Ended {
        let (client, event_loop) = AsyncClient::new(self.options.clone(), REQUESTS_MAX);
        let online = AtomicBool::new(false);
        // Both run to the session's end: a cancelled poll of the library would lose its place.
        let ended = tokio::select! {
            ended = receive(event_loop, &client, &online, &self.events, &self.metrics) => ended,
            ended = send(&mut self.down, &client, &online, &self.metrics) => ended,
        };
        if online.into_inner() {
            self.metrics.count_closed();
        }
        ended
    }

    async fn drop_downs_for(&mut self, wait: Duration) -> Result<(), ()> {
        let over = sleep(wait);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return Ok(()),
                down = self.down.recv() => match down {
                    Some(_) => self.metrics.count_dropped(DropReason::Offline),
                    None => return Err(()),
                },
            }
        }
    }
}

async fn receive(
    mut event_loop: EventLoop,
    client: &AsyncClient,
    online: &AtomicBool,
    events: &mpsc::Sender<LinkEvent>,
    metrics: &LinkMetrics,
) -> Ended {
    loop {
        let packet = match event_loop.poll().await {
            Ok(Event::Incoming(packet)) => packet,
            Ok(Event::Outgoing(_)) => continue,
            Err(error) => return Ended::Failed(error.to_string()),
        };
        if let Packet::ConnAck(_) = packet {
            metrics.count_connect();
            if client.try_subscribe(UP_FILTER, QoS::AtLeastOnce).is_err() {
                return Ended::Failed(String::from("no room to subscribe"));
            }
        } else if let Packet::SubAck(answer) = packet {
            if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                return Ended::Failed(format!("may not subscribe to `{UP_FILTER}`"));
            }
            if !online.swap(true, Ordering::Relaxed) {
                metrics.count_open();
            }
        } else if let Packet::Publish(publish) = packet {
            // A retained message is an old one of anybody, and ours are never retained.
            match parse_up(&publish.topic) {
                Ok((gateway, kind))
                    if !publish.retain && publish.payload.len() <= MESSAGE_BYTES_MAX =>
                {
                    metrics.count_message(kind, publish.payload.len());
                    let up = Up { gateway, kind, payload: publish.payload.to_vec() };
                    // Not polling is what stops reading; a broker that gives up is found again.
                    if events.send(LinkEvent::Message(up)).await.is_err() {
                        return Ended::Stopped;
                    }
                }
                Ok(_) | Err(_) => metrics.count_foreign(),
            }
        }
    }
}

async fn send(
    down: &mut mpsc::Receiver<Down>,
    client: &AsyncClient,
    online: &AtomicBool,
    metrics: &LinkMetrics,
) -> Ended {
    while let Some(down) = down.recv().await {
        let topic = down_topic(&down.gateway, down.kind);
        let qos = match down.qos {
            Qos::AtMostOnce => QoS::AtMostOnce,
            Qos::AtLeastOnce => QoS::AtLeastOnce,
        };
        if !online.load(Ordering::Relaxed) {
            metrics.count_dropped(DropReason::Offline);
        } else if down.payload.len() > MESSAGE_BYTES_MAX {
            metrics.count_dropped(DropReason::TooLarge);
        } else if client.try_publish(topic, qos, false, down.payload).is_err() {
            metrics.count_dropped(DropReason::QueueFull);
        } else {
            metrics.count_down();
        }
    }
    Ended::Stopped
}

fn options(address: BrokerAddress, authority: Option<&Path>) -> Result<MqttOptions, BrokerError> {
    // Random, so that two nodes, or a node and its ghost, do not push each other off the broker.
    let id: String = new_secret().chars().take(16).collect();
    let mut options = MqttOptions::new(format!("fieldgate-{id}"), address.host, address.port);
    options.set_clean_session(true);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
    options.set_inflight(INFLIGHT_MAX);
    // The library acknowledges what it reads, at most a few packets ahead of us: an
    // acknowledgement of MQTT is no custody, and our own would compete with downlinks for room.
    options.set_manual_acks(false);
    if let Some((user, password)) = address.login {
        options.set_credentials(user, password);
    }
    if address.is_tls {
        let path = authority.ok_or(BrokerError::NoAuthority)?;
        let config = TlsConfiguration::Rustls(Arc::new(tls_config(path)?));
        options.set_transport(Transport::tls_with_config(config));
    }
    Ok(options)
}

fn tls_config(path: &Path) -> Result<rustls::ClientConfig, BrokerError> {
    let unreadable = |source| BrokerError::Authority { path: path.to_owned(), source };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        roots.add(certificate.map_err(unreadable)?).map_err(BrokerError::Tls)?;
    }
    let config = rustls::ClientConfig::builder_with_provider(crypto_provider())
        .with_safe_default_protocol_versions()
        .map_err(BrokerError::Tls)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_becomes_host_port_and_login() {
        let check =
            |url: &str, host: &str, port: u16, is_tls: bool, login: Option<(&str, &str)>| {
                let address = BrokerAddress::parse(url).expect(url);
                let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
                let expected = BrokerAddress { host: host.to_owned(), port, is_tls, login };
                assert!(address == expected, "{url}");
            };
        check("mqtt://broker", "broker", 1883, false, None);
        check("mqtts://broker/", "broker", 8883, true, None);
        check("mqtt://u:p@s:s@broker:7", "broker", 7, false, Some(("u", "p@s:s")));
        check("mqtt://[::1]:7", "::1", 7, false, None);
        check("mqtt://[::1]", "::1", 1883, false, None);
    }

    #[test]
    fn a_url_that_names_no_broker_is_refused() {
        for url in ["", "broker", "http://x", "mqtt://", "mqtt://x:y", "mqtt://u@x", "mqtt://x/y"] {
            assert!(matches!(BrokerAddress::parse(url), Err(BrokerError::Url)), "{url}");
        }
    }

    #[test]
    fn tls_without_an_authority_is_refused() {
        let address = BrokerAddress::parse("mqtts://broker").expect("a URL");
        let refused = Broker::new(address, None, Arc::default()).err();
        assert!(matches!(refused, Some(BrokerError::NoAuthority)));
    }
}
