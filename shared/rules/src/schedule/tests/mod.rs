//! The schedule on buses that are functions from a question to an answer and its time.

use super::*;

mod bus;
mod jobs;
mod line;
mod pipeline;
mod polls;
mod simulation;
mod watch;
