//! What the shells know of a parser, whatever language it is written in.
//!
//! # Invariants
//!
//! Of every executor; `tests/executors.rs` holds them for each that exists.
//!
//! - A run is a function of source, frame and state. It changes the state only when it succeeds.
//! - It ends: in readings that are ordered by name and within the [`Limits`], or in an error that
//!   says where. After an error the same executor answers the next frame.
//! - Once [`Cancel`] says so, the running one and every later run ends in
//!   [`Fault::Cancelled`](crate::Fault::Cancelled), until it is reset.

use crate::{Cancel, DeviceState, Frame, Limits, Parser, Reading, ScriptError, Used};

/// One parser, loaded.
pub trait Executor {
    /// Runs the parser over one frame. The readings are ordered by name. `state` changes only when
    /// the run succeeds and the script gives a second value back.
    fn run(&mut self, frame: &Frame, state: &mut DeviceState) -> Result<Vec<Reading>, ScriptError>;

    /// What the last run used up, or loading before the first.
    fn used(&self) -> Used;
}

/// Loads a parser into the executor of its language, which the file's ending names. There is one,
/// Luau; another would be a branch here, and nothing else outside its own module.
pub fn load(
    file: &str,
    source: &str,
    limits: Limits,
    cancel: Cancel,
) -> Result<Box<dyn Executor>, ScriptError> {
    Ok(Box::new(Parser::load_with(file, source, limits, cancel)?))
}

impl Executor for Parser {
    fn run(&mut self, frame: &Frame, state: &mut DeviceState) -> Result<Vec<Reading>, ScriptError> {
        Self::run(self, frame, state)
    }

    fn used(&self) -> Used {
        Self::used(self)
    }
}
