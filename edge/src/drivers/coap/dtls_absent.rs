//! What stands for DTLS in a program that was built without it: nothing that could exist.

use std::net::SocketAddr;

use fieldgate_model::Millis;

use super::security::{PskDevice, PskIdentity};

/// The layer that there is not.
pub(super) enum Secured {}

/// What it would want.
#[expect(dead_code, reason = "there is nothing that could make one")]
pub(super) enum Layered {
    Transmit(SocketAddr, Vec<u8>),
    Received(SocketAddr, Vec<u8>),
    Refused(SocketAddr),
}

impl Secured {
    pub(super) fn new(_: Vec<PskDevice>, _: [u8; 32]) -> Option<Self> {
        None
    }

    pub(super) fn send(&mut self, _: SocketAddr, _: &[u8]) {
        match *self {}
    }

    pub(super) fn receive(&mut self, _: SocketAddr, _: &[u8]) {
        match *self {}
    }

    pub(super) fn identity(&self, _: SocketAddr) -> Option<PskIdentity> {
        match *self {}
    }

    pub(super) fn forget(&mut self, _: SocketAddr) {
        match *self {}
    }

    pub(super) fn handle_timeout(&mut self) {
        match *self {}
    }

    pub(super) fn poll_timeout(&self) -> Option<Millis> {
        match *self {}
    }

    pub(super) fn poll(&mut self) -> Option<Layered> {
        match *self {}
    }
}
