//! The edge daemon: a thin shell around `shared/`, one module per stage of the flow.
//!
//! ```text
//! up    device ─ drivers → engine (decode | script, alarms) → buffer → sync ══MQTT══ cloud
//! down  device ← drivers ← command ← sync ══MQTT══ cloud
//! ```

pub mod buffer;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod drivers;
pub mod engine;
pub mod handles;
pub mod http;
pub mod import;
pub mod journal;
mod lines;
pub mod pipeline;
pub mod simulate;
pub mod socket;
pub mod sync;
pub mod telemetry;
pub mod timekeeper;
