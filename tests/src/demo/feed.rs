//! The live feed of a gateway, and how old a value is when it arrives.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::moment;
use crate::harness::{Api, EventSource};

/// Between two tries to open a feed, while the cloud is away.
const REOPEN_AFTER: Duration = Duration::from_millis(500);

/// Live values of one gateway, over restarts of the cloud.
pub(crate) struct Feed {
    api: Api,
    gateway: String,
    source: Option<(EventSource, i64)>,
    tried_at: Option<Instant>,
    seen: BTreeSet<(String, i64)>,
    /// Milliseconds from a sample's time to its arrival, of each `reads` sample seen live.
    pub(crate) latencies: Vec<i64>,
}

impl Feed {
    /// Not opened yet.
    pub(crate) fn new(api: Api, gateway: &str) -> Self {
        let gateway = gateway.to_owned();
        let (seen, latencies) = (BTreeSet::new(), Vec::new());
        Self { api, gateway, source: None, tried_at: None, seen, latencies }
    }

    /// Takes what has arrived; opens the feed if it is not open.
    pub(crate) fn look(&mut self) {
        if self.source.is_none() && self.tried_at.is_none_or(|at| at.elapsed() > REOPEN_AFTER) {
            self.tried_at = Some(Instant::now());
            let url = format!("{}/v1/gateways/{}/live", self.api.base(), self.gateway);
            let token = self.api.token().unwrap_or_default();
            // While the cloud is away there is no feed, which is the point of that chapter.
            self.source =
                EventSource::open(&url, token).ok().map(|source| (source, moment::now_millis()));
        }
        let Some((source, opened)) = &self.source else { return };
        let opened = *opened;
        let (events, is_open) = source.arrived();
        if !is_open {
            self.source = None;
        }
        let (now, now_millis) = (Instant::now(), moment::now_millis());
        for (arrived, data) in events {
            let Some((signal, at)) = sample(&data) else { continue };
            let is_counter = signal.rsplit_once('.').is_some_and(|(_, name)| name == "reads");
            // A feed begins with the newest values, however old they are.
            if at < opened || !is_counter {
                continue;
            }
            let ago = i64::try_from((now - arrived).as_millis()).unwrap_or_default();
            // Once provisional and once committed: the first time is what a person sees.
            if self.seen.insert((signal, at)) {
                self.latencies.push(now_millis - ago - at);
            }
        }
    }
}

fn sample(data: &str) -> Option<(String, i64)> {
    let event: Value = serde_json::from_str(data).ok()?;
    let signal = event.get("signal")?.as_str()?.to_owned();
    Some((signal, moment::parse(event.get("at")?.as_str()?).ok()?))
}
