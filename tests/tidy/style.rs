//! Rules that a file keeps or breaks by itself.

use crate::tree::{self, Source};
use crate::{check, code};

/// A file that no longer fits in a head is two files.
const LINES_MAX: usize = 400;
/// Tables of rows are easier to read in one piece.
const TEST_LINES_MAX: usize = 600;

/// In two pieces, so that this file does not break its own rule.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

#[test]
fn every_file_opens_with_what_it_is_for() {
    let problems: Vec<String> = tree::rust_sources()
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| format!("{}: the first line is not `//! …`", source.path))
        .collect();
    check("files without a module doc", &problems);
}

#[test]
fn every_file_is_short_enough_to_be_read_in_one_sitting() {
    let mut problems = Vec::new();
    for source in tree::rust_sources() {
        let (product, test) = source.line_counts();
        if product > LINES_MAX {
            problems.push(format!("{}: {product} lines, at most {LINES_MAX}", source.path));
        }
        if test > TEST_LINES_MAX {
            problems.push(format!("{}: {test} test lines, at most {TEST_LINES_MAX}", source.path));
        }
    }
    check("files that are too long", &problems);
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    check("`unwrap()` outside tests", &places(Source::product_code, &[".unwrap()"]));
}

#[test]
fn nothing_is_left_undone_or_ignored() {
    let words = ["todo!(", "unimplemented!(", "#[ignore"];
    check("unfinished or ignored", &places(all_code, &words));
    let notes = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    check("notes to oneself", &places(|source| source.text.clone(), &notes));
}

#[test]
fn every_silenced_lint_has_a_reason() {
    let mut problems = Vec::new();
    for source in tree::rust_sources() {
        let code = all_code(&source);
        for opening in ["[allow(", "[expect(", ", allow(", ", expect("] {
            for (at, _) in code.match_indices(opening) {
                let from = at + opening.len() - 1;
                let arguments = code::inside(code.get(from..).unwrap_or_default(), '(', ')');
                if !arguments.contains("reason") {
                    let line = code.get(..at).unwrap_or_default().lines().count();
                    problems.push(format!("{}:{line}: {opening}{arguments})", source.path));
                }
            }
        }
    }
    check("lints silenced without a reason", &problems);
}

#[test]
fn no_file_names_a_path_of_the_machine_it_was_written_on() {
    let mut problems = Vec::new();
    for source in tree::text_files() {
        for (number, line) in source.text.lines().enumerate() {
            if MACHINE_PATHS.iter().any(|path| line.contains(path)) {
                problems.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    check("absolute paths of a machine", &problems);
}

#[test]
fn anyhow_stays_in_the_command_line() {
    let of_a_shell = |path: &str| path.starts_with("edge/") || path.starts_with("cloud/");
    let of_the_cli = |path: &str| path.contains("/cli/") || path.ends_with("/main.rs");
    let problems: Vec<String> = tree::rust_sources()
        .iter()
        .filter(|source| of_a_shell(&source.path) && !of_the_cli(&source.path))
        .filter(|source| source.product_code().contains("anyhow::"))
        .map(|source| format!("{}: a stage has its own error enum", source.path))
        .collect();
    check("anyhow outside main.rs and cli/", &problems);
}

#[test]
fn sql_stays_with_the_modules_that_own_a_database() {
    let owners = [
        "cloud/src/store/",
        "cloud/tests/data/",
        "edge/tests/",
        "edge/src/buffer/",
        "edge/src/journal/",
        "tests/",
    ];
    let verbs = ["\"SELECT ", "\"INSERT ", "\"UPDATE ", "\"DELETE FROM ", "\"CREATE TABLE "];
    let problems: Vec<String> = tree::rust_sources()
        .iter()
        .filter(|source| !owners.iter().any(|owner| source.path.starts_with(owner)))
        .filter(|source| verbs.iter().any(|verb| source.text.contains(verb)))
        .map(|source| format!("{}: not one of {owners:?}", source.path))
        .collect();
    check("SQL outside the stores", &problems);
}

fn all_code(source: &Source) -> String {
    code::blank_comments_and_strings(&source.text)
}

/// `path:line: text` of every line that holds one of `words` in the chosen view of a file.
fn places(view: impl Fn(&Source) -> String, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for source in tree::rust_sources() {
        for (number, line) in view(&source).lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    found
}
