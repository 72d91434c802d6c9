//! What a gateway logs in with: the file that is printed for it, its secret, and the secret's hash.
//!
//! # Invariants
//!
//! - A secret is 256 random bits, so one round of SHA-256 protects it: a slow hash defends guessable
//!   passwords, and nobody guesses 256 bits.
//! - The text of a secret is never part of a `Debug` output.

use std::fmt;

use fieldgate_model::{GatewayId, IdError};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::random_hex;

/// Why a text is not a credentials file.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Not TOML, or a field is missing or of another type.
    #[error("credentials are not readable: {0}")]
    Text(String),
    /// The gateway's id has the wrong shape.
    #[error("gateway id in the credentials is wrong: {0}")]
    Gateway(IdError),
    /// A field that must have a content is empty.
    #[error("`{0}` in the credentials is empty")]
    Empty(&'static str),
}

/// What a gateway needs in order to reach its instance: the credentials file.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The gateway's id; also its MQTT client id and user name.
    pub gateway: GatewayId,
    /// The secret, 64 hex digits; the MQTT password as it stands.
    pub secret: String,
    /// Where to connect: `mqtts://host:port`.
    pub url: String,
    /// The instance's authority, PEM: the only root the gateway trusts.
    pub ca: String,
}

/// The fields of the file, before they are checked.
#[derive(Serialize, Deserialize)]
struct RawCredentials {
    gateway: String,
    secret: String,
    url: String,
    ca: String,
}

impl Credentials {
    /// The credentials file's text, TOML.
    pub fn to_toml(&self) -> String {
        let raw = RawCredentials {
            gateway: self.gateway.to_string(),
            secret: self.secret.clone(),
            url: self.url.clone(),
            ca: self.ca.clone(),
        };
        toml::to_string_pretty(&raw).expect("four strings are always TOML")
    }

    /// Reads a credentials file; fields it does not know are left for later versions.
    pub fn parse(text: &str) -> Result<Self, CredentialsError> {
        // Only the message: the parser's own rendering quotes the line, and a line is the secret.
        let raw: RawCredentials = toml::from_str(text)
            .map_err(|error| CredentialsError::Text(error.message().to_owned()))?;
        for (field, value) in [("secret", &raw.secret), ("url", &raw.url), ("ca", &raw.ca)] {
            if value.trim().is_empty() {
                return Err(CredentialsError::Empty(field));
            }
        }
        let gateway = GatewayId::new(raw.gateway).map_err(CredentialsError::Gateway)?;
        Ok(Self { gateway, secret: raw.secret, url: raw.url, ca: raw.ca })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("gateway", &self.gateway)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// A secret of 256 random bits, as 64 hex digits.
pub fn new_secret() -> String {
    random_hex::<32>()
}

/// What the store keeps of a secret: SHA-256 of its text as the gateway sends it.
pub fn secret_hash(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Whether `secret` is the one that was hashed; takes the same time for every wrong one.
pub fn secret_matches(secret: &[u8], hash: &[u8; 32]) -> bool {
    let difference = secret_hash(secret).iter().zip(hash).fold(0, |sum, (a, b)| sum | (a ^ b));
    // Without the barrier the compiler may leave the fold at the first difference.
    std::hint::black_box(difference) == 0
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}
