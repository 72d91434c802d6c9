//! What a device pushes.

use core::net::SocketAddr;

use sha2::{Digest, Sha256};

use crate::code::Method;
use crate::option::ContentFormat;

/// The name of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PushId(pub u64);

/// What a device pushed, put together from its blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
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

/// A digest of who pushed what where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentKey(pub [u8; 32]);

/// The key of a push that goes on an account.
pub(super) fn content_key(account: SocketAddr, push: &Push) -> ContentKey {
    let mut digest = Sha256::new();
    let mut part = |bytes: &[u8]| {
        digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(bytes);
    };
    part(account.to_string().as_bytes());
    part(push.method.name().as_bytes());
    part(push.content_format.map_or(String::new(), |format| format.0.to_string()).as_bytes());
    part(&push.payload);
    push.path.iter().for_each(|segment| part(segment.as_bytes()));
    part(b"?");
    push.query.iter().for_each(|argument| part(argument.as_bytes()));
    ContentKey(digest.finalize().into())
}
