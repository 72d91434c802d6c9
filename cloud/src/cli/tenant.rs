//! `tenant`: the customers of this instance.

use std::process::ExitCode;

use clap::Subcommand;
use fieldgate_model::TenantId;
use serde_json::json;

use super::output::{Failure, Output};
use super::{Folder, actor, tenant_id};
use crate::clock::utc_now;
use crate::show::rfc3339;
use crate::store::{MANAGEMENT_TENANT, NewTenant, Store as _};

const EXAMPLES: &str = "\
Examples:
  fieldgate-cloud tenant add acme --name 'Acme Pumps'
  fieldgate-cloud tenant add acme-north --parent acme";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Add a tenant.
    #[command(after_help = EXAMPLES)]
    Add {
        /// Its id: 1 to 64 of `A-Z a-z 0-9 _ -`.
        #[arg(value_parser = tenant_id)]
        id: TenantId,
        /// What people call it; its id if not given.
        #[arg(long)]
        name: Option<String>,
        /// The tenant above it.
        #[arg(long, value_name = "TENANT", default_value = MANAGEMENT_TENANT,
              value_parser = tenant_id)]
        parent: TenantId,
    },
    /// List the tenants.
    List,
    /// Let nothing of a tenant in; its gateways keep their data.
    Suspend {
        /// The tenant.
        #[arg(value_parser = tenant_id)]
        id: TenantId,
    },
    /// Let a suspended tenant go on.
    Activate {
        /// The tenant.
        #[arg(value_parser = tenant_id)]
        id: TenantId,
    },
}

pub(super) fn run(verb: Verb, folder: &Folder, output: Output) -> Result<ExitCode, Failure> {
    let mut store = folder.open_store()?;
    match verb {
        Verb::Add { id, name, parent } => {
            let name = name.unwrap_or_else(|| id.to_string());
            let tenant = NewTenant { id, name, parent: Some(parent) };
            store.add_tenant(&tenant, &actor(), utc_now())?;
            let id = tenant.id.as_str();
            output.one(id, &json!({ "id": id, "name": tenant.name }))?;
        }
        Verb::List => {
            let rows: Vec<_> = store
                .tenants()?
                .into_iter()
                .map(|tenant| {
                    vec![
                        tenant.id.to_string(),
                        tenant.name,
                        tenant.parent.map(|parent| parent.to_string()).unwrap_or_default(),
                        rfc3339(tenant.created_at),
                        tenant.suspended_at.map(rfc3339).unwrap_or_default(),
                    ]
                })
                .collect();
            output.table(&["id", "name", "parent", "created_at", "suspended_at"], &rows)?;
        }
        Verb::Suspend { id } => set_suspended(&mut store, &id, true, output)?,
        Verb::Activate { id } => set_suspended(&mut store, &id, false, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn set_suspended(
    store: &mut crate::store::SqliteStore,
    id: &TenantId,
    suspended: bool,
    output: Output,
) -> Result<(), Failure> {
    store.set_suspended(id, suspended, &actor(), utc_now())?;
    output.one(id.as_str(), &json!({ "id": id.as_str(), "suspended": suspended }))
}
