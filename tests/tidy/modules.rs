//! The crates and top modules as the code has them: who names whom.

use std::collections::{BTreeMap, BTreeSet};

use crate::{code, tree};

/// The crates whose top modules are part of the picture.
const SHELLS: [&str; 2] = ["edge", "cloud"];

/// A name and the names it depends on.
pub(crate) type Graph = BTreeMap<String, BTreeSet<String>>;

/// One top module of a shell.
pub(crate) struct Module {
    /// `edge::sync`.
    pub(crate) name: String,
    /// `edge/src/sync`.
    pub(crate) folder: String,
}

/// The top modules of both shells.
pub(crate) fn all() -> Vec<Module> {
    let module = |shell: &'static str| {
        move |name: String| Module {
            folder: format!("{shell}/src/{name}"),
            name: format!("{shell}::{name}"),
        }
    };
    SHELLS.into_iter().flat_map(|shell| names(shell).into_iter().map(module(shell))).collect()
}

/// Who names whom between crates, from the manifests. `fieldgate-` is left out.
pub(crate) fn crate_graph() -> Graph {
    let mut graph = Graph::new();
    for source in tree::text_files() {
        let Some(folder) = source.path.strip_suffix("/Cargo.toml") else { continue };
        if folder.starts_with("firmware-examples") {
            continue;
        }
        let own = dependencies_of(&source.text)
            .into_iter()
            .filter_map(|name| name.strip_prefix("fieldgate-").map(String::from))
            .collect();
        let name = folder.rsplit('/').next().unwrap_or(folder);
        graph.insert(name.to_owned(), own);
    }
    graph
}

/// The names under `[dependencies]` and its relatives in the manifest `text`.
pub(crate) fn dependencies_of(text: &str) -> BTreeSet<String> {
    let manifest: toml::Table = text.parse().expect("cargo could read this manifest");
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|table| manifest.get(table)?.as_table())
        .flat_map(|table| table.keys().cloned())
        .collect()
}

/// Which top module names which, and which crates of shared/ each one names.
pub(crate) fn module_graph() -> Graph {
    let mut graph = Graph::new();
    for shell in SHELLS {
        let known = names(shell);
        let prefix = format!("{shell}/src/");
        for source in tree::rust_sources() {
            let Some(path) = source.path.strip_prefix(&prefix) else { continue };
            let (name, is_top) = match path.split_once('/') {
                Some((folder, _)) => (folder, false),
                None => (path.trim_end_matches(".rs"), true),
            };
            if !known.contains(name) {
                continue;
            }
            let code = source.product_code();
            let mut named = after(&code, "crate::");
            if is_top {
                named.extend(after(&code, "super::"));
            }
            let own = named.into_iter().filter(|other| known.contains(other) && other != name);
            let edges = graph.entry(format!("{shell}::{name}")).or_default();
            edges.extend(own.map(|other| format!("{shell}::{other}")));
            edges.extend(shared_crates(&code));
        }
    }
    graph
}

/// One circle of `graph`, as `a -> b -> a`.
pub(crate) fn circle(graph: &Graph) -> Option<String> {
    let mut clear = BTreeSet::new();
    for start in graph.keys() {
        let mut trail = Vec::new();
        if visit(graph, start, &mut trail, &mut clear) {
            return Some(trail.join(" -> "));
        }
    }
    None
}

fn visit<'a>(
    graph: &'a Graph,
    at: &'a str,
    trail: &mut Vec<&'a str>,
    clear: &mut BTreeSet<&'a str>,
) -> bool {
    if clear.contains(at) {
        return false;
    }
    let seen = trail.contains(&at);
    trail.push(at);
    if seen {
        return true;
    }
    if graph.get(at).is_some_and(|next| next.iter().any(|name| visit(graph, name, trail, clear))) {
        return true;
    }
    trail.pop();
    clear.insert(at);
    false
}

/// The modules that `lib.rs` of a shell declares.
fn names(shell: &str) -> BTreeSet<String> {
    let lib = code::blank_comments_and_strings(&tree::read(&format!("{shell}/src/lib.rs")));
    lib.lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .map(String::from)
        .collect()
}

/// The first name after each `prefix` in `code`, each of them where a group `{a, b::c}` follows.
fn after(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        // `$crate::` and `super::crate::` name no module of ours.
        let rest = code.get(at + prefix.len()..).unwrap_or_default();
        if rest.starts_with('{') {
            found.extend(heads(code::inside(rest, '{', '}')));
        } else {
            found.extend(word(rest));
        }
    }
    found
}

/// The first name of each item of a use group, deeper groups left aside.
fn heads(group: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let items = group.split(move |c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    items.filter_map(|item| word(item.trim_start())).collect()
}

fn word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

fn shared_crates(code: &str) -> BTreeSet<String> {
    code.match_indices("fieldgate_")
        .filter_map(|(at, prefix)| word(code.get(at + prefix.len()..)?))
        .collect()
}

#[test]
fn a_use_group_names_each_of_its_heads() {
    let code = "use crate::{\n    buffer::{Buffer, sync},\n    clock,\n};\nlet x = crate::journal::open();";
    let found: Vec<String> = after(code, "crate::").into_iter().collect();
    assert_eq!(found, ["buffer", "clock", "journal"]);
}

#[test]
fn a_circle_is_found_and_shown() {
    let edge = |from: &str, to: &str| (from.to_owned(), BTreeSet::from([to.to_owned()]));
    let graph = Graph::from([edge("a", "b"), edge("b", "c"), edge("c", "a")]);
    assert_eq!(circle(&graph).as_deref(), Some("a -> b -> c -> a"));
    assert_eq!(circle(&Graph::from([edge("a", "b"), edge("b", "c")])), None);
}
