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
mod coap;
mod coap_client;
mod duration;
mod edge;
mod fake_clock;
mod firmware;
mod ledger;
mod libmodbus;
mod line;
mod mbpoll;
mod meddler;
mod moment;
mod mosquitto;
mod nats;
mod process;
mod pymodbus;
mod rabbitmq;
mod raw_serial;
mod scratch;
mod serial_pair;
mod simulator;
mod sse;
mod wait;

pub use api::{Api, Reply};
pub use binary::{binary, build, repository};
pub use cloud::{Cloud, CloudOptions};
pub use coap::CoapServer;
pub use coap_client::{coap_client, coap_post, coaps_client};
pub(crate) use duration::duration;
pub use edge::{Edge, EdgeConfig};
pub use fake_clock::FakeClock;
pub use firmware::Firmware;
pub use ledger::{Tally, Window, percentile};
pub use libmodbus::{Libmodbus, peer};
pub use line::Line;
pub use mbpoll::mbpoll;
pub use meddler::Meddler;
pub use moment::{now_millis, parse_moment};
pub use mosquitto::Mosquitto;
pub use nats::Nats;
pub use process::{Ended, Process};
pub use pymodbus::Pymodbus;
pub use rabbitmq::{RABBITMQ_LOGIN, RabbitMq};
pub use raw_serial::RawSerial;
pub use scratch::Scratch;
pub use serial_pair::SerialPair;
pub use simulator::{Counts, Simulator};
pub use sse::EventSource;
pub(crate) use wait::pause;
pub use wait::{free_port, free_udp_port, until};
