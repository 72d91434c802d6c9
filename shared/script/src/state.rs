//! What a parser remembers of one device between two frames: a plain value, never a live object.

use mlua::{IntoLua, Lua};

use crate::error::Failure;
use crate::wide::Wide;

/// What a parser remembers of one device; empty before its first frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeviceState(Plain);

/// A value without identity: it can be copied, compared and handed to another VM.
#[derive(Debug, Clone, PartialEq, Default)]
enum Plain {
    #[default]
    Nil,
    Boolean(bool),
    Number(f64),
    Wide(Wide),
    String(Vec<u8>),
    /// In the order in which the script's table gave them, so that the copy walks alike.
    Table(Vec<(Plain, Plain)>),
}

/// Deepest nesting of a state: it is walked by recursion, and a cyclic table has no bottom.
const DEPTH_MAX: usize = 8;

/// What an entry or a number counts for beside its text.
const ENTRY_BYTES: usize = 8;

impl DeviceState {
    /// Whether nothing is remembered.
    pub const fn is_empty(&self) -> bool {
        matches!(self.0, Plain::Nil)
    }

    pub(crate) fn to_lua(&self, lua: &Lua) -> mlua::Result<mlua::Value> {
        self.0.to_lua(lua)
    }

    pub(crate) fn from_lua(value: mlua::Value, bytes_max: usize) -> Result<Self, Failure> {
        let mut copy = Copy { left: bytes_max, bytes_max };
        copy.plain(value, DEPTH_MAX).map(Self)
    }
}

impl Plain {
    fn to_lua(&self, lua: &Lua) -> mlua::Result<mlua::Value> {
        match self {
            Self::Nil => Ok(mlua::Value::Nil),
            Self::Boolean(on) => Ok(mlua::Value::Boolean(*on)),
            Self::Number(number) => Ok(mlua::Value::Number(*number)),
            Self::Wide(wide) => wide.into_lua(lua),
            Self::String(bytes) => lua.create_string(bytes).map(mlua::Value::String),
            Self::Table(entries) => {
                let table = lua.create_table()?;
                for (key, value) in entries {
                    table.raw_set(key.to_lua(lua)?, value.to_lua(lua)?)?;
                }
                Ok(mlua::Value::Table(table))
            }
        }
    }
}

/// Copies a script's value out of its VM, up to a number of bytes.
struct Copy {
    left: usize,
    bytes_max: usize,
}

impl Copy {
    fn plain(&mut self, value: mlua::Value, depth: usize) -> Result<Plain, Failure> {
        match value {
            mlua::Value::Nil => Ok(Plain::Nil),
            mlua::Value::Boolean(on) => self.take(1).map(|()| Plain::Boolean(on)),
            #[expect(clippy::cast_precision_loss, reason = "the script's own number was a float")]
            mlua::Value::Integer(int) => self.take(ENTRY_BYTES).map(|()| Plain::Number(int as f64)),
            mlua::Value::Number(number) => self.take(ENTRY_BYTES).map(|()| Plain::Number(number)),
            mlua::Value::String(text) => {
                let bytes = text.as_bytes();
                self.take(bytes.len())?;
                Ok(Plain::String(bytes.to_vec()))
            }
            mlua::Value::UserData(data) => match data.borrow::<Wide>() {
                Ok(wide) => self.take(ENTRY_BYTES).map(|()| Plain::Wide(*wide)),
                Err(_) => Err(unfit("userdata")),
            },
            mlua::Value::Table(table) => {
                let depth = depth.checked_sub(1).ok_or_else(|| {
                    Failure::output(format!("the state is nested deeper than {DEPTH_MAX}"))
                })?;
                let mut entries = Vec::new();
                for pair in table.pairs::<mlua::Value, mlua::Value>() {
                    let (key, value) = pair?;
                    if key.as_userdata().is_some() || key.as_table().is_some() {
                        return Err(Failure::result("a key of the state is not a plain value"));
                    }
                    self.take(ENTRY_BYTES)?;
                    entries.push((self.plain(key, depth)?, self.plain(value, depth)?));
                }
                Ok(Plain::Table(entries))
            }
            mlua::Value::LightUserData(_)
            | mlua::Value::Vector(_)
            | mlua::Value::Function(_)
            | mlua::Value::Thread(_)
            | mlua::Value::Buffer(_)
            | mlua::Value::Error(_)
            | mlua::Value::Other(_) => Err(unfit(value.type_name())),
        }
    }

    fn take(&mut self, bytes: usize) -> Result<(), Failure> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            Failure::output(format!("the state has more than {} bytes", self.bytes_max))
        })?;
        Ok(())
    }
}

fn unfit(found: &str) -> Failure {
    Failure::result(format!("the state holds a {found}, which cannot be kept"))
}
