//! The cloud service: a thin shell around `shared/`, one module per stage of the flow.
//!
//! ```text
//! up    gateways ══MQTT══ link → ingest → store → api, console
//! down  gateways ══MQTT══ link ← command ← api, console
//! ```

pub mod api;
pub mod app;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod command;
pub mod console;
pub mod downlink;
pub mod http;
pub mod identity;
pub mod ingest;
pub mod link;
pub mod listening;
pub mod live;
pub mod metrics;
pub mod show;
pub mod state;
pub mod store;
pub mod upkeep;
