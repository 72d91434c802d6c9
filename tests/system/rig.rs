//! What most system tests start: a cloud, a tenant, a gateway, and a simulated pump behind it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fieldgate_tests::harness::{
    Api, Cloud, CloudOptions, Edge, EdgeConfig, Scratch, Simulator, Tally, Window, until,
};
use serde_json::{Value, json};

/// For anything that takes at most seconds on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Between polls and disk: `[buffer] flush`, one poll, and the answer on the wire.
const LOSS_WINDOW: Duration = Duration::from_millis(1000 + 200);

/// The simulated device, and its profile.
pub(crate) const PUMP: &str = "demo-pump";

/// One gateway in one cloud. Fields are dropped in this order: the folder goes last.
pub(crate) struct Rig {
    pub(crate) edge: Edge,
    pub(crate) simulator: Simulator,
    pub(crate) cloud: Cloud,
    pub(crate) api: Api,
    pub(crate) gateway: String,
    pub(crate) credentials: PathBuf,
    windows: Vec<Window>,
    counts: Vec<(Instant, u64)>,
    _scratch: Scratch,
}

/// What differs from test to test.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) options: CloudOptions,
    /// Where the gateway connects to; the cloud's own endpoint without it.
    pub(crate) url: Option<String>,
    /// Profiles of the gateway: file and text.
    pub(crate) profiles: Vec<(&'static str, String)>,
    /// The end of its configuration.
    pub(crate) rest: String,
}

impl Rig {
    /// A gateway that speaks to the cloud's own endpoint.
    pub(crate) fn start(name: &str) -> Result<Self> {
        Self::start_with(name, CloudOptions::default(), |_, cloud| {
            Ok(format!("mqtts://{}", cloud.mqtt()))
        })
    }

    /// A gateway that speaks to what `url` names.
    pub(crate) fn start_with(
        name: &str,
        options: CloudOptions,
        url: impl FnOnce(&Scratch, &Cloud) -> Result<String>,
    ) -> Result<Self> {
        let scratch = Scratch::new(&format!("fieldgate-{name}"))?;
        let cloud = Cloud::start(&scratch, options)?;
        let url = Some(url(&scratch, &cloud)?);
        Self::start_in(scratch, cloud, Parts { url, ..Parts::default() }, Edge::start)
    }

    /// A gateway that `start` starts.
    pub(crate) fn started_by(
        name: &str,
        start: impl FnOnce(&Scratch, &EdgeConfig) -> Result<Edge>,
    ) -> Result<Self> {
        let scratch = Scratch::new(&format!("fieldgate-{name}"))?;
        let cloud = Cloud::start(&scratch, CloudOptions::default())?;
        Self::start_in(scratch, cloud, Parts::default(), start)
    }

    /// A gateway with what the test wants.
    pub(crate) fn start_of(name: &str, parts: Parts) -> Result<Self> {
        let scratch = Scratch::new(&format!("fieldgate-{name}"))?;
        let cloud = Cloud::start(&scratch, parts.options.clone())?;
        Self::start_in(scratch, cloud, parts, Edge::start)
    }

    fn start_in(
        scratch: Scratch,
        cloud: Cloud,
        parts: Parts,
        start: impl FnOnce(&Scratch, &EdgeConfig) -> Result<Edge>,
    ) -> Result<Self> {
        let url = parts.url.unwrap_or_else(|| format!("mqtts://{}", cloud.mqtt()));
        cloud.add_tenant("acme")?;
        let folder = scratch.folder("gateway")?;
        let credentials = folder.join("credentials.toml");
        let gateway = cloud.add_gateway("acme", "pump-house", &url, &credentials)?;
        let token = cloud.add_token("acme", "read command", "test")?;
        for (file, text) in &parts.profiles {
            scratch.file(&format!("gateway/profiles/{file}"), text)?;
        }
        let simulator = Simulator::start("simulator", &[PUMP], &folder)?;
        let config = EdgeConfig {
            name: "gateway".to_owned(),
            cloud: Some((url, credentials.clone())),
            buses: vec![simulator.listen().to_owned()],
            devices: vec![(PUMP.to_owned(), PUMP.to_owned(), 1, 1, "200 ms".to_owned())],
            rest: parts.rest,
        };
        let edge = start(&scratch, &config)?;
        let api = cloud.api(Some(&token));
        let (windows, counts) = (Vec::new(), Vec::new());
        Ok(Self {
            edge,
            simulator,
            cloud,
            api,
            gateway,
            credentials,
            windows,
            counts,
            _scratch: scratch,
        })
    }

