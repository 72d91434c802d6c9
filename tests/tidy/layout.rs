//! What stands where: the top level, and the code map of ARCHITECTURE.md.

use std::collections::BTreeSet;

use crate::{check, modules, tree};

/// The top level, exactly.
const TOP_LEVEL: [&str; 17] = [
    ".cargo",
    ".ci",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "clippy.toml",
    "cloud",
    "deny.toml",
    "edge",
    "firmware-examples",
    "rustfmt.toml",
    "shared",
];

/// Build output and version control: there on a machine, not in the repository.
const NOT_OURS: [&str; 2] = [".git", "target"];

#[test]
fn the_top_level_holds_exactly_what_it_should() {
    let expected: BTreeSet<String> =
        TOP_LEVEL.iter().copied().chain(["tests"]).map(String::from).collect();
    let found: BTreeSet<String> = tree::names_in(&tree::root())
        .into_iter()
        .filter(|name| !NOT_OURS.contains(&name.as_str()))
        .collect();
    let problems: Vec<String> = found
        .difference(&expected)
        .map(|name| format!("`{name}` does not belong here"))
        .chain(expected.difference(&found).map(|name| format!("`{name}` is missing")))
        .collect();
    check("the top level", &problems);
}

#[test]
fn the_code_map_names_every_module() {
    let map = without_fences(&tree::read("ARCHITECTURE.md"));
    let problems: Vec<String> = modules::all()
        .into_iter()
        .filter(|module| !map.contains(&module.folder) && !map.contains(&module.name))
        .map(|module| format!("`{}` ({})", module.name, module.folder))
        .collect();
    check("modules that ARCHITECTURE.md does not name outside its `deps` block", &problems);
}

#[test]
fn every_path_that_the_documents_name_exists() {
    let mut problems = Vec::new();
    for document in ["ARCHITECTURE.md", "README.md"] {
        for path in paths_in(&tree::read(document)) {
            if !tree::root().join(&path).exists() {
                problems.push(format!("{document}: `{path}`"));
            }
        }
    }
    check("paths that do not exist", &problems);
}

/// `text` without its fenced blocks.
fn without_fences(text: &str) -> String {
    let mut inside = false;
    let mut out = String::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if !inside {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Paths of source files, in links and in back-ticks: what has an ending, or ends in `/`.
fn paths_in(text: &str) -> BTreeSet<String> {
    let separators = |c: char| c.is_whitespace() || "`()[]<>,;:#|\"'".contains(c);
    let roots = ["edge/", "cloud/", "shared/", "tests/", "firmware-examples/"];
    text.split(separators)
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| roots.iter().any(|root| word.starts_with(root)))
        .filter(|word| !word.contains(['*', '{', '…']))
        .filter(|word| word.ends_with('/') || word.contains('.'))
        .map(String::from)
        .collect()
}
