//! Tidy: the house style and the dependency picture, held by tests, so that neither can rot.

mod code;
mod dependencies;
mod fence;
mod held;
mod layout;
mod modules;
mod style;
mod tree;

/// Fails with every problem at once, one a line.
#[track_caller]
fn check(what: &str, problems: &[String]) {
    assert!(problems.is_empty(), "{what}:\n  {}\n", problems.join("\n  "));
}
