//! Tests by part, in the order in which data flows.

mod command;
mod ingest;
mod operator;
mod standing;
mod store;
mod support;
