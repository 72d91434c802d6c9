//! The fence around `shared/`: pure crates, with the dependencies each may have and no other.

use crate::{check, modules, tree};

/// Each crate of `shared/` with the outside crates it may name. One more is a decision, made here.
const ALLOWED: [(&str, &[&str]); 9] = [
    ("coap", &["coap-lite", "sha2", "thiserror"]),
    ("modbus", &["thiserror"]),
    ("model", &[]),
    ("pack", &["zstd-safe"]),
    ("protocol", &[]),
    ("ring", &["minicbor"]),
    // Documents that devices answer with; serde and serde_json parse slices here, and read nothing.
    ("rules", &["minicbor", "serde", "serde_json", "thiserror"]),
    ("script", &["mlua", "thiserror"]),
    ("wire", &["minicbor", "sha2", "thiserror"]),
];

/// What shared/ never touches. `shared/clippy.toml` knows calls; this knows whole modules.
const FORBIDDEN: [&str; 11] = [
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::sync::Mutex",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
];

#[test]
fn shared_depends_on_nothing_but_what_is_allowed() {
    let mut problems = Vec::new();
    for folder in tree::names_in(&tree::root().join("shared")) {
        let manifest = tree::read(&format!("shared/{folder}/Cargo.toml"));
        if manifest.is_empty() {
            continue;
        }
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == folder) else {
            problems.push(format!("shared/{folder}: not in the list of tests/tidy/fence.rs"));
            continue;
        };
        let foreign = modules::dependencies_of(&manifest)
            .into_iter()
            .filter(|name| !name.starts_with("fieldgate-") && !allowed.contains(&name.as_str()));
        problems.extend(foreign.map(|name| format!("shared/{folder}: `{name}`")));
    }
    check("dependencies that shared/ may not have", &problems);
}

#[test]
fn shared_has_no_io_no_clock_and_no_threads() {
    let mut problems = Vec::new();
    for source in tree::rust_sources().iter().filter(|source| source.path.starts_with("shared/")) {
        let code = source.product_code();
        for forbidden in FORBIDDEN {
            if code.contains(forbidden) {
                problems.push(format!("{}: `{forbidden}`", source.path));
            }
        }
    }
    check("what shared/ may not touch", &problems);
}
