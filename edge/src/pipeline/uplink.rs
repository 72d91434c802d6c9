//! The part of the composition that speaks with the cloud: the uplink and its commands.

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::{ANSWERS_MAX, Ended, PipelineError, named};
use crate::buffer::Buffer;
use crate::clock::{Clock, TimeHandle};
use crate::command::{self, COMMANDS_MAX, CommandSetup, Targets};
use crate::config::Config;
use crate::engine::Engine;
use crate::journal::{Journal, Resumed};
use crate::sync::{self, Credentials, SyncOutputs, SyncSetup, SyncStatus};

/// What the uplink and its commands are built from.
pub(super) struct Uplink<'a> {
    pub(super) buffer: &'a Buffer,
    pub(super) journal: Journal,
    pub(super) resumed: Resumed,
    pub(super) targets: &'a Targets,
    pub(super) clock: Clock,
    pub(super) boot: fieldgate_model::BootId,
    pub(super) time: &'a TimeHandle,
}

impl Uplink<'_> {
    pub(super) fn spawn(
        self,
        cloud: &crate::config::CloudConfig,
        credentials: Credentials,
        config: &Config,
        engine: &Engine,
        stopped: watch::Receiver<bool>,
        tasks: &mut JoinSet<Ended>,
    ) -> watch::Receiver<SyncStatus> {
        let (commands, commands_out) = mpsc::channel(COMMANDS_MAX);
        let (answers, answers_out) = mpsc::channel(ANSWERS_MAX);
        let utc_offset = watch::Sender::new(None);
        let doubted = watch::Sender::new(self.resumed.doubt.is_some());
        let status = watch::Sender::new(SyncStatus::default());
        let shown = status.subscribe();
        let command_setup = CommandSetup {
            journal: self.journal.clone(),
            open: self.resumed.open,
            buffer: self.buffer.clone(),
            targets: self.targets.clone(),
            utc_offset: utc_offset.subscribe(),
            doubted: doubted.subscribe(),
            clock: self.clock,
        };
        let history_rate = cloud.history_rate;
        let sync_setup = SyncSetup {
            url: cloud.url.clone(),
            credentials,
            buffer: self.buffer.clone(),
            journal: self.journal,
            fence: self.resumed.fence,
            doubt: self.resumed.doubt,
            history_rate,
            engine: engine.clone(),
            catalogue: config.catalogue(),
            boot: self.boot,
            clock: self.clock,
            time: self.time.clone(),
        };
        let outputs = SyncOutputs { commands, answers: answers_out, utc_offset, doubted, status };
        let command = command::run(command_setup, commands_out, answers);
        tasks.spawn(named("command", async {
            command.await;
            Ok::<(), PipelineError>(())
        }));
        tasks.spawn(named("sync", sync::run(sync_setup, outputs, stopped)));
        shown
    }
}