    /// What the gateway logs in with.
    pub(crate) fn secret(&self) -> Result<String> {
        let text = fs::read_to_string(&self.credentials).context("no credentials")?;
        let credentials: toml::Table = text.parse().context("the credentials are not TOML")?;
        let secret = credentials.get("secret").and_then(toml::Value::as_str);
        secret.map(str::to_owned).context("no secret in the credentials")
    }

    /// `fieldgate sync --json`.
    pub(crate) fn uplink(&self) -> Result<Value> {
        // A finding is no failure here.
        let ended = self.edge.verb(&["sync", "--json"])?;
        serde_json::from_str(&ended.stdout)
            .with_context(|| format!("sync said: {}{}", ended.stdout, ended.stderr))
    }

    /// Every value of `reads` in the cloud, as the cloud tells them.
    pub(crate) fn reads(&self) -> Result<Vec<u64>> {
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

    /// How often the device has been read.
    pub(crate) fn served(&mut self) -> Result<u64> {
        let reads = self.simulator.counts(PUMP)?.reads;
        self.counts.push((Instant::now(), reads));
        Ok(reads)
    }

    /// Until the device was read `more` times more. The cloud need not be there.
    pub(crate) fn polls(&mut self, more: u64) -> Result<()> {
        let goal = self.served()? + more;
        until("further polls", PATIENCE, || Ok((self.served()? >= goal).then_some(())))
    }

    /// Until the cloud has all that was served when this was called.
    pub(crate) fn arrives(&mut self) -> Result<()> {
        let goal = self.served()?;
        until(&format!("value {goal} in the cloud"), PATIENCE, || {
            Ok(self.reads()?.last().filter(|last| **last >= goal).map(drop))
        })
    }

    /// `kill -9` of the edge; notes what it may have taken.
    pub(crate) fn kill_edge(&mut self) -> Result<()> {
        let killed_at = Instant::now();
        self.edge.kill()?;
        let dead = self.served()?;
        let safe = self.counts.iter().rev().find(|(at, _)| *at + LOSS_WINDOW <= killed_at);
        let safe = safe.map_or(0, |(_, count)| *count);
        self.windows.push(Window { safe, dead });
        Ok(())
    }

    /// Stops everything in order and counts: nothing may be lost, doubled or out of order.
    pub(crate) fn settle(mut self) -> Result<Tally> {
        self.arrives()?;
        self.edge.stop()?;
        let served = self.served()?;
        self.simulator.silence(PUMP, true)?;
        self.edge.restart()?;
        // The very last answer may have been on the wire when the edge was asked to stop.
        until("the drained rest in the cloud", PATIENCE, || {
            Ok(self.reads()?.last().filter(|last| **last + 1 >= served).map(drop))
        })?;
        let tally = Tally::of(&self.reads()?, served, &self.windows);
        let bad = [tally.lost, tally.duplicated, tally.disordered];
        ensure!(bad == [0, 0, 0], "lost, doubled, out of order: {tally:?}");
        Ok(tally)
    }

    /// Submits a write of the pump's set-point and gives the command.
    pub(crate) fn command(&self, value: f64, more: &Value) -> Result<Value> {
        let mut body = json!({
            "gateway": self.gateway,
            "device": PUMP,
            "signal": "speed_setpoint",
            "value": value,
        });
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        self.api.post("/v1/commands", &body)?.good("the command")
    }

    /// Until a command is closed.
    pub(crate) fn closed(&self, command: &Value) -> Result<Value> {
        let id = text(command, "id")?;
        until(&format!("the end of command {id}"), PATIENCE, || {
            let command = self.api.json(&format!("/v1/commands/{id}"))?;
            let is_open = command.get("open").and_then(Value::as_bool);
            Ok((is_open == Some(false)).then_some(command))
        })
    }
}

/// A text member of an object.
pub(crate) fn text(object: &Value, key: &str) -> Result<String> {
    let text = object.get(key).and_then(Value::as_str);
    text.map(str::to_owned).with_context(|| format!("no `{key}` in {object}"))
}

/// An edge that works alone, with one device `dut` of a profile written for the test.
pub(crate) fn alone(scratch: &Scratch, bus: &str, profile: &str, rest: &str) -> Result<Edge> {
    let folder = scratch.folder("alone/profiles")?;
    fs::write(folder.join("dut.toml"), profile).context("cannot write a profile")?;
    let config = EdgeConfig {
        name: "alone".to_owned(),
        cloud: None,
        buses: vec![bus.to_owned()],
        devices: vec![("dut".into(), "dut".into(), 1, 1, "100 ms".into())],
        rest: rest.to_owned(),
    };
    Edge::start(scratch, &config)
}
