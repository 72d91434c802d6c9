//! The story, chapter by chapter. Each waits for what it tells; one that cannot be told says why.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::options::Options;
use super::screen::Screen;
use super::stop::Stop;
use super::tenant::Tenant;
use super::world::{Waited, World};

/// Anything that takes longer than this on one machine is broken.
const STEP_AT_MOST: Duration = Duration::from_mins(1);

/// A voltage above the meter's limit of 253 V, and one below it.
const TOO_HIGH: f64 = 261.0;
const FINE: f64 = 230.0;

/// How long the killed edge stays dead.
const EDGE_DEAD_FOR: Duration = Duration::from_secs(1);

/// Tells all of it. Somebody who asks to stop is heard between two looks.
pub(crate) fn tell(
    world: &mut World,
    screen: &mut Screen,
    options: &Options,
    stop: &Stop,
) -> Result<()> {
    let started = Instant::now();
    let mut story = Story { world, screen, stop };
    let chapters: [fn(&mut Story<'_>, Duration) -> Result<Waited>; 5] =
        [arrive, raise_an_alarm, write_a_set_point, kill_the_cloud, write_a_set_point];
    for chapter in chapters {
        if chapter(&mut story, options.outage())? == Waited::Stopped {
            return story.screen.say("Asked to stop.");
        }
    }
    let link = story.world.cloud.console_link("harbour").context("no console link")?;
    story.screen.say(&format!("Console of tenant `harbour` (opens once): {link}"))?;
    if let Some(length) = options.length {
        let end = started + length;
        story.wait("the end", length + STEP_AT_MOST, |_| Ok(Instant::now() >= end))?;
    } else {
        story.say("Everything keeps running. Ctrl-C ends it and counts the samples.")?;
        story.wait("Ctrl-C", Duration::from_hours(24 * 365), |_| Ok(false))?;
    }
    Ok(())
}

struct Story<'a> {
    world: &'a mut World,
    screen: &'a mut Screen,
    stop: &'a Stop,
}

impl Story<'_> {
    fn say(&mut self, text: &str) -> Result<()> {
        self.screen.say(text)
    }

    fn wait(
        &mut self,
        what: &str,
        at_most: Duration,
        condition: impl FnMut(&mut World) -> Result<bool>,
    ) -> Result<Waited> {
        self.world.wait(self.screen, self.stop, what, at_most, condition)
    }
}

fn arrive(story: &mut Story<'_>, _: Duration) -> Result<Waited> {
    story.say("Polling. The first samples are on their way to the cloud …")?;
    let waited = story.wait("samples of both gateways in the cloud", STEP_AT_MOST, |world| {
        Ok(world.tenants.iter().all(|tenant| tenant.in_cloud() >= 3))
    })?;
    if waited == Waited::Done {
        let names = story.world.tenants[0].items("/v1/gateways")?;
        ensure!(
            names.len() == 1,
            "tenant `harbour` sees {} gateways, not its own one",
            names.len()
        );
        story.say("Both are in the cloud; each tenant sees its own gateway and no other")?;
    }
    Ok(waited)
}

fn raise_an_alarm(story: &mut Story<'_>, _: Duration) -> Result<Waited> {
    let device = story.world.tenants[0].plan.device;
    story.say(&format!("Mains voltage rises to {TOO_HIGH} V. The limit is 253 V for 2 s …"))?;
    story.world.tenants[0].simulator.pin(device, "voltage_l1", TOO_HIGH)?;
    let mut message = String::new();
    let waited = story.wait("the alarm in the cloud", STEP_AT_MOST, |world| {
        let active = world.tenants[0].items("/v1/alarms?state=active")?;
        let text = active.first().and_then(|alarm| alarm.get("message")).and_then(Value::as_str);
        text.unwrap_or_default().clone_into(&mut message);
        Ok(!active.is_empty())
    })?;
    if waited == Waited::Stopped {
        return Ok(waited);
    }
    story.say(&format!("Alarm, decided on the gateway: {message}"))?;
    let device = story.world.tenants[0].plan.device;
    story.world.tenants[0].simulator.pin(device, "voltage_l1", FINE)?;
    let waited = story.wait("the alarm's return", STEP_AT_MOST, |world| {
        Ok(world.tenants[0].items("/v1/alarms?state=active")?.is_empty())
    })?;
    story.world.tenants[0].simulator.release(device, "voltage_l1")?;
    if waited == Waited::Done {
        story.say("The voltage is back, and so is the alarm's state")?;
    }
    Ok(waited)
}

