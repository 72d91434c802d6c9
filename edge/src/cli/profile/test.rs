//! `fieldgate profile test`: whether profiles do what they say.

use std::path::Path;

use fieldgate_rules::profile::Profile;
use serde::Serialize;

use super::args::ProfileTestArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::format::{count, table};
use crate::cli::profile_tests;
use crate::cli::screen::{self, Talk};

/// How the tests of a profile went.
#[derive(Debug, Serialize)]
struct Tested {
    profile: String,
    tests: usize,
    failures: Vec<String>,
}

/// Runs the tests of the named profiles, or of all.
pub(super) fn test(
    config: &Path,
    args: &ProfileTestArgs,
    talk: &mut Talk,
) -> Result<Exit, Failure> {
    let library = super::library(config, args.profiles.as_deref())?;
    let mut tested = Vec::new();
    let mut exit = Exit::Good;
    if args.names.is_empty() {
        for (_, profile) in library.iter() {
            match profile {
                Ok(profile) => tested.push(run(profile)),
                Err(problems) => {
                    talk.problems(problems);
                    exit = Exit::Findings;
                }
            }
        }
    }
    for name in &args.names {
        tested.push(run(&*super::find(&library, name, talk)?));
    }
    if tested.iter().any(|tested| !tested.failures.is_empty()) {
        exit = Exit::Findings;
    }
    if args.json {
        screen::print_json(&tested)?;
        return Ok(exit);
    }
    let row = |tested: &Tested| {
        let outcome = match (tested.tests, tested.failures.len()) {
            (0, 0) => "none",
            (_, 0) => "passed",
            (_, _) => "FAILED",
        };
        vec![tested.profile.clone(), count(tested.tests, "test"), outcome.to_owned()]
    };
    screen::print(&table(tested.iter().map(row)))?;
    for Tested { profile, failures, .. } in &tested {
        for failure in failures {
            talk.say(&format!("{profile}: {failure}"));
        }
    }
    Ok(exit)
}

fn run(profile: &Profile) -> Tested {
    let failures = profile_tests::failures(profile);
    Tested { profile: profile.id(), tests: profile.tests.len(), failures }
}
