//! Who answers when everybody is asked, and with which resources.

use std::net::SocketAddr;

use fieldgate_coap::link::{self, Link, LinkError, WELL_KNOWN_CORE};
use fieldgate_coap::request::Response;
use fieldgate_model::Millis;
use thiserror::Error;
use tokio::sync::mpsc;

use super::endpoint::{CoapRequest, Endpoint, RequestError};
use crate::clock::Clock;

/// Answers that may wait to be looked at: a segment of 256 devices. More than that are dropped, and
/// counted by the task.
pub(super) const FOUND_MAX: usize = 256;

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) peer: SocketAddr,
    pub(super) response: Response,
    /// It is the first block of a longer one.
    pub(super) more: bool,
}

/// Somebody who answered.
#[derive(Debug)]
pub struct Found {
    /// Who.
    pub peer: SocketAddr,
    /// Its resources, or why they are not known.
    pub links: Result<Vec<Link>, DiscoveryError>,
}

/// Why the resources of somebody who answered are not known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DiscoveryError {
    /// It lists none.
    #[error("it answered {0}")]
    Refused(fieldgate_coap::code::Code),
    /// The list is none.
    #[error("its list of resources is malformed: {0}")]
    Links(LinkError),
    /// The list is longer than its first block, and the rest did not come.
    #[error("the rest of its list of resources did not come: {0}")]
    Rest(RequestError),
}

/// A discovery under way.
#[derive(Debug)]
pub struct Discovery {
    endpoint: Endpoint,
    answers: mpsc::Receiver<Heard>,
    wait: Millis,
}

impl Discovery {
    pub(super) fn new(endpoint: Endpoint, answers: mpsc::Receiver<Heard>, wait: Millis) -> Self {
        Self { endpoint, answers, wait }
    }

    /// The next one who answered; nothing once the time is over.
    pub async fn next(&mut self) -> Option<Found> {
        let Heard { peer, response, more } = self.answers.recv().await?;
        let links = self.links(peer, response, more).await;
        Some(Found { peer, links })
    }

    async fn links(
        &self,
        peer: SocketAddr,
        response: Response,
        more: bool,
    ) -> Result<Vec<Link>, DiscoveryError> {
        if !response.code.is_success() {
            return Err(DiscoveryError::Refused(response.code));
        }
        let payload = if more {
            // Only the first block comes from a group; the whole is asked of the one.
            let request = CoapRequest::get(WELL_KNOWN_CORE, Clock.now() + self.wait);
            let answer = self.endpoint.request(peer, request).await;
            answer.map_err(DiscoveryError::Rest)?.payload
        } else {
            response.payload
        };
        link::parse(&payload).map_err(DiscoveryError::Links)
    }
}
