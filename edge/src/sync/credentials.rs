//! The credentials file that `fieldgate-cloud gateway add` writes: who we are, and to whom.

use std::path::{Path, PathBuf};

use fieldgate_model::{GatewayId, IdError};
use serde::Deserialize;
use thiserror::Error;

/// The file as it stands on disk.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialsFile {
    gateway: String,
    secret: String,
    url: Option<String>,
    ca: String,
}

/// A gateway's identity at its cloud.
#[derive(Clone)]
pub struct Credentials {
    /// Its id, which is also its MQTT user name and client id.
    pub gateway: GatewayId,
    /// 256 random bits as hexadecimal text: its MQTT password.
    pub secret: String,
    /// The CA that the cloud's certificate must come from, PEM.
    pub ca: String,
}

// By hand, so that no log can ever print the secret.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

/// Why a credentials file is of no use.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// It cannot be read.
    #[error("read the credentials `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not such a file. The parser's words are left out: they would quote the secret.
    #[error("`{path}` is not a credentials file: {what}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// What is wrong, without quoting it.
        what: &'static str,
    },
    /// The id is none.
    #[error("the gateway's id in `{path}`")]
    Id {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: IdError,
    },
}

impl Credentials {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, CredentialsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| CredentialsError::Read { path: path.to_owned(), source })?;
        let file: CredentialsFile = toml::from_str(&text).map_err(|_| CredentialsError::Shape {
            path: path.to_owned(),
            what: "it needs `gateway`, `secret` and `ca`, may have `url`, and nothing else",
        })?;
        drop(file.url);
        let gateway = GatewayId::new(file.gateway)
            .map_err(|source| CredentialsError::Id { path: path.to_owned(), source })?;
        Ok(Self { gateway, secret: file.secret, ca: file.ca })
    }
}
