//! `gateway`: the edge daemons that may connect.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Subcommand;
use fieldgate_model::{GatewayId, TenantId, UtcMillis};
use serde_json::json;

use super::output::{self, Failure, Output, talk};
use super::{Folder, actor, tenant_id};
use crate::auth;
use crate::clock::utc_now;
use crate::identity::{Credentials, Identity, new_secret, secret_hash};
use crate::listening::Listening;
use crate::show::rfc3339;
use crate::store::Store as _;

const EXAMPLES: &str = "\
Examples:
  fieldgate-cloud gateway add --tenant acme pump-house-3 --out credentials.toml
  fieldgate-cloud gateway add --tenant acme pump-house-3 --url mqtts://cloud.example.com:8883

Copy the file to the gateway; `fieldgate run` reads it. It holds the gateway's secret.";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Add a gateway and print its credentials file: this once, as only a hash is kept.
    #[command(after_help = EXAMPLES)]
    Add {
        /// Whose it is.
        #[arg(long, value_parser = tenant_id)]
        tenant: TenantId,
        /// Its label, one of a kind in its tenant.
        name: String,
        /// Write the credentials into this file, which must not exist.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// What it connects to; what `serve` listens on if not given.
        #[arg(long)]
        url: Option<String>,
    },
    /// Say that a gateway is the one it claims to be: its commands wait no longer.
    #[command(after_help = "\
Examples:
  fieldgate-cloud gateway list                        what is in doubt, and why
  fieldgate-cloud gateway readopt 3f9a0c1d2b4e5f60

twin: another box shows the same identity; give one of them credentials of its own first.
forked: the gateway found another history here than it holds; its disk was restored or copied.
journal_lost: it cannot tell which commands it has run; look at the devices first.")]
    Readopt {
        /// Its id.
        #[arg(value_parser = gateway_id)]
        id: GatewayId,
    },
    /// Shut a gateway out for good and close its open commands; what it has sent stays.
    #[command(after_help = "\
Examples:
  fieldgate-cloud gateway decommission 3f9a0c1d2b4e5f60")]
    Decommission {
        /// Its id.
        #[arg(value_parser = gateway_id)]
        id: GatewayId,
    },
    /// List gateways.
    List {
        /// Of this tenant alone.
        #[arg(long, value_parser = tenant_id)]
        tenant: Option<TenantId>,
    },
}

pub(super) fn run(verb: Verb, folder: &Folder, output: Output) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Add { tenant, name, out, url } => {
            add(folder, &tenant, &name, out.as_deref(), url, output)?;
        }
        Verb::Readopt { id } => {
            let times = folder.open_store()?.readopt(None, &id, &actor(), utc_now())?;
            talk(&format!("`{id}` hears of it within half a minute, if it is connected"));
            let value = json!({ "id": id.as_str(), "readopted": times });
            output.one(id.as_str(), &value)?;
        }
        Verb::Decommission { id } => {
            let closed = folder.open_store()?.decommission(None, &id, &actor(), utc_now())?;
            talk(&format!("`{id}` is shut out; {closed} open commands are closed"));
            let value = json!({ "id": id.as_str(), "commands_closed": closed });
            output.one(id.as_str(), &value)?;
        }
        Verb::List { tenant } => {
            let gateways = folder.open_store()?.gateways(tenant.as_ref())?;
            let rows: Vec<_> = gateways
                .into_iter()
                .map(|gateway| {
                    vec![
                        gateway.id.to_string(),
                        gateway.tenant.to_string(),
                        gateway.name,
                        gateway.last_seen_at.map(rfc3339).unwrap_or_default(),
                        gateway.software.unwrap_or_default(),
                        doubt(gateway.contested, gateway.doubt, gateway.decommissioned_at),
                    ]
                })
                .collect();
            let heads = ["id", "tenant", "name", "last_seen_at", "software", "doubt"];
            output.table(&heads, &rows)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is to be known before anybody commands it.
fn doubt(contested: bool, doubt: Option<String>, gone: Option<UtcMillis>) -> String {
    match (gone, contested) {
        (Some(at), _) => format!("decommissioned {}", rfc3339(at)),
        (None, true) => format!("contested: {}", doubt.unwrap_or_else(|| "twin".to_owned())),
        (None, false) => String::new(),
    }
}

fn gateway_id(text: &str) -> Result<GatewayId, String> {
    GatewayId::new(text).map_err(|error| error.to_string())
}

fn add(
    folder: &Folder,
    tenant: &TenantId,
    name: &str,
    out: Option<&Path>,
    url: Option<String>,
    output: Output,
) -> Result<(), Failure> {
    let mut store = folder.open_store()?;
    let (url, ca) = address(folder, url)?;
    let id = auth::random_hex::<8>().context("the system gives no random bytes")?;
    let gateway = GatewayId::new(id).context("hexadecimal digits are an id")?;
    let secret = new_secret();
    let hash = secret_hash(secret.as_bytes());
    let credentials = Credentials { gateway: gateway.clone(), secret, url, ca };
    // The file first: a gateway whose secret nobody has could never connect.
    if let Some(path) = out {
        write_private(path, &credentials.to_toml())
            .with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    if let Err(error) = store.add_gateway(tenant, &gateway, name, &hash, &actor(), utc_now()) {
        if let Some(path) = out {
            drop(std::fs::remove_file(path));
        }
        return Err(error.into());
    }
    match out {
        Some(path) => {
            talk(&format!("credentials are in `{}`", path.display()));
            let value = json!({ "id": gateway.as_str(), "name": name, "file": path });
            output.one(gateway.as_str(), &value)
        }
        None if output.json => output::json(&json!({
            "id": gateway.as_str(),
            "name": name,
            "secret": credentials.secret,
            "url": credentials.url,
            "ca": credentials.ca,
        })),
        None => output::text(&credentials.to_toml()),
    }
}

/// What the gateway connects to, and the authority that it pins.
fn address(folder: &Folder, url: Option<String>) -> Result<(String, String), Failure> {
    let listening = Listening::read(&folder.0)
        .context("cannot read where the service listens")?
        .unwrap_or_default();
    let url = url.or(listening.gateway_url).ok_or_else(|| {
        Failure::from(anyhow!("it is not known what gateways connect to"))
            .hint("start `fieldgate-cloud serve` once, or say it with `--url mqtts://HOST:8883`")
    })?;
    if !url.starts_with("mqtts://") && !url.starts_with("mqtt://") {
        let error = anyhow!("url `{url}` is neither `mqtts://` nor `mqtt://`");
        return Err(Failure::wrong_use(error));
    }
    let identity = Identity::open(&folder.0, &listening.public_names, utc_now())
        .context("cannot open the identity")?;
    Ok((url, identity.ca().to_owned()))
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
