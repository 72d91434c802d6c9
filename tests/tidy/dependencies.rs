//! The dependency picture: the `deps` block of ARCHITECTURE.md against the code.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::modules::{self, Graph};
use crate::{check, tree};

#[test]
fn the_picture_in_the_architecture_is_the_code() {
    let crates = modules::crate_graph();
    let top_modules = modules::module_graph();
    let expected = picture(&crates) + &picture(&top_modules);
    let drawn = block(&tree::read("ARCHITECTURE.md"));

    let as_set = |text: &str| -> BTreeSet<String> {
        text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
    };
    let (in_code, in_picture) = (as_set(&expected), as_set(&drawn));
    let mut problems: Vec<String> = in_picture
        .difference(&in_code)
        .map(|line| format!("drawn, not so in the code:  {line}"))
        .chain(
            in_code.difference(&in_picture).map(|line| format!("in the code, not drawn:  {line}")),
        )
        .collect();
    if !problems.is_empty() {
        problems.push(format!("the block as the code has it:\n```deps\n{expected}```"));
    }
    check("the dependency picture", &problems);
}

#[test]
fn no_crate_and_no_module_stands_in_a_circle() {
    let problems: Vec<String> = [modules::crate_graph(), modules::module_graph()]
        .iter()
        .filter_map(modules::circle)
        .collect();
    check("circles", &problems);
}

/// The body of the fenced block named `deps`.
fn block(text: &str) -> String {
    text.lines()
        .skip_while(|line| line.trim_end() != "```deps")
        .skip(1)
        .take_while(|line| !line.starts_with("```"))
        .fold(String::new(), |block, line| block + line + "\n")
}

/// One line a node: `edge::sync -> edge::buffer, protocol`.
fn picture(graph: &Graph) -> String {
    let mut out = String::new();
    for (name, dependencies) in graph {
        let list: Vec<&str> = dependencies.iter().map(String::as_str).collect();
        let list = if list.is_empty() { "nothing".to_owned() } else { list.join(", ") };
        writeln!(out, "{name} -> {list}").expect("a string takes every write");
    }
    out
}
