//! `console-link`: a link that opens the console once.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use fieldgate_model::{Millis, TenantId};
use serde_json::json;

use super::output::{Failure, Output, talk};
use super::{Folder, actor, tenant_id};
use crate::auth;
use crate::clock::utc_now;
use crate::listening::Listening;
use crate::show::rfc3339;
use crate::store::{NewConsoleLink, Scopes, Store as _};

/// Long enough to paste it, too short to be found in a history.
const VALID_FOR: Millis = Millis::from_secs(15 * 60);

const EXAMPLES: &str = "\
Examples:
  fieldgate-cloud console-link --tenant acme
  fieldgate-cloud console-link --tenant acme --scopes read";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Whose console it opens.
    #[arg(long, value_parser = tenant_id)]
    tenant: TenantId,
    /// What the session may do, separated by spaces.
    #[arg(long, default_value = "read command")]
    scopes: Scopes,
}

pub(super) fn run(
    arguments: &Arguments,
    folder: &Folder,
    output: Output,
) -> Result<ExitCode, Failure> {
    let mut store = folder.open_store()?;
    let listening = Listening::read(&folder.0).context("cannot read where the service listens")?;
    if listening.is_none() {
        talk("the service has not run on this data folder; its default address is assumed");
    }
    let base = listening.map_or_else(|| "http://127.0.0.1:8080".into(), |known| known.http_url);
    let secret = auth::random_hex::<32>().context("the system gives no random bytes")?;
    let now = utc_now();
    let link = NewConsoleLink {
        hash: auth::hash(&secret),
        tenant: arguments.tenant.clone(),
        scopes: arguments.scopes,
        expires_at: now + VALID_FOR,
    };
    store.add_console_link(&link, &actor(), now)?;
    talk(&format!("good once, until {}", rfc3339(link.expires_at)));
    let url = format!("{base}/console/login/{secret}");
    output.one(&url, &json!({ "url": url, "expires_at": rfc3339(link.expires_at) }))?;
    Ok(ExitCode::SUCCESS)
}
