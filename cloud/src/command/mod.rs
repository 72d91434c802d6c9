//! Commands on their way down: a thin shell around [`fieldgate_protocol::command::decide`].
//!
//! # Invariants
//!
//! - SENT is durable before a command is published.
//! - A command is published only to a gateway that was welcomed, and in the epoch of that welcome.
//! - Whatever is missed (a full queue, a lost message) is found again on a period.

mod shell;

use fieldgate_model::{GatewayId, Owner};
use fieldgate_wire::Answer;
use tokio::sync::{mpsc, watch};

pub use shell::Commands;

/// What may wait for the command task; it needs a commit for most of them.
const QUEUE_MAX: usize = 1024;

/// Something that matters to commands.
#[derive(Debug)]
pub(crate) enum CommandEvent {
    /// A gateway was welcomed, and may be commanded.
    Ready(GatewayId, Owner),
    /// A gateway is gone, or may not be commanded.
    Gone(GatewayId),
    /// A command for the gateway was accepted.
    Wake(GatewayId),
    /// A gateway answered.
    Answer(GatewayId, Answer),
}

/// Reaches the command task. Cheap to clone.
#[derive(Clone)]
pub struct CommandsHandle {
    events: mpsc::Sender<CommandEvent>,
    closed: watch::Sender<u64>,
}

impl CommandsHandle {
    /// A handle, and the queue for [`Commands::run`].
    pub fn new() -> (Self, CommandsQueue) {
        let (events, queue) = mpsc::channel(QUEUE_MAX);
        let closed = watch::Sender::new(0);
        (Self { events, closed: closed.clone() }, CommandsQueue { queue, closed })
    }

    /// Changes whenever commands were closed, so that whoever waits for one looks again.
    pub fn closed(&self) -> watch::Receiver<u64> {
        self.closed.subscribe()
    }

    /// Commands were closed in the store.
    pub fn tell_closed(&self) {
        self.closed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// A command for `gateway` was accepted. Never waits: what a full queue loses here, the sweep
    /// finds.
    pub fn wake(&self, gateway: &GatewayId) {
        if self.events.try_send(CommandEvent::Wake(gateway.clone())).is_err() {
            tracing::debug!(%gateway, "the command queue is full, the sweep will find it");
        }
    }

    /// `gateway` was welcomed by `owner`, and may be commanded.
    pub async fn ready(&self, gateway: &GatewayId, owner: &Owner) {
        self.send(CommandEvent::Ready(gateway.clone(), owner.clone())).await;
    }

    /// `gateway` is gone, or may not be commanded.
    pub async fn gone(&self, gateway: &GatewayId) {
        self.send(CommandEvent::Gone(gateway.clone())).await;
    }

    /// `gateway` answered.
    pub async fn answer(&self, gateway: &GatewayId, answer: Answer) {
        self.send(CommandEvent::Answer(gateway.clone(), answer)).await;
    }

    async fn send(&self, event: CommandEvent) {
        if self.events.send(event).await.is_err() {
            tracing::debug!("the command task has stopped");
        }
    }
}

/// What waits for the command task.
pub struct CommandsQueue {
    queue: mpsc::Receiver<CommandEvent>,
    closed: watch::Sender<u64>,
}
