//! What is asked of a peer, what it answers, and why there may be no answer.

use fieldgate_model::Millis;
use thiserror::Error;

use crate::block::{Block, BlockSize};
use crate::code::{Code, Method};
use crate::message::Message;
use crate::option::{ContentFormat, OptionNumber, Options};

/// Max-Age of an answer that does not say (RFC 7252 section 5.10.5).
pub const MAX_AGE_DEFAULT: Millis = Millis::from_secs(60);

/// A request, without the means of its transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// With what, one segment each, without slashes and escapes.
    pub path: Vec<String>,
    /// In which way, such as `unit=K`.
    pub query: Vec<String>,
    /// What the answer should be.
    pub accept: Option<ContentFormat>,
    /// What the payload is.
    pub content_format: Option<ContentFormat>,
    /// May be longer than a datagram.
    pub payload: Vec<u8>,
    /// To be repeated until it is acknowledged.
    pub confirmable: bool,
    /// Largest block to ask for and to send; the peer may want smaller ones.
    pub block_size: Option<BlockSize>,
}

impl Request {
    /// A confirmable GET.
    pub fn get<S: Into<String>>(path: impl IntoIterator<Item = S>) -> Self {
        Self {
            method: Method::Get,
            path: path.into_iter().map(Into::into).collect(),
            query: Vec::new(),
            accept: None,
            content_format: None,
            payload: Vec::new(),
            confirmable: true,
            block_size: None,
        }
    }

    /// The options that say what is meant.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options::default();
        for segment in &self.path {
            options.add(OptionNumber::URI_PATH, segment.as_bytes());
        }
        for argument in &self.query {
            options.add(OptionNumber::URI_QUERY, argument.as_bytes());
        }
        if let Some(accept) = self.accept {
            options.add_uint(OptionNumber::ACCEPT, u32::from(accept.0));
        }
        if let Some(format) = self.content_format.filter(|_| !self.payload.is_empty()) {
            options.add_uint(OptionNumber::CONTENT_FORMAT, u32::from(format.0));
        }
        options
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// What became of the request.
    pub code: Code,
    /// What the payload is, if it says.
    pub content_format: Option<ContentFormat>,
    /// Which representation it is.
    pub etag: Option<Vec<u8>>,
    /// How long it holds.
    pub max_age: Millis,
    /// Put together from all its blocks.
    pub payload: Vec<u8>,
}

impl Response {
    /// The answer that one message is, or begins.
    pub(crate) fn of(message: Message) -> Self {
        let format = message.options.uint(OptionNumber::CONTENT_FORMAT);
        let max_age = message.options.uint(OptionNumber::MAX_AGE);
        Self {
            code: message.code,
            content_format: format.and_then(|number| u16::try_from(number).ok()).map(ContentFormat),
            etag: message.options.first(OptionNumber::ETAG).map(<[u8]>::to_vec),
            max_age: max_age.map_or(MAX_AGE_DEFAULT, |secs| Millis::from_secs(u64::from(secs))),
            payload: message.payload,
        }
    }
}

/// Why a request was not even begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RefusedRequest {
    /// It, or its answer, would be longer than what is taken.
    #[error("the payload is longer than {max} bytes")]
    TooLarge {
        /// What is taken.
        max: usize,
    },
    /// A segment or argument is longer than its option may be, or there are too many.
    #[error("the path or the query is longer than CoAP allows")]
    Path,
    /// As much as is taken waits already.
    #[error("too many requests wait")]
    Busy,
}

/// Why a request that was begun has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Failure {
    /// The peer, or the way there, was silent.
    #[error("the peer did not answer in time")]
    Timeout,
    /// It answered that it does not want to talk about this.
    #[error("the peer refused the message with a reset")]
    Reset,
    /// The way there ends before it.
    #[error("the peer cannot be reached")]
    Unreachable,
    /// There is no session with it: no key, or the wrong one.
    #[error("the peer did not accept our key")]
    Unauthenticated,
    /// The answer is longer than what is taken.
    #[error("the answer is too long")]
    TooLarge,
    /// It answered what is no answer to this.
    #[error("the peer broke the protocol: {0}")]
    Protocol(ProtocolFault),
    /// Whoever asked does not want to know any more.
    #[error("the request was cancelled")]
    Cancelled,
}

/// In which way an answer is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum ProtocolFault {
    /// It has an option that must be understood and is not.
    #[error("{0} in the answer must be understood and is not")]
    CriticalOption(OptionNumber),
    /// A block came that was not asked for, or that does not stand where it should.
    #[error("block {got} came where block {wanted} was asked for")]
    BlockOrder {
        /// What was asked for.
        wanted: u32,
        /// What came.
        got: u32,
    },
    /// A block that is not the last is shorter or longer than it says.
    #[error("a block has {bytes} bytes and says {size}")]
    BlockLength {
        /// What it says.
        size: usize,
        /// What it has.
        bytes: usize,
    },
    /// Blocks of two representations.
    #[error("the resource changed while it was transferred")]
    Changed,
    /// It took the first block for the whole.
    #[error("the peer takes no request in blocks")]
    NoBlocks,
    /// It asks for something while it is asked.
    #[error("the code {0} is no answer")]
    Code(Code),
}

/// The block option that goes with a request for `size`, if any.
pub(crate) fn early_block(size: Option<BlockSize>) -> Option<Block> {
    size.map(|size| Block { number: 0, more: false, size })
}
