//! An observed resource, as whoever observes it sees it.

use fieldgate_coap::endpoint::{Loss, ObservationId};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;

use super::endpoint::CoapResponse;
use super::task::Command;

/// Notifications that an observer may be behind before it loses the oldest: what counts is how the
/// resource is, and a thousand resources have their places for them from the start.
pub(super) const NOTIFICATIONS_MAX: usize = 8;

/// What an observation brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// The resource is so by now.
    Fresh(CoapResponse),
    /// There will be no more: poll instead, and observe again later.
    Lost(Loss),
}

/// An observed resource. When it is dropped, its peer is told.
#[derive(Debug)]
pub struct Observation {
    id: ObservationId,
    notifications: broadcast::Receiver<Notification>,
    commands: mpsc::Sender<Command>,
    missed: u64,
}

impl Observation {
    pub(super) fn new(
        id: ObservationId,
        notifications: broadcast::Receiver<Notification>,
        commands: mpsc::Sender<Command>,
    ) -> Self {
        Self { id, notifications, commands, missed: 0 }
    }

    /// The next thing that it brings; nothing once it is lost, or its endpoint closed. May be
    /// cancelled.
    pub async fn next(&mut self) -> Option<Notification> {
        loop {
            match self.notifications.recv().await {
                Ok(notification) => return Some(notification),
                Err(RecvError::Lagged(missed)) => self.missed += missed,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Notifications that came while nobody asked for them, and gave way to newer ones.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        // Should the task be too busy to be told, it finds out at the next notification.
        drop(self.commands.try_send(Command::Forget(self.id)));
    }
}
