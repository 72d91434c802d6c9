//! The CoAP endpoint's shell: one task owns a UDP socket and the machine that speaks on it.
//!
//! [`fieldgate_coap::endpoint`] decides what is sent when, and what comes of what came; here it is
//! given a socket, a clock and a seed. Whoever has an [`Endpoint`] asks, observes and discovers; what
//! devices push arrives as [`Incoming`].
//!
//! # Invariants
//!
//! - The task sleeps unless a datagram came, somebody asks, or something is due.
//! - It ends when the last [`Endpoint`] is dropped.

mod discovery;
#[cfg(feature = "coap-dtls")]
mod dtls;
#[cfg(not(feature = "coap-dtls"))]
#[path = "dtls_absent.rs"]
mod dtls;
mod endpoint;
mod incoming;
mod observation;
mod security;
mod socket;
mod task;

/// What a datagram is made of, for those who put it into words.
pub mod describe {
    pub use fieldgate_coap::message::{Kind, Message};
    pub use fieldgate_coap::option::OptionNumber;
}

pub use fieldgate_coap::block::BlockSize;
pub use fieldgate_coap::code::{Code, Method};
pub use fieldgate_coap::counters::EndpointCounters;
pub use fieldgate_coap::endpoint::{ContentKey, Limits, Loss, Push, Rate, Transmission};
pub use fieldgate_coap::link::Link;
pub use fieldgate_coap::option::ContentFormat;
pub use fieldgate_coap::request::{ProtocolFault, RefusedRequest};

pub use self::discovery::{Discovery, Found};
pub use self::endpoint::{
    CoapRequest, CoapResponse, Endpoint, EndpointOptions, OpenError, RequestError,
};
pub use self::incoming::{Incoming, ReplyHandle};
pub use self::observation::{Notification, Observation};
pub use self::security::{KeyError, KeyReference, PskDevice, PskIdentity, PskKey, Security};
