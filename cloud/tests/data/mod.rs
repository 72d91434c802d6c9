//! Tests by part, in the order in which data flows.

mod blocks;
mod command;
mod damage;
mod history;
mod ingest;
mod operator;
mod standing;
mod store;
mod support;
