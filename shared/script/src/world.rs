//! What a parser finds around it: the libraries, their members, and what is ours among them.
//!
//! # Invariants
//!
//! - Everything is named here; what is not is taken away, so that a later Luau cannot add something
//!   unseen.

use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{Lua, LuaString, StdLib, Table, Value};

use crate::helpers::natives;
use crate::meter::{Cut, Meter};

/// The libraries of Luau that a parser has. Absent: `os` and `debug`; `coroutine`, which a function
/// of one frame has no use for; `vector`, which no device has.
pub(crate) fn libraries() -> StdLib {
    let libraries =
        [StdLib::TABLE, StdLib::STRING, StdLib::UTF8, StdLib::BIT, StdLib::MATH, StdLib::BUFFER];
    libraries.into_iter().fold(StdLib::NONE, |all, one| all | one)
}

/// All that stands in the global table beside the libraries. Absent on purpose: `getfenv`,
/// `setfenv`, `loadstring`, `require`, `collectgarbage`, `gcinfo`, `newproxy`, `print`, `xpcall`,
/// `_G`.
const GLOBALS: &str = "assert error getmetatable ipairs next pairs pcall rawequal rawget rawlen \
    rawset select setmetatable tonumber tostring type typeof unpack _VERSION";

/// The libraries and their members. Absent on purpose: `math.random` and `math.randomseed`, whose
/// state would live on from frame to frame; `table.foreach`, `table.foreachi`, `table.getn` and
/// `table.maxn`, which Luau keeps for old programs.
const MEMBERS: [(&str, &str); 12] = [
    (
        "bit32",
        "arshift band bnot bor btest bxor byteswap countlz countrz extract lrotate lshift replace \
         rrotate rshift",
    ),
    (
        "buffer",
        "copy create fill fromstring len readbits readf32 readf64 readi16 readi32 readi8 \
         readstring readu16 readu32 readu8 tostring writebits writef32 writef64 writei16 writei32 \
         writei8 writestring writeu16 writeu32 writeu8",
    ),
    (
        "math",
        "abs acos asin atan atan2 ceil clamp cos cosh deg exp floor fmod frexp huge isfinite isinf \
         isnan ldexp lerp log log10 map max min modf noise pi pow rad round sign sin sinh sqrt tan \
         tanh",
    ),
    (
        "string",
        "byte char find format gmatch gsub len lower match pack packsize rep reverse split sub \
         unpack upper",
    ),
    ("table", "clear clone concat create find freeze insert isfrozen move pack remove sort unpack"),
    ("utf8", "char charpattern codepoint codes len offset"),
    ("reg", "bcd bit bits bytes f16 f32 f64 i16 i32 i64 i8 text u16 u32 u64 u8"),
    ("bytes", "bcd crc16_modbus crc32 f16 f32 f64 from_hex hex i16 i32 i64 i8 u16 u32 u64 u8"),
    ("json", "decode null"),
    ("cbor", "decode null"),
    ("time", "format parse"),
    ("int", "new"),
];

/// Adds what is ours to the global table and takes away what is not for parsers.
pub(crate) fn furnish(lua: &Lua, meter: &Rc<Meter>) -> mlua::Result<()> {
    let natives = natives(lua, meter)?;
    let native = |name: &str| natives.raw_get::<Value>(name);
    let (wide, half) = (native("wide")?, native("half_float")?);
    run(lua, include_str!("prelude/reg.luau"), (wide.clone(), half.clone()))?;
    let sums = (native("crc16_modbus")?, native("crc32")?);
    let hex = (native("hex")?, native("from_hex")?);
    run(lua, include_str!("prelude/bytes.luau"), (wide, half, sums.0, sums.1, hex.0, hex.1))?;
    run(lua, include_str!("prelude/texts.luau"), (natives, Value::NULL))?;
    guard(lua, meter)?;

    let globals = lua.globals();
    let libraries = MEMBERS.iter().map(|(name, _)| *name);
    keep(&globals, &GLOBALS.split(' ').chain(libraries).collect::<Vec<_>>())?;
    for (name, members) in MEMBERS {
        keep(&globals.raw_get::<Table>(name)?, &members.split(' ').collect::<Vec<_>>())?;
    }
    Ok(())
}

/// The prices: `prelude/guard.luau` with what it calls.
fn guard(lua: &Lua, meter: &Rc<Meter>) -> mlua::Result<()> {
    let counted = Rc::clone(meter);
    let spend = lua.create_function(move |lua, fuel: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        counted.spend(lua, fuel as u64)
    })?;
    let counted = Rc::clone(meter);
    let memory_spent =
        lua.create_function(move |lua, ()| Err::<(), _>(counted.end(lua, Cut::Memory)))?;
    let counted = Rc::clone(meter);
    let weight = lua.create_function(move |_, ()| Ok(counted.weight()))?;
    let counted = Rc::clone(meter);
    let weigh = lua.create_function(move |lua, (text, pattern): (usize, LuaString)| {
        counted.weigh(lua, text, &pattern.as_bytes())
    })?;
    let counted = Rc::clone(meter);
    let lighten = lua.create_function(move |_, (before, rest): (u64, mlua::MultiValue)| {
        counted.set_weight(before);
        Ok(rest)
    })?;
    let counted = Rc::clone(meter);
    let format_price = lua.create_function(move |lua, pattern: LuaString| {
        let pattern = pattern.as_bytes();
        // A precision of two digits may print a hundred of them, in 10 µs and more.
        let precise = |three: &&[u8]| three[0] == b'.' && three[1..].iter().all(u8::is_ascii_digit);
        let dear = pattern.windows(3).filter(precise).count();
        counted.spend_on_bytes(lua, pattern.len() + 4096 * dear)
    })?;
    let prelude = include_str!("prelude/guard.luau");
    run(lua, prelude, (spend, memory_spent, weight, weigh, lighten, format_price, Value::NULL))
}

fn run(lua: &Lua, prelude: &str, given: impl mlua::IntoLuaMulti) -> mlua::Result<()> {
    lua.load(prelude).set_name("=prelude").set_mode(ChunkMode::Text).call(given)
}

/// Takes away every member of `table` that is not named.
fn keep(table: &Table, names: &[&str]) -> mlua::Result<()> {
    let mut away = Vec::new();
    for pair in table.pairs::<LuaString, Value>() {
        let (name, _) = pair?;
        if !names.iter().any(|kept| name.as_bytes() == kept.as_bytes()) {
            away.push(name);
        }
    }
    away.into_iter().try_for_each(|name| table.raw_set(name, mlua::Nil))
}
