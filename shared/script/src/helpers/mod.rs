//! What a parser finds beside Luau's own libraries, in native code where that is faster or exact.
//!
//! # Invariants
//!
//! - Every function is priced in fuel by the bytes it walks, and bounded in depth and size.
//! - A text or payload that is not what it should be is an error on the script's own line; running
//!   out of memory in here cuts the run off as it does anywhere else.

mod bytes;
mod cbor;
mod exact;
mod json;
mod text;
mod time;

use std::rc::Rc;

use mlua::{IntoLuaMulti, Lua, LuaString, MultiValue, Table};

pub(crate) use self::exact::Exact;
use crate::meter::{Cut, Meter};

/// Deepest nesting of what is decoded: it is walked by recursion. Documents of devices have a
/// handful of levels.
const DEPTH_MAX: usize = 32;

/// Why a native function gives nothing.
enum Problem {
    /// What it was given is wrong: for the script, which may go on.
    Given(String),
    /// The VM refuses.
    Lua(mlua::Error),
}

impl From<mlua::Error> for Problem {
    fn from(error: mlua::Error) -> Self {
        Self::Lua(error)
    }
}

/// The native functions that `reg`, `bytes` and the decoders of the prelude are made of.
pub(crate) fn natives(lua: &Lua, meter: &Rc<Meter>) -> mlua::Result<Table> {
    let natives = lua.create_table()?;
    bytes::add(lua, meter, &natives)?;
    exact::add(lua, meter, &natives)?;
    time::add(lua, meter, &natives)?;
    let decode = |name: &str, decode: fn(&Lua, &Meter, &[u8]) -> Result<mlua::Value, Problem>| {
        let meter = Rc::clone(meter);
        let function = lua.create_function(move |lua, text: LuaString| {
            meter.spend_on_bytes(lua, text.as_bytes().len())?;
            told(lua, &meter, decode(lua, &meter, &text.as_bytes()))
        })?;
        natives.raw_set(name, function)
    };
    decode("json_decode", json::decode)?;
    decode("cbor_decode", cbor::decode)?;
    Ok(natives)
}

/// A value, or nil and what is wrong, which the prelude raises on the script's line.
fn told(
    lua: &Lua,
    meter: &Meter,
    found: Result<impl IntoLuaMulti, Problem>,
) -> mlua::Result<MultiValue> {
    match found {
        Ok(value) => value.into_lua_multi(lua),
        Err(Problem::Given(what)) => (mlua::Value::Nil, what).into_lua_multi(lua),
        Err(Problem::Lua(mlua::Error::MemoryError(_))) => Err(meter.end(lua, Cut::Memory)),
        Err(Problem::Lua(error)) => Err(error),
    }
}
