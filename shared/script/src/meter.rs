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
const MEMORY_FREE: usize = 128 * 1024;

/// Beyond that, each step costs one more for every so many bytes: a step may be a call into C that
/// walks all that the run holds (sort, compare, insert at the front).
const MEMORY_PER_FUEL: usize = 4096;

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
    used: Cell<u64>,
    memory_start: Cell<usize>,
    cut: Cell<Option<(Cut, Option<u32>)>>,
}

impl Meter {
    pub(crate) fn new(limits: Limits, cancel: Cancel) -> Self {
        Self {
            limits,
            cancel,
            used: Cell::new(0),
            memory_start: Cell::new(0),
            cut: Cell::new(None),
        }
    }

    /// Begins a run that starts with so many bytes in use.
    pub(crate) fn begin(&self, memory_start: usize) {
        self.used.set(0);
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
        self.spend(lua, 1 + u64::try_from(surcharge).unwrap_or(u64::MAX - 1))?;
        Ok(VmState::Continue)
    }

    /// Uses up `fuel`.
    pub(crate) fn spend(&self, lua: &Lua, fuel: u64) -> mlua::Result<()> {
        self.used.set(self.used.get().saturating_add(fuel));
        if self.used.get() > self.limits.fuel {
            return Err(self.end(lua, Cut::Fuel));
        }
        if self.cancel.is_cancelled() {
            return Err(self.end(lua, Cut::Cancelled));
        }
        match self.cut.get() {
            Some((cut, _)) => Err(self.end(lua, cut)),
            None => Ok(()),
        }
    }

    /// Cuts the run off. The first reason and line are kept.
    pub(crate) fn end(&self, lua: &Lua, cut: Cut) -> mlua::Error {
        if self.cut.get().is_none() {
            self.cut.set(Some((cut, line_of_script(lua))));
        }
        mlua::Error::runtime("cut off")
    }
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
