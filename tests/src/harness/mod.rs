//! The harness: starts real programs on free loopback ports and ends them with itself.
//!
//! # Invariants
//!
//! - Whatever is started here is gone when its value is dropped, by the id of the process alone.
//! - Waiting is on a condition with a deadline; what was waited for stands in the error.
//! - Output goes to files, so that no full pipe can hold a program up.

mod api;
mod binary;
mod cloud;
mod edge;
mod line;
mod mosquitto;
mod process;
mod profile;
mod pymodbus;
mod scratch;
mod simulator;
mod sse;
mod wait;

pub use api::{Api, Reply};
pub use binary::{binary, build, repository};
pub use cloud::{Cloud, CloudOptions};
pub use edge::{Edge, EdgeConfig};
pub use line::Line;
pub use mosquitto::Mosquitto;
pub use process::{Ended, Process};
pub use profile::{METER, PUMP, PUMP_PARSER, write_profiles};
pub use pymodbus::Pymodbus;
pub use scratch::Scratch;
pub use simulator::{Counts, Simulator};
pub use sse::EventSource;
pub(crate) use wait::pause;
pub use wait::{free_port, until};
