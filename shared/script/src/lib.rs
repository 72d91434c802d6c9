//! Parsers: scripts that turn a device's registers or payload into values, in a sandbox.
//!
//! A parser is one Luau file that returns `function(frame, state)`. The frame carries the tables
//! that were read, `frame.hr[ADDRESS]`, `frame.ir[..]` (numbers), `frame.co[..]`, `frame.di[..]`
//! (booleans), indexed by PDU address; `frame.payload` and `frame.format` of a message;
//! `frame.device` and `frame.at`. The answer is a table of signal name to value, or to
//! `{ value = .., quality = "good" | "uncertain" | "bad", at = .. }`, and, if the parser wants to
//! remember something for this device, a second value that comes back as `state` the next time.
//! The libraries `reg`, `bytes`, `json`, `cbor`, `time` and `int` read what devices send; the guide
//! for people who write parsers, `edge/docs/parsers.md`, has an example of each function.
//!
//! # Why Luau
//!
//! A parser may arrive from the cloud, so this is a security boundary (IEC 62443-4-2 EDR 2.4,
//! mobile code). Measured: of 24 hostile scripts 7 outran the instruction hook of Lua 5.4 (loops
//! behind `pcall`, in coroutines and finalizers, and above all patterns, which are C: a pattern of
//! nine characters held a core for 13 s). Luau's interrupt is also called from inside the pattern
//! matcher, it has no finalizers and no bytecode for scripts, and it stopped all 24.
//!
//! It is not enough alone, since only calls, returns, loops and steps of a pattern are counted:
//!
//! | what is not counted | measured before it was priced | held by |
//! |---|---|---|
//! | library functions that are loops in C | `table.move` 23 s, `string.packsize` 25 s, `utf8.len` 20 s of one run | a price before each call (`prelude/guard.luau`) |
//! | a step of a pattern that walks the text: `%b()`, `a*`, a class of 200 KB | 22 s | steps of a search cost what each may walk |
//! | straight code between two steps | 3 s | steps cost more in a longer file |
//! | built-in functions that the compiler calls without a step (`tonumber`, `tostring`) | 1,000 s | the compiler is told not to |
//! | texts turned into numbers or compared by an operator | 200 s | the shell's clock, and a bound on operators in one file |
//!
//! The price of Luau itself: its numbers are floats of 64 bits, so 64-bit registers travel through a
//! script as an exact integer of their own type (`reg.u64`, `bytes.i64`, `int.new`).
//!
//! # Invariants
//!
//! - A run is a function of source, frame and state alone. The file is run anew for each frame, so
//!   that nothing survives in a local of the file; globals and libraries are read-only; there is
//!   no clock and no randomness, and no text tells an address in memory. One leak is known: the
//!   order in which `pairs` walks a table whose keys are tables or functions follows their
//!   addresses.
//! - Fuel is counted, not timed, so a run ends at the same place on a loaded and on an idle
//!   machine. Time is only a backstop, which the shell brings along in a [`Cancel`].
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
mod executor;
mod frame;
mod helpers;
mod limits;
mod meter;
mod parser;
mod reading;
mod state;
mod vm;
mod world;

pub use error::{Fault, ScriptError};
pub use executor::{Executor, load};
pub use frame::{Block, Frame};
pub use limits::{Cancel, Limits, Used};
pub use parser::Parser;
pub use reading::{Reading, fit};
pub use state::DeviceState;
