//! The tables of complaints and attacks: what they promise is held by tests that exist.

use crate::{check, tree};

/// Documents with a table whose rows name the tests that hold them in their last column.
const TABLES: [&str; 2] = ["edge/docs/bad-lines.md", "cloud/docs/mqtt-attacks.md"];

#[test]
fn every_row_is_held_by_tests_that_exist() {
    for table in TABLES {
        every_row_of(table);
    }
}

fn every_row_of(table: &str) {
    let text = tree::read(table);
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let mut problems: Vec<String> = rows.iter().flat_map(|row| wrong_in(row)).collect();
    if rows.is_empty() {
        problems.push("it has no rows".to_owned());
    }
    check(&format!("rows of {table}"), &problems);
}

/// What is wrong with the tests of a row.
fn wrong_in(row: &str) -> Vec<String> {
    let what = row.trim_start_matches('|').split('|').next().unwrap_or_default().trim();
    let last = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
    let tests: Vec<(&str, &str)> =
        last.split('`').filter_map(|quoted| quoted.split_once("::")).collect();
    let missing = tests.iter().filter(|(path, name)| !is_test(&tree::read(path), name));
    let missing = missing.map(|(path, name)| format!("{what}: there is no `{path}::{name}`"));
    let bare = tests.is_empty().then(|| format!("{what}: no test holds it"));
    missing.chain(bare).collect()
}

/// Whether `text` has a function of this name with the attribute of a test right above it.
fn is_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_it = |line: &str| {
        let line = line.trim_start_matches("async ");
        line.strip_prefix("fn ")
            .and_then(|rest| rest.split_once('('))
            .is_some_and(|its| its.0 == name)
    };
    let place = lines.iter().position(|line| is_it(line));
    let above = place.map(|place| lines.iter().take(place).rev());
    let mut attributes = above.into_iter().flatten().take_while(|line| line.starts_with("#["));
    attributes.any(|line| line.starts_with("#[test") || line.starts_with("#[tokio::test"))
}

#[test]
fn a_test_is_told_from_what_only_has_its_name() {
    let text = "#[test]\nfn one() {}\n\n    #[tokio::test(flavor = \"x\")]\n    #[ignore]\n    \
                async fn two() {}\nfn three() {}\n// fn four() {}\n";
    let found = ["one", "two", "three", "four", "on"].map(|name| is_test(text, name));
    assert_eq!(found, [true, true, false, false, false]);
}
