//! Tables of promises: what they say is held by tests that exist.

use crate::{check, tree};

/// Documents of one table each, whose rows have the tests that hold them in their last column.
const COMPLAINTS: &str = "edge/docs/bad-lines.md";
const PLUGTEST: &str = "edge/docs/coap-plugtest.md";
const ATTACKS: &str = "cloud/docs/mqtt-attacks.md";

#[test]
fn every_complaint_is_held_by_tests_that_exist() {
    check(&format!("rows of {COMPLAINTS}"), &wrong(COMPLAINTS));
}

#[test]
fn every_attack_on_mqtt_is_held_by_tests_that_exist() {
    check(&format!("rows of {ATTACKS}"), &wrong(ATTACKS));
}

#[test]
fn every_plugtest_is_held_by_tests_that_exist() {
    check(&format!("rows of {PLUGTEST}"), &wrong(PLUGTEST));
    let text = tree::read(PLUGTEST);
    let is_there = |id: &String| text.contains(&format!("| {id} |"));
    let ids = [("CORE", 15), ("LINK", 2), ("BLOCK", 4), ("OBS", 5)].map(|(group, count)| {
        (1..=count).map(move |number| format!("TD_COAP_{group}_{number:02}"))
    });
    let missing: Vec<String> = ids.into_iter().flatten().filter(|id| !is_there(id)).collect();
    check(&format!("plugtests without a row in {PLUGTEST}"), &missing);
}

/// What is wrong with the rows of the table in a document.
fn wrong(document: &str) -> Vec<String> {
    let text = tree::read(document);
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let mut problems: Vec<String> = rows.iter().flat_map(|row| wrong_in(row)).collect();
    if rows.is_empty() {
        problems.push("it has no rows".to_owned());
    }
    problems
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
