//! Pure CoAP: messages, links and both sides of an endpoint.
//!
//! Modules stand in the order in which a wish becomes datagrams. Datagrams, time and the seed of all
//! that must not be guessed come in as arguments; sockets are the shells'.
//!
//! Sources: RFC 7252 (CoAP), RFC 7641 (Observe), RFC 7959 (block-wise transfers), RFC 6690 (links).

pub mod code;
pub mod option;
pub mod request;

pub mod block;
pub mod message;

pub mod counters;
pub mod endpoint;
pub mod entropy;
pub mod link;
