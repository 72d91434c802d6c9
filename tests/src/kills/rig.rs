//! What is killed: an edge with a fast flush, a cloud, Mosquitto between them, and a device.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Party;
use super::command::Commands;
use crate::harness::{
    Api, Cloud, CloudOptions, Edge, EdgeConfig, Mosquitto, Scratch, Simulator, Tally, Window, until,
};

/// For anything that takes at most seconds on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// The simulated device, and its profile.
pub(crate) const PUMP: &str = "demo-pump";
/// Commits as often as a configuration may ask for.
const FAST: &str = "[buffer]\nflush = \"100 ms\"\nseal_after = \"200 ms\"\n";
/// `[buffer] flush`, one poll with its answer, and the commit that a sample may have to wait for on
/// a disk that others use too.
const LOSS_WINDOW: Duration = Duration::from_millis(100 + 1_100);

/// Fields are dropped in this order: the folder goes last.
pub(super) struct Rig {
    edge: Edge,
    pub(super) simulator: Simulator,
    cloud: Cloud,
    broker: Mosquitto,
    pub(super) api: Api,
    pub(super) gateway: String,
    pub(super) commands: Commands,
    windows: Vec<Window>,
    counts: Vec<(Instant, u64)>,
    /// The edge died at this moment, and what it may have taken is not noted yet.
    died: bool,
    _scratch: Scratch,
}

impl Rig {
    pub(super) fn start() -> Result<Self> {
        let scratch = Scratch::new("fieldgate-kills")?;
        let broker = Mosquitto::start(scratch.path())?;
        let url = broker.url();
        let options = CloudOptions { arguments: vec!["--broker".to_owned(), url.clone()] };
        let cloud = Cloud::start(&scratch, options)?;
        cloud.add_tenant("acme")?;
        let folder = scratch.folder("gateway")?;
        let credentials = folder.join("credentials.toml");
        let gateway = cloud.add_gateway("acme", "pump-house", &url, &credentials)?;
        let token = cloud.add_token("acme", "read command", "kills")?;
        let simulator = Simulator::start("simulator", &[PUMP], &folder)?;
        let config = EdgeConfig {
            name: "gateway".to_owned(),
            cloud: Some((url, credentials)),
            buses: vec![simulator.listen().to_owned()],
            devices: vec![(PUMP.to_owned(), PUMP.to_owned(), 1, 1, "50 ms".to_owned())],
            rest: String::new(),
        };
        let text = config.text(&folder)?.replace("[buffer]\n", FAST);
        let path = scratch.file("gateway/fieldgate.toml", &text)?;
        let edge = Edge::start_with(&folder, &path, &config.name)?;
        let api = cloud.api(Some(&token));
        let mut rig = Self {
            edge,
            simulator,
            cloud,
            broker,
            api,
            gateway,
            commands: Commands::default(),
            windows: Vec::new(),
            counts: Vec::new(),
            died: false,
            _scratch: scratch,
        };
        rig.arrives()?;
        Ok(rig)
    }

    pub(super) fn process_id(&mut self, party: Party) -> u32 {
        match party {
            Party::Edge => self.edge.process().id(),
            Party::Cloud => self.cloud.process().id(),
            Party::Broker => self.broker.process().id(),
        }
    }

    pub(super) fn kill(&mut self, party: Party) -> Result<()> {
        match party {
            Party::Edge => {
                self.edge.kill()?;
                self.died = true;
                Ok(())
            }
            Party::Cloud => self.cloud.kill(),
            Party::Broker => self.broker.kill(),
        }
    }

    /// Until it is ready again.
    pub(super) fn restart(&mut self, party: Party) -> Result<()> {
        if std::mem::take(&mut self.died) {
            // Before the next answer can reach anybody: what the dead one may have had.
            let dead = self.served()?;
            let killed_at = self.counts.last().map_or_else(Instant::now, |(at, _)| *at);
            let safe = self.counts.iter().rev().find(|(at, _)| *at + LOSS_WINDOW <= killed_at);
            self.windows.push(Window { safe: safe.map_or(0, |(_, count)| *count), dead });
        }
        match party {
            Party::Edge => self.edge.restart(),
            Party::Cloud => self.cloud.restart(),
            Party::Broker => self.broker.restart(),
        }
    }

    /// Notes how far the device is, so that the next window is narrow.
    pub(super) fn note(&mut self) -> Result<()> {
        self.served().map(drop)
    }

    fn served(&mut self) -> Result<u64> {
        let reads = self.simulator.counts(PUMP)?.reads;
        self.counts.push((Instant::now(), reads));
        Ok(reads)
    }

    /// Until the cloud has all that was served when this was called.
    pub(super) fn arrives(&mut self) -> Result<()> {
        let goal = self.served()?;
        until(&format!("value {goal} in the cloud"), PATIENCE, || {
            Ok(self.reads()?.iter().max().filter(|last| **last >= goal).map(drop))
        })
    }

    /// Nothing that has arrived so far is lost or doubled.
    pub(super) fn check(&mut self) -> Result<()> {
        let values = self.reads()?;
        let served = values.iter().max().copied().unwrap_or(0);
        sound(&Tally::of(&values, served, &self.windows)).map(drop)
    }

    /// Stops everything in order and counts.
    pub(super) fn settle(mut self) -> Result<Tally> {
        self.arrives()?;
        self.edge.stop()?;
        let served = self.served()?;
        self.simulator.silence(PUMP, true)?;
        self.edge.restart()?;
        // The very last answer may have been on the wire when the edge was asked to stop.
        until("the drained rest in the cloud", PATIENCE, || {
            Ok(self.reads()?.iter().max().filter(|last| **last + 1 >= served).map(drop))
        })?;
        sound(&Tally::of(&self.reads()?, served, &self.windows))
    }

    /// Every value of `reads` in the cloud, as the cloud tells them.
    fn reads(&self) -> Result<Vec<u64>> {
        let path = format!("/v1/signals/{}.{PUMP}.reads/samples", self.gateway);
        let reply = self.api.get_as(&path, "application/x-ndjson")?;
        if reply.status == 404 {
            return Ok(Vec::new());
        }
        ensure!(reply.status == 200, "{path} was answered {}: {}", reply.status, reply.text);
        let values = reply.text.lines().map(|line| {
            let sample: Value = serde_json::from_str(line).context("a line of NDJSON")?;
            Ok(sample.get("value").and_then(Value::as_u64))
        });
        values.filter_map(Result::transpose).collect()
    }
}

/// The service tells samples in the order of their time of day, which a Welcome that took long puts
/// off by half of its way: what is out of that order is told, and not wrong.
fn sound(tally: &Tally) -> Result<Tally> {
    ensure!([tally.lost, tally.duplicated] == [0, 0], "lost or doubled: {tally:?}");
    Ok(*tally)
}
