//! Why bytes are not a message.

use alloc::string::{String, ToString};

use fieldgate_model::IdError;

/// Why bytes are not a message. Whatever it is, the bytes as such may still be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than any message of its kind may be.
    #[error("message `{message}` has {length} bytes, at most {max} are allowed")]
    TooLong {
        /// The kind of message.
        message: &'static str,
        /// Its bytes.
        length: usize,
        /// The bound.
        max: usize,
    },
    /// Not CBOR, or not the items that `wire.cddl` asks for.
    #[error("message `{message}` is malformed at byte {at}: {what}")]
    Malformed {
        /// The kind of message.
        message: &'static str,
        /// Where the decoder stood.
        at: usize,
        /// What it missed.
        what: String,
    },
    /// Bytes stand after the message.
    #[error("message `{message}` ends {left} bytes before its last byte")]
    Trailing {
        /// The kind of message.
        message: &'static str,
        /// How many bytes are too many.
        left: usize,
    },
    /// A field is of the right type and holds what it must not.
    #[error("message `{message}` has a wrong `{field}`")]
    Field {
        /// The kind of message.
        message: &'static str,
        /// The field's name in `wire.cddl`.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        fault: Fault,
    },
    /// The envelope is fine and its content is of an encoding that came later: keep it as it is.
    #[error("content encoding {0} is not known")]
    UnknownEncoding(u8),
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The text is no id.
    #[error("text is not an id")]
    Id(#[source] IdError),
    /// The code has no meaning in this version.
    #[error("code {0} is not known")]
    UnknownCode(u64),
    /// More of it than allowed: bytes of a text, records of a batch.
    #[error("length is {length}, at most {max} are allowed")]
    TooLong {
        /// How long it is.
        length: usize,
        /// The bound.
        max: usize,
    },
    /// A number that a database cannot store.
    #[error("number {0} is beyond 9223372036854775807")]
    TooLarge(u64),
    /// It contradicts another field, or itself.
    #[error("{0}")]
    Broken(&'static str),
    /// Columns of samples are damaged.
    #[error("columns are wrong at byte {at}: {what}")]
    Columns {
        /// Where, in the content.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// A fault and its field, before the kind of message is known.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) field: &'static str,
    pub(crate) fault: Fault,
}

impl Wrong {
    pub(crate) const fn new(field: &'static str, fault: Fault) -> Self {
        Self { field, fault }
    }

    pub(crate) fn within(self, message: &'static str) -> DecodeError {
        DecodeError::Field { message, field: self.field, fault: self.fault }
    }
}

impl DecodeError {
    pub(crate) fn malformed(message: &'static str, error: &minicbor::decode::Error) -> Self {
        Self::Malformed { message, at: error.position().unwrap_or(0), what: error.to_string() }
    }
}
