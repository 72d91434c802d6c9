//! Gateways whose wall clock is unset, wrong or stepped: what they took in still gets its right time
//! in the cloud, in order and once.

use anyhow::{Context, Result, ensure};
use fieldgate_tests::harness::{Edge, FakeClock, now_millis, parse_moment, until};
use serde_json::Value;

use crate::rig::{PATIENCE, PUMP, Rig};

const YEAR: i64 = 365 * 86_400;
/// From now to the seventies.
const TO_1971: i64 = -55 * YEAR;
/// From now to 2099.
const TO_2099: i64 = 73 * YEAR;
/// How far a sample's time may be from the truth: the error of a Welcome on a loaded machine.
const EXACT_MS: i64 = 5_000;

/// Times of all samples of `reads`, oldest first; an error if one has none.
fn times(rig: &Rig) -> Result<Vec<i64>> {
    let path = format!("/v1/signals/{}.{PUMP}.reads/samples?unplaced=true", rig.gateway);
    let reply = rig.api.get_as(&path, "application/x-ndjson")?;
    ensure!(reply.status == 200, "{path} was answered {}: {}", reply.status, reply.text);
    let time = |line: &str| {
        let sample: Value = serde_json::from_str(line).context("a line of NDJSON")?;
        let at = sample.get("at").and_then(Value::as_str).context("a sample without a time")?;
        parse_moment(at)
    };
    reply.text.lines().map(time).collect()
}

fn system_clock(rig: &Rig) -> Result<String> {
    let status = rig.edge.status()?;
    let state = status.pointer("/clock/system").and_then(Value::as_str);
    state.map(str::to_owned).with_context(|| format!("no clock in {status}"))
}

fn becomes(rig: &Rig, wanted: &str) -> Result<()> {
    until(&format!("a system clock that is {wanted}"), PATIENCE, || {
        Ok((system_clock(rig)? == wanted).then_some(()))
    })
}

/// A gateway `wrong` seconds off from the start on, in which `then` happens; every sample of it must
/// have its right time in the end.
fn right_in_the_end(
    name: &str,
    wrong: i64,
    then: impl FnOnce(&mut Rig, &FakeClock) -> Result<()>,
) -> Result<()> {
    let began = now_millis();
    let mut clock = None;
    let mut rig = Rig::started_by(name, |scratch, config| {
        let fake = FakeClock::new(scratch.path(), wrong)?;
        let edge = Edge::start_by(scratch, config, &fake);
        clock = Some(fake);
        edge
    })?;
    let clock = clock.context("a clock")?;
    rig.polls(5)?;
    then(&mut rig, &clock)?;
    rig.polls(5)?;
    rig.arrives()?;
    let times = until("a time for every sample", PATIENCE, || Ok(times(&rig).ok()))?;
    let ended = now_millis();
    ensure!(times.is_sorted(), "out of order: {times:?}");
    let (first, last) = (times.first().copied(), times.last().copied());
    let span = began - EXACT_MS..ended + EXACT_MS;
    let inside = first.zip(last).is_some_and(|(a, b)| span.contains(&a) && span.contains(&b));
    ensure!(inside, "{first:?} to {last:?} is not in {span:?}");
    rig.settle()?;
    Ok(())
}

#[test]
fn a_gateway_that_boots_in_1971_reaches_its_cloud_and_learns_the_time() -> Result<()> {
    right_in_the_end("boots-in-1971", TO_1971, |rig, clock| {
        ensure!(system_clock(rig)? == "unset");
        rig.arrives()?;
        clock.set(0)?;
        becomes(rig, "believed")
    })
}

#[test]
fn steps_of_a_year_and_an_hour_and_a_clock_in_2099_move_no_sample() -> Result<()> {
    right_in_the_end("stepped", 0, |rig, clock| {
        rig.arrives()?;
        for wrong in [YEAR, -3_600, TO_2099, -YEAR] {
            clock.set(wrong)?;
            becomes(rig, if wrong == -YEAR { "unset" } else { "doubted" })?;
            rig.polls(5)?;
            rig.arrives()?;
        }
        clock.set(0)?;
        becomes(rig, "believed")
    })
}

#[test]
fn what_was_taken_in_2099_without_a_cloud_is_placed_when_the_cloud_is_back() -> Result<()> {
    right_in_the_end("alone-in-2099", TO_2099, |rig, _| {
        rig.cloud.kill()?;
        rig.kill_edge()?;
        rig.edge.restart()?;
        rig.polls(10)?;
        rig.cloud.restart()
    })
}
