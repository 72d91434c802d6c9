//! What a device pushes, and how it is told what became of it.

use std::net::SocketAddr;

use fieldgate_coap::code::Code;
use fieldgate_coap::endpoint::{ContentKey, Push, PushId};
use tokio::sync::mpsc;

use super::security::PskIdentity;

/// A request of a device.
#[derive(Debug)]
pub struct Incoming {
    /// Who sent it.
    pub peer: SocketAddr,
    /// Who that is by its key; nothing without DTLS.
    pub identity: Option<PskIdentity>,
    /// What, put together from its blocks.
    pub request: Push,
    /// Who pushed what where, as a digest: the endpoint drops a repetition whose first answer may not
    /// have arrived; where a payload carries its own times, the same content is always a repetition,
    /// and this tells.
    pub content: ContentKey,
    /// To be used once the request is durable, or refused.
    pub reply: ReplyHandle,
}

/// The one answer to a request. Dropped without one, it says 5.00: the device may send it again.
#[derive(Debug)]
pub struct ReplyHandle {
    push: PushId,
    replies: Option<mpsc::Sender<(PushId, Code)>>,
}

impl ReplyHandle {
    pub(super) fn new(push: PushId, replies: mpsc::Sender<(PushId, Code)>) -> Self {
        Self { push, replies: Some(replies) }
    }

    /// Answers. 2.04 says that what was sent is durable.
    pub fn send(mut self, code: Code) {
        self.answer(code);
    }

    fn answer(&mut self, code: Code) {
        if let Some(replies) = self.replies.take() {
            // There is a place for each push that waits, so only a closed endpoint does not take it.
            replies.try_send((self.push, code)).unwrap_or_default();
        }
    }
}

impl Drop for ReplyHandle {
    fn drop(&mut self) {
        self.answer(Code::INTERNAL_ERROR);
    }
}
