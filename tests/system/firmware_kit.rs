//! What the tests of the firmware examples share: an example's own gateway, joined to a cloud.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fieldgate_tests::harness::{Api, Cloud, CloudOptions, Edge, Scratch, repository, until};
use serde_json::{Value, json};

use crate::rig::PATIENCE;

/// The gateway that an example's `fieldgate.toml` describes, and the cloud above it. Fields are
/// dropped in this order.
pub(crate) struct Bench {
    pub(crate) edge: Edge,
    pub(crate) api: Api,
    gateway: String,
    _cloud: Cloud,
}

impl Bench {
    /// Starts the gateway of the example `name`, with each text of `changes` replaced in its
    /// configuration: what differs on this machine, such as a port. Each must be there.
    pub(crate) fn start(scratch: &Scratch, name: &str, changes: &[(&str, &str)]) -> Result<Self> {
        let example = repository().join("firmware-examples").join(name);
        let folder = scratch.folder("gateway")?;
        copy(&example.join("profiles"), &scratch.folder("gateway/profiles")?)?;
        let mut config = fs::read_to_string(example.join("fieldgate.toml"))
            .with_context(|| format!("`{name}` has no configuration"))?;
        for (from, to) in changes {
            ensure!(config.contains(from), "`{from}` is not in the configuration of `{name}`");
            config = config.replace(from, to);
        }
        let cloud = Cloud::start(scratch, CloudOptions::default())?;
        cloud.add_tenant("acme")?;
        let url = format!("mqtts://{}", cloud.mqtt());
        let credentials = folder.join("credentials.toml");
        let gateway = cloud.add_gateway("acme", "bench", &url, &credentials)?;
        let api = cloud.api(Some(&cloud.add_token("acme", "read command", "test")?));
        // A unix socket's path must be short.
        write!(
            config,
            "\n[cloud]\nurl = \"{url}\"\ncredentials = \"credentials.toml\"\n\n[socket]\npath = \"s\"\n"
        )?;
        let path = folder.join("fieldgate.toml");
        fs::write(&path, config).context("cannot write a configuration")?;
        let edge = Edge::start_with(&folder, &path, "gateway")?;
        Ok(Self { edge, api, gateway, _cloud: cloud })
    }

    /// The newest value of a signal of `device` in the cloud, once `is_it` says that it is the one.
    pub(crate) fn value(
        &self,
        device: &str,
        signal: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        until(&format!("`{signal}` in the cloud"), PATIENCE, || {
            let last = self.samples(device, signal)?.pop();
            Ok(last.filter(|value| is_it(value)))
        })
        .with_context(|| format!("{:?}", self.edge.status()))
    }

    /// All whole numbers of a signal in the cloud, as they came.
    pub(crate) fn values(&self, device: &str, signal: &str) -> Result<Vec<u64>> {
        Ok(self.samples(device, signal)?.iter().filter_map(Value::as_u64).collect())
    }

    fn samples(&self, device: &str, signal: &str) -> Result<Vec<Value>> {
        let path = format!("/v1/signals/{}.{device}.{signal}/samples", self.gateway);
        let reply = self.api.get_as(&path, "application/x-ndjson")?;
        if reply.status == 404 {
            return Ok(Vec::new());
        }
        ensure!(reply.status == 200, "{path} was answered {}: {}", reply.status, reply.text);
        let samples = reply.text.lines().map(|line| {
            let sample: Value = serde_json::from_str(line).context("a line of NDJSON")?;
            Ok(sample.get("value").cloned().unwrap_or_default())
        });
        samples.collect()
    }

    /// Writes a signal of `device` by a command of the cloud, which must be done in the end.
    pub(crate) fn command(&self, device: &str, signal: &str, value: &Value) -> Result<()> {
        let body = json!({
            "gateway": self.gateway, "device": device, "signal": signal, "value": value,
            "verify": true,
        });
        let command = self.api.post("/v1/commands", &body)?.good("the command")?;
        let id = command.get("id").and_then(Value::as_str).context("a command has an id")?;
        let ended = until(&format!("the end of command {id}"), PATIENCE, || {
            let command = self.api.json(&format!("/v1/commands/{id}"))?;
            Ok((command.get("open") == Some(&Value::Bool(false))).then_some(command))
        })?;
        ensure!(ended.get("state") == Some(&json!("done")), "the command ended so: {ended}");
        Ok(())
    }
}

/// Whether a number is `expected`, but for the rounding of a scale.
pub(crate) fn is_about(value: &Value, expected: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - expected).abs() < 1e-6)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("no `{}`", from.display()))?;
    for entry in entries {
        let entry = entry.context("an entry of a folder")?;
        fs::copy(entry.path(), to.join(entry.file_name())).context("cannot copy a profile")?;
    }
    Ok(())
}
