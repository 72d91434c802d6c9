//! `token`: what API callers present.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use fieldgate_model::{Millis, TenantId};
use serde_json::json;

use super::output::{Failure, Output, talk};
use super::{Folder, actor, tenant_id};
use crate::auth;
use crate::clock::utc_now;
use crate::show::rfc3339;
use crate::store::{NewToken, Scopes, Store as _};

const EXAMPLES: &str = "\
Examples:
  fieldgate-cloud token add --tenant acme --scopes read dashboard
  fieldgate-cloud token add --tenant acme --scopes 'read command' --days 90 control-room

Scopes: read (every GET), command (send commands), admin (tokens and gateways of the tenant),
management (other tenants).";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Add a token and print it: this once, as only its hash is kept.
    #[command(after_help = EXAMPLES)]
    Add {
        /// Whose it is.
        #[arg(long, value_parser = tenant_id)]
        tenant: TenantId,
        /// What it may do, separated by spaces.
        #[arg(long, default_value = "read")]
        scopes: Scopes,
        /// For how many days it is good; for ever if not given.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: Option<u32>,
        /// What it is for.
        name: String,
    },
    /// List tokens; their secrets are not kept.
    List {
        /// Of this tenant alone.
        #[arg(long, value_parser = tenant_id)]
        tenant: Option<TenantId>,
    },
    /// Revoke a token.
    Revoke {
        /// Whose it is.
        #[arg(long, value_parser = tenant_id)]
        tenant: TenantId,
        /// Its id, the middle part of `fgt_ID_SECRET`.
        id: String,
    },
}

pub(super) fn run(verb: Verb, folder: &Folder, output: Output) -> Result<ExitCode, Failure> {
    let mut store = folder.open_store()?;
    let now = utc_now();
    match verb {
        Verb::Add { tenant, scopes, days, name } => {
            let (id, text) = auth::new_token().context("the system gives no random bytes")?;
            let hash = auth::hash(&text);
            let expires_at = days.map(|days| now + Millis::from_secs(u64::from(days) * 86_400));
            let token = NewToken { id, tenant, name, hash, scopes, expires_at };
            store.add_token(&token, &actor(), now)?;
            talk("this is the only time that the token is shown");
            let value = json!({
                "id": token.id,
                "token": text,
                "tenant": token.tenant.as_str(),
                "name": token.name,
                "scopes": token.scopes.to_string(),
                "expires_at": token.expires_at.map(rfc3339),
            });
            output.one(&text, &value)?;
        }
        Verb::List { tenant } => {
            let tokens = store.tokens(tenant.as_ref())?;
            let rows: Vec<_> = tokens
                .into_iter()
                .map(|token| {
                    vec![
                        token.id,
                        token.tenant.to_string(),
                        token.name,
                        token.scopes.to_string(),
                        rfc3339(token.created_at),
                        token.expires_at.map(rfc3339).unwrap_or_default(),
                        token.revoked_at.map(rfc3339).unwrap_or_default(),
                    ]
                })
                .collect();
            let heads =
                ["id", "tenant", "name", "scopes", "created_at", "expires_at", "revoked_at"];
            output.table(&heads, &rows)?;
        }
        Verb::Revoke { tenant, id } => {
            store.revoke_token(&tenant, &id, &actor(), now)?;
            output.one(&id, &json!({ "id": id, "revoked": true }))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
