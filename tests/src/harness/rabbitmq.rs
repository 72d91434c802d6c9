//! RabbitMQ with its MQTT plugin as an external broker: a node, an epmd and a home of its own, so
//! that no other RabbitMQ of the machine is touched.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use super::process::Process;
use super::wait::{free_port, until};

/// An Erlang node, a database and some two hundred modules, on two cores that others use too.
const START_AT_MOST: Duration = Duration::from_mins(2);

/// What the cloud logs in with.
pub const RABBITMQ_LOGIN: &str = "cloud:cloud-secret";

/// A broker that keeps its MQTT port over restarts and forgets everything else.
pub struct RabbitMq {
    process: Process,
    epmd: Process,
    epmd_port: u16,
    folder: PathBuf,
    port: u16,
}

impl RabbitMq {
    /// Starts one on this loopback port. Besides the cloud it knows these users and passwords.
    pub fn start(folder: &Path, port: u16, users: &[(String, String)]) -> Result<Self> {
        let folder = folder.join("rabbitmq");
        fs::create_dir_all(&folder).context("cannot create a folder for RabbitMQ")?;
        fs::write(folder.join("definitions.json"), definitions(users).to_string())?;
        fs::write(folder.join("enabled_plugins"), "[rabbitmq_mqtt].\n")?;
        fs::write(folder.join("rabbitmq.conf"), config(&folder, port))?;
        let epmd_port = free_port()?;
        let arguments = ["-port".to_owned(), epmd_port.to_string()];
        let local = ["-address".to_owned(), "127.0.0.1".to_owned()];
        let epmd =
            Process::start("epmd", Path::new("epmd"), arguments.into_iter().chain(local), &folder)?;
        let process = spawn(&folder, epmd_port)?;
        let mut broker = Self { process, epmd, epmd_port, folder, port };
        broker.wait_until_it_listens()?;
        Ok(broker)
    }

    /// `kill -9` of the node.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill_group()
    }

    /// Starts it again on the same port, with nothing of what it had stored.
    pub fn restart_empty(&mut self) -> Result<()> {
        fs::remove_dir_all(self.folder.join("mnesia")).context("cannot remove what it stored")?;
        self.process = spawn(&self.folder, self.epmd_port)?;
        self.wait_until_it_listens()
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let address = format!("127.0.0.1:{}", self.port);
        until("rabbitmq to listen", START_AT_MOST, || {
            self.process.must_run()?;
            self.epmd.must_run()?;
            Ok(TcpStream::connect(&address).ok().map(drop))
        })
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        // The script's child is the node; they share a group.
        self.process.kill_group().unwrap_or_default();
    }
}

fn spawn(folder: &Path, epmd_port: u16) -> Result<Process> {
    let at = |name: &str| folder.join(name).display().to_string();
    let variables = [
        ("HOME", folder.display().to_string()),
        ("ERL_EPMD_PORT", epmd_port.to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("RABBITMQ_NODENAME", format!("fieldgate{epmd_port}@localhost")),
        ("RABBITMQ_DIST_PORT", free_port()?.to_string()),
        ("RABBITMQ_NODE_PORT", free_port()?.to_string()),
        ("RABBITMQ_MNESIA_BASE", at("mnesia")),
        ("RABBITMQ_LOG_BASE", at("log")),
        ("RABBITMQ_LOGS", "-".to_owned()),
        ("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins")),
        // The machine's own settings are not ours.
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
    ];
    // The command in the path changes to the system's user and folder; this is what it calls.
    let program = Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
    let none: [&str; 0] = [];
    Process::start_with("rabbitmq", program, none, folder, variables)
}

fn config(folder: &Path, port: u16) -> String {
    format!(
        "listeners.tcp = none\nmqtt.listeners.tcp.1 = 127.0.0.1:{port}\n\
         mqtt.allow_anonymous = false\nload_definitions = {}\nlog.file = false\n\
         log.console = true\nlog.console.level = warning\n",
        folder.join("definitions.json").display()
    )
}

fn definitions(users: &[(String, String)]) -> serde_json::Value {
    let (cloud, secret) = RABBITMQ_LOGIN.split_once(':').expect("the constant has both");
    let all = users.iter().map(|(user, password)| (user.as_str(), password.as_str()));
    let all: Vec<(&str, &str)> = all.chain([(cloud, secret)]).collect();
    let user = |(name, password)| json!({ "name": name, "password": password, "tags": [] });
    let permission = |(name, _)| json!({ "user": name, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*" });
    json!({
        "users": all.iter().copied().map(user).collect::<Vec<_>>(),
        "vhosts": [{ "name": "/" }],
        "permissions": all.iter().copied().map(permission).collect::<Vec<_>>(),
    })
}
