//! `check`: looks over the data folder and says what is wrong with it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::Folder;
use super::output::{self, Failure, Output, talk};
use crate::clock::utc_now;
use crate::identity::Identity;
use crate::listening::Listening;
use crate::store::{DATABASE_FILE, SqliteStore, Store as _};

pub(super) fn run(folder: &Folder, output: Output) -> Result<ExitCode, Failure> {
    let findings = findings(&folder.0);
    let code = if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if output.json {
        output::json(&json!({ "findings": findings }))?;
        return Ok(code);
    }
    for finding in &findings {
        output::text(&format!("{finding}\n"))?;
    }
    talk(&match findings.len() {
        0 => format!("`{}` is in order", folder.0.display()),
        1 => "1 finding".to_owned(),
        more => format!("{more} findings"),
    });
    Ok(code)
}

fn findings(data: &Path) -> Vec<String> {
    let database = data.join(DATABASE_FILE);
    if !database.exists() {
        return vec![format!("there is no `{}`", database.display())];
    }
    let mut findings = Vec::new();
    for path in [data, &database] {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
                findings.push(format!("`{}` can be read by others", path.display()));
            }
            Ok(_) => {}
            Err(error) => findings.push(format!("`{}`: {error}", path.display())),
        }
    }
    match SqliteStore::open(&database) {
        Ok(mut store) => {
            match store.check() {
                Ok(damage) => findings.extend(damage),
                Err(error) => findings.push(format!("database cannot be checked: {error}")),
            }
            match store.gateways(None) {
                Ok(gateways) => findings.extend(
                    gateways
                        .into_iter()
                        .filter(|g| g.contested)
                        .map(|gateway| format!("identity of gateway `{}` is in doubt", gateway.id)),
                ),
                Err(error) => findings.push(format!("gateways cannot be read: {error}")),
            }
        }
        Err(error) => findings.push(format!("database cannot be opened: {error}")),
    }
    let names = match Listening::read(data) {
        Ok(listening) => listening.unwrap_or_default().public_names,
        Err(error) => {
            findings.push(format!("listening.toml cannot be read: {error}"));
            Vec::new()
        }
    };
    // Opening would make an identity where there is none: that is for `serve`.
    if data.join("identity").exists()
        && let Err(error) = Identity::open(data, &names, utc_now())
    {
        findings.push(format!("identity: {error}"));
    }
    findings
}
