//! Commands of the cloud as the gateway's journal remembers them.

use fieldgate_model::{Action, CommandId, Outcome};
use fieldgate_protocol::command::EntryState;
use serde::{Deserialize, Serialize};

use super::message::Refusal;
use super::value::{json, rfc3339};
use crate::handles::Handles;
use crate::journal::{JournalError, Logged};

/// A command and its steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "what a command asks for, as it was asked")]
pub(crate) struct CommandNow {
    pub(crate) id: String,
    pub(crate) device: String,
    pub(crate) signal: String,
    pub(crate) value: serde_json::Value,
    pub(crate) verify: bool,
    pub(crate) dry_run: bool,
    pub(crate) retry_safe: bool,
    /// Who asked for it.
    pub(crate) by: String,
    /// The instance that sent it, and its epoch.
    pub(crate) owner: String,
    pub(crate) epoch: u64,
    /// `received`, `started`, `done`, `failed`, `expired`, `cancelled` or `interrupted`.
    pub(crate) state: String,
    pub(crate) not_after: String,
    pub(crate) received_at: Option<String>,
    pub(crate) started_at: Option<String>,
    pub(crate) closed_at: Option<String>,
    /// What the device showed afterwards.
    pub(crate) read_back: Option<serde_json::Value>,
    /// Why it failed.
    pub(crate) reason: Option<String>,
    /// Its outcome is on its way to the cloud, or there.
    pub(crate) reported: bool,
}

/// The commands that arrived last, newest first.
pub(super) async fn newest(handles: &Handles, count: u32) -> Result<Vec<CommandNow>, Refusal> {
    let logged = handles.journal.newest(count).await.map_err(|error| unread(&error))?;
    Ok(logged.into_iter().map(command).collect())
}

/// One command.
pub(super) async fn find(handles: &Handles, id: &str) -> Result<CommandNow, Refusal> {
    let missing = || {
        Refusal::new(format!("no command `{id}` has arrived here"))
            .hint("`fieldgate command list` shows what has")
    };
    let id = CommandId::new(id).map_err(|_| missing())?;
    let logged = handles.journal.find(id).await.map_err(|error| unread(&error))?;
    logged.map(command).ok_or_else(missing)
}

fn command(logged: Logged) -> CommandNow {
    let Logged { owner, command, state, received_at, started_at, closed_at, reported } = logged;
    let Action::Write { device, signal, value, verify } = command.action;
    let (word, read_back, reason) = match state {
        EntryState::Received => ("received", None, None),
        EntryState::Started => ("started", None, None),
        EntryState::Closed(outcome) => {
            let word = outcome.as_str();
            match outcome {
                Outcome::Done { read_back } => (word, read_back.as_ref().map(json), None),
                Outcome::Failed { reason, .. } => (word, None, Some(reason)),
                Outcome::Expired | Outcome::Cancelled | Outcome::Interrupted => (word, None, None),
            }
        }
    };
    CommandNow {
        id: command.id.to_string(),
        device: device.to_string(),
        signal: signal.to_string(),
        value: json(&value),
        verify,
        dry_run: command.dry_run,
        retry_safe: command.retry_safe,
        by: command.by,
        owner: owner.instance.to_string(),
        epoch: owner.epoch.0,
        state: word.to_owned(),
        not_after: rfc3339(command.not_after),
        received_at: received_at.map(rfc3339),
        started_at: started_at.map(rfc3339),
        closed_at: closed_at.map(rfc3339),
        read_back,
        reason,
        reported,
    }
}

fn unread(error: &JournalError) -> Refusal {
    let cause = std::error::Error::source(error).map(crate::telemetry::chain);
    Refusal { cause, ..Refusal::new(error.to_string()) }
}
