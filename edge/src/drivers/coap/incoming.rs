//! What a device pushes, and how it is told what became of it.

use std::net::SocketAddr;

use fieldgate_coap::code::{Code, Method};
use fieldgate_coap::option::ContentFormat;
use tokio::sync::mpsc;

use super::security::PskIdentity;

/// A request of a device.
#[derive(Debug)]
pub struct Incoming {
    /// Who sent it.
    pub peer: SocketAddr,
    /// Who that is by its key; nothing without DTLS.
    pub identity: Option<PskIdentity>,
    /// What.
    pub request: IncomingRequest,
    /// To be used once the request is durable, or refused.
    pub reply: ReplyHandle,
}

/// What a device sent, put together from its blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingRequest {
    /// POST or PUT.
    pub method: Method,
    /// Where.
    pub path: Vec<String>,
    /// Arguments.
    pub query: Vec<String>,
    /// What the payload is, if it says.
    pub content_format: Option<ContentFormat>,
    /// What.
    pub payload: Vec<u8>,
}

/// The one answer to a request. Dropped without one, it says 5.00: the device may send it again.
#[derive(Debug)]
pub struct ReplyHandle {
    name: u64,
    replies: Option<mpsc::Sender<(u64, Code)>>,
}

impl ReplyHandle {
    #[expect(dead_code, reason = "nothing is pushed yet")]
    pub(super) fn new(name: u64, replies: mpsc::Sender<(u64, Code)>) -> Self {
        Self { name, replies: Some(replies) }
    }

    /// Answers. 2.04 says that what was sent is durable.
    pub fn send(mut self, code: Code) {
        self.answer(code);
    }

    fn answer(&mut self, code: Code) {
        if let Some(replies) = self.replies.take() {
            // There is a place for each request that waits, so only a closed endpoint does not take it.
            replies.try_send((self.name, code)).unwrap_or_default();
        }
    }
}

impl Drop for ReplyHandle {
    fn drop(&mut self) {
        self.answer(Code::INTERNAL_ERROR);
    }
}
