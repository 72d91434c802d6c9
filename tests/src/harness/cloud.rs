//! `fieldgate-cloud` as a process, and its operator's verbs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::process::{Ended, Process};
use super::{Api, Scratch, binary};

/// A first start makes keys and a database; twice what a loaded two-core machine needs.
const START_AT_MOST: Duration = Duration::from_secs(30);

/// How a cloud is started.
#[derive(Debug, Clone, Default)]
pub struct CloudOptions {
    /// Further arguments of `serve`, such as `--broker URL`.
    pub arguments: Vec<String>,
}

/// A cloud with a data folder. It keeps its ports over restarts, as a real one would.
pub struct Cloud {
    process: Process,
    program: PathBuf,
    folder: PathBuf,
    options: CloudOptions,
    mqtt: String,
    http: String,
}

impl Cloud {
    /// Starts one with an empty data folder inside `scratch`.
    pub fn start(scratch: &Scratch, options: CloudOptions) -> Result<Self> {
        let program = binary("fieldgate-cloud")?;
        let folder = scratch.folder("cloud")?;
        let any = "127.0.0.1:0";
        let mut process = serve(&program, &folder, any, any, &options)?;
        let listens = process.first_json_line(START_AT_MOST)?;
        let address = |key: &str| -> Result<String> {
            let text = listens.get(key).and_then(serde_json::Value::as_str);
            let text = text.with_context(|| format!("`{key}` is not in {listens}"))?;
            Ok(text.rsplit('/').next().unwrap_or(text).to_owned())
        };
        let http = address("http")?;
        // With an external broker there is no endpoint of its own.
        let mqtt = address("mqtt").unwrap_or_default();
        Ok(Self { process, program, folder, options, mqtt, http })
    }

    /// `host:port` of its MQTT endpoint.
    pub fn mqtt(&self) -> &str {
        &self.mqtt
    }

    /// `http://host:port` of its API and console.
    pub fn http(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// A caller of its API.
    pub fn api(&self, token: Option<&str>) -> Api {
        Api::new(&self.http(), token)
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// SIGTERM; it drains and ends.
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop(START_AT_MOST).map(drop)
    }

    /// Starts it again on the same data and ports.
    pub fn restart(&mut self) -> Result<()> {
        let mqtt = if self.mqtt.is_empty() { "127.0.0.1:0" } else { &self.mqtt };
        self.process = serve(&self.program, &self.folder, mqtt, &self.http, &self.options)?;
        self.process.first_json_line(START_AT_MOST).map(drop)
    }

    /// Runs a verb against its data folder; flags are added at the end.
    pub fn verb(&self, arguments: &[&str]) -> Result<Ended> {
        let data = self.data().display().to_string();
        let all = arguments.iter().copied().chain(["--data", &data]);
        Process::run(&self.program, all, &self.folder)
    }

    /// Adds a tenant.
    pub fn add_tenant(&self, id: &str) -> Result<()> {
        self.verb(&["tenant", "add", id])?.good("tenant add").map(drop)
    }

    /// Adds a gateway that will reach the cloud at `url`; its credentials go to `out`. Gives its id.
    pub fn add_gateway(&self, tenant: &str, name: &str, url: &str, out: &Path) -> Result<String> {
        let path = out.display().to_string();
        let arguments = ["gateway", "add", "--tenant", tenant, name, "--url", url, "--out", &path];
        self.verb(&arguments)?.good("gateway add")?;
        let text = std::fs::read_to_string(out).context("the credentials were not written")?;
        let credentials: toml::Table = text.parse().context("the credentials are not TOML")?;
        let id = ["gateway", "id"].iter().find_map(|key| credentials.get(*key)?.as_str());
        id.map(str::to_owned).with_context(|| format!("no id in `{}`", out.display()))
    }

    /// Makes a token and gives its text.
    pub fn add_token(&self, tenant: &str, scopes: &str, name: &str) -> Result<String> {
        let arguments = ["token", "add", "--tenant", tenant, "--scopes", scopes, name];
        let text = self.verb(&arguments)?.good("token add")?;
        let mut words = text.split(|c: char| c.is_whitespace() || c == '"');
        let token = words.rfind(|word| word.starts_with("fgt_"));
        token.map(str::to_owned).with_context(|| format!("no token in: {text}"))
    }

    /// A one-time link to the console.
    pub fn console_link(&self, tenant: &str) -> Result<String> {
        let text = self.verb(&["console-link", "--tenant", tenant])?.good("console-link")?;
        let link = text.split_whitespace().find(|word| word.starts_with("http"));
        link.map(str::to_owned).with_context(|| format!("no link in: {text}"))
    }
}

fn serve(
    program: &Path,
    folder: &Path,
    mqtt: &str,
    http: &str,
    options: &CloudOptions,
) -> Result<Process> {
    let data = folder.join("data").display().to_string();
    let fixed = ["serve", "--data", &data, "--mqtt", mqtt, "--http", http, "--json"];
    let all = fixed.into_iter().chain(options.arguments.iter().map(String::as_str));
    Process::start("cloud", program, all, folder)
}
