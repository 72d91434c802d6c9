//! Parses a second through our boundary, beside bare Luau: mlua with sandbox, interrupt and memory
//! limit, the same script, the same frames, in turns in the same run.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use fieldgate_model::{DeviceName, Millis};
use fieldgate_script::{Block, DeviceState, Frame, Limits, Parser};
use mlua::{Function, Lua, LuaOptions, StdLib, Table, VmState};
use serde_json::{Value, json};

use super::poll::{as_f64, round};

/// Each side runs this long before the other has its turn, so that a busy minute hits both.
const TURN: Duration = Duration::from_millis(250);
/// Registers of the frame.
const REGISTERS: u16 = 60;

/// A parser of 20 scaled registers and of a text, as people write them. Nothing of ours is called in
/// them, so that the bare side can run them too.
const WORK: [(&str, &str); 3] = [
    (
        "registers",
        "local names = {}
         for place = 1, 20 do names[place] = 'signal_' .. place end
         return function(frame)
             local hr, out = frame.hr, {}
             for place, name in names do out[name] = hr[place] * 0.1 end
             return out
         end",
    ),
    (
        "few_registers",
        "return function(frame)
             local hr = frame.hr
             return { power = hr[0] * 65536 + hr[1], voltage = hr[2] / 10, running = hr[3] ~= 0 }
         end",
    ),
    (
        "payload",
        "return function(frame)
             local out = {}
             for name, value in string.gmatch(frame.payload, '(%a+)=([%d.]+)') do
                 out[name] = tonumber(value)
             end
             return out
         end",
    ),
];

/// The text of the third.
const PAYLOAD: &[u8] = b"temp=21.5;hum=48;co=417;batt=3.02";

pub(super) fn run(length: Duration) -> Result<Value> {
    let share = length / u32::try_from(WORK.len()).unwrap_or(1);
    let mut figures = serde_json::Map::new();
    for (name, source) in WORK {
        figures.insert(name.to_owned(), beside(source, share)?);
    }
    Ok(Value::Object(figures))
}

/// Both sides in turns.
fn beside(source: &str, length: Duration) -> Result<Value> {
    let words: Vec<u16> = (0..REGISTERS).map(|word| word * 7).collect();
    let device = DeviceName::new("meter").context("a name")?;
    let mut frame = Frame::new(&device, Millis(5000));
    frame.hr = vec![Block { start: 0, items: words }];
    frame.payload = Some(PAYLOAD);
    let mut parser = Parser::load("bench.luau", source, Limits::DEFAULT)?;
    let bare = Bare::load(source).map_err(|error| anyhow!("{error}"))?;
    let values = parser.run(&frame, &mut DeviceState::default())?.len();
    ensure!(values == bare.parse(&frame).map_err(|error| anyhow!("{error}"))?, "not the same work");
    let mut rates = [Rate::default(), Rate::default()];
    let end = Instant::now() + length;
    while Instant::now() < end {
        rates[0].turn(|| Ok(parser.run(&frame, &mut DeviceState::default())?.len()))?;
        rates[1].turn(|| bare.parse(&frame).map_err(|error| anyhow!("{error}")))?;
    }
    let [ours, bare] = rates.map(|rate| rate.per_second());
    Ok(json!({
        "values": values,
        "fieldgate_per_s": round(ours),
        "bare_per_s": round(bare),
        "ratio": round(ours / bare),
        "fuel": parser.used().fuel,
        "memory_bytes": parser.used().memory_bytes,
    }))
}

/// Work done in all turns of one side.
#[derive(Default)]
struct Rate {
    parses: u64,
    spent: Duration,
}

impl Rate {
    fn turn(&mut self, mut parse: impl FnMut() -> Result<usize>) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < TURN {
            for _ in 0..100 {
                parse()?;
            }
            self.parses += 100;
        }
        self.spent += start.elapsed();
        Ok(())
    }

    fn per_second(&self) -> f64 {
        as_f64(self.parses) / self.spent.as_secs_f64()
    }
}

/// Luau as one would embed it with mlua: the function is loaded once and called for each frame.
struct Bare {
    lua: Lua,
    function: Function,
    steps: Rc<Cell<u64>>,
}

impl Bare {
    fn load(source: &str) -> mlua::Result<Self> {
        let libraries = StdLib::TABLE
            | StdLib::STRING
            | StdLib::UTF8
            | StdLib::BIT
            | StdLib::MATH
            | StdLib::BUFFER;
        let lua = Lua::new_with(libraries, LuaOptions::default())?;
        lua.sandbox(true)?;
        let steps = Rc::new(Cell::new(0_u64));
        let counted = Rc::clone(&steps);
        lua.set_interrupt(move |_| {
            counted.set(counted.get() + 1);
            if counted.get() > Limits::DEFAULT.fuel {
                return Err(mlua::Error::runtime("too many steps"));
            }
            Ok(VmState::Continue)
        });
        lua.set_memory_limit(lua.used_memory() + Limits::DEFAULT.memory_bytes)?;
        let function = lua.load(source).eval()?;
        Ok(Self { lua, function, steps })
    }

    /// How many values the frame has led to.
    fn parse(&self, frame: &Frame) -> mlua::Result<usize> {
        self.steps.set(0);
        let table = self.lua.create_table()?;
        table.set("device", frame.device.as_str())?;
        table.set("at", frame.at.0)?;
        for (name, blocks) in [("hr", &frame.hr), ("ir", &frame.ir)] {
            let words = self.lua.create_table()?;
            for block in blocks {
                for (address, word) in (block.start..).zip(&block.items) {
                    words.set(address, *word)?;
                }
            }
            table.set(name, words)?;
        }
        for (name, blocks) in [("co", &frame.co), ("di", &frame.di)] {
            let bits = self.lua.create_table()?;
            for block in blocks {
                for (address, bit) in (block.start..).zip(&block.items) {
                    bits.set(address, *bit)?;
                }
            }
            table.set(name, bits)?;
        }
        table.set("payload", self.lua.create_string(frame.payload.unwrap_or_default())?)?;
        let answer: Table = self.function.call(table)?;
        let mut values = Vec::new();
        for pair in answer.pairs::<String, mlua::Value>() {
            let (name, value) = pair?;
            values.push((name, value));
        }
        Ok(values.len())
    }
}
