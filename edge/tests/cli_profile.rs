//! `fieldgate profile`: what it shows, what it tests, and what it makes of other tools' files.

mod cli_kit;

use std::path::Path;

use cli_kit::Site;
use fieldgate_edge::config::Library;
use serde_json::Value as Json;

/// Devices that people own; the demo's own are beside them.
const REAL: [&str; 8] = [
    "abb-b23",
    "danfoss-fc51",
    "eastron-sdm120",
    "eastron-sdm630",
    "janitza-umg96rm",
    "schneider-iem3155",
    "waveshare-relay-8",
    "xy-md02",
];

fn json(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn every_profile_in_the_binary_loads_names_its_sources_and_passes_its_tests() {
    let library = Library::shipped();
    let mut names: Vec<&str> = Vec::new();
    for (name, profile) in library.iter() {
        let profile = profile.as_ref().unwrap_or_else(|problems| panic!("{problems:#?}"));
        names.push(name);
        assert!(!profile.tests.is_empty(), "{name} has no test");
        if !REAL.contains(&name.as_str()) {
            continue;
        }
        assert!(!profile.source.is_empty(), "{name} names no source");
        for signal in &profile.signals {
            assert!(!signal.origin.is_empty(), "{name}: {} names no source", signal.name);
            let tested = profile.tests.iter().any(|test| test.expect.contains_key(&signal.name));
            let is_relay = name == "waveshare-relay-8";
            assert!(tested || is_relay, "{name}: {} is in no test", signal.name);
        }
    }
    assert!(REAL.iter().all(|real| names.contains(real)), "{names:?}");
    let site = Site::new();
    let done = site.run(&["profile", "test", "--json"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let tested = json(&done.out);
    let tested = tested.as_array().expect("an array");
    assert_eq!(tested.len(), names.len());
    for profile in tested {
        assert_eq!(profile["failures"], Json::Array(Vec::new()), "{profile}");
    }
}

#[test]
fn a_profile_is_shown_with_both_notations_and_what_is_not_verified() {
    let site = Site::new();
    let done = site.run(&["profile", "show", "xy-md02"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    for word in
        ["ir:1 (3x0002)", "hr:259 (4x0260)", "x 0.1", "rw", "°C", "page 3", "2 signals known"]
    {
        assert!(done.out.contains(word), "{word}: {}", done.out);
    }
    let done = site.run(&["profile", "show", "xy-md02", "--json"]);
    let shown = json(&done.out);
    let verified: Vec<&Json> =
        shown["signals"].as_array().expect("signals").iter().map(|s| &s["verified"]).collect();
    assert_eq!(verified, [true, true, false, false]);
    assert_eq!(shown["signals"][0]["scale"], 0.1);
}

#[test]
fn a_test_that_fails_is_told_and_ends_with_1() {
    let site = Site::new();
    site.write(
        "bad.toml",
        "[profile]\nname = \"bad\"\nversion = 1\n[[signal]]\nname = \"a\"\nread = \"hr:0\"\n\
         type = \"u16\"\n[[test]]\nregisters = { \"hr:0\" = [7] }\nexpect = { a = 8 }\n",
    );
    let done = site.run(&["profile", "test", "./bad.toml", "xy-md02"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.out.contains("bad@1") && done.out.contains("FAILED"), "{done:?}");
    assert!(done.err.contains("`a` must be `8`, is `7`"), "{done:?}");
}

#[test]
fn every_wrong_address_and_overlap_of_a_profile_is_listed() {
    let site = Site::new();
    let signal = |name: &str, read: &str, kind: &str| {
        format!("[[signal]]\nname = \"{name}\"\nread = \"{read}\"\ntype = \"{kind}\"\n")
    };
    let text = format!(
        "[profile]\nname = \"bad\"\nversion = 1\n{}{}{}{}{}",
        signal("a", "hr:0", "u32"),
        signal("b", "hr:1", "f32"),
        signal("c", "hr:65535", "u32"),
        signal("d", "hr:70000", "u16"),
        signal("e", "7", "u16"),
    );
    site.write("bad.toml", &text);
    let done = site.run(&["profile", "show", "./bad.toml"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    for line in [8, 14, 18, 22] {
        assert!(done.err.contains(&format!("bad.toml:{line}:")), "line {line}: {}", done.err);
    }
}

#[test]
fn an_import_is_written_once_and_says_what_it_left_out() {
    let site = Site::new();
    site.write("list.csv", "name,address,type,colour\nvoltage,40001,f32,red\nodd,40003,u128,\n");
    let args = ["profile", "import", "--from", "csv", "list.csv", "-o", "meter.toml"];
    let done = site.run(&args);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.out, "", "{done:?}");
    assert!(done.err.contains("line 3: left out: `odd`"), "{done:?}");
    assert!(done.err.contains("line 1: not carried over: column `colour`"), "{done:?}");
    let profile = Library::read(&site.path("meter.toml")).expect("it loads");
    assert_eq!((profile.name.as_str(), profile.signals.len()), ("list", 1));
    let again = site.run(&args);
    assert_eq!(again.code, Some(2), "{again:?}");
    assert!(again.err.contains("hint: name another file"), "{again:?}");
    let done = site.run(&["profile", "import", "--from", "csv", "list.csv", "--json"]);
    assert_eq!(json(&done.out)["notes"].as_array().map(Vec::len), Some(2), "{done:?}");
    let done = site.run(&["profile", "import", "--from", "csv", "none.csv"]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(!Path::new("meter.toml").exists());
}
