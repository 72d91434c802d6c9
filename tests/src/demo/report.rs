//! The end: everything stops in order, every sample is counted, and the result is one JSON object.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::screen::Screen;
use super::tenant::Tenant;
use super::world::World;
use crate::harness::{self, Tally, percentile};

/// What was flushed and not sent goes up when an edge starts again; on one machine in seconds.
const DRAIN_AT_MOST: Duration = Duration::from_mins(1);

/// The result.
pub(crate) struct Report {
    tally: Tally,
    alarms: [u64; 2],
    commands: [u64; 3],
    live: Vec<i64>,
    committed: Vec<i64>,
    outage: Duration,
}

/// Stops the gateways, lets what they flushed arrive, and counts.
pub(crate) fn close(world: &mut World, outage: Duration) -> Result<Report> {
    let mut tally = Tally::default();
    let (mut live, mut committed) = (Vec::new(), Vec::new());
    let mut writes = 0;
    for tenant in &mut world.tenants {
        tenant.edge.stop()?;
        let counts = tenant.simulator.counts(tenant.plan.device)?;
        writes += counts.writes;
        drain(tenant, counts.reads)
            .with_context(|| format!("draining gateway `{}`", tenant.plan.gateway))?;
        let history = tenant.history()?;
        let values: Vec<u64> = history.iter().map(|(value, ..)| *value).collect();
        tally = tally.and(Tally::of(&values, counts.reads, &tenant.windows));
        committed.extend(history.iter().map(|(_, at, committed_at)| committed_at - at));
        live.append(&mut tenant.feed.latencies);
    }
    let sent = u64::try_from(world.commands.len())?;
    let mut done = 0;
    for (tenant, id) in &world.commands {
        let command = world.tenants[*tenant].api.json(&format!("/v1/commands/{id}"))?;
        done += u64::from(command.get("state").and_then(Value::as_str) == Some("done"));
    }
    // A command is one write of one register; read-backs are reads.
    let commands = [sent, done, writes.saturating_sub(sent)];
    Ok(Report { tally, alarms: alarms(world)?, commands, live, committed, outage })
}

/// The last batches are flushed and not sent when an edge stops. It starts again, with a device
/// that says nothing, so that it only sends.
fn drain(tenant: &mut Tenant, served: u64) -> Result<()> {
    tenant.simulator.silence(tenant.plan.device, true)?;
    if arrived(tenant, served)? {
        return Ok(());
    }
    tenant.edge.restart()?;
    // The last answer may have been on the wire when the edge was asked to stop.
    let mut best = 0;
    let waited = harness::until("its last samples in the cloud", DRAIN_AT_MOST, || {
        best = tenant.history()?.last().map_or(0, |(value, ..)| *value);
        Ok((best + 1 >= served).then_some(()))
    });
    waited.with_context(|| format!("the device served {served}, the cloud has up to {best}"))?;
    // One more may follow the last but one.
    let idle = harness::until("the very last sample", Duration::from_secs(3), || {
        Ok(arrived(tenant, served)?.then_some(()))
    });
    // If it does not come it was on the wire, and the tally knows.
    idle.unwrap_or_default();
    tenant.edge.stop()
}

fn arrived(tenant: &Tenant, served: u64) -> Result<bool> {
    Ok(tenant.history()?.last().is_some_and(|(value, ..)| *value >= served))
}

/// Occurrences in the cloud, and how many of them have returned.
fn alarms(world: &World) -> Result<[u64; 2]> {
    let mut occurrences = Vec::new();
    for tenant in &world.tenants {
        occurrences.extend(tenant.items("/v1/alarms")?);
    }
    let returned =
        occurrences.iter().filter(|alarm| alarm.get("returned_at").is_some_and(Value::is_string));
    Ok([u64::try_from(occurrences.len())?, u64::try_from(returned.count())?])
}

impl Report {
    /// Whether nothing was lost, doubled or executed twice.
    pub(crate) fn is_clean(&self) -> bool {
        let Tally { lost, duplicated, disordered, .. } = self.tally;
        let [_, _, executed_twice] = self.commands;
        lost == 0 && duplicated == 0 && disordered == 0 && executed_twice == 0
    }

    /// Says it in words, and with `--json` as the last line of stdout.
    pub(crate) fn tell(mut self, screen: &mut Screen) -> Result<()> {
        let tally = self.tally;
        screen.say(&format!(
            "Samples: {} served, {} in the cloud, {} taken from memory by the kill, {} lost, {} doubled",
            tally.served, tally.in_cloud, tally.unflushed, tally.lost, tally.duplicated
        ))?;
        if tally.disordered > 0 {
            screen.say(&format!("{} samples stand behind a later one", tally.disordered))?;
        }
        let [sent, done, twice] = self.commands;
        screen.say(&format!("Commands: {sent} sent, {done} done, {twice} executed twice"))?;
        let latency = self.latency();
        screen.say(&format!("Latency in milliseconds: {latency}"))?;
        screen.finish(&self.json(&latency))
    }

    fn latency(&mut self) -> String {
        let of = |values: &mut Vec<i64>| {
            let at = |values: &mut Vec<i64>, share| json!(percentile(values, share));
            format!("{{\"p50\":{},\"p99\":{}}}", at(values, 0.5), at(values, 0.99))
        };
        let (live, committed) = (of(&mut self.live), of(&mut self.committed));
        format!("{{\"live\":{live},\"committed\":{committed}}}")
    }

    fn json(&self, latency: &str) -> String {
        let Tally { served, in_cloud, unflushed, lost, duplicated, .. } = self.tally;
        let ([raised, returned], [sent, done, twice]) = (self.alarms, self.commands);
        // Written out, since the order of the members is part of what is promised.
        format!(
            "{{\"samples\":{{\"served\":{served},\"in_cloud\":{in_cloud},\
             \"unflushed\":{unflushed},\"lost\":{lost},\"duplicated\":{duplicated}}},\
             \"alarms\":{{\"raised\":{raised},\"returned\":{returned}}},\
             \"commands\":{{\"sent\":{sent},\"done\":{done},\"executed_twice\":{twice}}},\
             \"latency_ms\":{latency},\"outage_s\":{}}}",
            self.outage.as_secs_f64()
        )
    }
}
