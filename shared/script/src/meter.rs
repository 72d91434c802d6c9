//! Counts what a run uses up, and cuts it off.
//!
//! # Invariants
//!
//! - Once a run is cut, every further interrupt fails, so no `pcall` can hold on to it, and
//!   [`Meter::cut`] still knows when the script returns as if nothing had happened.

use std::cell::Cell;

use mlua::{Lua, VmState};

use crate::{Cancel, Fault, Limits};

/// Bytes that a run may hold before its steps become dearer. Real parsers stay below, so that
/// their fuel does not depend on how the allocator packs its pages.
const MEMORY_FREE: usize = 64 * 1024;

/// Beyond that, each step costs one more for every so many bytes: a step may be a call into C that
/// walks all that the run holds (sort, compare, insert at the front).
const MEMORY_PER_FUEL: usize = 2048;

/// Each step costs one more for every so many bytes of source: between two steps lies straight
/// code, which nothing counts, and the source bounds how much.
const SOURCE_PER_FUEL: usize = 1024;

/// Bytes that one step of a search may walk, for one fuel.
const SEARCH_PER_FUEL: usize = 512;

/// The shell's clock is asked after so much fuel: a question is a system call, and this much fuel
/// is some microseconds of work.
const CLOCK_EVERY: u64 = 128;

/// Why a run was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Fuel,
    Memory,
    Cancelled,
}

/// Counts one run at a time.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: Limits,
    cancel: Cancel,
    /// Price of a step by the length of the source alone.
    step_price: u64,
    /// What a step costs more while a search runs.
    weight: Cell<u64>,
    used: Cell<u64>,
    clock_at: Cell<u64>,
    memory_start: Cell<usize>,
    cut: Cell<Option<(Cut, Option<u32>)>>,
}

impl Meter {
    pub(crate) fn new(limits: Limits, cancel: Cancel, source_bytes: usize) -> Self {
        Self {
            limits,
            cancel,
            step_price: 1 + wide(source_bytes / SOURCE_PER_FUEL),
            weight: Cell::new(0),
            used: Cell::new(0),
            clock_at: Cell::new(0),
            memory_start: Cell::new(0),
            cut: Cell::new(None),
        }
    }

    /// Begins a run that starts with so many bytes in use.
    pub(crate) fn begin(&self, memory_start: usize) {
        self.weight.set(0);
        self.used.set(0);
        self.clock_at.set(CLOCK_EVERY);
        self.memory_start.set(memory_start);
        self.cut.set(None);
    }

    /// Fuel used since [`begin`](Self::begin).
    pub(crate) fn used(&self) -> u64 {
        self.used.get()
    }

    /// Why and on which line the run was cut off, if it was.
    pub(crate) fn cut(&self) -> Option<(Fault, Option<u32>)> {
        self.cut.get().map(|(cut, line)| {
            let fault = match cut {
                Cut::Fuel => Fault::Fuel { limit: self.limits.fuel },
                Cut::Memory => Fault::Memory { limit: self.limits.memory_bytes },
                Cut::Cancelled => Fault::Cancelled,
            };
            (fault, line)
        })
    }

    /// One step of the VM.
    pub(crate) fn interrupt(&self, lua: &Lua) -> mlua::Result<VmState> {
        let held = lua.used_memory().saturating_sub(self.memory_start.get());
        let surcharge = held.saturating_sub(MEMORY_FREE) / MEMORY_PER_FUEL;
        self.spend(lua, self.step_price + self.weight.get() + wide(surcharge))?;
        Ok(VmState::Continue)
    }

    /// Uses up `fuel`.
    pub(crate) fn spend(&self, lua: &Lua, fuel: u64) -> mlua::Result<()> {
        let used = self.used.get().saturating_add(fuel);
        self.used.set(used);
        if used > self.limits.fuel {
            return Err(self.end(lua, Cut::Fuel));
        }
        if used >= self.clock_at.get() {
            self.clock_at.set(used + CLOCK_EVERY);
            if self.cancel.is_over() {
                return Err(self.end(lua, Cut::Cancelled));
            }
        }
        if self.cancel.is_cancelled() {
            return Err(self.end(lua, Cut::Cancelled));
        }
        match self.cut.get() {
            Some((cut, _)) => Err(self.end(lua, cut)),
            None => Ok(()),
        }
    }

    /// Uses up what work on so many bytes costs in native code.
    pub(crate) fn spend_on_bytes(&self, lua: &Lua, bytes: usize) -> mlua::Result<()> {
        const BYTES_PER_FUEL: usize = 128;
        self.spend(lua, 1 + wide(bytes / BYTES_PER_FUEL))
    }

    /// What a step costs more at the moment.
    pub(crate) fn weight(&self) -> u64 {
        self.weight.get()
    }

    /// Sets what a step costs more, back to what it was before a search.
    pub(crate) fn set_weight(&self, weight: u64) {
        self.weight.set(weight);
    }

    /// Begins a search: its steps cost what each may walk. Gives the weight to go back to.
    pub(crate) fn weigh(&self, lua: &Lua, text: usize, pattern: &[u8]) -> mlua::Result<u64> {
        // A plain search has no steps at all.
        self.spend(lua, wide(text.saturating_mul(pattern.len()) / (4 * SEARCH_PER_FUEL)))?;
        let before = self.weight.get();
        self.weight.set(before.max(wide(walk(text, pattern) / SEARCH_PER_FUEL)));
        Ok(before)
    }

    /// Cuts the run off. The first reason and line are kept.
    pub(crate) fn end(&self, lua: &Lua, cut: Cut) -> mlua::Error {
        if self.cut.get().is_none() {
            self.cut.set(Some((cut, line_of_script(lua))));
        }
        mlua::Error::runtime("cut off")
    }
}

/// Bytes that one step of a search may walk: the whole text where the pattern repeats something,
/// and for each of them a class, or else the pattern alone.
fn walk(text: usize, pattern: &[u8]) -> usize {
    let repeats = pattern.iter().any(|byte| matches!(byte, b'*' | b'+' | b'-'))
        || pattern.windows(2).any(|two| matches!(two, [b'%', b'b' | b'0'..=b'9']));
    match (repeats, pattern.contains(&b'[')) {
        (false, _) => pattern.len(),
        (true, false) => text,
        (true, true) => text.saturating_mul(pattern.len()),
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX / 4)
}

/// How far up the stack the script's own line is looked for: below it stand at most the functions
/// of the prelude and the library function that they call.
const FRAMES_MAX: usize = 6;

/// The line that the script is at.
fn line_of_script(lua: &Lua) -> Option<u32> {
    (0..FRAMES_MAX).find_map(|level| {
        lua.inspect_stack(level, |frame| {
            let ours = frame.source().short_src.as_deref() == Some(crate::error::CHUNK);
            frame.current_line().filter(|_| ours).and_then(|line| u32::try_from(line).ok())
        })
        .flatten()
    })
}
