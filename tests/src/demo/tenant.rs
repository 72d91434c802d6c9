//! One tenant of the demo: a gateway, its simulated device, and what the cloud has of it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::feed::Feed;
use super::ledger::Window;
use super::moment;
use super::screen::Row;
use crate::harness::{Api, Cloud, Edge, EdgeConfig, Scratch, Simulator};

/// `[buffer] flush` of the demo's gateways, the stated loss window.
const FLUSH: Duration = Duration::from_secs(1);

/// Samples asked for at once: the API's most.
const PAGE: usize = 10_000;

/// What makes the tenants differ.
pub(crate) struct Plan {
    /// The tenant's id.
    pub(crate) tenant: &'static str,
    /// The gateway's name.
    pub(crate) gateway: &'static str,
    /// The profile, and the device's name.
    pub(crate) device: &'static str,
    /// Poll interval.
    pub(crate) every: Duration,
    /// The signal that a person watches.
    pub(crate) watched: &'static str,
}

/// A tenant with everything that runs for it.
pub(crate) struct Tenant {
    pub(crate) plan: Plan,
    pub(crate) gateway: String,
    pub(crate) api: Api,
    pub(crate) edge: Edge,
    pub(crate) edge_up: bool,
    pub(crate) simulator: Simulator,
    pub(crate) feed: Feed,
    pub(crate) windows: Vec<Window>,
    counts: Vec<(Instant, u64)>,
    collected: BTreeSet<u64>,
    collected_until: i64,
    value: String,
    alarms: u64,
}

impl Tenant {
    /// Makes the tenant, its gateway and its token, and starts device and edge.
    pub(crate) fn start(scratch: &Scratch, cloud: &Cloud, plan: Plan) -> Result<Self> {
        cloud.add_tenant(plan.tenant)?;
        let folder = scratch.folder(plan.gateway)?;
        let credentials = folder.join("credentials.toml");
        let url = format!("mqtts://{}", cloud.mqtt());
        let gateway = cloud.add_gateway(plan.tenant, plan.gateway, &url, &credentials)?;
        let token = cloud.add_token(plan.tenant, "read command", "demo")?;
        let api = cloud.api(Some(&token));
        let simulator = Simulator::start("simulator", &[plan.device], &folder)?;
        let every = format!("{} ms", plan.every.as_millis());
        let config = EdgeConfig {
            name: plan.gateway.to_owned(),
            cloud: Some((url, credentials)),
            buses: vec![simulator.listen().to_owned()],
            devices: vec![(plan.device.to_owned(), plan.device.to_owned(), 1, 1, every)],
            rest: String::new(),
        };
        let edge = Edge::start(scratch, &config)?;
        let feed = Feed::new(api.clone(), &gateway);
        Ok(Self {
            plan,
            gateway,
            api,
            edge,
            edge_up: true,
            simulator,
            feed,
            windows: Vec::new(),
            counts: Vec::new(),
            collected: BTreeSet::new(),
            collected_until: 0,
            value: String::new(),
            alarms: 0,
        })
    }

    /// Looks at the device and, while it is there, at the cloud.
    pub(crate) fn look(&mut self, cloud_up: bool) -> Result<()> {
        if self.edge_up {
            self.edge.process().must_run()?;
        }
        let reads = self.simulator.counts(self.plan.device)?.reads;
        self.counts.push((Instant::now(), reads));
        if cloud_up {
            self.feed.look();
            self.collect()?;
            self.look_at_values()?;
        }
        Ok(())
    }

    /// Answers that the device has given.
    pub(crate) fn polled(&self) -> u64 {
        self.counts.last().map_or(0, |(_, count)| *count)
    }

    /// How many of them are in the cloud, as far as we have looked.
    pub(crate) fn in_cloud(&self) -> u64 {
        u64::try_from(self.collected.len()).unwrap_or(u64::MAX)
    }

    /// The newest of them that is in the cloud.
    pub(crate) fn newest(&self) -> u64 {
        self.collected.last().copied().unwrap_or(0)
    }

    /// `kill -9` of the edge, and what it may have taken.
    pub(crate) fn kill_edge(&mut self) -> Result<Window> {
        let killed_at = Instant::now();
        self.edge.kill()?;
        self.edge_up = false;
        let dead = self.simulator.counts(self.plan.device)?.reads;
        // Flushed once a second, at the end of a poll.
        let window = FLUSH + self.plan.every;
        let safe = self.counts.iter().rev().find(|(at, _)| *at + window <= killed_at);
        let window = Window { safe: safe.map_or(0, |(_, count)| *count), dead };
        self.windows.push(window);
        Ok(window)
    }

