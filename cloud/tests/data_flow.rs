//! The data side of the cloud on a real SQLite file: store, ingest, commands, command line.

mod data;
