//! `wire.cddl` speaks of every kind of message, and of what they consist of.

use fieldgate_wire::{DownKind, UpKind};

const CDDL: &str = include_str!("../../wire.cddl");

#[test]
fn every_kind_of_message_has_its_rule() {
    let kinds = UpKind::ALL.map(UpKind::as_str).into_iter();
    for kind in kinds.chain(DownKind::ALL.map(DownKind::as_str)) {
        assert!(defined(kind), "`{kind}` has no rule");
    }
    assert!(!defined("nothing"), "the test must be able to fail");
}

#[test]
fn every_rule_that_is_named_is_defined() {
    // RFC 8610, appendix D: the prelude.
    let prelude = ["uint", "int", "bool", "tstr", "bstr", "float32", "float64", "size", "le"];
    for line in CDDL.lines() {
        let rule = line.split(';').next().unwrap_or_default();
        let right = rule.split_once('=').map_or(rule, |(_, right)| right);
        for word in right.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')) {
            let is_name = word.starts_with(|c: char| c.is_ascii_lowercase());
            assert!(!is_name || prelude.contains(&word) || defined(word), "`{word}` in `{line}`");
        }
    }
}

fn defined(rule: &str) -> bool {
    CDDL.lines().any(|line| line.strip_prefix(rule).is_some_and(|rest| rest.starts_with(" = ")))
}
