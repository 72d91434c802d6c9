//! `serve`: the service itself.

use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::Folder;
use super::output::{self, Failure, Output, talk};
use crate::app::{self, Bound, Options, ServeError, Transport};
use crate::link::broker::BrokerAddress;

/// MQTT over TLS, by the IANA registry.
const MQTTS_DEFAULT: &str = "0.0.0.0:8883";

const EXAMPLES: &str = "\
Examples:
  fieldgate-cloud serve --data /var/lib/fieldgate-cloud --public-name cloud.example.com
  fieldgate-cloud serve --mqtt-plain 127.0.0.1:1883 --http 127.0.0.1:0 --json
  fieldgate-cloud serve --broker mqtts://cloud:secret@broker.example.com --broker-ca broker.pem

SIGTERM stops it within 5 seconds; being killed is as safe.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Where gateways connect, by TLS [default: 0.0.0.0:8883, unless another way is given].
    #[arg(long, value_name = "ADDRESS")]
    mqtt: Option<SocketAddr>,
    /// Where gateways connect without TLS.
    #[arg(long, value_name = "ADDRESS")]
    mqtt_plain: Option<SocketAddr>,
    /// Let plain listeners be reached from other machines: secrets cross the line readably.
    #[arg(long)]
    allow_plain: bool,
    /// Meet the gateways at an MQTT broker: `mqtt[s]://[USER:PASSWORD@]HOST[:PORT]`.
    #[arg(long, value_name = "URL", conflicts_with_all = ["mqtt", "mqtt_plain"],
          env = "FIELDGATE_CLOUD_BROKER", hide_env_values = true)]
    broker: Option<String>,
    /// PEM file of the broker's authority.
    #[arg(long, value_name = "FILE", requires = "broker")]
    broker_ca: Option<PathBuf>,
    /// Where API and console listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// What gateways connect to, where that is not what is listened on.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// A name or address of this machine, for its certificate; several may be given.
    #[arg(long, value_name = "NAME")]
    public_name: Vec<String>,
}

pub(super) fn run(
    arguments: Arguments,
    folder: Folder,
    output: Output,
) -> Result<ExitCode, Failure> {
    let options = options(arguments, folder)?;
    log_to_stderr();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async {
        let stop = stop_signal().context("cannot listen for signals")?;
        let announce = |bound: Bound| tell(bound, output);
        app::serve(&options, stop, announce).await.map_err(explain)
    })?;
    talk("stopped");
    Ok(ExitCode::SUCCESS)
}

fn options(arguments: Arguments, folder: Folder) -> Result<Options, Failure> {
    let plain = arguments.mqtt_plain.into_iter().chain([arguments.http]);
    let open = plain.into_iter().find(|address| !address.ip().is_loopback());
    if let (Some(address), false) = (open, arguments.allow_plain) {
        let error = anyhow!("`{address}` can be reached from other machines without TLS");
        return Err(Failure::wrong_use(error)
            .hint("put a TLS proxy before it, or insist with `--allow-plain`"));
    }
    let transport = if let Some(url) = arguments.broker {
        let address = BrokerAddress::parse(&url)
            .map_err(|error| Failure::wrong_use(anyhow::Error::from(error)))?;
        Transport::Broker { address, authority: arguments.broker_ca }
    } else {
        let tls = match (arguments.mqtt, arguments.mqtt_plain) {
            (None, None) => Some(MQTTS_DEFAULT.parse().context("a constant is an address")?),
            (tls, _) => tls,
        };
        Transport::Endpoint { tls, plain: arguments.mqtt_plain }
    };
    Ok(Options {
        data: folder.0,
        transport,
        http: arguments.http,
        public_url: arguments.public_url,
        public_names: arguments.public_name,
    })
}

/// `RUST_LOG` chooses, as everywhere; a terminal gets colours.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    if logger.try_init().is_err() {
        talk("logging was set up before");
    }
}

/// Done at SIGTERM or SIGINT.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Says where it listens: a person on stderr, a program in one line on stdout.
fn tell(bound: Bound, output: Output) {
    let text = |address: Option<SocketAddr>| address.map(|address| address.to_string());
    for (what, address) in [
        ("gateways, TLS:  ", text(bound.mqtts)),
        ("gateways, plain:", text(bound.mqtt_plain)),
        ("API and console:", Some(format!("http://{}", bound.http))),
    ] {
        if let Some(address) = address {
            talk(&format!("{what} {address}"));
        }
    }
    if output.json {
        let line = json!({
            "mqtt": text(bound.mqtts.or(bound.mqtt_plain)),
            "mqtts": text(bound.mqtts),
            "mqtt_plain": text(bound.mqtt_plain),
            "http": bound.http.to_string(),
        });
        if let Err(failure) = output::json(&line) {
            failure.report();
        }
    }
}

fn explain(error: ServeError) -> Failure {
    let hint = match &error {
        ServeError::Listen(..) => Some("another process may listen there; port 0 takes a free one"),
        ServeError::InUse(_) => Some("stop the other one, or give another folder with `--data`"),
        ServeError::Data { .. }
        | ServeError::Store(_)
        | ServeError::Readers(_)
        | ServeError::Identity(_)
        | ServeError::Broker(_)
        | ServeError::Ended(_) => None,
    };
    let failure = Failure::from(anyhow::Error::from(error));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
