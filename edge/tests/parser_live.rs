//! Parsers of a running gateway: a hostile one is disabled with an alarm and disturbs nobody, its
//! frames are replayed at the desk, and a new file is compared and taken.

mod cli_kit;

use std::time::Duration;

use cli_kit::{Daemon, Simulated, Site, eventually};
use serde_json::Value as Json;

/// Uses up its fuel on every frame.
const HOSTILE: &str = "return function(frame)\n  while true do end\nend\n";
/// Fails on every frame, without using up anything.
const BROKEN: &str = "return function(frame)\n  return { speed = frame.hr[999] + 1 }\nend\n";
/// Another scale than the good one.
const OTHER: &str = "return function(frame)\n  return { speed = reg.u16(frame.hr, 0) * 10 }\nend\n";
const GOOD: &str = "return function(frame)\n  return { speed = reg.u16(frame.hr, 0) }\nend\n";

const PROFILE: &str = r#"
[profile]
name = "odd-pump"
version = 1
title = "A pump with a parser"
source = "this test"
parser = "odd.luau"
parser_read = ["hr:0..1"]
[[signal]]
name = "speed"
from = "parser"
kind = "float64"
"#;

/// A gateway with a meter, and a pump whose parser is this one, both polled often.
fn site(parser: &str, address: &str) -> (Site, std::path::PathBuf) {
    let site = Site::new();
    std::fs::create_dir_all(site.path("profiles")).expect("our folder takes folders");
    site.write("profiles/odd-pump.toml", PROFILE);
    site.write("profiles/odd.luau", parser);
    let config = site.write(
        "site.toml",
        &format!(
            r#"
[gateway]
name = "site"
[buffer]
path = "data"
flush = "200 ms"
[[bus]]
name = "loop"
modbus_tcp = "{address}"
[[device]]
name = "meter"
profile = "demo-meter"
bus = "loop"
unit = 1
every = "100 ms"
[[device]]
name = "pump"
profile = "odd-pump"
bus = "loop"
unit = 2
every = "100 ms"
"#
        ),
    );
    (site, config)
}

fn status(site: &Site) -> Json {
    site.run(&["--config", "site.toml", "status", "--json"]).json()
}

fn alarms(site: &Site) -> Vec<String> {
    let status = status(site);
    let alarms = status["alarms"].as_array().cloned().unwrap_or_default();
    alarms.iter().filter_map(|alarm| alarm["alarm"].as_str().map(str::to_owned)).collect()
}

fn values_of(site: &Site, device: &str) -> Json {
    site.run(&["--config", "site.toml", "read", device, "--json"]).json()
}