    /// Starts the edge again on the same files.
    pub(crate) fn restart_edge(&mut self) -> Result<()> {
        self.edge.restart()?;
        self.edge_up = true;
        Ok(())
    }

    /// Asks for a write of the device's set-point and gives the command's id.
    pub(crate) fn command(&self, signal: &str, value: f64) -> Result<String> {
        let body = serde_json::json!({
            "gateway": self.gateway,
            "device": self.plan.device,
            "signal": signal,
            "value": value,
            "verify": true,
            "ttl": "5min",
        });
        let accepted = self.api.post("/v1/commands", &body)?.good("the command")?;
        let id = accepted.get("id").and_then(Value::as_str);
        id.map(str::to_owned).with_context(|| format!("no id in {accepted}"))
    }

    /// The `items` of one page of a list.
    pub(crate) fn items(&self, path: &str) -> Result<Vec<Value>> {
        let page = self.api.json(path)?;
        let items = page.get("items").and_then(Value::as_array).cloned();
        items.with_context(|| format!("{path} has no `items`: {page}"))
    }

    /// Every sample of `reads`, in the order in which the cloud tells them: value, time,
    /// time of commit.
    pub(crate) fn history(&self) -> Result<Vec<(u64, i64, i64)>> {
        let path = format!("/v1/signals/{}/samples", self.reads_id());
        let reply = self.api.get_as(&path, "application/x-ndjson")?;
        if reply.status == 404 {
            return Ok(Vec::new());
        }
        anyhow::ensure!(
            reply.status == 200,
            "{path} was answered {}: {}",
            reply.status,
            reply.text
        );
        let samples = reply.text.lines().map(|line| {
            let sample: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            read_sample(&sample)
        });
        samples.filter_map(Result::transpose).collect()
    }

    /// Its line in the table.
    pub(crate) fn row(&self) -> Row {
        let plan = &self.plan;
        Row {
            names: [plan.tenant, plan.gateway, plan.device].map(String::from),
            up: self.edge_up,
            polled: self.polled(),
            in_cloud: self.in_cloud(),
            value: self.value.clone(),
            alarms: self.alarms,
        }
    }

    fn reads_id(&self) -> String {
        format!("{}.{}.reads", self.gateway, self.plan.device)
    }

    /// Takes what is new of `reads`. It comes in order, so the last moment is where to go on.
    fn collect(&mut self) -> Result<()> {
        let from = self.collected_until;
        let path = format!("/v1/signals/{}/samples?limit={PAGE}&from={from}", self.reads_id());
        let reply = self.api.get(&path)?;
        // Before its first catalogue the cloud does not know the signal.
        if reply.status == 404 {
            return Ok(());
        }
        let page = reply.good(&path)?;
        for item in page.get("items").and_then(Value::as_array).into_iter().flatten() {
            if let Some((value, at, _)) = read_sample(item)? {
                self.collected.insert(value);
                self.collected_until = self.collected_until.max(at);
            }
        }
        Ok(())
    }

    fn look_at_values(&mut self) -> Result<()> {
        let signals = self.items(&format!("/v1/gateways/{}/signals", self.gateway))?;
        let watched = signals
            .iter()
            .find(|signal| signal.get("name").and_then(Value::as_str) == Some(self.plan.watched));
        if let Some(signal) = watched {
            let value = signal.get("value").and_then(Value::as_f64);
            let unit = signal.get("unit").and_then(Value::as_str).unwrap_or_default();
            self.value = self.plan.watched.to_owned();
            match value {
                Some(value) => write!(self.value, " {value:.1} {unit}")?,
                None => self.value.push_str(" -"),
            }
        }
        self.alarms = u64::try_from(self.items("/v1/alarms?state=active")?.len())?;
        Ok(())
    }
}

/// Value, time and time of commit of a sample of `reads`; `None` if it has no value.
fn read_sample(sample: &Value) -> Result<Option<(u64, i64, i64)>> {
    let moment = |key: &str| -> Result<i64> {
        let text = sample.get(key).and_then(Value::as_str);
        moment::parse(text.with_context(|| format!("no `{key}` in {sample}"))?)
    };
    let Some(value) = sample.get("value").and_then(Value::as_u64) else { return Ok(None) };
    Ok(Some((value, moment("at")?, moment("committed_at")?)))
}
