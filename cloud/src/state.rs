//! What every request handler may reach.

use std::sync::Arc;

use fieldgate_model::GatewayId;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::link::LinkMetrics;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::store::Writer;
use crate::store::query::Readers;

/// Exports at once: each keeps one reading lane busy for some of its time, and the console and
/// the API share the lanes.
const EXPORTS_MAX: usize = 2;

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
            clock,
            secure_cookies: false,
            endpoint: None,
            link: None,
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
        }
    }
}
