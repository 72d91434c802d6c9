//! Parsers: scripts that turn a device's registers or payload into values, in a sandbox.
//!
//! A parser is one Luau file that returns `function(frame, state)`. The frame carries the tables
//! that were read, `frame.hr[ADDRESS]`, `frame.ir[..]` (numbers), `frame.co[..]`, `frame.di[..]`
//! (booleans), indexed by PDU address; `frame.payload` and `frame.format` of a message;
//! `frame.device` and `frame.at`. The answer is a table of signal name to value, or to
//! `{ value = .., quality = "good" | "uncertain" | "bad", at = .. }`, and, if the parser wants to
//! remember something for this device, a second value that comes back as `state` the next time.
//! The library `reg` reads typed values out of words: `reg.u32(frame.hr, 10, "CDAB")`.
//!
//! # Why Luau
//!
//! A parser may arrive from the cloud, so this is a security boundary (IEC 62443-4-2 EDR 2.4,
//! mobile code). Measured: of 24 hostile scripts 7 outran the instruction hook of Lua 5.4 (loops
//! behind `pcall`, in coroutines and finalizers, and above all patterns, which are C: a pattern of
//! nine characters held a core for 13 s). Luau's interrupt is also called from inside the pattern
//! matcher, it has no finalizers and no bytecode for scripts, and it stopped all 24. It is not enough
//! alone: some library functions are loops in C without an interrupt. One
//! `table.move({}, 1, 2^30, 2, {})` was measured at 23 s, one pattern with a character class of
//! 200 KB at 22 s, both past any fuel and any cancel; so the prelude puts a price on such calls
//! before they begin. The price of Luau itself: its numbers are floats of 64 bits, so 64-bit
//! registers travel through a script as an exact integer
//! of their own type (`reg.u64`, `reg.i64`).
//!
//! # Invariants
//!
//! - A run is a function of source, frame and state alone. The file is run anew for each frame, so
//!   that nothing survives in a local of the file; globals and libraries are read-only; there is
//!   no clock and no randomness. One leak is known: `tostring` of a table or function shows its
//!   address in memory, which differs from process to process.
//! - Fuel is counted, not timed, so a run ends at the same place on a loaded and on an idle
//!   machine. Wall time is only a backstop that the shell applies through [`Cancel`].
//! - A limit cannot be caught: once it is reached, every later step of the run fails too, and the
//!   run ends in an error whatever the script made of it.
//! - No garbage is collected within a run, so [`Limits::memory_bytes`] bounds everything a run
//!   allocates; what it could touch over and over is priced in fuel.
//! - After an overrun the VM is thrown away and built anew from the source.
//!
//! # Threads
//!
//! A [`Parser`] is not `Send`: the shell loads it on the thread that runs it. [`Cancel`],
//! [`DeviceState`], [`Reading`] and [`ScriptError`] may cross threads.

mod answer;
mod error;
mod frame;
mod limits;
mod meter;
mod parser;
mod reading;
mod state;
mod vm;
mod wide;

pub use error::{Fault, ScriptError};
pub use frame::{Block, Frame};
pub use limits::{Cancel, Limits};
pub use parser::Parser;
pub use reading::{Reading, fit};
pub use state::DeviceState;
