//! Where the service listens, written into the data folder so that the verbs of the command line
//! can hand out addresses without being told.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The file inside the data folder.
const FILE: &str = "listening.toml";

/// Where the last `serve` listened, as others reach it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Listening {
    /// What gateways connect to; `None` behind a broker whose public address nobody has said.
    pub gateway_url: Option<String>,
    /// Gateways check the instance's own authority there.
    pub is_tls: bool,
    /// API and console.
    pub http_url: String,
    /// The names in the server's certificate.
    pub public_names: Vec<String>,
}

impl Listening {
    /// Reads the file; `None` before the first `serve`.
    pub fn read(data: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read_to_string(data.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        toml::from_str(&text).map(Some).map_err(io::Error::other)
    }

    /// Replaces the file.
    pub fn write(&self, data: &Path) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        // Renamed into place: a verb never reads half of it.
        let temporary = data.join("listening.toml.tmp");
        fs::write(&temporary, text)?;
        fs::rename(temporary, data.join(FILE))
    }
}
