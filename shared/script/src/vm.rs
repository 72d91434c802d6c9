//! One Luau VM with one parser in it, sandboxed and metered.

use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, LuaOptions, MultiValue, StdLib};

use crate::answer::{kind_of, readings};
use crate::error::{CHUNK, Failure};
use crate::meter::{Cut, Meter};
use crate::wide::Wide;
use crate::{Block, Cancel, DeviceState, Fault, Frame, Limits, Reading};

/// The libraries a parser has. Absent: `os` and `debug`, and `coroutine`, which a function of one
/// frame has no use for.
const LIBRARIES: [StdLib; 6] =
    [StdLib::TABLE, StdLib::STRING, StdLib::UTF8, StdLib::BIT, StdLib::MATH, StdLib::BUFFER];

/// All that a parser finds in its global table. What is not here is taken away, so that a later
/// Luau cannot add something unseen. Absent on purpose: `getfenv`, `setfenv`, `loadstring`,
/// `require`, `collectgarbage`, `gcinfo`, `newproxy`, `print`, `xpcall`, `_G`.
const GLOBALS: [&str; 26] = [
    "assert",
    "error",
    "getmetatable",
    "ipairs",
    "next",
    "pairs",
    "pcall",
    "rawequal",
    "rawget",
    "rawlen",
    "rawset",
    "select",
    "setmetatable",
    "tonumber",
    "tostring",
    "type",
    "typeof",
    "unpack",
    "_VERSION",
    "bit32",
    "buffer",
    "math",
    "string",
    "table",
    "utf8",
    "reg",
];

/// A VM and the parser in it.
pub(crate) struct Vm {
    lua: Lua,
    /// The file as a function; it gives back the parser's function.
    file: Function,
    meter: Rc<Meter>,
    limits: Limits,
    /// Bytes in use when no run has left anything behind.
    memory_idle: usize,
}

/// What a run gave back. `state` is `None` where the script said nothing about it.
pub(crate) struct Answer {
    pub(crate) readings: Vec<Reading>,
    pub(crate) state: Option<DeviceState>,
}

impl Vm {
    /// Compiles `source` and runs the file once, within the limits.
    pub(crate) fn build(source: &str, limits: Limits, cancel: Cancel) -> Result<Self, Failure> {
        let libraries = LIBRARIES.into_iter().fold(StdLib::NONE, |all, one| all | one);
        let lua = Lua::new_with(libraries, LuaOptions::default())?;
        let meter = Rc::new(Meter::new(limits, cancel));
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
        let file = lua.load(source).set_name(format!("={CHUNK}")).set_mode(ChunkMode::Text);
        let file = file.into_function().map_err(|error| filled(error.into(), &limits))?;
        let vm = Self { lua, file, meter, limits, memory_idle };
        vm.metered(|vm| vm.function().map(drop))?;
        vm.lua.gc_collect()?;
        vm.lua.gc_stop();
        Ok(Self { memory_idle: vm.lua.used_memory(), ..vm })
    }

    /// Runs the parser over one frame.
    pub(crate) fn run(&self, frame: &Frame, state: &DeviceState) -> Result<Answer, Failure> {
        let answer = self.metered(|vm| vm.answer(frame, state));
        // Half of a run's allowance: seldom enough to cost nothing a frame, often enough that a VM
        // never holds more than one and a half of it.
        if self.lua.used_memory().saturating_sub(self.memory_idle) > self.limits.memory_bytes / 2 {
            self.lua.gc_collect()?;
            self.lua.gc_stop();
        }
        answer
    }

    /// Fuel used by the last run.
    pub(crate) fn fuel_used(&self) -> u64 {
        self.meter.used()
    }

    /// Runs `work` within the limits. A limit that was reached wins over whatever `work` says.
    fn metered<T>(&self, work: impl FnOnce(&Self) -> Result<T, Failure>) -> Result<T, Failure> {
        let memory_start = self.lua.used_memory();
        self.meter.begin(memory_start);
        self.lua.set_memory_limit(memory_start.saturating_add(self.limits.memory_bytes))?;
        let done = work(self);
        self.lua.set_memory_limit(0)?;
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

    fn answer(&self, frame: &Frame, state: &DeviceState) -> Result<Answer, Failure> {
        let frame_table = self.frame(frame)?;
        let given = (frame_table, state.to_lua(&self.lua)?);
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

/// Adds what is ours to the global table and takes away what is not for parsers.
fn furnish(lua: &Lua, meter: &Rc<Meter>) -> mlua::Result<()> {
    let wide = lua.create_function(|_, (signed, a, b, c, d): (bool, u16, u16, u16, u16)| {
        Ok(Wide::from_words([a, b, c, d], signed))
    })?;
    let counted = Rc::clone(meter);
    let spend = lua.create_function(move |lua, fuel: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        counted.spend(lua, fuel as u64)
    })?;
    let counted = Rc::clone(meter);
    let memory_spent =
        lua.create_function(move |lua, ()| Err::<(), _>(counted.end(lua, Cut::Memory)))?;
    let prelude = lua.load(include_str!("prelude.luau")).set_name("=prelude");
    prelude.set_mode(ChunkMode::Text).call::<()>((wide, spend, memory_spent))?;

    let globals = lua.globals();
    let mut away = Vec::new();
    for pair in globals.pairs::<mlua::LuaString, mlua::Value>() {
        let (name, _) = pair?;
        if !GLOBALS.iter().any(|kept| name.as_bytes() == kept.as_bytes()) {
            away.push(name);
        }
    }
    for name in away {
        globals.raw_set(name, mlua::Nil)?;
    }
    // Seeded alike in every VM, but its state would live on from frame to frame.
    let math: mlua::Table = globals.raw_get("math")?;
    math.raw_set("random", mlua::Nil)?;
    math.raw_set("randomseed", mlua::Nil)
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