#[test]
fn a_hostile_parser_is_disabled_with_an_alarm_until_it_is_reloaded() {
    let bench = Site::new();
    let simulated = Simulated::start(&bench, &["demo-meter", "demo-pump"]);
    let (site, config) = site(HOSTILE, &simulated.address);
    let _daemon = Daemon::start(&site, &config, "daemon.log");
    let reload = ["--config", "site.toml", "parser", "reload", "odd.luau"];

    eventually("the alarm is raised", || alarms(&site) == ["parser_disabled"]);
    // The alarm comes with the third overrun, the words with the frame that is not parsed any more.
    eventually("it is told why", || {
        status(&site)["wrong"].to_string().contains("disabled after three overruns in a row")
    });
    let polls = |name: &str| {
        let devices = status(&site)["devices"].clone();
        let devices = devices.as_array().expect("a list").clone();
        let device = devices.into_iter().find(|device| device["device"] == name);
        device.and_then(|device| device["good"].as_u64()).expect("it is polled")
    };
    let before = polls("meter");
    eventually("the meter is polled all the same", || polls("meter") > before + 5);

    // The frames that failed are there, and the file fails on them at the desk as well.
    let frames = site.path("frames.jsonl");
    let replay = ["--config", "site.toml", "parser", "replay"];
    let file = site.path("profiles/odd.luau");
    let file = file.to_str().expect("a path");
    let save = ["--save", frames.to_str().expect("a path"), "--json"];
    let done = site.run(&[&replay[..], &[file], &save].concat());
    assert_eq!(done.code, Some(1), "{done:?}");
    let first: Json =
        serde_json::from_str(done.out.lines().next().expect("a frame")).expect("JSON");
    assert!(first["error"].as_str().is_some_and(|why| why.contains("odd.luau` line 2")), "{first}");
    assert!(
        first["failed"].as_str().is_some_and(|why| why.contains("odd.luau` line 2")),
        "{first}"
    );

    // A corrected file: first at the desk over the same frames, then in the gateway.
    site.write("profiles/odd.luau", GOOD);
    let done =
        site.run(&[&replay[..], &[file, "--frames", frames.to_str().expect("a path")]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    let done = site.run(&[&reload[..], &["--json"]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.json()["reloaded"], true, "{done:?}");
    eventually("the alarm has gone", || alarms(&site).is_empty());
    eventually("there are values", || values_of(&site, "pump")["signals"][0]["quality"] == "good");

    // What differs is shown, what fails is refused and the present one stays.
    site.write("profiles/odd.luau", OTHER);
    let done = site.run(&reload);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("pump at ") && done.out.contains("speed"), "{done:?}");
    site.write("profiles/odd.luau", BROKEN);
    let done = site.run(&reload);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("`odd.luau` is refused, the present one stays"), "{done:?}");
    assert!(done.err.contains("`odd.luau` line 2: attempt to perform arithmetic"), "{done:?}");
    assert_eq!(values_of(&site, "pump")["signals"][0]["quality"], "good");
    let done = site.run(&[&reload[..], &["--force"]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    eventually("the forced one fails", || {
        values_of(&site, "pump")["signals"][0]["quality"] == "script"
    });
}

#[test]
fn a_parser_that_does_not_load_stops_nothing_and_can_be_replaced() {
    let bench = Site::new();
    let simulated = Simulated::start(&bench, &["demo-meter", "demo-pump"]);
    let (site, config) = site("return function(", &simulated.address);
    let mut daemon = Daemon::start(&site, &config, "daemon.log");
    let quality = |device: &str| values_of(&site, device)["signals"][0]["quality"].clone();
    eventually("the meter has values", || quality("meter") == "good");
    eventually("the pump says why not", || quality("pump") == "script");
    let done = site.run(&["--config", "site.toml", "parser", "reload", "odd.luau"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    site.write("profiles/odd.luau", GOOD);
    let done = site.run(&["--config", "site.toml", "parser", "reload", "odd.luau"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    eventually("the pump has values", || quality("pump") == "good");
    for (args, part) in [
        (["parser", "reload", "none.luau"], "cannot be read"),
        (["parser", "reload", "../site.toml"], "must be the name of a file"),
        (["parser", "replay", "none.luau"], "cannot read `none.luau`"),
    ] {
        let done = site.run(&[&["--config", "site.toml"][..], &args].concat());
        assert_ne!(done.code, Some(0), "{done:?}");
        assert!(done.err.contains(part), "{done:?}");
    }
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.wait().success());
}

/// How far the requests to the meter stood from 100 ms apart, in milliseconds: the half of them, and
/// the worst hundredth. From the bus itself.
fn jitter(site: &Site, window: Duration) -> (i64, i64) {
    let time = format!("{} s", window.as_secs());
    let args = ["--config", "site.toml", "trace", "loop", "--unit", "1", "--json", "--for", &time];
    let done = site.run(&args);
    let mut times: Vec<i64> = Vec::new();
    for line in done.out.lines() {
        let frame: Json = serde_json::from_str(line).expect("JSON");
        let at = frame["at"].as_str().expect("a time");
        let digits = |from, to| at.get(from..to).and_then(|text| text.parse::<i64>().ok());
        let number = |from, to| digits(from, to).expect("digits");
        let of_day = (number(11, 13) * 60 + number(14, 16)) * 60 + number(17, 19);
        let millis = of_day * 1000 + number(20, 23);
        // A poll of more than one request counts by its first.
        let is_new = times.last().is_none_or(|last| millis - last > 50);
        if frame["direction"] == "sent" && is_new {
            times.push(millis);
        }
    }
    let mut off: Vec<i64> = times.windows(2).map(|two| (two[1] - two[0] - 100).abs()).collect();
    off.sort_unstable();
    assert!(off.len() > 10, "{done:?}");
    (off[off.len() / 2], off[off.len() * 99 / 100])
}

#[test]
fn a_hostile_parser_beside_a_good_device_leaves_its_polling_untouched() {
    const WINDOW: Duration = Duration::from_secs(5);
    // Uses nearly all of its fuel on each frame and never overruns, so that it is never disabled.
    const GREEDY: &str = "return function(frame)\n  for i = 1, 49000 do end\n  for i = 1, 49000 do end\n  return { speed = 1 }\nend\n";
    let mut figures = Vec::new();
    for (name, parser) in
        [("without", GOOD), ("beside a greedy", GREEDY), ("beside a hostile", HOSTILE)]
    {
        let bench = Site::new();
        let simulated = Simulated::start(&bench, &["demo-meter", "demo-pump"]);
        let (site, config) = site(parser, &simulated.address);
        let _daemon = Daemon::start(&site, &config, "daemon.log");
        eventually("the meter has values", || {
            values_of(&site, "meter")["signals"][0]["quality"] == "good"
        });
        let (half, worst) = jitter(&site, WINDOW);
        figures.push(format!("{name}: p50 {half} ms, p99 {worst} ms"));
        let meter = status(&site)["devices"][0].clone();
        assert_eq!(meter["no_answer"], 0, "{meter}");
    }
    // Figures for whoever runs the tests; a loaded machine moves them all alike.
    drop(std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!("polling of a good device every 100 ms, jitter {}\n", figures.join("; ")),
    ));
}
