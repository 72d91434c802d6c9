//! Modbus as others see it: literal frames, lines that misbehave, and bytes that nobody meant.

mod any_bytes;
mod any_script;
mod client_serial;
mod client_tcp;
mod corpus;
mod frames;
mod kit;
mod pdus;
mod properties;
mod rng;
