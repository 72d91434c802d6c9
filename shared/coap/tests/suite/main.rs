//! CoAP as others see it: literal datagrams, peers that misbehave, and a network that loses, doubles
//! and reorders.

mod any_bytes;
mod attacks;
mod blocks;
mod kit;
mod lossy;
mod messages;
mod observing;
mod requests;
mod rng;
mod serving;
mod serving_blocks;
