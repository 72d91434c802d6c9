//! What every request handler may reach.

use std::sync::Arc;

use fieldgate_model::GatewayId;
use tokio::sync::{Semaphore, watch};

use crate::clock::Clock;
use crate::link::LinkMetrics;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::store::Writer;
use crate::store::query::{GatewayView, Readers};

/// Exports at once: each keeps one reading lane busy for some of its time, and the console and
/// the API share the lanes.
const EXPORTS_MAX: usize = 2;

/// Without news of its connection, a gateway counts as online for as long as an MQTT keep-alive
/// and a half lets it be silent.
const ONLINE_MILLIS: i64 = 90_000;

/// Tells the command side that a gateway has something to be sent.
pub type Wake = Arc<dyn Fn(&GatewayId) + Send + Sync>;

/// Where a gateway connects to, and the certificate authority that it must see there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayEndpoint {
    /// `mqtts://host:port`.
    pub url: String,
    /// PEM of the instance's own authority; `None` behind an external broker.
    pub ca_pem: Option<String>,
}

/// What every request handler may reach. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// The one writer.
    pub writer: Writer,
    /// The readers.
    pub readers: Readers,
    /// The newest values.
    pub live: Live,
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// Called after a command was accepted.
    pub wake: Wake,
    /// Changes whenever commands were closed.
    pub closed: watch::Receiver<u64>,
    /// The time of day.
    pub clock: Clock,
    /// The service is reached by TLS alone, so cookies shall be too.
    pub secure_cookies: bool,
    /// What a gateway's credentials name; `None` until a link listens.
    pub endpoint: Option<Arc<GatewayEndpoint>>,
    /// What the link counts; `None` until one listens.
    pub link: Option<Arc<LinkMetrics>>,
    /// Who may export right at this time.
    pub exports: Arc<Semaphore>,
}

impl AppState {
    /// A state without command side, TLS or link; the caller sets what it has.
    pub fn new(
        writer: Writer,
        readers: Readers,
        live: Live,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        Self {
            writer,
            readers,
            live,
            metrics,
            wake: Arc::new(|_| ()),
            closed: watch::Sender::new(0).subscribe(),
            clock,
            secure_cookies: false,
            endpoint: None,
            link: None,
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
        }
    }

    /// Whether a gateway is connected, as far as anybody knows.
    pub fn is_online(&self, gateway: &GatewayView) -> bool {
        let now = self.clock.now();
        self.live.is_connected(&gateway.id).unwrap_or_else(|| {
            let seen = gateway.last_seen_at;
            seen.is_some_and(|at| now.0.saturating_sub(at.0) < ONLINE_MILLIS)
        })
    }
}
