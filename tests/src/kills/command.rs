//! One command at a time, and how often the device was written meanwhile.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::rig::{PATIENCE, PUMP};
use crate::harness::{Api, Simulator, until};

/// Long enough for a few kills, short enough that some commands meet their end in one.
const TTL: &str = "20s";

/// What became of the commands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    pub(crate) closed: u64,
    pub(crate) done: u64,
    pub(crate) expired: u64,
    pub(crate) interrupted: u64,
    /// Of all, those whose write reached the device more than once.
    pub(crate) twice: u64,
}

/// The command that is open, and the count of the others.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    /// Its id, and the device's writes before it.
    open: Option<(String, u64)>,
    count: Count,
    value: u64,
}

impl Commands {
    /// Looks after the open command, or submits the next one. A service that does not answer is
    /// asked again next time.
    pub(crate) fn follow(&mut self, api: &Api, simulator: &Simulator, gateway: &str) -> Result<()> {
        if let Some((id, before)) = &self.open {
            let Ok(command) = api.json(&format!("/v1/commands/{id}")) else { return Ok(()) };
            if command.get("open").and_then(Value::as_bool) == Some(false) {
                let (command, before) = (command.clone(), *before);
                self.open = None;
                self.close(&command, before, simulator)?;
            }
            return Ok(());
        }
        let before = simulator.counts(PUMP)?.writes;
        self.value = (self.value + 1) % 1_000;
        let body = json!({
            "gateway": gateway, "device": PUMP, "signal": "speed_setpoint",
            "value": 1_000 + self.value, "ttl": TTL,
        });
        let Ok(reply) = api.post("/v1/commands", &body) else { return Ok(()) };
        let Ok(command) = reply.good("the command") else { return Ok(()) };
        let id = command.get("id").and_then(Value::as_str).context("a command has an id")?;
        self.open = Some((id.to_owned(), before));
        Ok(())
    }

    /// Waits for the end of the open command.
    pub(crate) fn settle(&mut self, api: &Api, simulator: &Simulator) -> Result<Count> {
        if let Some((id, before)) = self.open.take() {
            let patience = PATIENCE + Duration::from_mins(1);
            let command = until(&format!("the end of command {id}"), patience, || {
                let command = api.json(&format!("/v1/commands/{id}"))?;
                let is_open = command.get("open").and_then(Value::as_bool);
                Ok((is_open == Some(false)).then_some(command))
            })?;
            self.close(&command, before, simulator)?;
        }
        Ok(self.count)
    }

    fn close(&mut self, command: &Value, before: u64, simulator: &Simulator) -> Result<()> {
        let state = command.get("state").and_then(Value::as_str).unwrap_or_default();
        let writes = simulator.counts(PUMP)?.writes - before;
        self.count.closed += 1;
        self.count.twice += u64::from(writes > 1);
        let fits = match state {
            "done" => {
                self.count.done += 1;
                writes == 1
            }
            "expired" => {
                self.count.expired += 1;
                writes == 0
            }
            "interrupted" => {
                self.count.interrupted += 1;
                writes <= 1
            }
            // The device is always there; a write that fails has met a dying edge.
            _ => writes <= 1,
        };
        ensure!(fits, "it ended as `{state}` and was written {writes} times: {command}");
        Ok(())
    }
}
