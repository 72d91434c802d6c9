//! The gateway's own doubt of its identity: durable before anything follows from it, and ended by
//! somebody who readopts the gateway in the cloud.

use fieldgate_model::{Doubt, DoubtCause, IncarnationId, Millis, Welcome};

use super::task::{SyncError, Task};

/// How often a gateway whose commands wait asks whether they still have to.
pub(super) const ASK_EVERY: Millis = Millis::from_secs(30);

impl Task {
    /// Whether commands wait until somebody readopts the gateway.
    pub(super) fn is_doubted(&self) -> bool {
        self.contested || self.doubt.is_some()
    }

    /// Tells the command task, if it does not know.
    pub(super) fn tell_doubt(&self) {
        let is_doubted = self.is_doubted();
        self.outputs.doubted.send_if_modified(|doubted| {
            let changed = *doubted != is_doubted;
            *doubted = is_doubted;
            changed
        });
    }

    /// What a Welcome says of it: the doubt is over, or since when it stands.
    pub(super) async fn settle_doubt(&mut self, welcome: &Welcome) -> Result<(), SyncError> {
        self.readopted = Some(welcome.readopted);
        let Some(doubt) = self.doubt else { return Ok(()) };
        let settled = doubt.since.is_some_and(|since| since < welcome.readopted);
        if settled {
            tracing::warn!(readopted = welcome.readopted, "readopted: commands run again");
            self.save_doubt(None).await
        } else if doubt.since.is_none() {
            // What was said of this gateway before it lost its journal does not count.
            self.save_doubt(Some(Doubt { since: Some(welcome.readopted), ..doubt })).await
        } else {
            Ok(())
        }
    }

    /// The owner holds another history under our name: no command runs from here on, over any
    /// restart, and the buffer goes on under another name.
    pub(super) async fn fork(&mut self, incarnation: IncarnationId) -> Result<(), SyncError> {
        tracing::error!(%incarnation, "the cloud holds another history under this name");
        if self.doubt.is_none() {
            let doubt = Doubt { cause: DoubtCause::Forked, since: self.readopted };
            self.save_doubt(Some(doubt)).await?;
        }
        self.tell_doubt();
        self.setup.buffer.reincarnate(incarnation).await?;
        let now = self.now();
        self.sender.handle_lines(self.setup.buffer.lines().borrow().clone());
        self.sender.handle_reincarnated(now);
        Ok(())
    }

    async fn save_doubt(&mut self, doubt: Option<Doubt>) -> Result<(), SyncError> {
        self.setup.journal.save_doubt(doubt).await?;
        self.doubt = doubt;
        Ok(())
    }
}
