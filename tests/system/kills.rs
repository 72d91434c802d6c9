//! `kill -9`, cut lines and long outages: nothing that was flushed is lost, nothing is doubled.

use anyhow::{Result, ensure};
use fieldgate_tests::harness::{CloudOptions, Line};
use serde_json::{Value, json};

use crate::rig::{PUMP, Rig, text};

/// A few seconds of polls: more than one batch.
const SOME: u64 = 20;

#[test]
fn a_cloud_killed_in_mid_traffic_loses_and_doubles_nothing() -> Result<()> {
    let mut rig = Rig::start("cloud-kill")?;
    for _ in 0..rounds() {
        rig.polls(SOME)?;
        rig.cloud.kill()?;
        rig.polls(SOME)?;
        rig.cloud.restart()?;
        rig.arrives()?;
    }
    let tally = rig.settle()?;
    ensure!(tally.unflushed == 0, "nobody killed the edge: {tally:?}");
    Ok(())
}

#[test]
fn an_edge_killed_in_mid_traffic_loses_at_most_its_window() -> Result<()> {
    let mut rig = Rig::start("edge-kill")?;
    for _ in 0..rounds() {
        rig.polls(SOME)?;
        rig.kill_edge()?;
        rig.edge.restart()?;
        rig.polls(SOME)?;
        rig.arrives()?;
    }
    rig.settle().map(drop)
}

#[test]
fn both_killed_in_an_outage_lose_at_most_the_window_of_the_edge() -> Result<()> {
    let mut rig = Rig::start("both-kill")?;
    rig.polls(SOME)?;
    rig.cloud.kill()?;
    rig.polls(SOME)?;
    rig.kill_edge()?;
    rig.edge.restart()?;
    rig.polls(SOME)?;
    rig.cloud.restart()?;
    rig.settle().map(drop)
}

#[test]
fn a_line_cut_while_both_ends_live_loses_and_doubles_nothing() -> Result<()> {
    let mut line = None;
    let mut rig = Rig::start_with("line", CloudOptions::default(), |scratch, cloud| {
        let relay = Line::start(scratch.path(), cloud.mqtt())?;
        let url = format!("mqtts://{}", relay.address());
        line = Some(relay);
        Ok(url)
    })?;
    for _ in 0..rounds() {
        rig.polls(SOME)?;
        line.as_mut().map_or(Ok(()), Line::cut)?;
        rig.polls(SOME)?;
        line.as_mut().map_or(Ok(()), Line::mend)?;
        rig.arrives()?;
    }
    let tally = rig.settle()?;
    ensure!(tally.unflushed == 0, "nobody killed the edge: {tally:?}");
    Ok(())
}

#[test]
fn a_command_is_executed_once_however_often_it_is_asked_for() -> Result<()> {
    let mut rig = Rig::start("command-once")?;
    rig.arrives()?;
    let before = rig.simulator.counts(PUMP)?.writes;
    let command = rig.closed(&rig.command(1300.0, &json!({"verify": true}))?)?;
    ensure!(text(&command, "state")? == "done", "{command}");
    ensure!(command.get("read_back") == Some(&json!(1300)), "{command}");
    // Everything that could make it run again.
    rig.cloud.kill()?;
    rig.kill_edge()?;
    rig.cloud.restart()?;
    rig.edge.restart()?;
    rig.polls(SOME)?;
    rig.arrives()?;
    let writes = rig.simulator.counts(PUMP)?.writes - before;
    ensure!(writes == 1, "the register was written {writes} times");
    rig.settle().map(drop)
}

#[test]
fn a_command_whose_time_passes_while_the_gateway_is_away_is_never_executed() -> Result<()> {
    let mut rig = Rig::start("command-late")?;
    rig.arrives()?;
    let before = rig.simulator.counts(PUMP)?.writes;
    rig.kill_edge()?;
    let command = rig.command(1400.0, &json!({"ttl": "2s"}))?;
    rig.edge.restart()?;
    rig.polls(SOME)?;
    rig.arrives()?;
    let state = text(&rig.closed(&command)?, "state")?;
    let writes = rig.simulator.counts(PUMP)?.writes - before;
    // It may have come back in time; what it says is what it did.
    let expected = u64::from(state == "done");
    ensure!(["done", "expired"].contains(&state.as_str()), "it ended as `{state}`");
    ensure!(writes == expected, "`{state}`, and written {writes} times");
    Ok(())
}

#[test]
fn an_alarm_raised_in_an_outage_is_in_the_cloud_afterwards() -> Result<()> {
    let mut rig = Rig::start("alarm-outage")?;
    rig.arrives()?;
    rig.cloud.kill()?;
    rig.simulator.pin_register(PUMP, "hr:2", 100)?;
    rig.polls(SOME)?;
    rig.simulator.pin_register(PUMP, "hr:2", 325)?;
    rig.polls(SOME)?;
    rig.cloud.restart()?;
    rig.arrives()?;
    let page = rig.api.json("/v1/alarms")?;
    let alarms = page.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let low = alarms.iter().find(|alarm| alarm.get("value").and_then(Value::as_f64) >= Some(3.0));
    ensure!(low.is_some_and(|alarm| alarm.get("state") == Some(&json!("normal"))), "{page}");
    rig.settle().map(drop)
}

/// More of the same where there is time for it.
fn rounds() -> usize {
    if std::env::var_os("FIELDGATE_LONG").is_some() { 20 } else { 2 }
}
