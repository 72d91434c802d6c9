//! Pure meaning: what to read from a device, what its answer says, when that is an alarm.
//!
//! Modules stand in the order in which an answer becomes a signal and a signal an alarm. The edge
//! runs them; the cloud previews and validates with the same functions.

pub mod alarm;
pub mod decode;
pub mod encode;
pub mod interpret;
mod number;
pub mod payload;
pub mod plan;
pub mod profile;
pub mod schedule;
pub mod signal;
pub mod sunspec;
mod text;
pub mod write;
