//! Sessions of the command lines: stdout is data, stderr is talk, and the exit status says which.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fieldgate_tests::harness::{
    Cloud, CloudOptions, Ended, EventSource, Process, Scratch, Simulator, binary,
};
use serde_json::Value;

use crate::rig::{PUMP, alone};

/// What a stop is allowed, whatever is going on.
const STOP_AT_MOST: Duration = Duration::from_secs(5);

#[test]
fn help_and_version_are_data_and_good() -> Result<()> {
    let scratch = Scratch::new("fieldgate-help")?;
    for name in ["fieldgate", "fieldgate-cloud"] {
        for argument in ["--help", "--version"] {
            let ended = run(name, &[argument], scratch.path())?;
            ensure!(ended.status.success() && ended.stderr.is_empty(), "{name}: {ended:?}");
            ensure!(ended.stdout.contains(name), "{name} {argument}: {ended:?}");
        }
        let help = run(name, &["--help"], scratch.path())?.stdout;
        ensure!(help.contains("Examples:"), "{name} --help has no examples:\n{help}");
    }
    Ok(())
}

#[test]
fn wrong_use_is_talk_and_status_2() -> Result<()> {
    let scratch = Scratch::new("fieldgate-usage")?;
    let rows: [(&str, &[&str]); 5] = [
        ("fieldgate", &["no-such-verb"]),
        ("fieldgate", &["read"]),
        ("fieldgate", &["simulate", "no-such-profile"]),
        ("fieldgate-cloud", &["no-such-verb"]),
        ("fieldgate-cloud", &["gateway", "add"]),
    ];
    for (name, arguments) in rows {
        let ended = run(name, arguments, scratch.path())?;
        ensure!(ended.status.code() == Some(2), "{name} {arguments:?}: {ended:?}");
        ensure!(ended.stdout.is_empty(), "talk on stdout: {ended:?}");
        ensure!(ended.stderr.contains("error:"), "no error: {ended:?}");
    }
    Ok(())
}

#[test]
fn a_daemon_that_does_not_run_is_said_with_a_hint() -> Result<()> {
    let scratch = Scratch::new("fieldgate-no-daemon")?;
    let socket = scratch.path().join("s").display().to_string();
    let ended = run("fieldgate", &["status", "--socket", &socket], scratch.path())?;
    ensure!(ended.status.code() == Some(1), "{ended:?}");
    ensure!(ended.stderr.contains("error:") && ended.stderr.contains("hint:"), "{ended:?}");
    Ok(())
}

#[test]
fn profiles_are_listed_as_json() -> Result<()> {
    let scratch = Scratch::new("fieldgate-profiles")?;
    let text = run("fieldgate", &["profile", "list", "--json"], scratch.path())?.good("list")?;
    let list: Vec<Value> = serde_json::from_str(&text).context("not a JSON array")?;
    let pump = list.iter().find(|profile| profile.get("name") == Some(&PUMP.into()));
    let pump = pump.with_context(|| format!("no {PUMP} in {text}"))?;
    for key in ["name", "version", "title", "signals"] {
        ensure!(pump.get(key).is_some(), "no `{key}` in {pump}");
    }
    Ok(())
}

#[test]
fn completions_are_scripts() -> Result<()> {
    let scratch = Scratch::new("fieldgate-completions")?;
    for name in ["fieldgate", "fieldgate-cloud"] {
        for shell in ["bash", "zsh", "fish"] {
            let text = run(name, &["completions", shell], scratch.path())?.good(shell)?;
            ensure!(text.contains(name), "{name} {shell}: {text}");
        }
    }
    Ok(())
}

#[test]
fn status_says_what_is_wrong_and_a_stopped_gateway_is_gone_in_time() -> Result<()> {
    let scratch = Scratch::new("fieldgate-status")?;
    let simulator = Simulator::start("simulator", &[PUMP], scratch.path())?;
    let profile = "[profile]\nname = \"dut\"\nversion = 1\n[[signal]]\nname = \"reads\"\n\
                   read = \"hr:4\"\ntype = \"u32\"\n";
    let mut edge = alone(&scratch, simulator.listen(), profile, "")?;
    let status = edge.status()?;
    ensure!(status.to_string().contains("dut"), "{status}");
    let screen = edge.verb(&["status"])?;
    ensure!(screen.stdout.lines().count() <= 25, "more than a screen:\n{}", screen.stdout);
    edge.stop()
}

/// A viewer may stay for ever; the service must not stay with it.
#[test]
fn a_cloud_stops_in_time_while_somebody_watches() -> Result<()> {
    let scratch = Scratch::new("fieldgate-watched")?;
    let mut cloud = Cloud::start(&scratch, CloudOptions::default())?;
    cloud.add_tenant("acme")?;
    let credentials = scratch.path().join("credentials.toml");
    let gateway = cloud.add_gateway("acme", "g", "mqtts://127.0.0.1:8883", &credentials)?;
    let token = cloud.add_token("acme", "read", "viewer")?;
    let url = format!("{}/v1/gateways/{gateway}/live", cloud.http());
    let viewer = EventSource::open(&url, &token)?;
    let status = cloud.process().stop(STOP_AT_MOST)?;
    ensure!(status.success(), "the cloud ended with {status}");
    drop(viewer);
    cloud.restart()
}

fn run(name: &str, arguments: &[&str], folder: &Path) -> Result<Ended> {
    Process::run(&binary(name)?, arguments, folder)
}
