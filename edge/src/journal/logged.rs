//! A command as the journal remembers it: who asked for what, and when each step was taken.

use fieldgate_model::{Command, Owner, UtcMillis};
use fieldgate_protocol::command::EntryState;

/// A remembered command.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// Who sent it, in which epoch.
    pub owner: Owner,
    /// What was asked, and by whom.
    pub command: Command,
    /// How far it is.
    pub state: EntryState,
    /// When it arrived.
    pub received_at: Option<UtcMillis>,
    /// When it started.
    pub started_at: Option<UtcMillis>,
    /// When it ended.
    pub closed_at: Option<UtcMillis>,
    /// Its outcome is in its stream to the cloud.
    pub reported: bool,
}
