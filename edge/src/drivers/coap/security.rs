//! Keys of devices, by reference: where they lie, and how nothing shows them.
//!
//! # Invariants
//!
//! - A key is in no `Debug` output, no error and no log; what names it is its reference.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::{env, fmt, fs, io};

use thiserror::Error;

/// Longest key: what libcoap and OpenSSL take.
const KEY_MAX: usize = 256;
/// Longest file of a key: a key in hexadecimal digits, and a little air.
const KEY_FILE_MAX: usize = 1_024;
/// Where systemd puts what `LoadCredential=` names.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// How an endpoint's datagrams are protected.
#[derive(Debug, Clone, Default)]
pub enum Security {
    /// Not at all.
    #[default]
    None,
    /// By DTLS with a key for each device.
    Psk(Vec<PskDevice>),
}

/// A device that has a key.
#[derive(Debug, Clone)]
pub struct PskDevice {
    /// Where it is, to be asked; nothing for one that only pushes.
    pub peer: Option<SocketAddr>,
    /// What it, or we towards it, call ourselves.
    pub identity: PskIdentity,
    /// What only both know.
    pub key: PskKey,
}

/// The name under which a key is known to both sides. It is no secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PskIdentity(Vec<u8>);

impl PskIdentity {
    /// An identity.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for PskIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for PskIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PskIdentity({self})")
    }
}

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub struct PskKey(Vec<u8>);

impl PskKey {
    /// A key.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes, for the handshake alone.
    #[cfg_attr(not(feature = "coap-dtls"), expect(dead_code, reason = "there is no handshake"))]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PskKey(hidden)")
    }
}

/// Where a key lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyReference {
    /// In a file of its own.
    File(PathBuf),
    /// In a variable of the environment.
    Environment(String),
    /// Among the credentials that systemd hands to the service.
    Credential(String),
}

impl fmt::Display for KeyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "key file `{}`", path.display()),
            Self::Environment(name) => write!(f, "environment variable `{name}`"),
            Self::Credential(name) => write!(f, "systemd credential `{name}`"),
        }
    }
}

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Nothing is there, or it may not be read.
    #[error("{reference} cannot be read")]
    Read {
        /// Where.
        reference: KeyReference,
        /// What the system says.
        source: io::Error,
    },
    /// It is not there.
    #[error("{reference} is not set")]
    Unset {
        /// Where.
        reference: KeyReference,
    },
    /// It is there, and no key.
    #[error("{reference} holds no key: {what}")]
    NoKey {
        /// Where.
        reference: KeyReference,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl KeyError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } => "let the daemon's user read it, and nobody else",
            Self::Unset { .. } => "set it for the daemon, or name a `key_file`",
            Self::NoKey { .. } => {
                "a key is 1 to 256 bytes of text in one line, or `hex:` and twice as many digits"
            }
        }
    }
}

impl KeyReference {
    /// The key that lies there: a line of text, or `hex:` with digits.
    pub fn read(&self) -> Result<PskKey, KeyError> {
        let text = match self {
            Self::File(path) => self.read_file(path.clone())?,
            Self::Credential(name) => {
                let folder = env::var_os(CREDENTIALS)
                    .ok_or_else(|| KeyError::Unset { reference: self.clone() })?;
                self.read_file(PathBuf::from(folder).join(name))?
            }
            Self::Environment(name) => env::var(name)
                .map_err(|_| KeyError::Unset { reference: self.clone() })?
                .into_bytes(),
        };
        parse(&text).map_err(|what| KeyError::NoKey { reference: self.clone(), what })
    }

    fn read_file(&self, path: PathBuf) -> Result<Vec<u8>, KeyError> {
        fs::read(path).map_err(|source| KeyError::Read { reference: self.clone(), source })
    }
}

fn parse(text: &[u8]) -> Result<PskKey, &'static str> {
    if text.len() > KEY_FILE_MAX {
        return Err("it is too long");
    }
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let key = match line.strip_prefix(b"hex:") {
        Some(digits) => unhex(digits).ok_or("behind `hex:` stand pairs of digits")?,
        None => line.to_vec(),
    };
    match key.len() {
        0 => Err("it is empty"),
        1..=KEY_MAX if !key.contains(&b'\n') || line.starts_with(b"hex:") => Ok(PskKey(key)),
        1..=KEY_MAX => Err("it has more than one line"),
        _ => Err("it is longer than 256 bytes"),
    }
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written_and_never_shown() {
        for (text, key) in [
            (&b"s3cret\n"[..], &b"s3cret"[..]),
            (b"s3cret\r\n", b"s3cret"),
            (b"two words", b"two words"),
            (b"hex:00fF\n", b"\x00\xFF"),
            (b"hex:0a\n", b"\n"),
        ] {
            assert_eq!(parse(text).expect("a key"), PskKey::new(key), "{text:?}");
        }
        for text in [&b""[..], b"\n", b"hex:", b"hex:0", b"hex:0g", b"a\nb", &[b'x'; 257]] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        let device = PskDevice {
            peer: None,
            identity: PskIdentity::new("meter"),
            key: PskKey::new("s3cret"),
        };
        let shown = format!("{:?} {:#?}", device, Security::Psk(vec![device.clone()]));
        assert!(!shown.contains("s3cret") && shown.contains("meter"), "{shown}");
    }

    #[test]
    fn what_is_missing_is_named_by_its_reference() {
        for (reference, shown) in [
            (KeyReference::File("/nowhere/key".into()), "key file `/nowhere/key` cannot be read"),
            (
                KeyReference::Environment("FIELDGATE_NO_SUCH_KEY".to_owned()),
                "environment variable `FIELDGATE_NO_SUCH_KEY` is not set",
            ),
            (KeyReference::Credential("meter".to_owned()), "systemd credential `meter` is not set"),
        ] {
            let error = reference.read().expect_err("nothing there");
            assert_eq!(error.to_string(), shown);
            assert!(!error.hint().is_empty());
        }
    }
}
