//! Holds the bytes of every message: what they are, that they come back, that no bytes do harm.

mod any_bytes;
mod cddl;
mod chain;
mod golden;
mod hostile;
mod notation;
mod reassembly;
mod refusal;
mod rng;
mod round_trip;
mod size;
mod specimen;
