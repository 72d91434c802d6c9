//! One Luau VM with one parser in it, sandboxed and metered.

use std::cell::Cell;
use std::rc::Rc;

use mlua::chunk::{ChunkMode, Compiler};
use mlua::{Function, Lua, LuaOptions, MultiValue};

use crate::answer::{kind_of, readings};
use crate::error::{CHUNK, Failure};
use crate::meter::Meter;
use crate::world::{self, furnish};
use crate::{Block, Cancel, DeviceState, Fault, Frame, Limits, Reading, Used};

/// A VM and the parser in it.
pub(crate) struct Vm {
    lua: Lua,
    /// The file as a function; it gives back the parser's function.
    file: Function,
    meter: Rc<Meter>,
    limits: Limits,
    /// Bytes in use when no run has left anything behind.
    memory_idle: usize,
    memory_used: Cell<usize>,
}

/// What a run gave back. `state` is `None` where the script said nothing about it.
pub(crate) struct Answer {
    pub(crate) readings: Vec<Reading>,
    pub(crate) state: Option<DeviceState>,
}

impl Vm {
    /// Compiles `source` and runs the file once, within the limits.
    pub(crate) fn build(source: &str, limits: Limits, cancel: Cancel) -> Result<Self, Failure> {
        let lua = Lua::new_with(world::libraries(), LuaOptions::default())?;
        let meter = Rc::new(Meter::new(limits, cancel, source.len()));
        furnish(&lua, &meter)?;
        lua.sandbox(true)?;
        // The sandbox lets a script write to a global table of its own, which would outlive a run.
        lua.globals().set_readonly(true);
        let counted = Rc::clone(&meter);
        lua.set_interrupt(move |lua| counted.interrupt(lua));
        lua.gc_collect()?;
        lua.gc_stop();

        let memory_idle = lua.used_memory();
        lua.set_memory_limit(memory_idle.saturating_add(limits.memory_bytes))?;
        // Called by the compiler's shortcut they would take no step, and `tostring` would be the one
        // that tells addresses.
        let compiler = Compiler::new().set_disabled_builtins(["tonumber", "tostring"]);
        let file = lua.load(source).set_name(format!("={CHUNK}")).set_mode(ChunkMode::Text);
        let file = file.set_compiler(compiler);
        let file = file.into_function().map_err(|error| filled(error.into(), &limits))?;
        let vm = Self { lua, file, meter, limits, memory_idle, memory_used: Cell::new(0) };
        vm.metered(|_| Ok(()), |vm, ()| vm.function().map(drop))?;
        vm.lua.gc_collect()?;
        vm.lua.gc_stop();
        Ok(Self { memory_idle: vm.lua.used_memory(), ..vm })
    }

    /// Runs the parser over one frame.
    pub(crate) fn run(&self, frame: &Frame, state: &DeviceState) -> Result<Answer, Failure> {
        let given = |vm: &Self| Ok((vm.frame(frame)?, state.to_lua(&vm.lua)?));
        let answer = self.metered(given, |vm, given| vm.answer(given, frame));
        // Half of a run's allowance: seldom enough to cost nothing a frame, often enough that a VM
        // never holds more than one and a half of it.
        if self.lua.used_memory().saturating_sub(self.memory_idle) > self.limits.memory_bytes / 2 {
            self.lua.gc_collect()?;
            self.lua.gc_stop();
        }
        answer
    }

    /// What the last run used up.
    pub(crate) fn used(&self) -> Used {
        Used { fuel: self.meter.used(), memory_bytes: self.memory_used.get() }
    }

    /// Runs `work` on what `prepare` has made, within the limits. A limit that was reached wins over
    /// whatever `work` says. What is prepared counts as used memory, but cannot fail for want of it:
    /// the shell bounds its size, and a VM without a limit is filled three times as fast.
    fn metered<G, T>(
        &self,
        prepare: impl FnOnce(&Self) -> mlua::Result<G>,
        work: impl FnOnce(&Self, G) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let memory_start = self.lua.used_memory();
        self.meter.begin(memory_start);
        let given = prepare(self)?;
        self.lua.set_memory_limit(memory_start.saturating_add(self.limits.memory_bytes))?;
        let done = work(self, given);
        self.lua.set_memory_limit(0)?;
        self.memory_used.set(self.lua.used_memory().saturating_sub(memory_start));
        match self.meter.cut() {
            Some((fault, line)) => Err(Failure { line, fault }),
            None => done.map_err(|failure| filled(failure, &self.limits)),
        }
    }

    /// The parser's function, from a fresh run of the file.
    fn function(&self) -> Result<Function, Failure> {
        let back: mlua::Value = self.file.call(())?;
        back.as_function().cloned().ok_or_else(|| Failure {
            line: None,
            fault: Fault::NotAFunction { found: kind_of(&back) },
        })
    }

    fn answer(&self, given: (mlua::Table, mlua::Value), frame: &Frame) -> Result<Answer, Failure> {
        let mut back = self.function()?.call::<MultiValue>(given)?.into_iter();
        let readings = readings(&back.next().unwrap_or_default(), frame.at, &self.limits)?;
        let state = back.next().map(|v| DeviceState::from_lua(v, self.limits.state_bytes_max));
        Ok(Answer { readings, state: state.transpose()? })
    }

    /// The frame as the script sees it.
    fn frame(&self, frame: &Frame) -> mlua::Result<mlua::Table> {
        let table = self.lua.create_table_with_capacity(0, 8)?;
        table.raw_set("device", frame.device.as_str())?;
        // Exact for 285,000 years of uptime.
        table.raw_set("at", frame.at.0)?;
        table.raw_set("hr", self.blocks(&frame.hr)?)?;
        table.raw_set("ir", self.blocks(&frame.ir)?)?;
        table.raw_set("co", self.blocks(&frame.co)?)?;
        table.raw_set("di", self.blocks(&frame.di)?)?;
        if let Some(payload) = frame.payload {
            table.raw_set("payload", self.lua.create_string(payload)?)?;
        }
        if let Some(format) = frame.format {
            table.raw_set("format", format)?;
        }
        if let Some(resource) = frame.resource {
            table.raw_set("resource", resource)?;
        }
        Ok(table)
    }

    fn blocks<T: mlua::IntoLua + Copy>(&self, blocks: &[Block<T>]) -> mlua::Result<mlua::Table> {
        let count = blocks.iter().map(|block| block.items.len()).sum();
        let table = self.lua.create_table_with_capacity(0, count)?;
        for (address, item) in blocks.iter().flat_map(Block::entries) {
            table.raw_set(address, *item)?;
        }
        Ok(table)
    }
}

/// A failure for want of memory with the limit that was reached.
fn filled(failure: Failure, limits: &Limits) -> Failure {
    match failure.fault {
        Fault::Memory { .. } => {
            Failure { fault: Fault::Memory { limit: limits.memory_bytes }, ..failure }
        }
        Fault::Syntax { .. }
        | Fault::Runtime { .. }
        | Fault::Fuel { .. }
        | Fault::Output { .. }
        | Fault::NotAFunction { .. }
        | Fault::Result { .. }
        | Fault::Cancelled => failure,
    }
}
