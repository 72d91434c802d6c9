//! Everything that the demo starts: one cloud, two tenants.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::screen::Screen;
use super::stop::Stop;
use super::tenant::{Plan, Tenant};
use crate::harness::{self, Cloud, CloudOptions, Scratch};

/// Between two looks at everything.
const TICK: Duration = Duration::from_millis(250);

/// What runs.
pub(crate) struct World {
    pub(crate) cloud: Cloud,
    pub(crate) cloud_up: bool,
    pub(crate) tenants: [Tenant; 2],
    /// Commands that were accepted: which tenant, and its id.
    pub(crate) commands: Vec<(usize, String)>,
    // Last: what runs in the folder ends before the folder goes.
    _scratch: Scratch,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// What was waited for is so.
    Done,
    /// Somebody wants the demo to stop.
    Stopped,
}

impl World {
    /// Starts the cloud, makes the tenants, starts devices and gateways.
    pub(crate) fn start(screen: &mut Screen) -> Result<Self> {
        let scratch = Scratch::new("fieldgate-demo")?;
        screen.say(&format!("Starting a cloud in {} …", scratch.path().display()))?;
        let cloud =
            Cloud::start(&scratch, CloudOptions::default()).context("the cloud does not start")?;
        screen.say(&format!(
            "It takes gateways on {} and people on {}",
            cloud.mqtt(),
            cloud.http()
        ))?;
        let meter = Plan {
            tenant: "harbour",
            gateway: "quay-7",
            device: "demo-meter",
            every: Duration::from_secs(1),
            watched: "voltage_l1",
        };
        let pump = Plan {
            tenant: "waterworks",
            gateway: "pump-house-3",
            device: "demo-pump",
            every: Duration::from_millis(200),
            watched: "flow",
        };
        screen.say("Two tenants, a gateway each: an energy meter of 40 signals every second,")?;
        screen
            .say("and a pump with a Luau parser every 200 ms (both simulated over Modbus TCP)")?;
        let tenants =
            [Tenant::start(&scratch, &cloud, meter)?, Tenant::start(&scratch, &cloud, pump)?];
        Ok(Self { cloud, cloud_up: true, tenants, commands: Vec::new(), _scratch: scratch })
    }

    /// Waits, with the table live, until `condition` holds. `what` completes "gave up waiting for".
    pub(crate) fn wait(
        &mut self,
        screen: &mut Screen,
        stop: &Stop,
        what: &str,
        at_most: Duration,
        mut condition: impl FnMut(&mut Self) -> Result<bool>,
    ) -> Result<Waited> {
        let deadline = Instant::now() + at_most;
        loop {
            let looked_at = Instant::now();
            self.look(screen)?;
            if condition(self)? {
                return Ok(Waited::Done);
            }
            if stop.asked() {
                return Ok(Waited::Stopped);
            }
            if Instant::now() >= deadline {
                bail!("gave up waiting for {what} after {at_most:?}");
            }
            harness::pause(TICK.saturating_sub(looked_at.elapsed()));
        }
    }

    fn look(&mut self, screen: &mut Screen) -> Result<()> {
        if self.cloud_up {
            self.cloud.process().must_run().context("the cloud should run")?;
        }
        for tenant in &mut self.tenants {
            tenant.look(self.cloud_up).with_context(|| {
                format!("looking at gateway `{}` of `{}`", tenant.plan.gateway, tenant.plan.tenant)
            })?;
        }
        screen.table(self.cloud_up, &self.tenants.each_ref().map(Tenant::row))
    }
}
