//! Identities: what things are called, and what a name may look like.
//!
//! # Invariants
//!
//! - A text id is 1 to 64 characters of `[A-Za-z0-9_-]`, so that it fits into a topic level, a URL
//!   segment and a file name without any escaping, and so that `.` can join ids.

use alloc::string::String;
use core::fmt;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdError {
    /// Nothing, or more than 64 characters.
    Length(usize),
    /// A character outside `[A-Za-z0-9_-]`.
    Character(char),
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(f, "must have 1 to 64 characters, has {length}"),
            Self::Character(c) => write!(f, "may use A-Z, a-z, 0-9, `_` and `-`, not `{c}`"),
        }
    }
}

impl core::error::Error for IdError {}

/// Longest text id. Leaves a topic of four ids far below the 64 KiB of an MQTT string.
const TEXT_MAX: usize = 64;

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() || text.len() > TEXT_MAX {
        return Err(IdError::Length(text.chars().count()));
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '_' || *c == '-')) {
        Some(c) => Err(IdError::Character(c)),
        None => Ok(()),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The id, if `text` is one.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                check(&text)?;
                Ok(Self(text))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// One edge daemon with one identity; random and globally unique, its label is elsewhere.
    GatewayId
}
text_id! {
    /// One deployment of the cloud service with its own database.
    InstanceId
}
text_id! {
    /// An isolated customer.
    TenantId
}
text_id! {
    /// A request to act; it starts at most once, whatever happens to the messages around it.
    CommandId
}
text_id! {
    /// A device's name in the configuration of its gateway.
    DeviceName
}
text_id! {
    /// A signal's key in its device's profile; it survives a change of title.
    SignalName
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

byte_id! {
    /// One boot of the machine: monotonic times of different boots cannot be compared.
    BootId, 16
}
byte_id! {
    /// One life of a buffer. Positions of different incarnations have nothing in common.
    IncarnationId, 16
}
byte_id! {
    /// The content hash that names a catalogue.
    CatalogueId, 32
}
byte_id! {
    /// A SHA-256 digest: a leaf, or the state of a stream's hash chain.
    Digest, 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_refused_with_the_character_that_is_wrong() {
        assert_eq!(GatewayId::new("a/b"), Err(IdError::Character('/')));
        assert_eq!(GatewayId::new("ü"), Err(IdError::Character('ü')));
        assert_eq!(GatewayId::new(""), Err(IdError::Length(0)));
        assert_eq!(GatewayId::new("x".repeat(65)), Err(IdError::Length(65)));
        assert!(GatewayId::new("pump-house_3").is_ok());
    }
}