fn write_a_set_point(story: &mut Story<'_>, _: Duration) -> Result<Waited> {
    // Another value each time, so that a write that does nothing is seen.
    let rounds = u32::try_from(story.world.commands.len())?;
    let speed = 1200.0 + 150.0 * f64::from(rounds);
    story.say(&format!("A command from the cloud: pump speed to {speed} rpm …"))?;
    let id = story.world.tenants[1].command("speed_setpoint", speed)?;
    story.world.commands.push((1, id.clone()));
    let mut command = Value::Null;
    let waited = story.wait("the command's outcome", STEP_AT_MOST, |world| {
        command = world.tenants[1].api.json(&format!("/v1/commands/{id}"))?;
        Ok(command.get("open").and_then(Value::as_bool) == Some(false))
    })?;
    if waited == Waited::Done {
        let state = command.get("state").and_then(Value::as_str).unwrap_or_default();
        ensure!(state == "done", "the command ended as `{state}`: {command}");
        let read_back = command.get("read_back").cloned().unwrap_or_default();
        story.say(&format!("Done; read back from the register: {read_back} rpm"))?;
    }
    Ok(waited)
}

fn kill_the_cloud(story: &mut Story<'_>, outage: Duration) -> Result<Waited> {
    story.world.cloud.kill()?;
    story.world.cloud_up = false;
    let (edge_dies_at, back_at) = (Instant::now() + outage / 3, Instant::now() + outage);
    story.say(&format!(
        "kill -9 of the cloud, for {outage:?}. Gateways keep polling and buffering …"
    ))?;
    let waited = story.wait("a third of the outage", outage + STEP_AT_MOST, |_| {
        Ok(Instant::now() >= edge_dies_at)
    })?;
    if waited == Waited::Done {
        kill_an_edge(story)?;
        story.wait("the end of the outage", outage + STEP_AT_MOST, |_| {
            Ok(Instant::now() >= back_at)
        })?;
    }
    // Also when somebody wants to stop: the count at the end needs the cloud.
    story.world.cloud.restart().context("the cloud does not come back")?;
    story.world.cloud_up = true;
    story.say("The cloud is back. The backlog drains, in order …")?;
    let behind: u64 =
        story.world.tenants.iter().map(|t| t.polled() - t.in_cloud().min(t.polled())).sum();
    let polled = story.world.tenants.each_ref().map(Tenant::polled);
    let waited = story.wait("the backlog in the cloud", 2 * STEP_AT_MOST, |world| {
        Ok(world.tenants.iter().zip(polled).all(|(tenant, polled)| tenant.newest() >= polled))
    })?;
    if waited == Waited::Done {
        story.say(&format!("{behind} samples of `reads` that were waiting are in the cloud"))?;
    }
    Ok(waited)
}

fn kill_an_edge(story: &mut Story<'_>) -> Result<()> {
    let window = story.world.tenants[1].kill_edge()?;
    let unsafe_answers = window.dead - window.safe;
    story.say(&format!(
        "kill -9 of gateway `pump-house-3` in the outage: at most its last {unsafe_answers} answers \
         were in memory alone"
    ))?;
    let back_at = Instant::now() + EDGE_DEAD_FOR;
    story.wait("a second", STEP_AT_MOST, |_| Ok(Instant::now() >= back_at))?;
    story.world.tenants[1].restart_edge().context("the edge does not come back")?;
    story.say("Gateway `pump-house-3` runs again, on what it had flushed")
}
