//! The conversations between edge and cloud, both halves of each, without I/O.
//!
//! Every machine has the same verbs: `resume` from what was stored, `handle_*` for what happened,
//! `handle_timeout` and `poll_timeout` where it keeps a timer, and `poll_effect` for what to do
//! next. Effects come in the order in which they must be done: what must be durable comes first,
//! and what depends on it only after the shell has said that it is.

#![no_std]

extern crate alloc;

mod backoff;
pub mod clock;
pub mod command;
mod fence;
mod reconnect;
pub mod uplink;

pub use backoff::Backoff;
pub use fence::{Fence, Verdict};
pub use reconnect::Reconnect;
